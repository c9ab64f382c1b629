#!/usr/bin/env python3
"""Queues that are never seen to shrink: those that are accepted from, and those that are not."""

import os
import time

import system_test
from notifications import STALLED, NotificationTest, reset_at_close

INTERVAL = 0.5  # seconds
STALLED_AFTER = 2  # seconds


class ClosedLoop:
    """A queue in which so many wait: whenever the oldest is accepted, another client comes at once."""

    def __init__(self, *members, waiting):
        self.members = members
        for member in members:
            member.socket.setblocking(False)
        for _ in range(waiting):
            self.come()
        self._accepted = time.monotonic()
        self.longest_pause = 0  # in seconds: a busy host makes some, too

    def come(self):
        self.members[0].connect(1)

    def accept(self, members=None):
        """One from each of these members, where somebody waits there."""
        now = time.monotonic()
        self.longest_pause = max(self.longest_pause, now - self._accepted)
        self._accepted = now
        for member in members or self.members:
            try:
                member.socket.accept()[0].close()
            except BlockingIOError:
                continue
            self.come()


class StallsTest(NotificationTest):
    def started_impatient(self, *listeners, config=""):
        names = "".join(f'<Watch "{listener.name}">\n</Watch>\n' for listener in listeners)
        return self.started(f"StalledAfter {STALLED_AFTER}\nValues full\n{names}{config}", *listeners, interval=INTERVAL)

    def keep_up(self, collectd, work, until=None, seconds=3 * STALLED_AFTER, period=0.12):
        end = time.monotonic() + seconds
        while time.monotonic() < end and not (until and until()):
            work()
            time.sleep(period)
        collectd.wait_for_intervals(0)

    def group(self, count, limit):
        first = self.listener(limit=limit, reuse_port=True)
        return [first] + [self.listener(port=first.port, limit=limit, reuse_port=True) for _ in range(count - 1)]

    def test_closed_loops_are_not_stalled(self):
        single, one = self.listener(limit=128), self.listener(limit=128)
        group = self.group(2, limit=64)
        abstract = self.unix_listener(f"\0queue-{os.getpid()}-loop", limit=64)
        collectd = self.started_impatient(single, one, group[0], abstract)
        loops = [ClosedLoop(single, waiting=5), ClosedLoop(one, waiting=1), ClosedLoop(*group, waiting=10),
                 ClosedLoop(abstract, waiting=5)]
        self.keep_up(collectd, lambda: [loop.accept() for loop in loops])
        self.check_nothing_told(collectd, single, one, group[0], abstract, intervals=0)
        collectd.wait_for_value(single.name, "duration-oldest_wait", lambda seconds: 0 < seconds < STALLED_AFTER)

    def test_a_closed_loop_that_keeps_clients_for_too_long(self):
        for _ in range(3):
            listener = self.listener(limit=128)
            collectd = self.started_impatient(listener)
            loop = ClosedLoop(listener, waiting=30)
            self.keep_up(collectd, loop.accept, until=lambda told_of=(collectd, listener.name): self.of(*told_of))
            told = self.of(collectd, listener.name)
            self.assertEqual(told[0].severity, "FAILURE")
            if loop.longest_pause < INTERVAL:
                break
            collectd.stop()
        self.assertRegex(told[0].message, r"accept queue stalled, 30 waiting, the oldest for \d+(\.\d)? s; slow_accept: ")

    def test_hung_since_before_collectd_started(self):
        listener = self.listener(limit=128)
        listener.connect(3)
        time.sleep(STALLED_AFTER + 0.5)
        collectd = self.started_impatient(listener)
        self.wait_for(collectd, listener.name, "FAILURE", "has stopped calling accept")
        for told in self.of(collectd, listener.name):
            self.assertRegex(told.message, r"3 waiting, the oldest for \d+(\.\d)? s; (none accepted for \d+(\.\d)? s so far|not_accepting: .*)$")

    def test_a_closed_loop_that_hangs_in_the_end(self):
        single = self.listener(limit=128)
        abstract = self.unix_listener(f"\0queue-{os.getpid()}-hangs", limit=64)
        collectd = self.started_impatient(single, abstract)
        loops = [ClosedLoop(listener, waiting=4) for listener in (single, abstract)]
        self.keep_up(collectd, lambda: [loop.accept() for loop in loops], seconds=STALLED_AFTER + 1)
        self.assertEqual(self.notifications(collectd), [])
        for listener in (single, abstract):
            told = self.wait_for(collectd, listener.name, "FAILURE", "")
            self.assertRegex(told.message, r"stalled, 4 waiting, (the oldest|none accepted) for \d+(\.\d)? s; not_accepting: ")

    def test_one_member_hangs_while_the_other_serves(self):
        """Its clients wait, and in another group they have reset."""
        groups = [self.group(2, limit=64) for _ in range(2)]
        collectd = self.started_impatient(*(group[0] for group in groups))
        loops = [ClosedLoop(*group, waiting=20) for group in groups]
        for member in groups[1]:
            for client in member.clients:
                reset_at_close(client)
            member.drop_clients()

        def serve():
            for group, loop in zip(groups, loops):
                loop.accept(group[1:])
        names = [group[0].name for group in groups]
        self.keep_up(collectd, serve, until=lambda: all(self.of(collectd, name) for name in names), seconds=20)
        for name in names:
            self.assertRegex(self.of(collectd, name)[0].message,
                             r"stalled, \d+ waiting, (the oldest|none accepted) for \d+(\.\d)? s; "
                             r"not_accepting: a process has stopped calling accept\(\), restart it$")

    def test_a_unix_service_hangs(self):
        """Its clients wait, and those of another give up."""
        waiting = self.unix_listener(f"\0queue-{os.getpid()}-waiting", limit=64)
        leaving = self.unix_listener(f"\0queue-{os.getpid()}-leaving", limit=64)
        collectd = self.started_impatient(waiting, leaving)
        waiting.connect(3)
        leaving.connect(3)
        for client in leaving.clients:
            client.close()
        for listener in (waiting, leaving):
            told = self.wait_for(collectd, listener.name, "FAILURE", "")
            self.assertRegex(told.message, r"stalled, 3 waiting, .* for \d+(\.\d)? s; not_accepting: ")
            self.wait_for_state(collectd, listener.name, STALLED)

    def test_a_unix_service_hangs_early_in_a_long_interval(self):
        listener = self.unix_listener(f"\0queue-{os.getpid()}-long", limit=64)
        collectd = self.started(f'StalledAfter {STALLED_AFTER}\n<Watch "{listener.name}">\n</Watch>', listener, interval=8)
        listener.connect(2)
        began = time.monotonic()
        told = self.wait_for(collectd, listener.name, "FAILURE", "stalled, 2 waiting", timeout=15)
        self.assertIn("not_accepting", told.message)
        self.assertLess(time.monotonic() - began, 12)


if __name__ == "__main__":
    system_test.main()
