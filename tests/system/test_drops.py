#!/usr/bin/env python3
"""Whose drops: each segment that the kernel drops for a listener is counted for that listener, once."""

import contextlib
import itertools
import os
import pathlib
import socket
import time
import unittest

import system_test
from collectd import sanitizers
from kernel import have_ipv6, kernel_counters, run
from listeners import Listener, UNSTABLE_PORTS
from net_namespaces import NetNamespace
from system_test import SystemTest
from waiting import wait_until
from churn import Churn
from raw_clients import RawClients

DROPPED = "packets-dropped"
UNATTRIBUTED = ("kernel", "packets-dropped_unattributed")
UNREPORTED = ("kernel", "packets-dropped_unreported")
LISTEN_DROPS = ("kernel", "protocol_counter-ListenDrops")
HOST_DROPPED = ("host", DROPPED)
INTERVAL = 0.1  # seconds
DROPS = 5  # segments; enough to tell from one or two


def counter(name):
    return kernel_counters()[name]


class DropsTest(SystemTest):
    """What the tests of this file share. The listeners are on 0.0.0.0, where both the loopback's
    clients, which fill queues, and the raw ones, which overflow them, reach them."""

    def setUp(self):
        self.raw = RawClients()
        self.addCleanup(self.raw.close)

    def any_listener(self, **options):
        return self.listener("0.0.0.0", **options)

    def wait_dropped(self, count, since, name="ListenDrops"):
        wait_until(lambda: counter(name) >= since + count, what=f"{name} to rise by {count}", pause=0.001)
        self.assertEqual(counter(name), since + count)

    def overflow_by_syn(self, listener, count=DROPS):
        """SYNs at a full accept queue; each is dropped."""
        before = counter("ListenDrops")
        self.raw.send_syns(listener.port, count)
        self.wait_dropped(count, before)

    def start(self, *listeners, config=None, interval=INTERVAL):
        """A collectd in which each listener has its counter, and the second value of it."""
        collectd = self.collectd(config, interval=interval)
        self.wait_for_counters(collectd, listeners)
        return collectd

    def wait_for_counters(self, collectd, listeners):
        collectd.wait(lambda: all(len(collectd.values(listener.name, DROPPED)) > 1 for listener in listeners),
                      what="counters of all listeners")

    def wait_for_given(self, collectd, listener, count):
        """Until the listener was given so many drops, and not one more for some intervals."""
        collectd.wait_for_value(listener.name, DROPPED, lambda value: value >= count)
        collectd.wait_for_intervals(2)
        self.assertEqual(collectd.latest(listener.name, DROPPED), count)

    def check_never_falls(self, collectd, name):
        values = [value for _, value in collectd.values(name, DROPPED)]
        self.assertEqual(values[0], 0)
        self.assertEqual(values, sorted(values))

    def check_each_drop_is_given_once(self, collectd, *names):
        """At each time, whichever have a series then: what all of them, those without a series and nobody were
        given is what ListenDrops has risen by, and so has the host's counter. No counter ever falls."""
        collectd.wait_for_intervals(2)
        listeners = {name for name in collectd.instances() if name.startswith("tcp")}
        self.assertLessEqual(set(names), listeners)
        given = [(name, DROPPED) for name in listeners] + [UNATTRIBUTED, UNREPORTED]
        histories = [collectd.values(*each) for each in given]
        rows = collectd.rows(LISTEN_DROPS, HOST_DROPPED, UNATTRIBUTED, UNREPORTED)
        complete = min(history[-1][0] for history in histories[len(listeners):])
        account = []
        for when, (drops, host, *_) in rows.items():
            if when <= complete:
                latest = [[value for then, value in history if then <= when][-1:] for history in histories]
                account.append((drops, host, sum(sum(latest, []))))
        self.assertGreater(len(account), 1)
        risen = [tuple(value - begin for value, begin in zip(row, account[0])) for row in account]
        self.assertEqual([host for _, host, _ in risen], [drops for drops, _, _ in risen])
        self.assertEqual([given for _, _, given in risen], [drops for drops, _, _ in risen])
        for name in listeners:
            self.check_never_falls(collectd, name)
        for counter_of_all in (UNATTRIBUTED, UNREPORTED, HOST_DROPPED):
            values = [value for _, value in collectd.values(*counter_of_all)]
            self.assertEqual(values, sorted(values), counter_of_all)

    def latest_unattributed(self, collectd):
        return collectd.latest(*UNATTRIBUTED)


class OverflowTest(DropsTest):
    def test_of_two_listeners_the_one_that_overflows(self):
        full, roomy = self.any_listener(limit=2), self.any_listener(limit=100).fill(5)
        collectd = self.start(full, roomy)
        kernel = kernel_counters()
        full.fill(3)
        for count in (4, 1, 7):
            self.overflow_by_syn(full, count)
            collectd.wait_for_intervals(1)
        self.wait_for_given(collectd, full, counter("ListenDrops") - kernel["ListenDrops"])
        self.assertEqual(collectd.latest(full.name, DROPPED), 12)
        self.assertEqual(collectd.latest(roomy.name, DROPPED), 0)
        self.assertEqual(self.latest_unattributed(collectd), 0)
        collectd.wait_for_value(full.name, "percent-used", 100)
        collectd.wait_for_value(full.name, "queue_length-accept_peak", 3)
        self.assertEqual({value for _, value in collectd.values(roomy.name, "queue_length-accept_peak")}, {5})
        self.check_each_drop_is_given_once(collectd, full.name, roomy.name)
        self.print_beside_others(collectd, kernel, full, roomy)

    def print_beside_others(self, collectd, kernel_before, *listeners):
        """The plugin's values, those of ss and those of the kernel, for whoever reads the log."""
        shown = ("queue_length-accept", "queue_length-accept_peak", "queue_length-limit", "percent-used", DROPPED)
        for listener in listeners:
            values = ", ".join(f"{series} {collectd.latest(listener.name, series):g}" for series in shown)
            print(f"\n{listener.name}: {values}")
            entry = " ".join(run("ss", "-lntmH", f"sport = :{listener.port}").split())
            self.assertIn(f",d{collectd.latest(listener.name, DROPPED):.0f})", entry)  # by SYNs alone they are the same
            print(f"ss -lntm: {entry}")
        risen = (f"{name} +{counter(name) - kernel_before[name]}" for name in ("ListenDrops", "ListenOverflows"))
        print(f"/proc/net/netstat: {', '.join(risen)}", flush=True)

    def test_what_is_dropped_between_the_dump_and_the_counters(self):
        """At a harvest, too, that is the listener's."""
        full = self.any_listener(limit=2).fill(3)
        collectd = self.collectd("ReportUnix false", interval=INTERVAL, preload=[os.environ["STRANGE_SOCK_DIAG"]],
                                 environment={"STRANGE_SOCK_DIAG_THEN_SYN": str(full.port)})
        self.wait_for_counters(collectd, [full])
        collectd.wait_for_value(full.name, DROPPED, lambda value: value >= 20)
        self.assertEqual(self.latest_unattributed(collectd), 0)
        self.check_each_drop_is_given_once(collectd, full.name)

    def test_the_peak_tells_of_an_overflow_that_no_sample_saw(self):
        listener = self.any_listener(limit=8)
        # Looks at the queues once an interval: before and after, both times empty.
        collectd = self.start(listener, config="SampleInterval 60", interval=0.5)
        for overflows in (1, 2, 3):  # unless it looks in the middle
            listener.fill(9)
            self.overflow_by_syn(listener)
            listener.accept(9)
            listener.drop_clients()
            collectd.wait_for_value(listener.name, DROPPED, overflows * DROPS)
        values = collectd.rows((listener.name, "queue_length-accept"), (listener.name, "queue_length-accept_peak"),
                               (listener.name, "percent-used"))
        self.assertIn([0, 9, 100], values.values())

    def test_final_acks_count_once(self):
        full, roomy = self.any_listener(limit=16), self.any_listener(limit=16)
        collectd = self.start(full, roomy)
        before = counter("ListenDrops")
        clients = self.raw.half_open(full.port, 8)
        full.fill(17)
        self.raw.acknowledge(clients)
        self.wait_dropped(8, before)
        self.wait_for_given(collectd, full, 8)
        self.raw.acknowledge(clients)  # as a client's first data would
        self.wait_dropped(16, before)
        self.wait_for_given(collectd, full, 16)
        collectd.wait_for_value(full.name, "queue_length-accept_peak", 17)
        self.assertEqual(collectd.latest(roomy.name, DROPPED), 0)
        self.assertEqual(self.latest_unattributed(collectd), 0)
        self.check_each_drop_is_given_once(collectd, full.name, roomy.name)

    @unittest.skipUnless(have_ipv6(), "no IPv6")
    def test_ipv4_clients_of_a_dual_stack_listener(self):
        dual, beside = self.listener("::", limit=3, v6only=False), self.any_listener(limit=3)
        collectd = self.start(dual, beside)
        dual.fill(4)
        self.overflow_by_syn(dual)
        self.wait_for_given(collectd, dual, DROPS)
        self.assertEqual(collectd.latest(beside.name, DROPPED), 0)
        self.check_each_drop_is_given_once(collectd, dual.name, beside.name)

    def test_abort_on_overflow(self):
        self.set_sysctl("net.ipv4.tcp_abort_on_overflow", 1)
        full = self.any_listener(limit=4)
        collectd = self.start(full)
        before = counter("ListenDrops")
        clients = self.raw.half_open(full.port, 4)
        full.fill(5)
        self.raw.acknowledge(clients)
        self.wait_dropped(4, before)
        self.wait_for_given(collectd, full, 4)
        self.assertEqual(self.latest_unattributed(collectd), 0)

    def test_reuse_port_group_with_one_stalled_member(self):
        first = self.any_listener(limit=7, reuse_port=True)
        group = [first] + [self.any_listener(port=first.port, limit=7, reuse_port=True) for _ in range(3)]
        collectd = self.start(first, config="Values full")
        stalled = group[2]
        while stalled.length <= 7:
            waiting = sum(member.length for member in group)
            first.connect(1)
            wait_until(lambda: sum(member.length for member in group) > waiting, what="one more waiting")
            for member in group:
                if member is not stalled:
                    member.accept(member.length)
        before = counter("ListenDrops")
        self.raw.send_syns(first.port, 100)  # of which the stalled member's share is dropped
        wait_until(lambda: counter("ListenDrops") >= before + DROPS, what="drops")
        self.wait_for_given(collectd, first, counter("ListenDrops") - before)  # and intervals without a drop
        collectd.wait_for_value(first.name, "queue_length-accept", 8)
        collectd.wait_for_value(first.name, "queue_length-limit", 4 * 7)
        collectd.wait_for_value(first.name, "percent-used", 100)
        collectd.wait_for_value(first.name, "percent-full", 100)
        collectd.wait_for_value(first.name, "count-sockets", 4)
        self.check_each_drop_is_given_once(collectd, first.name)


class CookieTest(DropsTest):
    """A full SYN queue, and a full accept queue, for each value of tcp_syncookies."""

    def fill_syn_queue(self, listener):
        """Half-open clients until one more is not taken among them; the sysctl must not be 2."""
        self.raw.half_open(listener.port, listener.limit + 1)

    def test_without_cookies_a_full_syn_queue_drops(self):
        self.set_sysctl("net.ipv4.tcp_syncookies", 0)
        listener, other = self.any_listener(limit=4), self.any_listener(limit=4)
        collectd = self.start(listener, other)
        before = counter("TCPReqQFullDrop")
        self.fill_syn_queue(listener)
        self.overflow_by_syn(listener)
        self.assertEqual(counter("TCPReqQFullDrop"), before + DROPS)
        self.wait_for_given(collectd, listener, DROPS)
        self.assertEqual(collectd.latest(other.name, DROPPED), 0)
        # No overflow of the accept queue.
        self.assertEqual({value for _, value in collectd.values(listener.name, "queue_length-accept_peak")}, {0})
        self.assertEqual({value for _, value in collectd.values(listener.name, "percent-used")}, {0})
        self.check_each_drop_is_given_once(collectd, listener.name, other.name)

    def test_with_cookies_a_full_syn_queue_drops_nothing(self):
        self.set_sysctl("net.ipv4.tcp_syncookies", 1)
        listener = self.any_listener(limit=4)
        collectd = self.start(listener)
        before, sent = counter("ListenDrops"), counter("SyncookiesSent")
        self.fill_syn_queue(listener)
        clients = self.raw.half_open(listener.port, DROPS)
        self.assertEqual(counter("SyncookiesSent"), sent + DROPS)
        collectd.wait_for_intervals(2)
        self.assertEqual(counter("ListenDrops"), before)
        self.assertEqual(collectd.latest(listener.name, DROPPED), 0)
        # The ACK that brings a cookie back finds the accept queue full.
        listener.fill(5)
        self.raw.acknowledge(clients)
        self.wait_dropped(DROPS, before)
        self.wait_for_given(collectd, listener, DROPS)
        self.check_each_drop_is_given_once(collectd, listener.name)

    def test_cookies_always(self):
        self.set_sysctl("net.ipv4.tcp_syncookies", 2)
        full, other = self.any_listener(limit=3), self.any_listener(limit=3)
        collectd = self.start(full, other)
        full.fill(4)
        self.overflow_by_syn(full)
        self.raw.half_open(other.port, 20)
        self.wait_for_given(collectd, full, DROPS)
        self.assertEqual(collectd.latest(other.name, DROPPED), 0)
        collectd.wait_for_value(full.name, "queue_length-accept_peak", 4)
        self.check_each_drop_is_given_once(collectd, full.name, other.name)


class NoDropsTest(DropsTest):
    """What moves a socket's own counter (ss -m, d) without a drop."""

    def socket_drops(self, listener):
        line = run("ss", "-lntmH", "sport", "=", str(listener.port))
        return int(line.rsplit(",d", 1)[1].split(")")[0])

    def test_half_open_scan(self):
        scanned, full = self.any_listener(limit=128), self.any_listener(limit=2)
        collectd = self.start(scanned, full)
        self.scan(collectd, scanned)
        self.assertEqual(collectd.latest(scanned.name, DROPPED), 0)
        self.assertEqual(self.latest_unattributed(collectd), 0)

        full.fill(3)
        for _ in range(4):
            self.overflow_by_syn(full)
            self.scan(collectd, scanned)
        self.wait_for_given(collectd, full, 4 * DROPS)
        self.assertEqual(collectd.latest(scanned.name, DROPPED), 0)
        self.check_each_drop_is_given_once(collectd, scanned.name, full.name)

    def scan(self, collectd, listener):
        before = self.socket_drops(listener)
        clients = self.raw.half_open(listener.port, 50)
        self.raw.reset(clients)
        wait_until(lambda: self.socket_drops(listener) == before + 50, what="the scan")
        collectd.wait_for_intervals(1)

    def test_a_scan_of_a_listener_that_was_full_in_the_same_interval(self):
        """Drops are given out per sample: at the time of the scan the listener was not full."""
        scanned, full = self.any_listener(limit=128), self.any_listener(limit=2).fill(3)
        collectd = self.start(scanned, full, config="ReportUnix false", interval=1)
        rounds = 6
        for _ in range(rounds):
            scanned.fill(129)
            collectd.wait_for_samples()
            scanned.accept(129)
            scanned.drop_clients()
            collectd.wait_for_samples()
            clients = self.raw.half_open(scanned.port, 20)
            self.overflow_by_syn(full)
            self.raw.reset(clients)
            collectd.wait_for_samples()
        self.wait_for_given(collectd, full, rounds * DROPS)
        self.assertEqual(collectd.latest(scanned.name, DROPPED), 0)
        self.assertEqual(self.latest_unattributed(collectd), 0)

    def deferring(self, limit):
        listener = self.any_listener(limit=limit)
        listener.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 30)
        return listener

    def serve(self, listener, count, while_full=None):
        """Clients that connect and send, all accepted: each moves the socket's own counter by one.
        while_full: what happens while all wait."""
        before = self.socket_drops(listener)
        listener.connect(count)
        wait_until(lambda: self.socket_drops(listener) == before + count, what="deferred clients")
        for client in listener.clients:
            client.send(b"GET")
        if while_full:
            wait_until(lambda: listener.length == count, what="waiting clients", pause=0.001)
            while_full()
        listener.accept(count)
        listener.drop_clients()

    def test_healthy_deferred_connections_beside_an_overflow(self):
        deferring, full = self.deferring(limit=128), self.any_listener(limit=2)
        collectd = self.start(deferring, full)
        self.serve(deferring, 50)
        collectd.wait_for_intervals(1)
        self.assertEqual(collectd.latest(deferring.name, DROPPED), 0)
        full.fill(3)
        for _ in range(5):
            self.overflow_by_syn(full)
            self.serve(deferring, 10)
        self.wait_for_given(collectd, full, 5 * DROPS)
        self.assertEqual(collectd.latest(deferring.name, DROPPED), 0)
        self.assertEqual(self.latest_unattributed(collectd), 0)
        self.check_each_drop_is_given_once(collectd, deferring.name, full.name)

    def test_a_deferring_listener_that_is_full_itself(self):
        """Both are full at the end of the sample and each counter moves by as much: nothing tells
        them apart but how each fared in other samples. At worst half of the drops go wrong."""
        deferring, full = self.deferring(limit=7), self.any_listener(limit=2).fill(3)
        collectd = self.start(deferring, full, config="ReportUnix false")
        rounds = 40
        for _ in range(rounds):
            self.serve(deferring, 8, while_full=lambda: (self.overflow_by_syn(full, 8), collectd.wait_for_samples()))
        collectd.wait(lambda: sum(collectd.latest(each.name, DROPPED) for each in (deferring, full)) == 8 * rounds,
                      what="all drops")
        self.assertLessEqual(collectd.latest(deferring.name, DROPPED), 8 * rounds / 2)
        self.check_each_drop_is_given_once(collectd, deferring.name, full.name)


class PlacesTest(DropsTest):
    """More listeners than MaxListeners."""

    def test_one_that_drops_has_a_series_at_once(self):
        idle = sorted((self.any_listener(limit=2) for _ in range(5)), key=lambda each: each.name)
        collectd = self.collectd("MaxListeners 3", interval=INTERVAL)
        collectd.wait(lambda: collectd.listeners() == {each.name for each in idle[:3]}, what="three series")
        full = idle[4].fill(3)
        self.overflow_by_syn(full)
        self.wait_for_given(collectd, full, DROPS)
        self.assertEqual(collectd.latest(*UNREPORTED), 0)
        self.assertEqual(collectd.listeners(), {each.name for each in idle[:3] + [full]})
        self.overflow_by_syn(full)
        self.wait_for_given(collectd, full, 2 * DROPS)

        # There is one extra place for three. Whoever has it keeps it while it is in trouble.
        other = idle[3].fill(3)
        self.overflow_by_syn(other)
        collectd.wait(lambda: sum(collectd.latest(*each) or 0 for each in ((other.name, DROPPED), UNREPORTED))
                      == DROPS, what="the drops of the other one")
        self.check_each_drop_is_given_once(collectd, full.name)

    def test_listeners_that_are_not_selected(self):
        selected, other = self.any_listener(limit=2).fill(3), self.any_listener(limit=2).fill(3)
        collectd = self.start(selected, config=f'Listener "{selected.name}"')
        self.overflow_by_syn(other, 4)
        self.overflow_by_syn(selected, 2)
        self.wait_for_given(collectd, selected, 2)
        collectd.wait_for_value(*UNREPORTED, 4)
        self.check_each_drop_is_given_once(collectd, selected.name)

    def test_without_any_series(self):
        full = self.any_listener(limit=2).fill(3)
        collectd = self.collectd("MaxListeners 0", interval=INTERVAL)
        collectd.wait_for_intervals(2)
        self.overflow_by_syn(full)
        collectd.wait_for_value(*UNREPORTED, DROPS)
        self.assertEqual(collectd.listeners(), set())
        self.check_each_drop_is_given_once(collectd)


class RestartTest(DropsTest):
    def test_restart_of_an_overflowing_server(self):
        other = self.any_listener(limit=50).fill(1)
        server = self.any_listener(limit=3).fill(4)
        name = server.name
        collectd = self.start(other, server)
        before, port = counter("ListenDrops"), server.port
        self.overflow_by_syn(server)
        self.wait_for_given(collectd, server, DROPS)
        for restart in range(2, 5):
            server.close()
            server = self.any_listener(limit=3, port=port).fill(4)
            self.overflow_by_syn(server)
            self.wait_for_given(collectd, server, restart * DROPS)

        # Away for some intervals.
        server.close()
        collectd.wait_for_intervals(2)
        server = self.any_listener(limit=3, port=port).fill(4)
        collectd.wait_for_value(name, "queue_length-accept", 4)
        self.overflow_by_syn(server)
        self.wait_for_given(collectd, server, 5 * DROPS)

        # Drops between the last sample and the close are in no dump.
        for _ in range(4):
            self.overflow_by_syn(server)
            server.close()
            server = self.any_listener(limit=3, port=port).fill(4)
            self.overflow_by_syn(server)
        drops = 13 * DROPS
        self.assertEqual(counter("ListenDrops") - before, drops)
        collectd.wait(lambda: collectd.latest(name, DROPPED) + self.latest_unattributed(collectd) == drops,
                      what=f"{drops} drops")
        collectd.wait_for_intervals(1)
        self.assertEqual(collectd.latest(other.name, DROPPED), 0)
        self.check_each_drop_is_given_once(collectd, name, other.name)

    def test_a_listener_that_lives_within_one_interval(self):
        other, bystander = self.any_listener(limit=50).fill(1), self.any_listener(limit=2).fill(3)
        collectd = self.start(other, bystander, interval=0.4)
        before = counter("ListenDrops")
        collectd.wait_for_intervals(1)
        with Listener("0.0.0.0", limit=3) as short:
            short.fill(4)
            self.overflow_by_syn(short)
        collectd.wait(lambda: collectd.latest(*LISTEN_DROPS) == before + DROPS, what="the drops")
        collectd.wait_for_intervals(2)
        for listener in (other, bystander):
            self.assertEqual({value for _, value in collectd.values(listener.name, DROPPED)}, {0}, listener.name)
        collectd.wait_for_value(*HOST_DROPPED, DROPS)


class AccountTest(DropsTest):
    def test_an_overflowing_listener_beside_churn(self):
        full, roomy = self.any_listener(limit=2).fill(3), self.any_listener(limit=100).fill(5)
        churn = Churn()
        self.fork(churn.work)
        collectd = self.start(full, roomy)
        before, begin = counter("ListenDrops"), churn.churned
        rounds = 20
        for number in range(rounds):
            self.overflow_by_syn(full, number + 1)
            if number % 4 == 3:
                collectd.wait_for_intervals(2)
        drops = rounds * (rounds + 1) // 2
        self.assertEqual(counter("ListenDrops") - before, drops)
        self.wait_for_given(collectd, full, drops)
        self.assertEqual(collectd.latest(roomy.name, DROPPED), 0)
        self.assertEqual(self.latest_unattributed(collectd), 0)
        self.check_each_drop_is_given_once(collectd, full.name, roomy.name)
        wait_until(lambda: churn.churned >= begin + 1000, what="churn")

    @unittest.skipIf(sanitizers(), "a sanitizer has an operator new of its own")
    def test_a_sampler_that_begins_anew_under_overflow(self):
        """What the kernel counts between the last harvest of one thread and the first sample of the next is
        nobody's; it is not lost, and no counter falls."""
        full = self.any_listener(limit=2).fill(3)
        others = [NetNamespace(f"restart-{os.getpid()}-{number}") for number in range(5)]
        for other in others:
            self.addCleanup(other.close)
        trigger = pathlib.Path(self.folder(), "rate")
        selected = "\n".join(f'NetNamespace "{other.name}"' for other in others)
        collectd = self.collectd(selected, interval=INTERVAL, preload=[os.environ["SHORT_MEMORY"]],
                                 environment={"SHORT_MEMORY_RATE": str(trigger)})
        self.wait_for_counters(collectd, [full])

        def sampling_thread():
            for task in pathlib.Path(f"/proc/{collectd.pid}/task").iterdir():
                with contextlib.suppress(OSError):
                    if task.joinpath("comm").read_text(encoding="ascii") == "backlog sampler\n":
                        return int(task.name)
            return None
        def given():
            return sum(collectd.latest(*series) for series in ((full.name, DROPPED), UNATTRIBUTED, UNREPORTED))
        before = counter("ListenDrops")
        self.assertEqual(given(), 0)
        for _ in range(3):
            before_shortage = sampling_thread()
            self.assertIsNotNone(before_shortage)
            trigger.write_text("100000", encoding="ascii")
            end = time.monotonic() + 20
            while sampling_thread() == before_shortage and time.monotonic() < end:
                self.overflow_by_syn(full)
                time.sleep(INTERVAL / 10)
            trigger.unlink()
            collectd.wait(lambda: sampling_thread() not in (None, before_shortage), what="another thread")
            collectd.wait_for_intervals(1)  # with its first sample
            for _ in range(3):
                self.overflow_by_syn(full)
            collectd.wait_for_intervals(2)
        dropped = counter("ListenDrops") - before
        self.assertGreater(dropped, 0)
        collectd.wait(lambda: given() == dropped, what=f"the whereabouts of {dropped} drops")
        collectd.wait_for_value(*HOST_DROPPED, dropped)
        self.assertGreaterEqual(collectd.latest(full.name, DROPPED), 3 * 3 * DROPS)
        for series in ((full.name, DROPPED), UNATTRIBUTED, UNREPORTED, HOST_DROPPED):
            values = [value for _, value in collectd.values(*series)]
            self.assertEqual(values, sorted(values), series)

    def test_each_drop_is_given_once(self):
        """Everything at once, in a mix that no rule could take apart: the sum is right all the same."""
        full = [self.any_listener(limit=limit).fill(limit + 1) for limit in (0, 1, 2)]
        unstable = self.any_listener(port=UNSTABLE_PORTS[0], limit=2).fill(3)
        acked, scanned = self.any_listener(limit=20), self.any_listener(limit=60)
        clients = self.raw.half_open(acked.port, 10)
        acked.fill(21)
        collectd = self.start(*full, acked, scanned)
        before = counter("ListenDrops")
        rounds = 12
        for number in range(rounds):
            for count, listener in zip(itertools.count(1), [*full, unstable]):
                self.overflow_by_syn(listener, count)
            self.raw.acknowledge(clients)
            self.raw.reset(self.raw.half_open(scanned.port, 20))
            if number % 4 == 3:
                collectd.wait_for_intervals(1)
        wanted = before + rounds * (1 + 2 + 3 + 4 + len(clients))
        wait_until(lambda: counter("ListenDrops") == wanted, what=f"ListenDrops {wanted}")
        collectd.wait_for_value(*LISTEN_DROPS, wanted)
        collectd.wait_for_intervals(2)
        names = [listener.name for listener in [*full, acked, scanned]] + ["tcp_unstable"]
        self.check_each_drop_is_given_once(collectd, *names)
        self.assertEqual(collectd.latest(scanned.name, DROPPED), 0)
        self.assertEqual(self.latest_unattributed(collectd), 0)


if __name__ == "__main__":
    system_test.main()
