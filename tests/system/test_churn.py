#!/usr/bin/env python3
"""Hosts that strain: listeners that come and go, limits that change, and very many sockets."""

import contextlib
import itertools
import pathlib
import re
import socket
import time
import unittest

import harness
from harness import SystemTest, percent_used

STABLE = 20
CHURN_SECONDS = 4
CHURN_BATCH, CHURN_PAUSE = 12, 0.01  # 1 200 a second less what opening and closing takes
MEMBERS = 4000
MANY = 2000 if harness.sanitizers() else 20000
MANY_LIMIT = 9
MAX_LISTENERS = 150
SPARE_DESCRIPTORS = 100
OWN_INSTANCES = {"kernel", "host", "sampler"}


def resident_kb(pid):
    return int(re.search(r"^VmRSS:\s*(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)[1])


def churn(ready):
    """Opens and closes listeners for ever, on ports with stable and unstable names in turn, none
    twice in a row."""
    low, high = harness.LOCAL_PORT_RANGE
    ports = itertools.chain.from_iterable(zip(itertools.cycle(range(2000, 9999)), itertools.cycle(range(low, high))))
    ready()
    while True:
        batch = []
        for port in itertools.islice(ports, CHURN_BATCH):
            with contextlib.suppress(OSError):
                batch.append(socket.create_server(("127.0.0.3", port), backlog=port % 5))
        time.sleep(CHURN_PAUSE)
        for listener in batch:
            listener.close()


class ChurnTest(SystemTest):
    @unittest.skipIf(harness.sanitizers(), "a sanitizer keeps what is freed")
    def test_resident_size_under_churn(self):
        self.listener()
        self.fork(churn)
        collectd = self.collectd()
        collectd.wait_for_intervals(4)
        before = resident_kb(collectd.pid)
        collectd.wait_for_intervals(CHURN_SECONDS / collectd.interval)
        self.assertLess(resident_kb(collectd.pid), before + 4096)

    def test_stable_listeners_beside_churn(self):
        listeners = [self.listener("127.0.0.1", limit=number).fill((number + 1) // 2) for number in range(STABLE)]
        self.fork(churn)
        collectd = self.collectd("Values full")
        collectd.wait_for_intervals(CHURN_SECONDS / collectd.interval)
        self.assertEqual(collectd.instances() - OWN_INSTANCES - {"tcp_unstable"},
                         {listener.name for listener in listeners})
        for number, listener in enumerate(listeners):
            length = (number + 1) // 2
            truth = {"queue_length-accept": length, "queue_length-accept_peak": length, "queue_length-limit": number,
                     "percent-used": percent_used(length, number), "count-sockets": 1, "packets-dropped": 0}
            for series, value in truth.items():
                stored = collectd.values(listener.name, series)
                self.assertGreater(len(stored), 5)
                for _, seen in stored:
                    self.assertAlmostEqual(seen, value, places=6, msg=f"{listener.name}/{series}")
        unstable = collectd.rows(("tcp_unstable", "count-sockets"), ("tcp_unstable", "queue_length-accept"),
                                 ("tcp_unstable", "percent-used"))
        for sockets, length, used in unstable.values():
            self.assertLessEqual(sockets, 3 * CHURN_BATCH)
            self.assertEqual((length, used), (0, 0))
        self.assertEqual(collectd.latest("kernel", "packets-dropped_unattributed"), 0)
        self.assertEqual(collectd.messages(), [])

    def test_churn_seen_at_harvests_only(self):
        stable = self.listener(limit=3).fill(2)
        self.fork(churn)
        collectd = self.collectd("SampleInterval 60")
        collectd.wait_for_intervals(CHURN_SECONDS / collectd.interval)
        self.assertEqual(collectd.listeners(), {stable.name})


class LimitTest(SystemTest):
    def wait_for_used(self, collectd, listener, used):
        collectd.wait_for_value(listener.name, "percent-used", lambda stored: abs(stored - used) < 1e-5)

    def test_listen_again_with_other_limits(self):
        listener = self.listener(limit=5).fill(4)
        collectd = self.collectd(interval=0.1)
        for limit in (7, 3, 0, 100, 5):
            listener.listen(limit)
            collectd.wait_for_value(listener.name, "queue_length-limit", limit)
            self.wait_for_used(collectd, listener, percent_used(4, limit))
        self.assertEqual({value for _, value in collectd.values(listener.name, "queue_length-accept")}, {4})
        self.assertEqual(collectd.latest(listener.name, "packets-dropped"), 0)

    def test_somaxconn_raised_and_lowered(self):
        self.set_sysctl("net.core.somaxconn", 50)
        listener = self.listener(limit=1000).fill(3)
        collectd = self.collectd(interval=0.1)
        collectd.wait_for_value(listener.name, "queue_length-limit", 50)
        for somaxconn in (400, 20, 200):
            harness.write_sysctl("net.core.somaxconn", somaxconn)
            collectd.wait_for_value("kernel", "gauge-somaxconn", somaxconn)
            self.assertNotEqual(listener.limit, somaxconn)
            collectd.wait_for_value(listener.name, "queue_length-limit", listener.limit)
            listener.listen(1000)
            self.assertEqual(listener.limit, somaxconn)
            collectd.wait_for_value(listener.name, "queue_length-limit", somaxconn)
            self.wait_for_used(collectd, listener, percent_used(3, somaxconn))


class ManyTest(SystemTest):
    def test_a_listener_with_very_many_members(self):
        members = min(MEMBERS, harness.raise_descriptor_limit() - SPARE_DESCRIPTORS)
        first = self.listener("127.0.0.1", limit=3, reuse_port=True)
        group = [first] + [self.listener("127.0.0.1", port=first.port, limit=3, reuse_port=True)
                           for _ in range(members - 1)]
        first.connect(50)
        harness.wait_until(lambda: sum(member.length for member in group) == 50, what="a filled group")
        worst = max(percent_used(member.length, 3) for member in group)
        collectd = self.collectd("Values full")
        collectd.wait(lambda: len(collectd.values(first.name, "count-sockets")) > 3, what="values of the group")
        truth = {"queue_length-accept": 50, "queue_length-accept_peak": 50, "queue_length-limit": 3 * members,
                 "percent-used": worst, "count-sockets": members, "percent-full": 0, "packets-dropped": 0}
        for series, value in truth.items():
            self.assertEqual({seen for _, seen in collectd.values(first.name, series)}, {value}, series)

        for member in group[members // 2:]:
            member.close()
        collectd.wait_for_value(first.name, "count-sockets", members // 2)
        collectd.wait_for_value(first.name, "queue_length-limit", 3 * (members // 2))

    def test_very_many_listeners(self):
        port = self.listener("127.0.0.1", limit=MANY_LIMIT).fill(2).port
        names = {f"tcp_127-0-0-1_{port}"}
        for process in range(2):
            names |= self.hold_listeners(process, port, (MANY - 1 - process) // 2 + process)
        self.assertEqual(len(names), MANY)
        collectd = self.collectd(f"MaxListeners {MAX_LISTENERS}", interval=1)
        collectd.wait(lambda: len(collectd.listeners()) == MAX_LISTENERS, 30, what="listeners")
        collectd.wait_for_intervals(2)
        before = resident_kb(collectd.pid)
        collectd.wait_for_intervals(2)
        if not harness.sanitizers():
            self.assertLess(resident_kb(collectd.pid), before + 4096)

        # Those that come first by name, in each interval, and with the truth.
        shown = sorted(names)[:MAX_LISTENERS]
        self.assertEqual(sorted(collectd.listeners()), shown)
        for name in shown:
            stored = collectd.rows(*((name, series) for series in (
                "queue_length-accept", "queue_length-limit", "percent-used")))
            self.assertGreater(len(stored), 3)
            begin = min(stored)
            self.assertEqual(len(stored), sum(when >= begin for when, _ in collectd.values("host", "percent-worst")))
            length = 2 if name == min(names) else 0
            self.assertEqual({tuple(row) for row in stored.values()},
                             {(length, MANY_LIMIT, percent_used(length, MANY_LIMIT))}, name)
        self.assertEqual({value for _, value in collectd.values("host", "count-listeners")}, {MANY})
        collectd.wait_for_value("host", "count-unreported", MANY - MAX_LISTENERS)

    def hold_listeners(self, process, port, count):
        """Names of so many listeners that another process holds; skips where it may not."""
        if harness.raise_descriptor_limit() < count + SPARE_DESCRIPTORS:
            self.skipTest(f"a process may not have {count} descriptors")
        addresses = [f"127.{process + 1}.{number // 250}.{number % 250}" for number in range(count)]

        def hold(ready):
            listeners = [socket.create_server((address, port), backlog=MANY_LIMIT) for address in addresses]
            ready()
            while listeners:
                time.sleep(60)
        self.fork(hold)
        return {harness.tcp_name(socket.AF_INET, address, port) for address in addresses}


if __name__ == "__main__":
    harness.main()
