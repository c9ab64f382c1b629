#!/usr/bin/env python3
"""Hosts that lack a part: no sock_diag, no IPv6, no listeners."""

import json
import os
import pathlib
import re
import time
import unittest

import system_test
from collectd import Collectd, EXPENSIVE_SCAN
from kernel import have_ipv6, kernel_counters, read_sysctl, run, ss
from listeners import UNSTABLE_PORTS
from processes import can_refuse_sock_diag
from net_namespaces import NetNamespace
from notifications import NotificationTest

READ_FAILED = "read-function of plugin .* failed"
COLLECTD_IS_LATE = ("Not sleeping because the next interval is", "above its read interval")


class DegradedTest(NotificationTest):
    def read_once(self, **options):
        collectd = Collectd(**options)
        self.addCleanup(collectd.close)
        status = collectd.run_to_exit("-T")
        collectd.check_sanitizers()
        return status

    def complaints(self, collectd):
        """Lines of the log above notice, without what a busy host adds."""
        return [line for line in re.findall(r"^\[(?:warning|error)\].*", collectd.log(), re.MULTILINE)
                if not any(words in line for words in (EXPENSIVE_SCAN, *COLLECTD_IS_LATE))]

    @unittest.skipUnless(can_refuse_sock_diag(), "no seccomp filter for this architecture")
    def test_without_sock_diag_the_rest_goes_on(self):
        self.listener().fill(1)
        collectd = self.collectd(refuse_sock_diag=True)
        collectd.wait_for_intervals(6)
        self.assertEqual(collectd.listeners(), set())
        self.assertEqual(collectd.latest("kernel", "gauge-somaxconn"), float(read_sysctl("net.core.somaxconn")))
        self.assertEqual(collectd.latest("kernel", "protocol_counter-ListenDrops"), kernel_counters()["ListenDrops"])
        said = [line for line in self.complaints(collectd) if "backlog plugin" in line]
        self.assertEqual(sum("TCP listeners" in line for line in said), 1, said)
        self.assertEqual(len(set(said)), len(said), said)
        self.assertTrue(all("Protocol not supported" in line for line in said), said)
        self.assertLessEqual(len(re.findall(READ_FAILED, collectd.log())), 1)

    @unittest.skipUnless(can_refuse_sock_diag(), "no seccomp filter for this architecture")
    def test_reading_once_tells(self):
        self.listener().fill(1)
        self.assertNotEqual(self.read_once(refuse_sock_diag=True), 0)
        self.assertEqual(self.read_once(), 0)

    def test_a_part_that_fails_is_absent_and_said_once(self):
        own = self.listener().fill(1)
        self.listener(port=UNSTABLE_PORTS[0])
        both = (own.name, "tcp_unstable")
        trigger = pathlib.Path(self.folder(), "refused")
        collectd = self.collectd(preload=[os.environ["STRANGE_SOCK_DIAG"]],
                                 environment={"STRANGE_SOCK_DIAG_REFUSED": str(trigger)})
        collectd.wait(lambda: all(collectd.values(name, "percent-used") for name in both), what="values")
        trigger.touch()
        collectd.wait_for_log(r"\[(warning|error)\] backlog plugin: .*Permission denied")
        collectd.wait_for_intervals(1)
        start = time.time()
        collectd.wait_for_intervals(4)
        for name in both:
            self.assertLess(collectd.values(name, "queue_length-accept")[-1][0], start)
        trigger.unlink()
        collectd.wait(lambda: all(collectd.values(name, "percent-used")[-1][0] > start for name in both),
                      what="values again")
        collectd.wait(lambda: len(collectd.messages()) >= 2 * len(self.complaints(collectd)), what="the end of each fault")
        collectd.wait_for_intervals(2)
        said = collectd.messages()
        gone = self.complaints(collectd)
        self.assertEqual(sum("TCP listeners" in line for line in gone), 1, said)
        self.assertEqual(len(set(said)), len(said), said)
        self.assertEqual(len(said), 2 * len(gone), said)
        self.assertNotRegex(collectd.log(), READ_FAILED)

    def test_drops_while_no_listener_can_be_read_are_nobodys(self):
        full = self.listener(limit=1).fill(2)
        trigger = pathlib.Path(self.folder(), "refused")
        collectd = self.collectd(interval=0.1, preload=[os.environ["STRANGE_SOCK_DIAG"]],
                                 environment={"STRANGE_SOCK_DIAG_REFUSED": str(trigger)})
        drops, nobodys, fulls = (("kernel", "protocol_counter-ListenDrops"), ("kernel", "packets-dropped_unattributed"),
                                 (full.name, "packets-dropped"))
        collectd.wait(lambda: len(collectd.values(*fulls)) > 1, what="a counter")
        before = kernel_counters()["ListenDrops"]
        trigger.touch()
        collectd.wait_for_log(r"backlog plugin: .*Permission denied")
        full.connect(5)
        collectd.wait_for_value(*nobodys, lambda value: value >= 5)
        trigger.unlink()
        refused = len(collectd.values(*fulls))
        collectd.wait(lambda: len(collectd.values(*fulls)) > refused + 2, what="the counter again")
        full.connect(5)
        collectd.wait_for_value(*fulls, lambda value: value >= 5)
        self.assertEqual({risen - before - value for risen, value in collectd.rows(drops, nobodys).values()
                          if value < 5}, {0})
        account = collectd.rows(drops, nobodys, fulls).values()
        self.assertEqual({risen - before - sum(given) for risen, *given in account}, {0})

    def test_drops_that_no_counter_tells_are_absent(self):
        """From the start, and after they have been there; a full queue is told all the same."""
        full = self.listener(limit=4).fill(5)
        folded = self.listener(port=UNSTABLE_PORTS[0])
        trigger = pathlib.Path(self.folder(), "refused")
        table = pathlib.Path(self.folder(), "table")
        trigger.touch()
        collectd = self.collectd(f'TableFile "{table}"', interval=0.2, preload=[os.environ["STRANGE_SOCK_DIAG"]],
                                 environment={"STRANGE_SOCK_DIAG_NO_NETSTAT": str(trigger)})
        counters = [(full.name, "packets-dropped"), ("tcp_unstable", "packets-dropped"), ("host", "packets-dropped"),
                    ("kernel", "packets-dropped_unattributed")]
        collectd.wait_for_intervals(2)
        full.connect(3)
        collectd.wait_for_value(full.name, "gauge-state", 2)
        self.assertIn("tcp_unstable", collectd.instances())
        for counter in counters:
            self.assertEqual(collectd.values(*counter), [], counter)
        shown = json.loads(run(os.environ["BACKLOG_TABLE"], "--table", table, "--json"))
        self.assertNotIn("dropped", shown)
        self.assertEqual({row["name"] for row in shown["listeners"] if "dropped" not in row and "overflows" not in row},
                         {full.name, folded.name})
        self.assertRegex(run(os.environ["BACKLOG_TABLE"], "--table", table), rf"{full.name} .* -  ")

        trigger.unlink()
        collectd.wait(lambda: all(collectd.values(*counter) for counter in counters), what="all counters")
        collectd.wait_for_log("kernel counters can be read again")
        trigger.touch()
        collectd.wait(lambda: len(re.findall("no kernel counters", collectd.log())) == 2, what="no counters again")
        collectd.wait_for_intervals(1)
        start = time.time()
        collectd.wait_for_intervals(3)
        for counter in counters:
            self.assertLess(collectd.values(*counter)[-1][0], start, counter)

    def test_no_listeners_is_no_error(self):
        self.assertEqual(ss(), [])
        self.assertEqual(self.read_once(), 0)
        collectd = self.collectd()
        collectd.wait_for_intervals(3)
        self.assertEqual(collectd.listeners(), set())
        self.assertEqual(self.complaints(collectd), [])

    def test_listeners_that_come_and_go_are_no_error(self):
        collectd = self.collectd()
        collectd.wait_for_intervals(1)
        listener = self.listener(limit=3).fill(2)
        collectd.wait_for_value(listener.name, "queue_length-accept", 2)
        listener.close()
        collectd.wait_for_intervals(2)
        self.assertEqual(self.complaints(collectd), [])

    @unittest.skipUnless(have_ipv6(), "no IPv6")
    def test_disabled_ipv6_is_no_error(self):
        self.set_sysctl("net.ipv6.conf.all.disable_ipv6", 1)
        listener = self.listener(limit=3).fill(2)
        self.assertEqual(self.read_once(), 0)
        collectd = self.collectd()
        collectd.wait_for_value(listener.name, "queue_length-accept", 2)
        self.assertEqual(collectd.listeners(), {listener.name})
        self.assertEqual(self.complaints(collectd), [])

    def test_what_cannot_be_read_of_unix_listeners_stops_nothing_else(self):
        for variable, reason in (("STRANGE_SOCK_DIAG_NO_UNIX", "the kernel has no unix_diag"),
                                 ("STRANGE_SOCK_DIAG_UNIX_REFUSED", "Permission denied")):
            with self.subTest(variable):
                self.check_without_unix(variable, reason)

    def check_without_unix(self, variable, reason):
        watched = self.listener(limit=4)
        collectd = self.started('Notify missing overflow\nMissingAfter 1\n'
                                '<Watch "unix_never_there">\nExpected true\n</Watch>\n'
                                f'<Watch "{watched.name}">\nExpected true\n</Watch>', interval=0.1,
                                preload=[os.environ["STRANGE_SOCK_DIAG"]], environment={variable: "1"})
        collectd.wait_for_value(watched.name, "queue_length-accept", 0)
        watched.fill(5)
        watched.connect(3)
        self.wait_for(collectd, watched.name, "WARNING", "accept queue overflow")
        watched.close()
        self.wait_for(collectd, watched.name, "FAILURE", "missing")
        self.assertEqual(self.of(collectd, "unix_never_there"), [])
        said = [line for line in collectd.messages() if "Unix listeners" in line]
        self.assertEqual(len(said), 1, said)
        self.assertIn(reason, said[0])

    def test_a_module_that_is_missing_is_asked_for_once_a_harvest(self):
        """Each time the kernel starts modprobe for it."""
        namespace = NetNamespace(f"degraded-{os.getpid()}")
        self.addCleanup(namespace.close)
        for variable in ("STRANGE_SOCK_DIAG_NO_TCP", "STRANGE_SOCK_DIAG_NO_UNIX"):
            with self.subTest(variable):
                asked = pathlib.Path(self.folder(), "asked")
                collectd = self.collectd(f'NetNamespace "{namespace.name}"', interval=1,
                                         preload=[os.environ["STRANGE_SOCK_DIAG"]],
                                         environment={variable: "1", "STRANGE_SOCK_DIAG_ASKED": str(asked)})
                values = ("kernel", "gauge-somaxconn")
                collectd.wait_for_log("of net namespace degraded.*the kernel has no (tcp|unix)_diag")
                collectd.wait_for_intervals(1)
                before = len(collectd.values(*values)), asked.stat().st_size
                collectd.wait_for_intervals(3)
                harvests = len(collectd.values(*values)) - before[0] + 1
                self.assertLessEqual(asked.stat().st_size - before[1], 2 * harvests)

    def test_gone_listeners_give_their_places_away(self):
        for variable in ("STRANGE_SOCK_DIAG_NO_UNIX", "STRANGE_SOCK_DIAG_UNIX_REFUSED"):
            with self.subTest(variable):
                first, second = sorted((self.listener() for _ in range(2)), key=lambda each: each.name)
                collectd = self.collectd("MaxListeners 1", interval=0.1, environment={variable: "1"},
                                         preload=[os.environ["STRANGE_SOCK_DIAG"]])
                collectd.wait_for_value(first.name, "queue_length-accept", 0)
                self.assertEqual(collectd.listeners(), {first.name})
                first.close()
                collectd.wait_for_value(second.name, "queue_length-accept", 0)
                second.close()


if __name__ == "__main__":
    system_test.main()
