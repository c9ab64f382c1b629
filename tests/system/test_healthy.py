#!/usr/bin/env python3
"""What looks like trouble and is none: nothing is told."""

import os
import socket

import system_test
from kernel import kernel_counters, run
from waiting import wait_until
from notifications import OVERFLOW, NotificationTest, arrivals, service
from raw_clients import RawClients

INTERVAL = 0.25  # seconds


class HealthyTest(NotificationTest):
    def start(self, *listeners, config=""):
        """A collectd that is as impatient as can be without calling a second's wait a trouble."""
        return self.started(f"WarningMinimum 0\nMissingAfter 2\n{config}", *listeners, interval=INTERVAL)

    def raw_clients(self):
        raw = RawClients()
        self.addCleanup(raw.close)
        return raw

    def check_moved(self, name, since, at_least):
        wait_until(lambda: kernel_counters()[name] >= since[name] + at_least, what=f"{name} to rise by {at_least}")

    def socket_drops(self, listener):
        line = run("ss", "-lntmH", "sport", "=", str(listener.port))
        return int(line.rsplit(",d", 1)[1].split(")")[0])


class DropsTest(HealthyTest):
    """Some counter of drops moves, and nobody was refused for want of room in the accept queue."""

    def test_deferred_accept(self):
        listener = self.listener(limit=128)
        listener.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 30)
        collectd = self.start(listener)
        for _ in range(4):
            before = self.socket_drops(listener)
            listener.connect(25)
            wait_until(lambda: self.socket_drops(listener) == before + 25, what="deferred clients")
            for client in listener.clients:
                client.send(b"GET")
            listener.accept(25)
            listener.drop_clients()
            collectd.wait_for_intervals(1)
        self.check_nothing_told(collectd, listener)

    def test_half_open_port_scan(self):
        raw, listener = self.raw_clients(), self.listener("0.0.0.0", limit=128)
        collectd = self.start(listener)
        for _ in range(3):
            before = self.socket_drops(listener)
            raw.reset(raw.half_open(listener.port, 100))
            wait_until(lambda: self.socket_drops(listener) == before + 100, what="the scan")
            collectd.wait_for_intervals(1)
        self.check_nothing_told(collectd, listener)

    def test_half_open_port_scan_of_a_small_queue(self):
        """The queue that the scan fills is that of the half-open."""
        self.set_sysctl("net.ipv4.tcp_syncookies", 1)
        raw, listener = self.raw_clients(), self.listener("0.0.0.0", limit=4)
        collectd = self.start(listener)
        for _ in range(3):
            before = kernel_counters()
            clients = raw.half_open(listener.port, 100)
            self.check_moved("SyncookiesSent", before, 90)
            collectd.wait_for_intervals(1)
            raw.reset(clients)
        self.check_nothing_told(collectd, listener)

    def test_cookies_always(self):
        self.set_sysctl("net.ipv4.tcp_syncookies", 2)
        listener = self.listener(limit=64)
        collectd = self.start(listener)
        before = kernel_counters()
        for _ in range(4):
            listener.fill(20)
            listener.accept(20)
            listener.drop_clients()
            collectd.wait_for_intervals(1)
        self.check_moved("TCPReqQFullDoCookies", before, 80)
        self.check_nothing_told(collectd, listener)

    def test_clients_that_are_unreachable(self):
        raw, listener = self.raw_clients(), self.listener("0.0.0.0", limit=64)
        collectd = self.start(listener)
        before = kernel_counters()
        for _ in range(3):
            raw.report_unreachable(raw.half_open(listener.port, 40))
            collectd.wait_for_intervals(1)
        self.check_moved("ListenDrops", before, 120)
        self.assertEqual(kernel_counters()["ListenOverflows"], before["ListenOverflows"])
        self.check_nothing_told(collectd, listener)
        collectd.wait_for_value(listener.name, "packets-dropped", 120)

    def test_syn_queue_full_without_cookies(self):
        self.set_sysctl("net.ipv4.tcp_syncookies", 0)
        raw, listener = self.raw_clients(), self.listener("0.0.0.0", limit=8)
        collectd = self.start(listener)
        before = kernel_counters()
        for _ in range(4):
            raw.send_syns(listener.port, 150)
            collectd.wait_for_intervals(1)
        self.check_moved("ListenDrops", before, 500)
        self.assertEqual(kernel_counters()["ListenOverflows"], before["ListenOverflows"])
        self.check_nothing_told(collectd, listener)


class QueueTest(HealthyTest):
    """Connections wait, and none is refused."""

    def test_one_or_two_at_limits_0_and_1(self):
        none, one = self.listener(limit=0).fill(1), self.listener(limit=1).fill(2)
        unix = [self.unix_listener(f"\0queue-{os.getpid()}-{limit}", limit=limit) for limit in (0, 1)]
        for limit, listener in enumerate(unix):
            self.assertEqual(listener.connect(4), limit + 1)
        listeners = [none, one, *unix]
        collectd = self.started(None, *listeners, interval=INTERVAL)
        self.check_nothing_told(collectd, *listeners)
        for listener in listeners:
            self.assertEqual({value for _, value in collectd.values(listener.name, "percent-used")}, {100})

    def test_limit_5_that_touches_83_percent_all_day(self):
        listener = self.listener(limit=5)
        collectd = self.started(None, listener, interval=INTERVAL)
        for _ in range(10):
            listener.fill(5)
            collectd.wait_for_value(listener.name, "queue_length-accept", 5)
            listener.accept(5)
            listener.drop_clients()
            collectd.wait_for_value(listener.name, "queue_length-accept", 0)
        self.assertAlmostEqual(max(value for _, value in collectd.values(listener.name, "percent-used")), 100 * 5 / 6, 3)
        self.check_nothing_told(collectd, listener)

    def test_one_burst_below_the_limit(self):
        listener = self.listener(limit=128)
        collectd = self.started("WarningMinimum 0", listener, interval=1)
        collectd.wait_for_intervals(0)  # the queue is seen in two intervals at most
        listener.fill(125)
        collectd.wait_for_value(listener.name, "queue_length-accept_peak", 125)
        listener.accept(125)
        self.check_nothing_told(collectd, listener)
        self.assertGreater(max(value for _, value in collectd.values(listener.name, "percent-used")), 80)

    def test_busy_server(self):
        listener = self.listener(limit=256)
        self.fork(service(listener))
        self.fork(arrivals(listener, batch=10, period=0.02))
        collectd = self.started("StalledAfter 1", listener, interval=INTERVAL)
        self.check_nothing_told(collectd, listener, intervals=12)


class RestartTest(HealthyTest):
    def test_start_beside_an_old_overflow(self):
        """Its drops are from before, and its queue, of three, is still full."""
        listener = self.listener(limit=2).fill(3)
        before = kernel_counters()
        listener.connect(20)
        self.check_moved("ListenOverflows", before, 20)
        for client in listener.clients[3:]:
            client.close()
        collectd = self.started(None, listener, interval=INTERVAL)
        self.check_nothing_told(collectd, listener)
        self.assertEqual(collectd.latest(listener.name, "percent-used"), 100)

    def test_start_beside_an_overflow_that_goes_on(self):
        """The first interval is a baseline; what the next ones prove by themselves is told."""
        listener = self.listener(limit=8)
        before = kernel_counters()
        self.fork(service(listener, seconds=0.1))
        self.fork(arrivals(listener, batch=2, period=0.05))
        self.check_moved("ListenOverflows", before, 1)
        collectd = self.started(None, listener, interval=1)
        told = self.wait_for(collectd, listener.name, "FAILURE", "accept queue overflow")
        self.assertIn("slow_accept", told.message)
        self.assertIn(OVERFLOW, self.states(collectd, listener.name))

    def test_restart_of_a_service(self):
        listener = self.listener(limit=16)
        port = listener.port
        collectd = self.start(listener, config=f'<Watch "{listener.name}">\nExpected true\n</Watch>')
        for intervals_away in (0, 1, 0, 2):
            listener.fill(3)
            collectd.wait_for_value(listener.name, "queue_length-accept", 3)
            listener.close()
            if intervals_away:
                collectd.wait_for_intervals(intervals_away)
            listener = self.listener(port=port, limit=16)
            collectd.wait_for_value(listener.name, "queue_length-accept", 0)
        self.check_nothing_told(collectd, listener)

    def test_end_of_a_service_that_nobody_expects(self):
        listener, other = self.listener(limit=16), self.listener(limit=16)
        collectd = self.start(listener, other)
        listener.close()
        self.check_nothing_told(collectd, listener, other, intervals=12)
        collectd.wait_for_value("host", "count-listeners", 1)


def tearDownModule():
    NotificationTest.print_told()


if __name__ == "__main__":
    system_test.main()
