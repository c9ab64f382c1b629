#!/usr/bin/env python3
"""Half-open connections: how many, and whose."""

import socket
import unittest

import system_test
from kernel import have_ipv6, kernel_counters, read_sysctl, run
from system_test import SystemTest
from raw_clients import SERVER, RawClients

SYN = "queue_length-syn"
TCP_FASTOPEN_WITHOUT_COOKIE = 0x202  # net.ipv4.tcp_fastopen: of servers, and no cookie is asked for


class SynQueueTest(SystemTest):
    def setUp(self):
        self.raw = RawClients()
        self.addCleanup(self.raw.close)

    def half_open(self, listener, count):
        clients = self.raw.half_open(listener.port, count)
        self.addCleanup(self.raw.reset, clients)
        return clients

    def wait_for_lengths(self, collectd, lengths):
        """Until the listeners' SYN queues have these lengths, {listener: length}, and the kernel all of them."""
        wanted = {listener.name: length for listener, length in lengths.items()}
        seen = {}

        def check():
            seen.update({name: collectd.latest(name, SYN) for name in wanted})
            seen["kernel"] = collectd.latest("kernel", SYN)
            return seen == wanted | {"kernel": sum(wanted.values())}
        try:
            collectd.wait(check, what=f"SYN queues {wanted}")
        except AssertionError as error:
            raise AssertionError(f"{error}\nthe newest values are {seen}") from None

    @unittest.skipUnless(have_ipv6(), "no IPv6")
    def test_ipv4_clients_of_a_dual_stack_listener(self):
        dual, other = self.listener("::", limit=16, v6only=False), self.listener("0.0.0.0", limit=16)
        collectd = self.collectd("Values full")
        self.wait_for_lengths(collectd, {dual: 0, other: 0})
        clients = self.half_open(dual, 5)
        self.wait_for_lengths(collectd, {dual: 5, other: 0})
        self.half_open(other, 2)
        self.wait_for_lengths(collectd, {dual: 5, other: 2})
        self.raw.acknowledge(clients)
        self.wait_for_lengths(collectd, {dual: 0, other: 2})
        collectd.wait_for_value(dual.name, "queue_length-accept", 5)

    @unittest.skipUnless(have_ipv6(), "no IPv6")
    def test_both_families_on_one_port(self):
        v4 = self.listener("0.0.0.0", limit=16)
        v6 = self.listener("::", port=v4.port, limit=16, v6only=True)
        collectd = self.collectd("Values full")
        self.half_open(v4, 3)
        self.wait_for_lengths(collectd, {v4: 3, v6: 0})

    @unittest.skipUnless(have_ipv6(), "no IPv6")
    def test_ipv4_clients_are_none_of_a_v6only_listener_beside_a_dual_stack_one(self):
        v6 = self.listener("::", limit=16, v6only=True, reuse_port=True)
        dual = self.listener("::", port=v6.port, limit=16, v6only=False, reuse_port=True)
        collectd = self.collectd("Values full")
        self.half_open(dual, 3)
        self.wait_for_lengths(collectd, {dual: 3, v6: 0})

    def test_the_exact_address_goes_before_the_wildcard(self):
        exact = self.listener("0.0.0.0", limit=16, reuse_port=True)
        wildcard, exact = exact, self.listener(SERVER, port=exact.port, limit=16, reuse_port=True)
        collectd = self.collectd("Values full")
        self.half_open(exact, 4)
        self.wait_for_lengths(collectd, {exact: 4, wildcard: 0})
        exact.close()
        self.half_open(wildcard, 2)
        collectd.wait_for_value(wildcard.name, SYN, 2)

    def test_reuse_port_members_are_one_listener(self):
        first = self.listener("0.0.0.0", limit=16, reuse_port=True)
        self.listener("0.0.0.0", port=first.port, limit=16, reuse_port=True)
        collectd = self.collectd("Values full")
        self.half_open(first, 9)
        self.wait_for_lengths(collectd, {first: 9})

    def test_clients_that_a_deferring_listener_keeps(self):
        deferring = self.listener(limit=16)
        deferring.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 30)
        collectd = self.collectd("Values full")
        deferring.connect(6)
        self.wait_for_lengths(collectd, {deferring: 6})
        collectd.wait_for_value(deferring.name, "queue_length-accept", 0)
        for client in deferring.clients:
            client.send(b"GET")
        self.wait_for_lengths(collectd, {deferring: 0})
        collectd.wait_for_value(deferring.name, "queue_length-accept", 6)

    @unittest.skipIf(read_sysctl("net.ipv4.tcp_fastopen") is None, "no TCP Fast Open")
    def test_fast_open_children_wait_in_the_accept_queue(self):
        self.set_sysctl("net.ipv4.tcp_fastopen", TCP_FASTOPEN_WITHOUT_COOKIE)
        opens = kernel_counters()["TCPFastOpenPassive"]
        listener = self.listener("0.0.0.0", limit=16)
        listener.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
        clients = self.raw.send_syns(listener.port, 3, b"GET")
        self.raw.wait_answered(clients)
        self.assertEqual(kernel_counters()["TCPFastOpenPassive"], opens + 3)
        self.assertIn("SYN-RECV", run("ss", "-ant"))
        collectd = self.collectd("Values full")
        self.half_open(listener, 2)
        self.wait_for_lengths(collectd, {listener: 2})
        collectd.wait_for_value(listener.name, "queue_length-accept", 3)

    def test_not_asked_for(self):
        listener = self.listener("0.0.0.0", limit=16)
        self.half_open(listener, 3)
        collectd = self.collectd("Values full\nReportSynQueue false")
        collectd.wait(lambda: collectd.values(listener.name, "count-sockets"), what="values of the listener")
        collectd.wait_for_intervals(2)
        self.assertNotIn(SYN, collectd.series_names(listener.name))
        self.assertNotIn(SYN, collectd.series_names("kernel"))

    def test_values_basic_has_the_sum_only(self):
        listener = self.listener("0.0.0.0", limit=16)
        self.half_open(listener, 3)
        collectd = self.collectd()
        collectd.wait_for_value("kernel", SYN, 3)
        collectd.wait(lambda: collectd.values(listener.name, "percent-used"), what="values of the listener")
        self.assertNotIn(SYN, collectd.series_names(listener.name))


if __name__ == "__main__":
    system_test.main()
