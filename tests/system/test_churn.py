#!/usr/bin/env python3
"""Hosts that strain: listeners that come and go, limits that change, and very many sockets."""

import socket
import time
import unittest

import system_test
from collectd import sanitizers
from kernel import write_sysctl
from names import percent_used, tcp_name
from processes import raise_descriptor_limit
from system_test import SystemTest
from waiting import wait_until
from churn import BATCH, Churn

STABLE = 20
CHURN_SECONDS = 4
CHURNED = 6000  # listeners
GROWTH_BYTES = 150  # for each listener come and gone, at most: a listener that is not freed takes more
MEMBERS = 4000
MANY = 2000 if sanitizers() else 20000
MANY_LIMIT = 9
MAX_LISTENERS = 150
SPARE_DESCRIPTORS = 100
OWN_INSTANCES = {"kernel", "host", "sampler"}


class StrainTest(SystemTest):
    def churn(self, **options):
        """A running one."""
        churn = Churn(**options)
        self.fork(churn.work)
        return churn

    def wait_for_steady_size(self, collectd, timeout):
        """Until the process has not grown by more than 4 MB in some intervals; how large it is, kB."""
        deadline = time.monotonic() + timeout
        size = collectd.resident_kb()
        while True:
            before = size
            collectd.wait_for_intervals(4)
            size = collectd.resident_kb()
            if size <= before + 4096:
                return size
            self.assertLess(time.monotonic(), deadline, f"it has grown to {size} kB, and grows")


class ChurnTest(StrainTest):
    @unittest.skipIf(sanitizers(), "a sanitizer keeps what is freed")
    def test_resident_size_under_churn(self):
        self.listener()
        churn = self.churn(folder=self.folder())
        collectd = self.collectd("SampleInterval 0.005\nSamplerBudget 100")  # so that it sees each of them
        sizes = [self.wait_for_steady_size(collectd, 30)]
        for _ in range(2):
            begin = churn.churned
            collectd.wait(lambda begin=begin: churn.churned >= begin + CHURNED, 60, f"churn of {CHURNED}")
            collectd.wait_for_intervals(1)
            sizes.append(collectd.resident_kb())
        print("resident size, kB:", sizes)
        self.assertLess(sizes[2] - sizes[1], CHURNED * GROWTH_BYTES / 1024, sizes)

    def assert_nothing_else_said(self, collectd):
        """What may be said is that churning ports have no series of their own, and that a scan takes more than its
        share of so short an interval."""
        self.assertEqual([line for line in collectd.messages()
                          if "ip_local_port_range" not in line and " in every interval" not in line], [])

    def test_stable_listeners_beside_churn(self):
        listeners = [self.listener("127.0.0.1", limit=number).fill((number + 1) // 2) for number in range(STABLE)]
        self.churn()
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
            self.assertLessEqual(sockets, 3 * BATCH)
            self.assertEqual((length, used), (0, 0))
        self.assertEqual(collectd.latest("kernel", "packets-dropped_unattributed"), 0)
        self.assert_nothing_else_said(collectd)

    def test_unix_listeners_beside_churn(self):
        folder = self.stable_folder()
        listeners = [self.unix_listener(f"{folder}/stable-{number}", limit=9) for number in range(STABLE)]
        for number, listener in enumerate(listeners):
            listener.connect(number % 10 + 1)
        churn = self.churn(folder=folder)
        collectd = self.collectd("Values full")
        begin = churn.churned
        collectd.wait_for_intervals(CHURN_SECONDS / collectd.interval)
        self.assertGreater(churn.churned, begin + 500)
        names = {listener.name for listener in listeners}
        collectd.wait(lambda: collectd.unix_listeners() >= names, 20, "places of the listeners")
        self.assertEqual(collectd.unix_listeners(), names)
        for listener in listeners:
            truth = {"queue_length-accept": listener.length, "queue_length-accept_peak": listener.length,
                     "queue_length-limit": 9, "percent-used": percent_used(listener.length, 9), "count-sockets": 1}
            for series, value in truth.items():
                seen = {each for _, each in collectd.values(listener.name, series)}
                self.assertEqual(len(seen), 1, f"{listener.name}/{series}")
                self.assertAlmostEqual(seen.pop(), value, places=6, msg=f"{listener.name}/{series}")
        unstable = collectd.rows(("unix_unstable", "count-sockets"), ("unix_unstable", "percent-used"))
        for sockets, used in unstable.values():
            self.assertLessEqual(sockets, 3 * BATCH)
            self.assertEqual(used, 0)
        self.assert_nothing_else_said(collectd)

    def test_churn_seen_at_harvests_only(self):
        stable = self.listener(limit=3).fill(2)
        self.churn()
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
            write_sysctl("net.core.somaxconn", somaxconn)
            collectd.wait_for_value("kernel", "gauge-somaxconn", somaxconn)
            self.assertNotEqual(listener.limit, somaxconn)
            collectd.wait_for_value(listener.name, "queue_length-limit", listener.limit)
            listener.listen(1000)
            self.assertEqual(listener.limit, somaxconn)
            collectd.wait_for_value(listener.name, "queue_length-limit", somaxconn)
            self.wait_for_used(collectd, listener, percent_used(3, somaxconn))


class ManyTest(StrainTest):
    def test_a_listener_with_very_many_members(self):
        members = min(MEMBERS, raise_descriptor_limit() - SPARE_DESCRIPTORS)
        first = self.listener("127.0.0.1", limit=3, reuse_port=True)
        group = [first] + [self.listener("127.0.0.1", port=first.port, limit=3, reuse_port=True)
                           for _ in range(members - 1)]
        first.connect(50)
        wait_until(lambda: sum(member.length for member in group) == 50, what="a filled group")
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
        if sanitizers():
            collectd.wait_for_intervals(4)
        else:
            self.wait_for_steady_size(collectd, 60)

        # The first by name have series in each interval, with true values.
        shown = sorted(names)[:MAX_LISTENERS]
        self.assertEqual(sorted(collectd.listeners()), shown)
        for name in shown:
            stored = collectd.rows(*((name, series) for series in (
                "queue_length-accept", "queue_length-limit", "percent-used")))
            self.assertGreater(len(stored), 3)
            # What the host has of the newest may be stored a moment later.
            begin, *_, newest = stored
            whole = [when for when, _ in collectd.values("host", "percent-worst") if begin <= when < newest]
            self.assertEqual([when for when in stored if when < newest], whole)
            length = 2 if name == min(names) else 0
            self.assertEqual({tuple(row) for row in stored.values()},
                             {(length, MANY_LIMIT, percent_used(length, MANY_LIMIT))}, name)
        self.assertEqual({value for _, value in collectd.values("host", "count-listeners")}, {MANY})
        collectd.wait_for_value("host", "count-unreported", MANY - MAX_LISTENERS)

    def hold_listeners(self, process, port, count):
        """Names of so many listeners that another process holds; skips where it may not."""
        if raise_descriptor_limit() < count + SPARE_DESCRIPTORS:
            self.skipTest(f"a process may not have {count} descriptors")
        addresses = [f"127.{process + 1}.{number // 250}.{number % 250}" for number in range(count)]

        def hold(ready):
            listeners = [socket.create_server((address, port), backlog=MANY_LIMIT) for address in addresses]
            ready()
            while listeners:
                time.sleep(60)
        self.fork(hold)
        return {tcp_name(socket.AF_INET, address, port) for address in addresses}


if __name__ == "__main__":
    system_test.main()
