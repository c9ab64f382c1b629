#!/usr/bin/env python3
"""Every kind of TCP listener, and the kernel's counters and limits, as they arrive in csv."""

import collections
import os
import socket
import time

import system_test
from kernel import have_ipv6, kernel_counters, make_device, read_sysctl, run, ss
from listeners import UNSTABLE_PORTS
from names import percent_used, tcp_name
from system_test import SystemTest
from waiting import wait_until

COUNTERS = [
    "ListenOverflows", "ListenDrops", "TCPReqQFullDrop", "TCPReqQFullDoCookies", "SyncookiesSent", "SyncookiesRecv",
    "SyncookiesFailed", "EmbryonicRsts", "TCPDeferAcceptDrop", "TCPFastOpenListenOverflow", "TCPSynRetrans",
    "TCPTimeouts", "RetransSegs", "PassiveOpens", "AttemptFails",
]
LIMITS = {
    "somaxconn": "net.core.somaxconn",
    "tcp_max_syn_backlog": "net.ipv4.tcp_max_syn_backlog",
    "tcp_syncookies": "net.ipv4.tcp_syncookies",
    "tcp_abort_on_overflow": "net.ipv4.tcp_abort_on_overflow",
}
IPPROTO_MPTCP = 262  # include/uapi/linux/in.h

Truth = collections.namedtuple("Truth", "length limit used sockets")


def truth_of(members):
    """Of the members of one listener, as (length, limit) each."""
    return Truth(
        sum(length for length, _ in members), sum(limit for _, limit in members),
        max(percent_used(length, limit) for length, limit in members), len(members))


def truth_from_ss():
    """{name: Truth} of all listeners of the namespace."""
    members = collections.defaultdict(list)
    for entry in ss():
        name = tcp_name(entry.family, entry.address, entry.port, entry.device, entry.v6only)
        members[name].append((entry.recv_q, entry.send_q))
    return {name: truth_of(of_name) for name, of_name in members.items()}


def truth_from_sockets(listeners):
    """{name: Truth}, by the sockets' own TCP_INFO."""
    members = collections.defaultdict(list)
    for listener in listeners:
        members[listener.name].append((listener.length, listener.limit))
    return {name: truth_of(of_name) for name, of_name in members.items()}


class ListenerTest(SystemTest):
    """What the tests of this file share."""

    def make_every_kind(self):
        """Listeners of every kind with known queues, among them empty and full ones."""
        listeners = [
            self.listener("127.0.0.1", limit=0),
            self.listener("127.0.0.1", limit=0).fill(1),
            self.listener("127.0.0.1", limit=2).fill(3),
            self.listener("0.0.0.0", limit=2).fill(2),
            self.listener("0.0.0.0", limit=5000).fill(5),
            self.listener("127.0.0.2", limit=7, device="lo").fill(4),
        ]
        listeners += self.make_reuse_port_group()
        if self.have_device:
            listeners.append(self.listener("0.0.0.0", limit=3, device="eth.0"))
            listeners.append(self.listener("127.0.0.1", port=listeners[-1].port, limit=6, device="lo").fill(2))
        if have_ipv6():
            listeners += self.make_ipv6_kinds()
        return listeners

    def make_reuse_port_group(self):
        first = self.listener("127.0.0.1", limit=10, reuse_port=True)
        group = [first] + [self.listener("127.0.0.1", port=first.port, limit=limit, reuse_port=True)
                           for limit in (20, 30, 40)]
        self.fill_group(group, 9)
        return group

    def fill_group(self, group, count, target=None):
        group[0].connect(count, target)
        wait_until(lambda: sum(member.length for member in group) == count, what="a filled group")

    def make_ipv6_kinds(self):
        dual = self.listener("::", limit=20, v6only=False)
        dual.connect(3, "::1")
        dual.connect(4, "::ffff:127.0.0.1")
        wait_until(lambda: dual.length == 7, what="clients of both families")
        v4 = self.listener("0.0.0.0", limit=9, reuse_port=True)
        beside = [v4, self.listener("::", port=v4.port, limit=8, v6only=False, reuse_port=True)]
        v4.connect(2)
        beside[1].connect(3, "::1")
        wait_until(lambda: sum(member.length for member in beside) == 5, what="a filled pair")
        v6only = self.listener("::", limit=4, v6only=True).fill(1)
        return [
            dual, *beside, v6only,
            self.listener("0.0.0.0", port=v6only.port, limit=5).fill(3),
            self.listener("::1", limit=1).fill(2),
            self.listener("::1", limit=6, device="lo", v6only=True).fill(1),
            self.listener("::ffff:127.0.0.1", limit=11).fill(6),
            self.listener("fe80::1", limit=12, device="lo").fill(2),
        ]

    def check_values(self, collectd, truth, full=True):
        """Each value that ever arrived is the truth, and nothing else arrived."""
        self.assertEqual(collectd.listeners(), set(truth))
        for name, wanted in truth.items():
            series = {"queue_length-accept": wanted.length, "queue_length-limit": wanted.limit,
                      "percent-used": wanted.used}
            if full:
                series["count-sockets"] = wanted.sockets
            for each, value in series.items():
                with self.subTest(listener=name, series=each):
                    stored = collectd.values(name, each)
                    self.assertTrue(stored)
                    for _, seen in stored:
                        self.assertAlmostEqual(seen, value, places=6)

    def wait_for_listeners(self, collectd, names, intervals=3):
        """Until each has values of some intervals."""
        collectd.wait(lambda: all(len(collectd.values(name, "percent-used")) >= intervals for name in names),
                      what=f"values of {len(names)} listeners")

    def check_every_kind(self, **options):
        listeners = self.make_every_kind()
        truth = truth_from_sockets(listeners)
        self.assertEqual(truth_from_ss(), truth)
        self.assertIn(100.0, {of_name.used for of_name in truth.values()})
        self.assertIn(4, {of_name.sockets for of_name in truth.values()})
        collectd = self.collectd("Values full", **options)
        self.wait_for_listeners(collectd, truth)
        self.check_values(collectd, truth)
        self.assertEqual(truth_from_ss(), truth)


class ValuesTest(ListenerTest):
    @classmethod
    def setUpClass(cls):
        cls.have_device = make_device("eth.0")
        if have_ipv6():
            run("ip", "address", "add", "fe80::1/64", "dev", "lo", "nodad")

    def test_every_kind_equals_the_sockets_and_ss(self):
        self.check_every_kind()

    def test_every_kind_where_each_family_is_dumped(self):
        shim = os.environ["STRANGE_SOCK_DIAG"]
        self.check_every_kind(preload=[shim], environment={"STRANGE_SOCK_DIAG_EACH_FAMILY": "1"})

    def test_a_gone_device_is_named_by_its_index(self):
        if not make_device("gone0"):
            self.skipTest("no network device can be made")
        index = socket.if_nametoindex("gone0")
        listener = self.listener("127.0.0.1", device="gone0")
        run("ip", "link", "delete", "gone0")
        collectd = self.collectd()
        self.wait_for_listeners(collectd, [f"tcp_127-0-0-1_{listener.port}__dev_if{index}"])

    def test_two_devices_that_meet_in_one_name_are_two_listeners(self):
        """Whoever comes first: who may bind to a device cannot slip under a service's name."""
        for device in ("vlan0.7", "vlan0-7"):
            if not make_device(device):
                self.skipTest("no network device can be made")
        other = self.listener("0.0.0.0", device="vlan0-7", limit=5)
        collectd = self.collectd()
        collectd.wait_for_value(other.name, "queue_length-limit", 5)
        service = self.listener("0.0.0.0", other.port, device="vlan0.7", limit=4)
        self.assertEqual(service.name, other.name)

        def renamed():
            return [name for name in collectd.listeners() if name.startswith(f"{other.name}_")]
        collectd.wait(renamed, what="a name of its own")
        (name,) = renamed()
        collectd.wait_for_value(name, "queue_length-limit", 5)
        collectd.wait_for_value(service.name, "queue_length-limit", 4)
        said = [line for line in collectd.messages() if "would have the same name" in line]
        self.assertEqual(len(said), 1, said)
        for words in ("device vlan0.7", "device vlan0-7", service.name, name):
            self.assertIn(words, said[0])

    def test_values_basic_is_the_default_and_follows_the_queue(self):
        listener = self.listener(limit=4).fill(2)
        collectd = self.collectd()
        self.wait_for_listeners(collectd, [listener.name])
        self.assertNotIn("count-sockets", collectd.series_names(listener.name))
        self.check_values(collectd, truth_from_sockets([listener]), full=False)
        listener.fill(5)
        collectd.wait_for_value(listener.name, "queue_length-accept", 5)
        collectd.wait_for_value(listener.name, "percent-used", 100)
        listener.accept(5)
        collectd.wait_for_value(listener.name, "queue_length-accept", 0)
        listener.listen(60)
        collectd.wait_for_value(listener.name, "queue_length-limit", 60)

    def test_an_mptcp_listener_counts_once(self):
        try:
            listener = self.listener(limit=4, protocol=IPPROTO_MPTCP)
        except OSError as error:
            self.skipTest(f"no MPTCP: {error}")
        listener.fill(3)
        self.assertEqual(truth_from_ss(), truth_from_sockets([listener]))
        collectd = self.collectd("Values full")
        self.wait_for_listeners(collectd, [listener.name])
        self.check_values(collectd, truth_from_sockets([listener]))
        collectd.wait_for_value("host", "count-listeners", 1)

    def test_a_closed_listener_ends_its_series_only(self):
        closed, other = self.listener(), self.listener()
        collectd = self.collectd()
        self.wait_for_listeners(collectd, [closed.name, other.name])
        closed.close()
        collectd.wait_for_intervals(3)
        start = time.time()
        collectd.wait_for_intervals(3)
        self.assertLess(collectd.values(closed.name, "percent-used")[-1][0], start)
        self.assertEqual({limit for _, limit in collectd.values(closed.name, "queue_length-limit")}, {16})
        self.assertGreater(collectd.values(other.name, "percent-used")[-1][0], start)


class SelectionTest(ListenerTest):
    def test_unstable_ports_are_folded(self):
        low, other = UNSTABLE_PORTS[:2]
        stable = self.listener(limit=9)
        unstable = [self.listener(port=low, limit=3).fill(4), self.listener(port=other, limit=9).fill(2)]
        collectd = self.collectd()
        self.wait_for_listeners(collectd, [stable.name, "tcp_unstable"])
        self.assertEqual(collectd.listeners(), {stable.name})
        collectd.wait_for_value("tcp_unstable", "queue_length-accept", 6)
        collectd.wait_for_value("tcp_unstable", "percent-used", 100)
        unstable[0].accept(4)
        collectd.wait_for_value("tcp_unstable", "percent-used", 20)

    def test_an_unstable_port_has_its_series_when_named(self):
        low, other = UNSTABLE_PORTS[:2]
        named = self.listener(port=low, limit=3).fill(2)
        self.listener(port=other, limit=3)
        stable = self.listener()
        collectd = self.collectd(f'Listener "{named.name}"\nListener "{stable.name}"')
        self.wait_for_listeners(collectd, [named.name, stable.name])
        self.assertEqual(collectd.listeners(), {named.name, stable.name})
        collectd.wait_for_value(named.name, "queue_length-accept", 2)

    def test_listener_and_ignore_selected(self):
        first, second, third = (self.listener() for _ in range(3))
        regex = f'Listener "/_{first.port}$/"\nListener "{second.name}"\n'
        collectd = self.collectd(regex)
        self.wait_for_listeners(collectd, [first.name, second.name])
        self.assertEqual(collectd.listeners(), {first.name, second.name})
        collectd = self.collectd(regex + "IgnoreSelected true")
        self.wait_for_listeners(collectd, [third.name])
        self.assertEqual(collectd.listeners(), {third.name})

    def test_max_listeners(self):
        listeners = sorted((self.listener() for _ in range(7)), key=lambda listener: listener.name)
        kept, left_out = listeners[1:5], listeners[5:]
        early = listeners[0]
        port = early.port
        early.close()
        collectd = self.collectd("MaxListeners 4")
        names = {listener.name for listener in kept}
        self.wait_for_listeners(collectd, names)
        self.assertEqual(collectd.listeners(), names)
        self.listener(port=port)  # first by name, but late
        collectd.wait_for_intervals(4)
        self.assertEqual(collectd.listeners(), names)
        kept[2].close()
        collectd.wait(lambda: len(collectd.listeners()) == 5, what="a listener in the place of a closed one")
        self.assertEqual(collectd.listeners() - names, {left_out[0].name})


class KernelTest(ListenerTest):
    def check_counters(self, collectd):
        """The stored counters are those of /proc, at a time when these stand still; returns them."""
        for _ in range(20):
            before = kernel_counters()
            collectd.wait_for_intervals(2)
            stored = {name: collectd.latest("kernel", f"protocol_counter-{name}") for name in COUNTERS}
            if before == kernel_counters():
                self.assertEqual(stored, {name: before.get(name) for name in COUNTERS})
                return stored
        return self.fail("the kernel's counters never stood still")

    def test_counters_through_a_real_overflow(self):
        listener = self.listener(limit=2)
        collectd = self.collectd()
        before = self.check_counters(collectd)
        listener.fill(3)
        listener.connect(4)
        wait_until(lambda: kernel_counters()["ListenOverflows"] >= before["ListenOverflows"] + 4,
                           what="an overflow")
        collectd.wait_for_value("kernel", "protocol_counter-ListenOverflows",
                                lambda value: value >= before["ListenOverflows"] + 4)
        collectd.wait_for_value(listener.name, "queue_length-accept", 3)
        collectd.wait_for_value(listener.name, "percent-used", 100)
        listener.drop_clients()
        after = self.check_counters(collectd)
        for name in ("ListenOverflows", "ListenDrops"):
            self.assertGreaterEqual(after[name], before[name] + 4)
        self.assertGreaterEqual(after["PassiveOpens"], before["PassiveOpens"] + 3)

    def test_limits_follow_the_sysctls(self):
        collectd = self.collectd()

        def stored():
            return {name: collectd.latest("kernel", f"gauge-{name}") for name in LIMITS}

        def truth():
            values = {name: read_sysctl(sysctl) for name, sysctl in LIMITS.items()}
            return {name: None if value is None else float(value) for name, value in values.items()}

        collectd.wait_for_intervals(1)
        self.assertEqual(stored(), truth())
        for number, (name, sysctl) in enumerate(LIMITS.items()):
            if read_sysctl(sysctl) is not None:
                self.set_sysctl(sysctl, {"tcp_syncookies": 2, "tcp_abort_on_overflow": 1}.get(name, 777 + number))
        before = truth()
        collectd.wait(lambda: stored() == before, what=f"the changed limits {before}")


if __name__ == "__main__":
    system_test.main()
