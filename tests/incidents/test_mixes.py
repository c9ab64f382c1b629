#!/usr/bin/env python3
"""Many servers at once: healthy ones, of which nothing is told; unrelated troubles, of which none is told to come from
another; and servers that wait for each other, of which the last is the FAILURE that the others point to.

Environment, besides what collectd.py needs (set by ctest from CMake):
  SERVERS_ROOT    the root below which the servers are unpacked; may be empty
  BACKLOG_TABLE   the command
and, of whoever wants to see some of it:
  MIXES           a pattern: only mixes with such a name
"""

import contextlib
import json
import os
import pathlib
import random
import re
import sys
import time
import unittest

sys.path.insert(1, str(pathlib.Path(__file__).resolve().parents[1] / "system"))

import servers
import system_test
from kernel import kernel_counters, run
from notifications import NotificationTest
from servers import Clients, behind, connections, get, page, ping, version

HEALTHY_MIXES = 20
MIX_LENGTH = 6  # seconds
INTERVAL = 4  # seconds; in a shorter one a busy host has no time to find who waits for whom
STALLED_AFTER = 8  # seconds
TROUBLE_LENGTH = 20  # seconds
LEAST_NAMED = 0.9  # of the chains


class Stage:
    """Servers and their clients, all of which end together."""

    def __init__(self, folder):
        self._folder = folder
        self._ends = contextlib.ExitStack()

    def server(self, make, *arguments, **options):
        server = make(self._folder(), *arguments, **options)
        self._ends.callback(server.close)
        return server.start()

    def fpm(self, **options):
        """(php-fpm, its folder)"""
        folder = self._folder()
        server = servers.php_fpm(folder, **options)
        self._ends.callback(server.close)
        return server.start(), folder

    def clients(self, *arguments, **options):
        clients = Clients(*arguments, **options)
        self._ends.callback(clients.close)
        return clients

    def connect(self, server, count):
        for client in connections(server, count):
            self._ends.callback(client.close)

    def pause(self, server):
        self._ends.enter_context(server.paused())

    def close(self):
        self._ends.close()


class MixTest(NotificationTest):
    def start(self, interval, stalled_after):
        self.table = pathlib.Path(self.folder(), "table")
        return self.started(f'TableFile "{self.table}"\nStalledAfter {stalled_after}\n<Watch "/fpm-sock/">\n</Watch>',
                            interval=interval)

    def rows(self):
        shown = json.loads(run(os.environ["BACKLOG_TABLE"], "--table", self.table, "--json"))
        return {row["name"]: row for row in shown["listeners"]}

    def stage(self):
        stage = Stage(self.folder)
        self.addCleanup(stage.close)
        return stage

    def wait_for_owners(self, collectd, wanted):
        def all_have():
            rows = self.rows()
            return all("owner" in rows.get(server.name, {}) for server in wanted)
        collectd.wait(all_have, 40, "the owners")
        collectd.wait_for_intervals(1)

    def waits_seen(self, collectd, seconds, names):
        """{listener: those that it was said to wait for} of so many seconds."""
        seen = {}
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for name, row in self.rows().items():
                if name in names and "waits_for" in row:
                    seen.setdefault(name, set()).add(row["waits_for"])
            time.sleep(0.1)
        for each in self.notifications(collectd):
            if each.name in names and (found := re.search(r"waits for ([a-z0-9_-]+)", each.message)):
                seen.setdefault(each.name, set()).add(found[1])
        return seen


class HealthyTest(MixTest):
    """Each mix has its own servers, settings and loads."""

    @staticmethod
    def parts(stage, chance):
        """(server, what its clients ask, how many at most keep it healthy) of each kind."""
        def redis():
            return stage.server(servers.redis, backlog=chance.choice([64, 511])), ping, 40

        def memcached():
            return stage.server(servers.memcached, backlog=chance.choice([128, 1024])), version, 40

        def nginx():
            return stage.server(servers.nginx, backlog=chance.choice([64, 511]), workers=chance.choice([1, 2, 4])), get(), 40

        def nginx_group():
            return stage.server(servers.nginx, backlog=64, workers=chance.choice([2, 4]), reuse_port=True), get(), 40

        def apache():
            return stage.server(servers.apache), get(), 20

        def gunicorn():
            return stage.server(servers.gunicorn, backlog=chance.choice([64, 2048]), workers=chance.choice([1, 2, 4]),
                                seconds=chance.choice([0.001, 0.02, 0.1])), get(), 8

        def node():
            return stage.server(servers.node, backlog=chance.choice([64, 511])), get(f"/{chance.choice([0, 2, 10])}"), 20

        def fpm():
            server, folder = stage.fpm(backlog=chance.choice([64, 511]), children=chance.choice([1, 2, 5]))
            return server, page(folder, chance.choice([0.001, 0.01, 0.05])), 8

        def haproxy_chain():
            target = stage.server(servers.redis)
            return stage.server(servers.haproxy, target.address, backlog=64, most_connections=90), ping, 20

        def gunicorn_chain():
            target = stage.server(servers.redis)
            return stage.server(servers.gunicorn, workers=2, seconds=0.005, redis_port=target.address), get(), 6

        def nginx_chain():
            target = stage.server(servers.gunicorn, workers=2, seconds=0.01)
            return stage.server(servers.nginx, location=behind(target)), get(), 8

        def fpm_chain():
            target, _ = stage.fpm(backlog=64, children=3)
            return stage.server(servers.nginx, location=behind(target)), get("/?t=5000"), 8
        return [redis, memcached, nginx, nginx_group, apache, gunicorn, node, fpm, haproxy_chain, gunicorn_chain,
                nginx_chain, fpm_chain]

    def check(self, collectd, number):
        chance, stage = random.Random(number), Stage(self.folder)
        try:
            parts = [make() for make in chance.sample(self.parts(stage, chance), chance.randint(4, 6))]
            told_before = len(self.notifications(collectd))
            refused_before = kernel_counters()["ListenOverflows"]
            work = [stage.clients(server, ask, chance.randint(1, most), pause=chance.choice([0, 0.005, 0.05]))
                    for server, ask, most in parts]
            bursts = [server for server, _, _ in parts if isinstance(server.address, int)]
            seen = set()
            end = time.monotonic() + MIX_LENGTH
            while time.monotonic() < end:
                for client in connections(chance.choice(bursts), chance.randint(5, 40)):
                    client.close()  # as checks do that a port answers
                seen |= {name for name, row in self.rows().items() if "waits_for" in row}
                time.sleep(0.7)
            collectd.wait_for_intervals(1)
            self.assertEqual(kernel_counters()["ListenOverflows"], refused_before, "the mix is not healthy")
            self.assertEqual(self.notifications(collectd)[told_before:], [])
            self.assertEqual(seen, set())
            for clients, (server, _, _) in zip(work, parts):
                self.assertGreater(clients.answered, 0, server.name)
            return ", ".join(f"{pathlib.Path(server.command[0]).name} {clients.answered}"
                             for clients, (server, _, _) in zip(work, parts))
        finally:
            stage.close()

    def test_nothing_is_told(self):
        collectd = self.start(1, 2)
        for number in range(HEALTHY_MIXES):
            with self.subTest(mix=number):
                print(f"  mix {number}: answered {self.check(collectd, number)}", flush=True)
        self.assertEqual(self.notifications(collectd), [])


class TroubleTest(MixTest):
    def check_coincidence(self, name, prepare):
        """prepare(stage): the servers in trouble, their helpers, and what begins the trouble."""
        stage = self.stage()
        in_trouble, helpers, begin = prepare(stage)
        collectd = self.start(INTERVAL, STALLED_AFTER)
        self.wait_for_owners(collectd, [*in_trouble, *helpers])
        begin()
        seen = self.waits_seen(collectd, TROUBLE_LENGTH, {each.name for each in [*in_trouble, *helpers]})
        told = {each.name for each in self.notifications(collectd) if each.severity in ("WARNING", "FAILURE")}
        self.assertEqual(told, {server.name for server in in_trouble})
        self.assertEqual(seen, {}, name)

    def test_two_stopped_redis_and_one_asked_by_gunicorn(self):
        def prepare(stage):
            stopped = [stage.server(servers.redis) for _ in range(2)]
            asked = stage.server(servers.redis)
            gunicorn = stage.server(servers.gunicorn, redis_port=asked.address, seconds=0.01)

            def begin():
                stage.clients(gunicorn, get(), 2, pause=0.02)
                for each in stopped:
                    stage.pause(each)
                    stage.connect(each, 8)
            return stopped, [asked, gunicorn], begin
        self.check_coincidence("two stopped", prepare)

    def test_slow_gunicorn_that_asks_one_redis_while_another_is_stopped(self):
        def prepare(stage):
            stopped, asked = stage.server(servers.redis), stage.server(servers.redis)
            gunicorn = stage.server(servers.gunicorn, backlog=8, seconds=0.2, redis_port=asked.address)

            def begin():
                stage.clients(gunicorn, get(), 14)
                stage.pause(stopped)
                stage.connect(stopped, 8)
            return [stopped, gunicorn], [asked], begin
        self.check_coincidence("slow and stopped", prepare)

    def test_full_php_fpm_and_a_busy_node(self):
        def prepare(stage):
            fpm, folder = stage.fpm(backlog=8)
            node = stage.server(servers.node, backlog=8)

            def begin():
                stage.clients(fpm, page(folder, 0.2), 14)
                stage.clients(node, get("/300"), 14)
            return [fpm, node], [], begin
        self.check_coincidence("php-fpm and node", prepare)

    def test_haproxy_at_its_maxconn_and_a_stopped_memcached(self):
        def prepare(stage):
            target, memcached = stage.server(servers.redis), stage.server(servers.memcached)
            haproxy = stage.server(servers.haproxy, target.address, backlog=8, most_connections=2)

            def begin():
                stage.clients(haproxy, ping, 16, hold=0.1)
                stage.pause(memcached)
                stage.connect(memcached, 8)
            return [haproxy, memcached], [target], begin
        self.check_coincidence("haproxy and memcached", prepare)

    def test_two_gunicorns_with_one_redis_that_answers(self):
        def prepare(stage):
            redis = stage.server(servers.redis)
            slow = [stage.server(servers.gunicorn, backlog=8, seconds=0.2, redis_port=redis.address) for _ in range(2)]

            def begin():
                for each in slow:
                    stage.clients(each, get(), 14)
            return slow, [redis], begin
        self.check_coincidence("two gunicorns", prepare)


def nginx_and_gunicorn(stage):
    gunicorn = stage.server(servers.gunicorn, seconds=0)
    return [stage.server(servers.nginx, backlog=8, most_connections=20, location=behind(gunicorn)), gunicorn], get()


def nginx_and_php_fpm(stage):
    fpm, _ = stage.fpm(backlog=64)
    return [stage.server(servers.nginx, backlog=8, most_connections=20, location=behind(fpm)), fpm], get("/?t=0")


def haproxy_and_nginx(stage):
    nginx = stage.server(servers.nginx)
    return [stage.server(servers.haproxy, nginx.address, backlog=8, most_connections=8), nginx], get()


def gunicorn_and_redis(stage):
    redis = stage.server(servers.redis)
    return [stage.server(servers.gunicorn, backlog=16, workers=3, redis_port=redis.address), redis], get()


def gunicorn_and_postgresql(stage):
    postgresql = stage.server(servers.postgresql)
    return [stage.server(servers.gunicorn, backlog=16, workers=3, redis_port=postgresql.address), postgresql], get()


def php_fpm_and_redis(stage):
    redis = stage.server(servers.redis)
    fpm, folder = stage.fpm(backlog=8, children=3, redis_port=redis.address)
    return [fpm, redis], page(folder, 0)


def haproxy_gunicorn_and_redis(stage):
    redis = stage.server(servers.redis)
    gunicorn = stage.server(servers.gunicorn, workers=2, redis_port=redis.address)
    return [stage.server(servers.haproxy, gunicorn.address, backlog=8, most_connections=8), gunicorn, redis], get()


def nginx_gunicorn_and_redis(stage):
    redis = stage.server(servers.redis)
    gunicorn = stage.server(servers.gunicorn, workers=2, redis_port=redis.address)
    return [stage.server(servers.nginx, backlog=8, most_connections=20, location=behind(gunicorn)), gunicorn, redis], get()


def nginx_php_fpm_and_redis(stage):
    redis = stage.server(servers.redis)
    fpm, _ = stage.fpm(backlog=64, children=2, redis_port=redis.address)
    return [stage.server(servers.nginx, backlog=8, most_connections=20, location=behind(fpm)), fpm, redis], get("/?t=0")


def haproxy_gunicorn_and_postgresql(stage):
    postgresql = stage.server(servers.postgresql)
    gunicorn = stage.server(servers.gunicorn, workers=2, redis_port=postgresql.address)
    return [stage.server(servers.haproxy, gunicorn.address, backlog=8, most_connections=8), gunicorn, postgresql], get()


CHAINS = (nginx_and_gunicorn, nginx_and_php_fpm, haproxy_and_nginx, gunicorn_and_redis, gunicorn_and_postgresql,
          php_fpm_and_redis, haproxy_gunicorn_and_redis, nginx_gunicorn_and_redis, nginx_php_fpm_and_redis,
          haproxy_gunicorn_and_postgresql)


class ChainTest(MixTest):
    def judge(self, make):
        """(what is wrong with what is told of a chain whose last server stops, remarks)"""
        stage = Stage(self.folder)
        collectd = self.start(INTERVAL, STALLED_AFTER)
        try:
            chain, ask = make(stage)
            self.wait_for_owners(collectd, chain)
            names = [server.name for server in chain]
            stage.pause(chain[-1])
            stage.clients(chain[0], ask, 40, timeout=60)
            shown = []

            def is_shown():
                rows = [self.rows()[name] for name in names]
                shown[:] = [row.get("waits_for") for row in rows]
                failures = [each.name for each in self.notifications(collectd) if each.severity == "FAILURE"]
                return shown == [*names[1:], None] and names[-1] in failures
            try:
                collectd.wait(is_shown, 40, "the chain")
            except AssertionError:
                told = "\n    ".join(f"{each.severity} {each.message}" for each in self.notifications(collectd))
                return f"{names} wait for {shown}; told:\n    {told}", ""
            # One that was sent before it was known who waits for whom stays.
            others = {each.name for each in self.notifications(collectd) if each.severity == "FAILURE"} - {names[-1]}
            return "", f", after FAILURE of {', '.join(sorted(others))}" if others else ""
        finally:
            stage.close()

    def test_roots_are_named(self):
        chains = [each for each in CHAINS if re.search(os.environ.get("MIXES", ""), each.__name__)]
        results = {}
        for make in chains:
            try:
                results[make.__name__], remark = self.judge(make)
            except unittest.SkipTest as reason:
                print(f"  {make.__name__}: SKIP: {reason}", flush=True)
                continue
            print(f"  {make.__name__}: {results[make.__name__] or 'the root is named' + remark}", flush=True)
        self.assertGreaterEqual(sum(not wrong for wrong in results.values()), LEAST_NAMED * len(results), results)


def tearDownModule():
    NotificationTest.print_told()


if __name__ == "__main__":
    system_test.main()
