#!/usr/bin/env python3
"""Incidents of real servers: which listener, which state, why, the knob and the owner that are named, that nothing
is told of the others, and that every drop has its place.

Environment, besides what collectd.py needs (set by ctest from CMake):
  SERVERS_ROOT    the root below which the servers are unpacked; may be empty
  BACKLOG_TABLE   the command
"""

import json
import os
import pathlib
import re
import signal
import sys
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(1, str(SOURCE / "tests/system"))

import servers
import system_test
from kernel import kernel_counters, read_sysctl, run, write_sysctl
from notifications import OK, OVERFLOW, STALLED, STATE, NotificationTest
from servers import Clients, connections, get, page, ping, version, wait_for_waiting
from waiting import wait_until

INTERVAL = 0.5  # seconds
UNREPORTED = ("kernel", "packets-dropped_unreported")
UNATTRIBUTED = ("kernel", "packets-dropped_unattributed")


ENOUGH = r"; a limit of (\d+) would have held them"
# What may follow the remedy, where it is known.
REMARKS = (r"(; [\d.]+/s come, [\d.]+/s are accepted: no limit helps)?"
           r"(; waits: ((p50 [\d.]+ s, )?p99 [\d.]+ s|[\d.]+ s on average))?"
           r"(; the oldest waits [\d.]+ s)?"
           r"(; (all|\d+ of \d+ (waiting|visible)) from [^;]+|; (all clients|\d+ of \d+ \w+) have ended)?")


class IncidentTest(NotificationTest):
    """Beside each incident a memcached and a redis serve clients, of which nothing is to be told."""

    def setUp(self):
        self.dropped_before = kernel_counters()["ListenDrops"]
        self.opened = []
        self.addCleanup(self.let_go)

    def let_go(self):
        for client in self.opened:
            client.close()
        self.opened.clear()

    def server(self, make, *arguments, **options):
        server = make(self.folder(), *arguments, **options)
        self.addCleanup(server.close)
        return server.start()

    def clients(self, *arguments, **options):
        clients = Clients(*arguments, **options)
        self.addCleanup(clients.close)
        return clients

    def connect(self, server, count):
        self.opened += connections(server, count)

    def observed(self, config=None, **options):
        """A collectd whose first interval is over, beside the bystanders."""
        self.table = pathlib.Path(self.folder(), "table")
        collectd = self.started(f'TableFile "{self.table}"\n{config or ""}', **{"interval": INTERVAL, **options})
        for make, ask in ((servers.memcached, version), (servers.redis, ping)):
            self.clients(self.server(make), ask, 2, pause=0.01)
        return collectd

    def shown_owner(self, server):
        shown = json.loads(run(os.environ["BACKLOG_TABLE"], "--table", self.table, "--json"))
        return next((row.get("owner") for row in shown["listeners"] if row["name"] == server.name), None)

    def wait_for_series(self, collectd, server):
        """And for the owner, who is looked for less than once an interval where there are many processes."""
        collectd.wait(lambda: len(collectd.values(server.name, STATE)) > 1, what=f"two states of {server.name}")
        collectd.wait(lambda: self.shown_owner(server), what=f"the owner of {server.name}")
        collectd.wait_for_intervals(0)

    def started_server(self, collectd, make, *arguments, **options):
        server = self.server(make, *arguments, **options)
        self.wait_for_series(collectd, server)
        return server

    def owner(self, server, command):
        """A pattern."""
        text = pathlib.Path("/proc/self/cgroup").read_text(encoding="utf-8")
        if re.search(r"(\.service|\.scope|[0-9a-f]{64})$", text, re.MULTILINE):
            return ".+"  # the unit or the container that the test runs in
        return rf"{command}\[({'|'.join(map(str, server.pids()))})\]"

    def wait_for_told(self, collectd, server, command, text, severities=("WARNING", "FAILURE")):
        """The first notification that is this pattern as a whole, behind name and owner."""
        def find():
            return next((each for each in self.of(collectd, server.name)
                         if each.severity in severities and re.fullmatch(whole, each.message)), None)
        whole = rf"{server.name} \({self.owner(server, command)}\): {text}{REMARKS}"
        return collectd.wait(find, what=f"/{whole}/")

    def check_silence(self, collectd, *told):
        """Of the others nothing is told, and none of them was ever anything but ok."""
        names = {server.name for server in told}
        self.assertEqual([each for each in self.notifications(collectd) if each.name not in names], [])
        others = collectd.listeners() | collectd.unix_listeners()
        for name in others - names:
            self.assertLessEqual(self.states(collectd, name), {OK}, name)
        self.assertGreaterEqual(len(others - names), 2)

    def check_balance(self, collectd, at_least=0):
        """What the listeners dropped, and what has none, is what the kernel counted."""
        def kernel():
            return kernel_counters()["ListenDrops"] - self.dropped_before

        def listed():
            named = [(name, "packets-dropped") for name in collectd.listeners() | {"tcp_unstable"}]
            return sum(collectd.latest(*series) or 0 for series in [*named, UNREPORTED, UNATTRIBUTED])
        try:
            collectd.wait(lambda: listed() == kernel(), what="the balance")
        except AssertionError as error:
            raise AssertionError(f"{error}\nlisted {listed()}, ListenDrops {kernel()}") from None
        self.assertGreaterEqual(kernel(), at_least)
        self.assertEqual(collectd.latest(*UNATTRIBUTED), 0)

    def check_end(self, collectd, server, at_least=0):
        self.let_go()
        self.wait_for_okay(collectd, server.name)
        self.check_balance(collectd, at_least)
        self.check_silence(collectd, server)

    def hiccup(self, collectd, server, count):
        """The server's processes stop for 0.3 s, in which so many clients come."""
        collectd.wait_for_intervals(0)
        with server.paused():
            self.connect(server, count)
            time.sleep(0.3)

    def check_enough(self, told, clients):
        """The limit that is told holds as many, who all came before anybody was accepted."""
        limit = int(re.search(ENOUGH, told.message)[1])
        self.assertGreaterEqual(limit, clients - 1)
        self.assertLessEqual(limit, 1.1 * clients)

    def check_burst(self, collectd, server, command, capacity, knob, refused=6):
        before = kernel_counters()["ListenOverflows"]
        self.hiccup(collectd, server, capacity + refused)
        self.let_go()
        self.assertGreaterEqual(kernel_counters()["ListenOverflows"], before + refused)
        told = self.wait_for_told(collectd, server, command,
                                  rf"accept queue overflow, peak {capacity} of {capacity}, \d+ drops in [\d.]+ s; "
                                  rf"burst: {knob}{ENOUGH}")
        self.check_enough(told, capacity + refused)
        self.wait_for_state(collectd, server.name, OVERFLOW)
        self.check_end(collectd, server, at_least=refused)
        self.assertNotIn(STALLED, self.states(collectd, server.name))


class BurstTest(IncidentTest):
    def test_nginx_with_a_short_backlog(self):
        collectd = self.observed()
        server = self.started_server(collectd, servers.nginx, backlog=16)
        somaxconn = read_sysctl("net.core.somaxconn")
        self.check_burst(collectd, server, "nginx", 17, rf"raise listen\(\) backlog \(16, somaxconn {somaxconn}\)")

    def test_a_job_that_connects_to_gunicorn_200_times(self):
        """That of backlog-reading(7)."""
        collectd = self.observed()
        server = self.started_server(collectd, servers.gunicorn, backlog=64)
        self.check_burst(collectd, server, "gunicorn", 65, r"raise listen\(\) backlog \(64, somaxconn \d+\)", refused=135)
        audit = run(os.environ["BACKLOG_TABLE"], "--table", self.table, "--audit", "--servers",
                    SOURCE / "conf/collectd/servers", server.name)
        self.assertRegex(audit, r"\n +--backlog (19\d|2[01]\d), or backlog = \d+ in its configuration; then restart\n")

    def test_memcached_with_a_short_backlog(self):
        collectd = self.observed()
        server = self.started_server(collectd, servers.memcached, backlog=8)
        self.check_burst(collectd, server, "memcached", 9, r"raise listen\(\) backlog \(8, somaxconn \d+\)")

    def test_redis_clamped_by_somaxconn(self):
        collectd = self.observed()
        self.set_sysctl("net.core.somaxconn", 16)
        collectd.wait_for_value("kernel", "gauge-somaxconn", 16)
        server = self.started_server(collectd, servers.redis, backlog=511)
        self.check_burst(collectd, server, "redis-server", 17, r"raise net\.core\.somaxconn \(16\), then restart it")

    def test_apache_that_missed_the_new_somaxconn(self):
        collectd = self.observed()
        self.set_sysctl("net.core.somaxconn", 16)
        collectd.wait_for_value("kernel", "gauge-somaxconn", 16)
        server = self.started_server(collectd, servers.apache)
        write_sysctl("net.core.somaxconn", 4096)
        collectd.wait_for_value("kernel", "gauge-somaxconn", 4096)
        self.check_burst(collectd, server, "apache2", 17,
                         r"restart it to listen\(\) again \(limit still 16, somaxconn now 4096\)")


class AuditTest(IncidentTest):
    """The audit of a host, as it is in backlog-reading(7)."""

    def audit(self):
        """{name: (its line, the line below, without indentation)}"""
        text = run(os.environ["BACKLOG_TABLE"], "--table", self.table, "--audit", "--servers",
                   SOURCE / "conf/collectd/servers")
        lines = text.splitlines()
        below = lines[1:] + [""]
        return text, {line.split()[0]: (line.split(), following.strip() if following.startswith(" ") else "")
                      for line, following in zip(lines, below) if not line.startswith(" ")}

    def test_a_host_with_nine_servers(self):
        collectd = self.observed(interval=1)
        self.set_sysctl("net.core.somaxconn", 1024)
        collectd.wait_for_value("kernel", "gauge-somaxconn", 1024)
        redis = self.server(servers.redis)
        nginx = self.server(servers.nginx, backlog=64)
        expected = [  # server, its program, limit, who set it, members, the line below
            (nginx, "nginx", 64, "application", 1, "listen ... backlog=99; in each server block of that address; then reload"),
            (self.server(servers.nginx, backlog=128, workers=4, reuse_port=True), "nginx", 512, "application", 4,
             "listen ... backlog=N; in each server block of that address; then reload (default 511)"),
            (self.server(servers.apache), "apache2", 511, "application", 1,
             "ListenBackLog N in ports.conf; then stop, then start (default 511)"),
            (self.server(servers.php_fpm, backlog=16), "php-fpm8.2", 16, "application", 1,
             "listen.backlog = N in the pool's file; then restart (default somaxconn)"),
            (self.server(servers.gunicorn, backlog=2048), "gunicorn", 1024, "somaxconn", 1,
             "--backlog N, or backlog = N in its configuration; then restart (default 2048)"),
            (redis, "redis-server", 511, "application", 1, "tcp-backlog N in redis.conf; then restart (default 511)"),
            (self.server(servers.memcached, backlog=0), "memcached", 0, "zero", 1,
             "-b N in memcached.conf; then restart (default 1024)"),
            (self.server(servers.haproxy, redis.address, backlog=100), "haproxy", 100, "application", 1,
             "backlog N in the frontend, or in defaults; then restart (default maxconn)"),
            (self.server(servers.postgresql), "postgres", 2 * 8 + 44, "application", 1,  # as servers.py has max_connections
             "max_connections in postgresql.conf; the backlog is twice that, before version 16 some 44 more; then restart "
             "(default 200)"),
        ]
        for server, *_ in expected:
            collectd.wait(lambda name=server.name: self.shown_owner(server), what=f"the owner of {server.name}")
        self.hiccup(collectd, nginx, 100)
        collectd.wait(lambda: self.audit()[1][nginx.name][0][4] != "-", what="what is enough for nginx")
        text, found = self.audit()
        print(text, flush=True)
        for server, command, limit, set_by, members, below in expected:
            with self.subTest(command):
                (_, shown_limit, shown_by, _, enough, shown_members, owner), shown_below = found[server.name]
                self.assertEqual((int(shown_limit), shown_by, int(shown_members), shown_below),
                                 (limit, set_by, members, below))
                self.assertEqual(enough, "99" if server is nginx else "-")
                self.assertRegex(owner, self.owner(server, re.escape(command)))


class SlowTest(IncidentTest):
    """Servers that accept, but not as fast as clients come."""

    SLOW = r"slow_accept: the application does not keep up, a longer queue only adds waiting"

    def test_gunicorn_saturated_by_a_closed_loop(self):
        collectd = self.observed("StalledAfter 2")
        server = self.started_server(collectd, servers.gunicorn, backlog=8, seconds=0.05)
        clients = self.clients(server, get(), 14)
        self.wait_for_told(collectd, server, "gunicorn",
                           rf"accept queue overflow, peak 9 of 9, \d+ drops? in [\d.]+ s; {self.SLOW}")
        collectd.wait_for_intervals(8)
        clients.close()
        self.assertGreater(clients.answered, 50)
        self.assertNotIn(STALLED, self.states(collectd, server.name))
        self.check_end(collectd, server, at_least=1)

    def test_php_fpm_with_its_only_child_busy(self):
        folder = self.folder()
        collectd = self.observed(f'StalledAfter 3\n<Watch "{folder}/fpm.sock">\n</Watch>')
        server = servers.php_fpm(folder, backlog=8)
        self.addCleanup(server.close)
        server.start()
        self.wait_for_series(collectd, server)
        clients = self.clients(server, page(folder, 0.1), 14)
        self.wait_for_told(collectd, server, r"php-fpm[\d.]*",
                           rf"accept queue full for [\d.]+ s, peak 9 of 9 in [\d.]+ s; {self.SLOW}")
        collectd.wait_for_intervals(8)
        clients.close()
        self.assertGreater(clients.answered, 30)
        self.assertNotIn(STALLED, self.states(collectd, server.name))
        self.check_end(collectd, server)

    def test_haproxy_at_its_maxconn(self):
        collectd = self.observed()
        target = self.started_server(collectd, servers.redis)
        server = self.started_server(collectd, servers.haproxy, target.address, backlog=8, most_connections=2)
        clients = self.clients(server, ping, 16, hold=0.1)
        self.wait_for_told(collectd, server, "haproxy",
                           rf"accept queue overflow, peak 9 of 9, \d+ drops? in [\d.]+ s; {self.SLOW}")
        collectd.wait_for_intervals(4)
        clients.close()
        self.assertNotIn(STALLED, self.states(collectd, server.name))
        self.check_end(collectd, server, at_least=1)


class PauseTest(IncidentTest):
    """Servers that do something else for a second and a half, and then serve all who wait. All that is within one
    interval, at whose end it is known."""

    def check_pause(self, collectd, server, command, keep_busy):
        self.opened.append(server.connect())
        before = kernel_counters()["ListenOverflows"]
        collectd.wait_for_intervals(0)
        self.opened[0].sendall(keep_busy)
        time.sleep(0.1)
        self.connect(server, 30)
        told = self.wait_for_told(collectd, server, command,
                                  r"accept queue overflow, peak 17 of 17, \d+ drops? in [\d.]+ s; "
                                  rf"pause: none accepted for [\d.]+ s, .*{ENOUGH}")
        self.check_enough(told, 30)
        self.wait_for_state(collectd, server.name, OVERFLOW)
        self.assertGreater(kernel_counters()["ListenOverflows"], before)
        self.assertNotIn(STALLED, self.states(collectd, server.name))
        self.check_end(collectd, server, at_least=10)

    def test_redis_in_a_slow_command(self):
        collectd = self.observed(interval=2)
        server = self.started_server(collectd, servers.redis, backlog=16)
        self.check_pause(collectd, server, "redis-server", b"DEBUG SLEEP 1.5\r\n")

    def test_node_with_its_event_loop_busy(self):
        collectd = self.observed(interval=2)
        server = self.started_server(collectd, servers.node, backlog=16)
        self.check_pause(collectd, server, "(node|MainThread)", b"GET /1500 HTTP/1.0\r\n\r\n")


class StalledTest(IncidentTest):
    STOPPED = (r"accept queue stalled, 3 waiting, (the oldest|none accepted) for [\d.]+ s; not_accepting: "
               r"the application has stopped calling accept\(\), restart it")

    def test_redis_that_was_stopped(self):
        collectd = self.observed("StalledAfter 2")
        server = self.started_server(collectd, servers.redis)
        with server.paused():
            self.connect(server, 3)
            self.wait_for_told(collectd, server, "redis-server", self.STOPPED, ["FAILURE"])
            self.wait_for_state(collectd, server.name, STALLED)
        self.check_end(collectd, server)

    def test_what_stands_when_collectd_starts_is_told(self):
        server = self.server(servers.redis)
        with server.paused():
            self.connect(server, 3)
            wait_for_waiting(server, 3)
            collectd = self.observed("StalledAfter 2")
            self.wait_for_told(collectd, server, "redis-server", self.STOPPED, ["FAILURE"])
        self.check_end(collectd, server)


class ChainTest(IncidentTest):
    def rows(self):
        shown = json.loads(run(os.environ["BACKLOG_TABLE"], "--table", self.table, "--json"))
        return {row["name"]: row for row in shown["listeners"]}

    def test_haproxy_that_waits_for_gunicorn_that_waits_for_redis(self):
        collectd = self.observed("StalledAfter 4", interval=2)
        redis = self.started_server(collectd, servers.redis)
        gunicorn = self.started_server(collectd, servers.gunicorn, workers=2, redis_port=redis.address)
        haproxy = self.started_server(collectd, servers.haproxy, gunicorn.address, backlog=8, most_connections=8)
        chain = (haproxy, gunicorn, redis)

        def is_shown():
            rows = [self.rows()[server.name] for server in chain]
            return ([row.get("waits_for") for row in rows] == [gunicorn.name, redis.name, None]
                    and [row["severity"] for row in rows] == ["warning", "warning", "failure"])
        with redis.paused():
            clients = self.clients(haproxy, get(), 24)
            collectd.wait(is_shown, 25, "the chain")
            told = self.notifications(collectd)
        clients.close()
        self.assertEqual({each.name for each in told if each.severity == "FAILURE"}, {redis.name}, told)
        for server, following in ((haproxy, gunicorn), (gunicorn, redis)):
            self.assertTrue(any(f"waits for {following.name}" in each.message for each in told
                                if each.name == server.name), told)
        for server in chain:
            self.wait_for_okay(collectd, server.name)
        self.check_silence(collectd, *chain)


class SkewTest(IncidentTest):
    def test_one_of_four_workers_of_nginx_stopped(self):
        collectd = self.observed()
        server = self.started_server(collectd, servers.nginx, backlog=16, workers=4, reuse_port=True)
        stuck = server.workers()[1]
        os.kill(stuck, signal.SIGSTOP)
        self.addCleanup(os.kill, stuck, signal.SIGCONT)
        before = kernel_counters()["ListenOverflows"]

        def one_more_client():
            self.connect(server, 1)
            return kernel_counters()["ListenOverflows"] >= before + 3
        wait_until(one_more_client, what="overflows", pause=0.003)
        self.wait_for_told(collectd, server, "nginx",
                           r"accept queue overflow, peak \d+ of 68 in 4 sockets, \d+ drops? in [\d.]+ s; skew: the "
                           r"fullest of 4 members at 100 %, the median at \d+ %, restart the stuck one")
        os.kill(stuck, signal.SIGCONT)
        self.check_end(collectd, server, at_least=3)


class RestartTest(IncidentTest):
    def test_a_restart_amid_the_incident_keeps_the_alarm(self):
        # A listener that is gone for three intervals has no alarm any more.
        collectd = self.observed(interval=1)
        server = self.started_server(collectd, servers.gunicorn, backlog=8, seconds=0.1)
        clients = self.clients(server, get(), 20, timeout=0.5)
        self.wait_for(collectd, server.name, "FAILURE", "accept queue overflow, peak 9 of 9")
        first_pid = server.process.pid
        server.close()
        server.start()
        self.assertNotEqual(server.process.pid, first_pid)
        collectd.wait_for_intervals(4)
        self.assertNotIn("OKAY", [each.severity for each in self.of(collectd, server.name)])
        clients.close()
        self.check_end(collectd, server, at_least=1)

    def test_an_expected_server_that_ended(self):
        port = servers.free_port()
        collectd = self.observed(f'MissingAfter 1\n<Watch "127.0.0.1:{port}">\nExpected true\n</Watch>')
        server = servers.memcached(self.folder(), port=port)
        self.addCleanup(server.close)
        server.start()
        self.wait_for_series(collectd, server)
        server.close()
        self.wait_for(collectd, server.name, "FAILURE",
                      rf"^{server.name}: missing, expected, but not listening for [\d.]+ s: start it$")
        server.start()
        self.check_end(collectd, server)


class HealthyTest(IncidentTest):
    def test_all_servers_at_work(self):
        folder = self.folder()
        collectd = self.observed(f'StalledAfter 2\n<Watch "{folder}/fpm.sock">\n</Watch>')
        fpm = servers.php_fpm(folder, children=4)
        self.addCleanup(fpm.close)
        fpm.start()
        target = self.server(servers.redis)
        group = [
            (fpm, page(folder, 0.005)),
            (target, ping),
            (self.server(servers.nginx), get()),
            (self.server(servers.nginx, workers=4, reuse_port=True), get()),
            (self.server(servers.apache), get()),
            (self.server(servers.gunicorn, workers=2, seconds=0.005), get()),
            (self.server(servers.haproxy, target.address, most_connections=50), ping),
            (self.server(servers.node), get("/1")),
        ]
        for server, _ in group:
            self.wait_for_series(collectd, server)
        work = [self.clients(server, ask, 3, pause=0.02) for server, ask in group]
        collectd.wait_for_intervals(16)
        for clients, (server, _) in zip(work, group):
            self.assertGreater(clients.answered, 20, server.name)
        self.assertEqual(self.notifications(collectd), [])
        self.check_silence(collectd)
        self.check_balance(collectd)


def tearDownModule():
    NotificationTest.print_told()


if __name__ == "__main__":
    system_test.main()
