#!/usr/bin/env python3
"""What the BPF programs tell, against the truth; and what is left where there are none."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import time

import harness
from harness import Listener, SystemTest

BURSTS = 20
SHORT = 0.001  # seconds that a burst's clients wait
CONFIG = "Values full\nSampleInterval 0.1\nBurstInterval 0.1"  # what sampling would see is next to nothing


def events_in_use(collectd):
    """The line of the log that says what is in use, or why nothing is."""
    return collectd.wait_for_log(r"(no )?events: .*")[0]


def programs():
    """{id: name} of all BPF programs of the kernel."""
    text = subprocess.run(["bpftool", "prog", "list"], check=True, capture_output=True, text=True).stdout
    return dict(re.findall(r"^(\d+): \w+  name (\S+)", text, re.MULTILINE))


class EventsTest(SystemTest):
    def collectd_with_events(self, config=CONFIG, interval=0.5, **options):
        collectd = self.collectd(config, interval=interval, **options)
        line = events_in_use(collectd)
        if line.startswith("no"):
            self.skipTest(line)
        return collectd

    def peaks(self, collectd, instance):
        return [peak for _, peak in collectd.values(instance, "queue_length-accept_peak")]

    def make_burst(self, collectd, listener, length):
        """Just after a read, clients fill the queue and are all accepted at once."""
        read = len(self.peaks(collectd, listener.name))
        collectd.wait(lambda: len(self.peaks(collectd, listener.name)) > read, what="a read")
        listener.fill(length)
        time.sleep(SHORT)
        listener.accept(length)
        listener.drop_clients()

    def check_bursts(self, listener, **options):
        collectd = self.collectd_with_events(**options)
        collectd.wait(lambda: self.peaks(collectd, listener.name), what="a peak")
        lengths = [5 + number for number in range(BURSTS)]
        for length in lengths:
            self.make_burst(collectd, listener, length)
        collectd.wait_for_intervals(2)
        seen = [int(peak) for peak in self.peaks(collectd, listener.name) if peak > 0]
        self.assertEqual(seen, lengths)
        return collectd, sum(lengths)

    def test_every_short_burst_is_seen(self):
        listener = self.listener(limit=64)
        collectd, connections = self.check_bursts(listener)
        arrived, accepted = (collectd.latest(listener.name, f"connections-{what}") for what in ("arrived", "accepted"))
        self.assertEqual((arrived, accepted), (connections, connections))
        self.assertGreaterEqual(collectd.latest("sampler", "gauge-events"), 1)


if __name__ == "__main__":
    harness.main()
