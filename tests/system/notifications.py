"""What the tests of incidents and of healthy cases share: notifications as they arrive, and the traffic
that causes them."""

import collections
import contextlib
import re
import socket
import struct
import time

from processes import raise_descriptor_limit
from system_test import SystemTest

OK, HIGH, OVERFLOW, STALLED, MISSING = range(5)  # of gauge-state
STATE = "gauge-state"

Notification = collections.namedtuple("Notification", "severity name message")


def reset_at_close(client):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def arrivals(listener, batch, period):
    """What a process does that connects so many clients at a time, every period (seconds), and lets go of
    them after a while."""
    address = listener.socket.getsockname()
    most_held = 4000  # clients

    def work(ready):
        raise_descriptor_limit()
        clients = collections.deque()
        due = time.monotonic()
        ready()
        while True:
            for _ in range(batch):
                client = socket.socket(listener.family, socket.SOCK_STREAM)
                reset_at_close(client)  # no TIME_WAIT that would hold a port
                client.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    client.connect(address)
                clients.append(client)
            while len(clients) > most_held:
                clients.popleft().close()
            due = max(due + period, time.monotonic())  # what a busy host kept it from is not made up for
            time.sleep(max(0, due - time.monotonic()))
    return work


def service(listener, seconds=0):
    """What a server does that takes so long for each client."""
    def work(ready):
        ready()
        while True:
            listener.socket.accept()[0].close()
            if seconds:
                time.sleep(seconds)
    return work


class NotificationTest(SystemTest):
    """Tests that collect what each of them was told, in the order of the tests."""

    told = {}  # {name of the test: messages}

    def notifications(self, collectd):
        """All so far of the plugin's own, oldest first."""
        found = re.findall(
            r"Notification: severity = (\w+), host = \S+, plugin = backlog, plugin_instance = (\S+), "
            r"type = gauge, type_instance = state, message = (.*)$", collectd.log(), re.MULTILINE)
        notifications = [Notification(*each) for each in found]
        self.told[self.id().rpartition(".")[2]] = notifications
        return notifications

    def of(self, collectd, name):
        return [each for each in self.notifications(collectd) if each.name == name]

    def states(self, collectd, name):
        return {value for _, value in collectd.values(name, STATE)}

    def started(self, plugin_config, *listeners, **options):
        """A collectd in which each listener has its series: its first interval, which tells nothing, is over,
        and another has just ended."""
        collectd = self.collectd(plugin_config, **options)
        collectd.wait(lambda: len(collectd.values("kernel", "gauge-somaxconn")) > 1
                      and all(collectd.values(listener.name, STATE) for listener in listeners),
                      10 + 3 * collectd.interval, "states of all listeners")
        return collectd

    def check_nothing_told(self, collectd, *listeners, intervals=8):
        """Nor is it after so many more intervals."""
        collectd.wait_for_intervals(intervals)
        self.assertEqual(self.notifications(collectd), [])
        for listener in listeners:
            self.assertEqual(self.states(collectd, listener.name), {OK})

    def wait_for(self, collectd, name, severity, message, timeout=20.0):
        """The first notification of the listener with this severity and in its message this pattern."""
        def find():
            return next((each for each in self.of(collectd, name)
                         if each.severity == severity and re.search(message, each.message)), None)
        try:
            return collectd.wait(find, timeout, f"{severity} of {name} with /{message}/")
        except AssertionError as error:
            raise AssertionError(f"{error}\nstates {self.states(collectd, name)}") from None

    def wait_for_state(self, collectd, name, state):
        collectd.wait(lambda: state in self.states(collectd, name), what=f"state {state} of {name}")

    def wait_for_okay(self, collectd, name):
        okay = self.wait_for(collectd, name, "OKAY", "")
        self.assertEqual(self.of(collectd, name)[-1], okay)
        return okay

    @classmethod
    def print_told(cls):
        print("\nWhat was told:")
        for test, notifications in cls.told.items():
            for each in notifications or [None]:
                print(f"  {test}: " + (f"{each.severity} {each.message}" if each else "none"))
        print(flush=True)
