#!/usr/bin/env python3
"""The limit that would have held a burst or a pause: as many as came, whether they were refused once or again and
again. Nobody is accepted meanwhile, so that the truth is their number."""

import collections
import contextlib
import os
import pathlib
import re
import signal
import socket
import time

import system_test
from kernel import kernel_counters
from notifications import STATE, NotificationTest, service
from waiting import wait_until

Incident = collections.namedtuple("Incident", "limit clients over pause")  # connections, connections, s, s
INCIDENTS = (
    Incident(16, 40, 0, 0.4),
    Incident(64, 300, 0, 0.6),
    Incident(16, 60, 0.5, 0.6),
    Incident(0, 7, 0, 0.3),
    Incident(16, 50, 0, 1.6),
    Incident(32, 150, 1.5, 1.8),
    Incident(16, 50, 0, 3.4),
    Incident(64, 400, 2.5, 2.8),
)
ENOUGH = r"; a limit of (\d+) would have held them$"


class EnoughTest(NotificationTest):
    @staticmethod
    def defer(listener):
        listener.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 30)

    @staticmethod
    def send_requests(listener):
        for client in listener.clients:
            with contextlib.suppress(BlockingIOError):  # its SYN was refused
                client.send(b"request")

    def meet(self, collectd, incident, limit=None, deferred=False):
        """The listener, after the incident; the limit is the incident's but where it is told. deferred: it waits for
        requests (TCP_DEFER_ACCEPT), which all clients send."""
        listener = self.listener(limit=incident.limit if limit is None else limit)
        if deferred:
            self.defer(listener)
        collectd.wait(lambda: collectd.values(listener.name, STATE), what="the listener's state")
        server = self.fork(service(listener))
        os.kill(server.pid, signal.SIGSTOP)
        stat = pathlib.Path(f"/proc/{server.pid}/stat")
        wait_until(lambda: stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "T", what="its stop",
                   pause=0.001)
        begin = time.monotonic()
        for number in range(incident.clients):
            time.sleep(max(0.0, begin + incident.over * number / incident.clients - time.monotonic()))
            listener.connect()
        if deferred:
            self.send_requests(listener)
        time.sleep(max(0.0, begin + incident.pause - time.monotonic()))
        os.kill(server.pid, signal.SIGCONT)
        return listener

    def told_limit(self, collectd, listener):
        def find():
            limits = [int(match[1]) for each in self.of(collectd, listener.name)
                      if (match := re.search(ENOUGH, each.message))]
            return limits[-1] if limits else None
        return collectd.wait(find, 20, "what would have been enough")

    def assert_enough(self, limit, clients):
        self.assertGreaterEqual(limit, clients - 1)
        self.assertLessEqual(limit, 1.1 * clients)

    def assert_told(self, collectd, incident, listener):
        self.assert_enough(self.told_limit(collectd, listener), incident.clients)

    def check(self, events, incidents, deferred=False):
        collectd = self.started(f"Events {events}\nValues full\nSamplerBudget 10", interval=1)
        for incident in incidents:
            with self.subTest(incident=incident, events=events):
                listener = self.meet(collectd, incident, deferred=deferred)
                self.assert_told(collectd, incident, listener)
                collectd.wait(lambda name=listener.name: collectd.values(name, "queue_length-enough"), what="its value")
                listener.close()

    def test_with_events(self):
        self.check("auto", INCIDENTS)

    def test_requests_that_are_refused_again_are_of_the_same_clients(self):
        self.check("auto", [Incident(16, 80, 0, 0.8)], deferred=True)
        self.check("off", [Incident(16, 80, over, 0.8) for over in (0, 0.06, 0.15, 0.3)], deferred=True)

    def test_without_events(self):
        self.check("off", INCIDENTS[::3])

    def test_cookies_of_an_earlier_time_are_not_of_the_refused(self):
        collectd = self.started("Events off\nValues full\nSamplerBudget 10", interval=1)
        self.set_sysctl("net.ipv4.tcp_syncookies", 2)  # for each client
        before = self.listener(limit=128)
        for _ in range(80):
            before.connect()
        wait_until(lambda: before.length == 80, what="all in the queue")
        self.set_sysctl("net.ipv4.tcp_syncookies", 1)
        collectd.wait_for_intervals(3)
        before.close()
        incident = Incident(16, 50, 0, 1.6)
        self.assert_told(collectd, incident, self.meet(collectd, incident))

    def test_requests_that_two_refuse_at_once_are_not_guessed(self):
        """Without events nothing tells whose requests came again."""
        collectd = self.started("Events off\nValues full\nSamplerBudget 10", interval=1)
        clients = 80
        listeners = [self.listener(limit=16) for _ in range(2)]
        for listener in listeners:
            self.defer(listener)
            collectd.wait(lambda name=listener.name: collectd.values(name, STATE), what="the listener's state")
        for _ in range(clients):
            for listener in listeners:
                listener.connect()
        for listener in listeners:
            self.send_requests(listener)
        time.sleep(0.8)
        for listener in listeners:
            self.fork(service(listener))
        for listener in listeners:
            self.wait_for(collectd, listener.name, "OKAY", "")
            for limit in re.findall(ENOUGH, "\n".join(each.message for each in self.of(collectd, listener.name)), re.MULTILINE):
                self.assert_enough(int(limit), clients)

    def test_the_limit_that_is_told_holds_the_same_again(self):
        collectd = self.started(None, interval=1)
        incident = Incident(16, 80, 1.2, 1.4)
        told = self.told_limit(collectd, self.meet(collectd, incident))
        before = kernel_counters()["ListenOverflows"]
        self.meet(collectd, incident, told)
        collectd.wait_for_intervals(2)
        self.assertEqual(kernel_counters()["ListenOverflows"], before)

    def test_what_nobody_looked_at_is_not_guessed(self):
        """collectd itself is stopped while clients are refused, who come again after 1 s, 3 s and so on."""
        for events in ("off", "auto"):
            with self.subTest(events=events):
                collectd = self.started(f"Events {events}\nValues full\nSamplerBudget 10", interval=1)
                listener = self.listener(limit=8)
                collectd.wait(lambda name=listener.name: collectd.values(name, STATE), what="the listener's state")
                collectd.wait_for_intervals(2)  # in the first ones the sampler does not rest
                os.kill(collectd.pid, signal.SIGSTOP)
                for _ in range(20):
                    listener.connect()
                time.sleep(3.5)
                server = self.fork(service(listener))
                wait_until(lambda queue=listener: queue.length == 0, what="an empty queue")
                os.kill(collectd.pid, signal.SIGCONT)
                collectd.wait(lambda name=listener.name: self.of(collectd, name), what="a notification")
                collectd.wait_for_intervals(2)
                told = " ".join(each.message for each in self.of(collectd, listener.name))
                self.assertRegex(told, "not looked at for [34](\\.\\d)? s, so its cause is not known")
                self.assertNotIn("would have held", told)
                self.assertEqual(collectd.values(listener.name, "queue_length-enough"), [])
                server.close()
                listener.close()

    def test_no_limit_helps_a_server_that_is_too_slow(self):
        listener = self.listener(limit=16)
        self.fork(service(listener, seconds=0.1))
        collectd = self.started("Values full", listener, interval=1)
        for _ in range(60):
            listener.connect(3)
            time.sleep(0.1)
        self.assertTrue(self.wait_for(collectd, listener.name, "FAILURE", "slow_accept"))
        self.assertNotIn("would have held", " ".join(each.message for each in self.of(collectd, listener.name)))
        self.assertEqual(collectd.values(listener.name, "queue_length-enough"), [])


if __name__ == "__main__":
    system_test.main()
