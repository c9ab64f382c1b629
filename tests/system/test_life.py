#!/usr/bin/env python3
"""Starting and stopping: as a daemon, many times, and while a harvest is late."""

import collections
import os
import pathlib
import threading
import time
import unittest

import system_test
from collectd import Collectd, sanitizers
from kernel import read_sysctl
from system_test import SystemTest

STOP_LIMIT = 2.0       # seconds from SIGTERM to the end of collectd
SHUTDOWN_LIMIT = 3.0   # of these, the plugin's own share while a dump hangs
CYCLES = int(os.environ.get("CYCLES", "20"))


def steady_descriptors(collectd):
    """What the process holds open all the time, some intervals long: {kind: how many}. csv opens and closes
    its files, and the plugin may do so with those of /proc."""
    steady = None
    for _ in range(10):
        time.sleep(0.02)
        held = collections.Counter(what for what in collectd.descriptors().values()
                                   if not what.startswith(str(collectd.directory)))
        steady = held if steady is None else steady & held
    return steady


def thread_count(collectd):
    return len(os.listdir(f"/proc/{collectd.pid}/task"))


class LifeTest(SystemTest):
    def test_daemonised(self):
        listener = self.listener(limit=5).fill(3)
        collectd = self.collectd(daemonise=True)
        self.assertNotEqual(os.getsid(collectd.pid), os.getsid(0))
        collectd.wait_for_value(listener.name, "queue_length-accept", 3)
        listener.accept(2)
        collectd.wait_for_value(listener.name, "queue_length-accept", 1)
        self.assertLess(collectd.stop(), STOP_LIMIT)
        self.assertEqual(collectd.status, 0)
        self.assertFalse(collectd.pid_file.exists())

    def test_cycles_leak_no_descriptor_and_no_thread(self):
        self.listener(limit=5).fill(3)
        seen = []
        for cycle in range(CYCLES):
            # A busy host's load must not detach the BPF programs, which have descriptors.
            collectd = Collectd("SamplerBudget 100", daemonise=True, interval=0.05)
            with collectd:
                if cycle % 4 == 3:  # ended while it starts
                    collectd.wait_for_log("entering read-loop")
                else:
                    collectd.wait_for_intervals(1)
                    first = steady_descriptors(collectd), thread_count(collectd)
                    collectd.wait_for_intervals(4)
                    self.assertEqual((steady_descriptors(collectd), thread_count(collectd)), first)
                    seen.append(first)
                self.assertLess(collectd.stop(), STOP_LIMIT)
                self.assertEqual(collectd.status, 0)
        for later in seen[1:]:
            self.assertEqual(later, seen[0])

    def test_a_late_harvest_delays_no_shutdown_and_comes_later(self):
        listener = self.listener(limit=5).fill(3)
        plain = self.collectd(interval=0.2)
        plain.wait_for_intervals(1)
        plain_stop = plain.stop()

        trigger = pathlib.Path(self.folder(), "late")
        collectd = self.collectd(interval=0.2, preload=[os.environ["STRANGE_SOCK_DIAG"]],
                                 environment={"STRANGE_SOCK_DIAG_LATE": str(trigger)})
        collectd.wait_for_value(listener.name, "queue_length-accept", 3)
        self.make_late(collectd, trigger, listener)
        trigger.unlink()
        listener.accept(1)
        collectd.wait_for_value(listener.name, "queue_length-accept", 2)
        self.assertNotRegex(collectd.log(), "read-function of plugin .* failed")

        self.make_late(collectd, trigger, listener)
        self.assertLess(collectd.stop(), plain_stop + SHUTDOWN_LIMIT)
        self.assertEqual(collectd.status, 0)

    def test_listeners_that_do_not_come_are_said_once(self):
        listener = self.listener(limit=5).fill(3)
        trigger = pathlib.Path(self.folder(), "late")
        collectd = self.collectd(interval=0.2, preload=[os.environ["STRANGE_SOCK_DIAG"]],
                                 environment={"STRANGE_SOCK_DIAG_LATE": str(trigger)})
        collectd.wait_for_value(listener.name, "queue_length-accept", 3)
        self.assertEqual(collectd.messages(), [])
        trigger.touch()
        collectd.wait_for_log(r"^\[warning\] backlog plugin: no listeners: not ready within 1 s, waits for TCP listeners \(tcp_diag\)$")
        trigger.unlink()
        collectd.wait_for_log(r"^\[notice\] backlog plugin: listeners can be read again$")
        said = collectd.messages()
        self.assertEqual(len(set(said)), len(said), said)
        self.assertNotIn("read-function", collectd.log())

    def few_threads(self, count):
        """A collectd whose plugin gets so many threads while the file exists."""
        listener = self.listener(limit=5).fill(3)
        file = pathlib.Path(self.folder(), "threads")
        file.write_text(str(count), encoding="ascii")
        collectd = self.collectd(interval=0.2, preload=[os.environ["FEW_THREADS_LIBRARY"]],
                                 environment={"FEW_THREADS": str(file)})
        return collectd, listener, file

    @unittest.skipIf(sanitizers(), "a sanitizer has a pthread_create of its own")
    def test_a_thread_that_cannot_be_started_is_tried_again(self):
        collectd, listener, file = self.few_threads(0)
        collectd.wait_for_log("no listeners: start a thread: Resource temporarily unavailable")
        time.sleep(5 * collectd.interval)
        self.assertEqual(len(collectd.messages()), 2, collectd.messages())
        self.assertEqual(collectd.instances(), set())
        file.unlink()
        collectd.wait_for_value(listener.name, "queue_length-accept", 3)
        collectd.wait_for_log(r"^\[notice\] backlog plugin: listeners can be read again$")
        collectd.wait_for_log(r"^\[notice\] backlog plugin: survey can be read again$")
        self.assertEqual(len(collectd.messages()), 4, collectd.messages())

    @unittest.skipIf(sanitizers(), "a sanitizer has a pthread_create of its own")
    def test_without_a_surveyor_the_samplers_values_go_on(self):
        collectd, listener, file = self.few_threads(1)
        collectd.wait_for_value(listener.name, "queue_length-accept", 3)
        listener.accept(1)
        collectd.wait_for_value(listener.name, "queue_length-accept", 2)
        self.assertEqual(collectd.values("kernel", "gauge-somaxconn"), [])
        collectd.wait_for_intervals(5, listener.name, "queue_length-accept")
        times = [when for when, _ in collectd.values(listener.name, "queue_length-accept")]
        self.assertEqual([line for line in collectd.messages() if "survey" in line],
                         ["[warning] backlog plugin: no survey: start a thread: Resource temporarily unavailable"])
        self.assertLess(max(after - before for before, after in zip(times, times[1:])), 5 * collectd.interval)
        file.unlink()
        collectd.wait_for_value("kernel", "gauge-somaxconn", int(read_sysctl("net.core.somaxconn")))
        collectd.wait_for_log(r"^\[notice\] backlog plugin: survey can be read again$")

    def test_reading_once_tells_that_listeners_do_not_come(self):
        trigger = pathlib.Path(self.folder(), "late")
        trigger.touch()
        collectd = Collectd(preload=[os.environ["STRANGE_SOCK_DIAG"]],
                                    environment={"STRANGE_SOCK_DIAG_LATE": str(trigger)})
        self.addCleanup(collectd.close)
        self.assertNotEqual(collectd.run_to_exit("-T"), 0)
        # Unix listeners come first, since the surveyor finds their places meanwhile.
        self.assertRegex(collectd.output(), r"backlog plugin: no listeners: not ready within 5 s, waits for "
                                            r"(TCP listeners \(tcp_diag\)|Unix listeners \(unix_diag\))")

    def test_the_first_reading_waits_for_a_slow_kernel(self):
        """Which loads modules, for one."""
        trigger = pathlib.Path(self.folder(), "late")
        trigger.touch()
        collectd = Collectd(preload=[os.environ["STRANGE_SOCK_DIAG"]], interval=10,
                                    environment={"STRANGE_SOCK_DIAG_LATE": str(trigger)})
        self.addCleanup(collectd.close)
        threading.Timer(2, trigger.unlink).start()
        self.assertEqual(collectd.run_to_exit("-T"), 0, collectd.output())

    def make_late(self, collectd, trigger, listener):
        """Until no value of the listener has come for some intervals, so that a dump hangs."""
        collectd.wait(lambda: collectd.values(listener.name, "percent-used"), what="a value")
        trigger.touch()
        collectd.wait(lambda: collectd.values(listener.name, "percent-used")[-1][0] < time.time() - 1,
                      what="a late harvest")


if __name__ == "__main__":
    system_test.main()
