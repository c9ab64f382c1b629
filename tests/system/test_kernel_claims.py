#!/usr/bin/env python3
"""What backlog-myths(7) says of the kernel where it contradicts what is usually said. No plugin takes part."""

import os
import platform
import re
import socket

import system_test
from kernel import kernel_counters, read_sysctl, run
from system_test import SystemTest
from waiting import wait_until
from raw_clients import SERVER, RawClients

SOMAXCONN = "net.core.somaxconn"
DEFAULT_SOMAXCONN = "4096"


def queue_and_limit(port):
    """Recv-Q and Send-Q of a listener, as `ss -lnt` prints them."""
    fields = run("ss", "-lntH", "sport", "=", str(port)).split()
    return int(fields[1]), int(fields[2])


def half_open(port):
    return len(run("ss", "-ntH", "state", "syn-recv", "sport", "=", str(port)).splitlines())


def counter(name):
    return kernel_counters()[name]


class LimitTest(SystemTest):
    def test_the_default_of_a_new_net_namespace_is_4096(self):
        version = tuple(int(part) for part in re.findall(r"\d+", platform.release())[:2])
        if version < (5, 4):
            self.skipTest("Linux before 5.4: 128")
        self.assertEqual(read_sysctl(SOMAXCONN), DEFAULT_SOMAXCONN)

    def test_listen_is_a_request_that_somaxconn_cuts_off(self):
        self.set_sysctl(SOMAXCONN, 64)
        for asked, limit in {5: 5, 64: 64, 65: 64, 1000000: 64, 0: 0}.items():
            with self.subTest(asked=asked):
                self.assertEqual(queue_and_limit(self.listener(limit=asked).port), (0, limit))

    def test_a_raised_somaxconn_counts_from_the_next_listen_on(self):
        self.set_sysctl(SOMAXCONN, 64)
        listener = self.listener(limit=1000)
        self.set_sysctl(SOMAXCONN, 512)
        self.assertEqual(queue_and_limit(listener.port), (0, 64))
        listener.listen(1000)
        self.assertEqual(queue_and_limit(listener.port), (0, 512))

    def test_a_queue_holds_one_more_than_its_limit(self):
        for limit in (0, 1, 8):
            with self.subTest(limit=limit):
                listener = self.listener(limit=limit)
                listener.fill(limit + 1)
                before = counter("ListenOverflows")
                listener.connect(1)
                wait_until(lambda: counter("ListenOverflows") > before, what="an overflow")
                self.assertEqual(queue_and_limit(listener.port), (limit + 1, limit))

    def test_tcp_tw_recycle_is_gone(self):
        self.assertTrue(os.path.exists("/proc/sys/net/ipv4/tcp_tw_reuse"))
        self.assertFalse(os.path.exists("/proc/sys/net/ipv4/tcp_tw_recycle"))


class TwoQueuesTest(SystemTest):
    def setUp(self):
        self.raw = RawClients()
        self.addCleanup(self.raw.close)

    def half_open(self, listener, count):
        clients = self.raw.send_syns(listener.port, count)
        self.addCleanup(self.raw.reset, clients)
        return clients

    def test_syn_recv_is_another_queue_than_the_one_that_overflows(self):
        self.set_sysctl("net.ipv4.tcp_syncookies", 1)
        listener = self.listener(SERVER, limit=16)
        before = counter("ListenOverflows")
        self.half_open(listener, 10)
        wait_until(lambda: half_open(listener.port) == 10, what="10 in SYN_RECV")
        self.assertEqual(queue_and_limit(listener.port), (0, 16))
        self.assertEqual(counter("ListenOverflows"), before)

    def test_the_syn_queue_ends_at_the_limit_of_the_socket(self):
        self.set_sysctl("net.ipv4.tcp_syncookies", 1)
        listener = self.listener(SERVER, limit=16)
        self.assertEqual(read_sysctl(SOMAXCONN), DEFAULT_SOMAXCONN)
        before = counter("SyncookiesSent")
        self.half_open(listener, 40)
        wait_until(lambda: half_open(listener.port) + counter("SyncookiesSent") - before == 40, what="40 answers")
        # The kernel's test was >= before Linux 6.1 and is > since.
        self.assertIn(half_open(listener.port), (16, 17))

    def test_tcp_max_syn_backlog_does_not_matter_with_cookies(self):
        self.set_sysctl("net.ipv4.tcp_max_syn_backlog", 16)
        self.set_sysctl("net.ipv4.tcp_syncookies", 1)
        listener = self.listener(SERVER, limit=128)
        before = counter("ListenDrops")
        self.half_open(listener, 60)
        wait_until(lambda: half_open(listener.port) == 60, what="60 in SYN_RECV")
        self.assertEqual(counter("ListenDrops"), before)

    def test_tcp_max_syn_backlog_matters_without_cookies(self):
        self.set_sysctl("net.ipv4.tcp_max_syn_backlog", 16)
        self.set_sysctl("net.ipv4.tcp_syncookies", 0)
        listener = self.listener(SERVER, limit=128)
        before = counter("ListenDrops")
        self.half_open(listener, 60)
        wait_until(lambda: half_open(listener.port) + counter("ListenDrops") - before == 60, what="60 taken or dropped")
        self.assertLessEqual(half_open(listener.port), 16)


class AbortTest(SystemTest):
    def client_of_a_full_queue(self, abort):
        """A client that the kernel has answered, and whose final ACK found the queue full."""
        self.set_sysctl("net.ipv4.tcp_abort_on_overflow", abort)
        raw = RawClients()
        self.addCleanup(raw.close)
        listener = self.listener(SERVER, limit=1)
        clients = raw.half_open(listener.port, 1)
        listener.fill(2)
        resets, overflows = counter("EmbryonicRsts"), counter("ListenOverflows")
        raw.acknowledge(clients)
        wait_until(lambda: counter("ListenOverflows") > overflows, what="an overflow")
        return counter("EmbryonicRsts") - resets

    def test_abort_on_overflow_resets_clients_that_could_have_waited(self):
        self.assertEqual(self.client_of_a_full_queue(abort=0), 0)
        self.assertEqual(self.client_of_a_full_queue(abort=1), 1)


class UnixTest(SystemTest):
    def test_a_full_unix_queue_is_counted_nowhere(self):
        listener = self.unix_listener(os.path.join(self.folder(), "queue"), limit=3)
        listener.connect(4)
        before = kernel_counters()
        client = socket.socket(socket.AF_UNIX)
        self.addCleanup(client.close)
        client.setblocking(False)
        with self.assertRaises(BlockingIOError):
            client.connect(listener.address)
        after = kernel_counters()
        self.assertEqual({name: after[name] for name in after if name.startswith("Listen")},
                         {name: before[name] for name in before if name.startswith("Listen")})


if __name__ == "__main__":
    system_test.main()
