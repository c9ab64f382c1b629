#!/usr/bin/env python3
"""Which alarms are told, and when: those that began before collectd, and those beside many others."""

import itertools
import time

import system_test
from listeners import UnixListener
from processes import raise_descriptor_limit
from notifications import NotificationTest, STALLED

NOISE_AT_ONCE = 16   # more than go out in an interval
STALLED_AFTER = 1    # second


class StartTest(NotificationTest):
    """What is wrong already when collectd starts."""

    def test_a_listener_that_stalled_before_is_told_after_stalled_after(self):
        listener = self.listener(limit=8).fill(3)
        began = time.monotonic()
        collectd = self.collectd(f"StalledAfter {STALLED_AFTER}")
        self.wait_for(collectd, listener.name, "FAILURE", "stalled, 3 waiting")
        self.assertGreater(time.monotonic() - began, STALLED_AFTER)
        listener.accept(3)
        self.wait_for_okay(collectd, listener.name)

    def test_an_overflow_that_goes_on_is_told(self):
        listener = self.listener(limit=2).fill(3)

        def overflow(ready):
            ready()
            for _ in itertools.count():
                listener.connect(1)
                time.sleep(0.02)
                listener.drop_clients()
        self.fork(overflow)
        collectd = self.collectd("StalledAfter 60")
        self.wait_for(collectd, listener.name, "FAILURE", "overflow, peak 3 of 3")

    def test_what_was_wrong_in_the_first_interval_only_is_not_told(self):
        listener = self.listener(limit=8).fill(9)
        collectd = self.collectd("StalledAfter 60\nWarningMinimum 1", interval=0.5)
        collectd.wait(lambda: collectd.values(listener.name, "percent-used"), what="the first interval")
        listener.accept(9)
        collectd.wait_for_intervals(8)
        self.assertEqual(self.notifications(collectd), [])


class PeakTest(NotificationTest):
    def test_the_peak_of_a_group_is_of_all_its_members_though_one_closes(self):
        for events in ("off", "auto"):
            with self.subTest(events=events):
                first = self.listener(limit=8, reuse_port=True)
                second = self.listener(limit=8, port=first.port, reuse_port=True)
                collectd = self.started(f"Events {events}", first, interval=1.5)
                while min(first.length, second.length) <= first.limit:
                    first.connect(8)
                collectd.wait(lambda name=first.name: self.of(collectd, name), what="an overflow that a sample saw")
                first.connect(8)
                collectd.wait_for_samples()
                second.close()
                collectd.wait_for_intervals(2)
                told = " ".join(each.message for each in self.of(collectd, first.name))
                self.assertIn("peak 18 of 18 in 2 sockets", told)
                self.assertNotIn("peak 18 of 9", told)
                first.close()


class CrowdTest(NotificationTest):
    def test_full_unix_listeners_do_not_hide_the_overflow_of_a_service(self):
        service = self.listener(limit=4)
        collectd = self.started(f"StalledAfter {STALLED_AFTER}", service, interval=0.5)

        def noise(ready):
            raise_descriptor_limit()
            listeners = []
            ready()
            for number in itertools.count():
                listeners.append(UnixListener(f"\0noise-{number}x", limit=3))
                listeners[-1].connect(4)
                if number % NOISE_AT_ONCE == 0:
                    time.sleep(collectd.interval)
                    while len(listeners) > 20 * NOISE_AT_ONCE:
                        listeners.pop(0).close()
        self.fork(noise)
        collectd.wait(lambda: any(STALLED in self.states(collectd, name) for name in collectd.unix_listeners()),
                      what="stalled noise")
        self.wait_for(collectd, "host", "FAILURE", "more listeners? ha")
        service.connect(8)
        self.wait_for(collectd, service.name, "WARNING", "overflow, peak 5 of 5")
        service.accept(5)
        service.drop_clients()
        self.wait_for_okay(collectd, service.name)


if __name__ == "__main__":
    system_test.main()
