#!/usr/bin/env python3
"""How often the plugin looks, what that takes, and what it sees between two reads."""

import json
import os
import pathlib
import signal
import statistics
import time

import system_test
from kernel import run
from processes import raise_descriptor_limit
from system_test import SystemTest

BURST = 0.05   # seconds that a burst's clients wait
BURSTS = 10
PAUSE = 1      # seconds that collectd is stopped
UNIX_SOCKETS = 3000
SEEN_BURSTS = 8  # at least; a busy host may keep the sampler from its CPU during some


class SamplerTest(SystemTest):
    def collectd(self, config="", **options):
        """Without events, with which it does not look while nothing happens."""
        return super().collectd(f"Events off\n{config}", **options)

    def test_pace_and_share_are_told(self):
        self.listener().fill(1)
        collectd = self.collectd(interval=0.5)
        collectd.wait_for_intervals(4)
        told = collectd.rows(("sampler", "duration-period"), ("sampler", "percent-cpu"))
        self.assertGreater(len(told), 2)
        for period, share in told.values():
            self.assertGreater(period, 0.02)
            self.assertLess(period, 1)
            self.assertGreater(share, 0)
        self.assertLess(statistics.median(share for _, share in told.values()), 10)

    def test_a_sample_interval_above_the_interval(self):
        self.listener().fill(1)
        collectd = self.collectd("SampleInterval 30\nSamplerBudget 100", interval=0.2)
        collectd.wait_for_intervals(6)
        told = collectd.values("sampler", "duration-period")
        for (before, _), (when, period) in zip(told, told[1:]):
            self.assertAlmostEqual(period, when - before, delta=0.01)

    def test_what_came_between_two_looks(self):
        """A peak that nobody saw is at most what came."""
        listener = self.listener(limit=64)
        table = pathlib.Path(self.folder(), "table")
        collectd = self.collectd(f'SampleInterval 30\nTableFile "{table}"', interval=0.7)
        collectd.wait_for_intervals(2)
        for length in (5, 9, 64):
            self.assertEqual(listener.length, 0)
            read = len(collectd.values("kernel", "gauge-somaxconn"))
            collectd.wait(lambda: len(collectd.values("kernel", "gauge-somaxconn")) > read, what="a read")  # pylint: disable=cell-var-from-loop
            listener.fill(length)
            listener.accept(length)
            listener.drop_clients()
            row = collectd.wait(lambda: self.bounded_row(table, listener.name), what="a bound")
            self.assertEqual((row["peak"], row["peak_bound"]), (0, length))
            self.assertRegex(run(os.environ["BACKLOG_TABLE"], "--table", table), rf"{listener.name} .* 0, at most {length} ")
            collectd.wait(lambda: self.bounded_row(table, listener.name) is None, what="a quiet interval")

    @staticmethod
    def bounded_row(table, name):
        """What the table says of the listener, if its peak may have been higher than what was seen."""
        rows = json.loads(run(os.environ["BACKLOG_TABLE"], "--table", table, "--json"))["listeners"]
        row = next(row for row in rows if row["name"] == name)
        return row if row["peak_bound"] > row["peak"] else None

    def test_a_shorter_sample_interval_is_kept(self):
        self.listener().fill(1)
        collectd = self.collectd("SampleInterval 0.01\nSamplerBudget 100\nReportUnix false", interval=0.5)
        collectd.wait_for_value("sampler", "duration-period", lambda period: 0.0095 < period < 0.02)

    def test_the_budget_stretches_the_pace(self):
        self.listener().fill(1)
        collectd = self.collectd("SampleInterval 0.001\nSamplerBudget 0.2", interval=0.5)
        collectd.wait_for_intervals(6)
        told = collectd.rows(("sampler", "duration-period"), ("sampler", "percent-cpu"))
        periods, shares = zip(*list(told.values())[1:])
        self.assertGreater(min(periods), 0.004)
        self.assertLess(statistics.median(shares), 1)

    def test_a_pause_is_not_made_up_for(self):
        self.listener().fill(1)
        pace, interval = 0.01, 3
        collectd = self.collectd(f"SampleInterval {pace}\nSamplerBudget 100\nReportUnix false", interval=interval)

        def told():
            return collectd.values("sampler", "duration-period")
        collectd.wait(told, 3 * interval, "a period")
        intervals = len(told())
        os.kill(collectd.pid, signal.SIGSTOP)  # within one interval, whose harvest is not late
        time.sleep(PAUSE)
        os.kill(collectd.pid, signal.SIGCONT)
        collectd.wait(lambda: len(told()) > intervals, 3 * interval, "the interval with the pause")
        (earlier, _), (when, period) = told()[intervals - 1:intervals + 1]
        self.assertLess((when - earlier) / period, (when - earlier - PAUSE) / pace + 20)

    def test_unix_sockets_take_no_more_than_half(self):
        """Each of their dumps takes many times what one of the TCP listeners does."""
        raise_descriptor_limit()
        self.listener().fill(1)
        for number in range(UNIX_SOCKETS):
            self.unix_listener(f"\0socket-{number}")
        config = "SampleInterval 0.001\nSamplerBudget 1\nReportUnix"
        without, beside = self.collectd(f"{config} false", interval=0.5), self.collectd(f"{config} true", interval=0.5)

        def periods(collectd):
            return [period for _, period in collectd.values("sampler", "duration-period")][4:]
        beside.wait(lambda: min(len(periods(without)), len(periods(beside))) >= 10, what="periods", timeout=30)
        # Half as often, and what the noise of a busy host adds.
        self.assertLess(statistics.median(periods(beside)), 4 * statistics.median(periods(without)))

    def test_bursts_between_the_reads(self):
        listener = self.listener(limit=64)
        collectd = self.collectd("SamplerBudget 10", interval=0.5)  # enough for 40 samples a second anywhere
        collectd.wait_for_value("sampler", "duration-period", lambda period: period < BURST)
        bursts = [self.make_burst(collectd, listener, 10 + number) for number in range(BURSTS)]
        collectd.wait_for_intervals(1)
        rows = collectd.rows((listener.name, "queue_length-accept"), (listener.name, "queue_length-accept_peak"))
        seen = [(0, length) for length in bursts if [0, length] in rows.values()]
        self.assertGreaterEqual(len(seen), SEEN_BURSTS, f"{bursts} {rows} {collectd.values('sampler', 'duration-period')}")
        self.assertEqual({accept for accept, _ in rows.values()}, {0})

    def make_burst(self, collectd, listener, length):
        """Just after a read, clients fill the queue and are all accepted; its greatest length."""
        read = len(collectd.values(listener.name, "queue_length-accept"))
        collectd.wait(lambda: len(collectd.values(listener.name, "queue_length-accept")) > read, what="a read")
        listener.fill(length)
        time.sleep(BURST)
        listener.accept(length)
        listener.drop_clients()
        return length


if __name__ == "__main__":
    system_test.main()
