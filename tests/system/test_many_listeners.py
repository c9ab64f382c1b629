#!/usr/bin/env python3
"""200 listeners over 20 intervals: every value of every interval is the truth."""

import time

import system_test
from kernel import ss
from names import percent_used
from system_test import SystemTest

LISTENERS = 200
INTERVALS = 20
INTERVAL = 1


class ManyListenersTest(SystemTest):
    def test_no_mismatch(self):
        listeners = [self.listener("127.0.0.1", limit=number % 5).fill(number % (number % 5 + 2))
                     for number in range(LISTENERS)]
        phases = [self.truth(listeners)]
        collectd = self.collectd(interval=INTERVAL)
        names = [listener.name for listener in listeners]
        collectd.wait(lambda: collectd.listeners() == set(names), 30, f"{LISTENERS} listeners")
        self.wait_intervals(collectd, names[0], INTERVALS // 2)

        change_begin = time.time()
        for listener in listeners[::3]:
            listener.accept(listener.length)
        for listener in listeners[1::3]:
            listener.listen(9)
            listener.fill(5)
        phases.append(self.truth(listeners))
        change_end = time.time()
        self.wait_intervals(collectd, names[0], INTERVALS - INTERVALS // 2 + 1)

        # A harvest that comes late is stored an interval later.
        settled = change_end + 1.5 * INTERVAL
        mismatches, compared = [], 0
        for name in names:
            for series in phases[0][name]:
                stored = collectd.values(name, series)
                self.assertGreaterEqual(len(stored), INTERVALS, f"{name}/{series}")
                for when, value in stored:
                    if change_begin < when < settled:
                        continue
                    compared += 1
                    if abs(value - phases[when > settled][name][series]) > 1e-6:
                        mismatches.append((name, series, when, value))
        self.assertEqual(mismatches, [])
        self.assertGreaterEqual(compared, 3 * LISTENERS * (INTERVALS - 3))

    def truth(self, listeners):
        """{name: {series: value}}; the sockets' own account and that of ss are the same."""
        of_ss = {entry.port: (entry.recv_q, entry.send_q) for entry in ss()}
        truth = {}
        for listener in listeners:
            length, limit = listener.length, listener.limit
            self.assertEqual(of_ss[listener.port], (length, limit))
            truth[listener.name] = {"queue_length-accept": length, "queue_length-limit": limit,
                                    "percent-used": percent_used(length, limit)}
        return truth

    def wait_intervals(self, collectd, name, count):
        before = len(collectd.values(name, "percent-used"))
        collectd.wait(lambda: len(collectd.values(name, "percent-used")) >= before + count,
                      3 * count * INTERVAL, f"{count} intervals")


if __name__ == "__main__":
    system_test.main()
