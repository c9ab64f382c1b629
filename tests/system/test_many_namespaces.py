#!/usr/bin/env python3
"""100 net namespaces: what they cost, and how often each is read."""

import os
import re
import socket
import unittest

import system_test
from collectd import sanitizers
from net_namespaces import NetNamespace
from processes import raise_descriptor_limit
from system_test import SystemTest

NAMESPACES = int(os.environ.get("NAMESPACES", "100"))
MOST_NAMESPACES, MOST_LISTENERS = 256, 5000  # that are sampled, without collectd's own
LISTENERS = min(20, MOST_LISTENERS // min(NAMESPACES, MOST_NAMESPACES))  # in each
FIRST_PORT = 10001
BUDGET = 1  # percent of one CPU, the default of SamplerBudget


class ManyNamespacesTest(SystemTest):
    def listen_in(self, namespace):
        with namespace.entered():
            for port in range(FIRST_PORT, FIRST_PORT + LISTENERS):
                listener = socket.socket()
                self.addCleanup(listener.close)
                listener.bind(("0.0.0.0", port))
                listener.listen(16)

    def figures_of(self, collectd):
        """The values of each series in two intervals in which all were known from the beginning."""
        listeners = ("host", "count-listeners")
        collectd.wait_for_value(*listeners, 1 + min(NAMESPACES, MOST_NAMESPACES) * LISTENERS, timeout=40)
        # The interval of which this is the end did not have them from its beginning.
        complete = collectd.values(*listeners)[-1][0]

        def figures(series):
            # The first interval after that pays for having met them all.
            return [value for when, value in collectd.values("sampler", series) if when > complete][1:]
        collectd.wait(lambda: len(figures("percent-cpu")) == 2, timeout=60, what="two intervals")
        return [figures(each) for each in ("percent-cpu", "duration-period", "duration-period_netns")]

    @unittest.skipIf(sanitizers(), "a sanitizer takes CPU time of its own")
    def test_a_hundred_within_the_budget(self):
        raise_descriptor_limit()
        for number in range(NAMESPACES):
            namespace = NetNamespace(f"many{number}-{os.getpid()}")
            self.addCleanup(namespace.close)
            self.listen_in(namespace)
        self.listener(limit=16)
        namespaces = f'Events off\nNetNamespace "/^many[0-9]+-{os.getpid()}$/"'
        collectd = self.collectd(namespaces, interval=10)
        # The cost on this machine of reading all of them once an interval, which is done in any case.
        once = self.collectd(f"{namespaces}\nSampleInterval 10", interval=10)
        figures = {one: self.figures_of(one) for one in (collectd, once)}
        self.assertEqual(re.findall(r"no room for all .*: (\d+) more than", collectd.log()),
                         [str(NAMESPACES - MOST_NAMESPACES)] * (NAMESPACES > MOST_NAMESPACES))
        cpu, own, others = figures[collectd]
        reading = figures[once][0]
        print(f"percent-cpu {cpu}, of which reading {reading}, duration-period {own}, duration-period_netns {others}",
              flush=True)
        self.assertLessEqual(sum(cpu) / len(cpu), 1.3 * (BUDGET / 2 + max(BUDGET / 2, sum(reading) / len(reading))))
        # Half of the budget is the own namespace's. The kernel has one table for all listeners of a host.
        self.assertLess(max(own), 1)
        self.assertLess(10 * max(own), min(others))
        self.assertEqual(len(others), len(cpu))
        self.assertGreater(min(others), 0.025)
        self.assertLessEqual(max(others), 10.5)


if __name__ == "__main__":
    system_test.main()
