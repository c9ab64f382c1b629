#!/usr/bin/env python3
"""What the BPF programs tell, against the truth; and what is left where there are none."""

import collections
import contextlib
import ctypes
import json
import math
import os
import pathlib
import platform
import re
import resource
import signal
import socket
import threading
import time

import system_test
from collectd import events_wanted, sanitizers
from kernel import have_ipv6, kernel_counters, run
from system_test import SystemTest
from waiting import wait_until
from net_namespaces import NetNamespace
from raw_clients import RawClients

SHORTEST_TOLD = 0.025001  # seconds, shortest_told_wait in plugin/kernel/event_book.h
BURSTS = 8
SHORT = 0.001  # seconds that a burst's clients wait
# Sampling alone would see next to nothing of such bursts.
CONFIG = "Values full\nSamplerBudget 20\nSampleInterval 0.1\nBurstInterval 0.1"
EVENT_LAYOUT = pathlib.Path(__file__).resolve().parents[2] / "plugin/kernel/event_layout.h"
CAP_PERFMON, CAP_BPF = 38, 39
IPPROTO_MPTCP = 262  # include/uapi/linux/in.h
TCP_FASTOPEN_WITHOUT_COOKIE = 0x202  # net.ipv4.tcp_fastopen: of servers, and no cookie is asked for
BPF_PROG_GET_FD_BY_ID = 13
BPF_SYSCALL = {"x86_64": 321, "aarch64": 280}.get(platform.machine())


def program_ids(pid):
    """Of the BPF programs that a process has."""
    ids = set()
    for file in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            ids |= set(re.findall(r"^prog_id:\s*(\d+)", file.read_text(encoding="ascii"), re.MULTILINE))
        except FileNotFoundError:
            pass
    return {int(number) for number in ids}


def is_in_kernel(program):
    attribute = ctypes.create_string_buffer(program.to_bytes(4, "little"), 128)
    descriptor = ctypes.CDLL(None).syscall(BPF_SYSCALL, BPF_PROG_GET_FD_BY_ID, attribute, 128)
    if descriptor >= 0:
        os.close(descriptor)
    return descriptor >= 0


def wake_ups(pid):
    """How often the sampling thread has slept."""
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text(encoding="ascii").strip() == "backlog sampler":
            return int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", (task / "status").read_text(), re.MULTILINE)[1])
    raise AssertionError("no sampling thread")


def follow_plans(plans):
    """plans: (listener, connections, seconds after the start); fewer than 0 are accepted. For each listener, how long each
    connection has waited for at least and at most."""
    begun, waits = collections.defaultdict(list), collections.defaultdict(list)
    start = time.monotonic()
    for listener, count, at in sorted(plans, key=lambda plan: plan[2]):
        time.sleep(max(0, start + at - time.monotonic()))
        for _ in range(abs(count)):
            before = time.monotonic()
            (listener.connect if count > 0 else listener.accept)(1)
            after = time.monotonic()
            if count > 0:
                begun[listener].append((before, after))
            else:
                first, second = begun[listener][len(waits[listener])]
                waits[listener].append((before - second, after - first))
    return waits


def quantile(waits, side, share):
    return sorted(wait[side] for wait in waits)[math.ceil(share * len(waits)) - 1]


class EventsTest(SystemTest):
    def with_events(self, config=CONFIG, level=1, interval=0.2, of_unix=False, **options):
        """collectd with programs that tell so much, also of Unix listeners, or the test is skipped."""
        if not events_wanted():
            self.skipTest("BACKLOG_EVENTS is off")
        collectd = self.collectd(config, interval=interval, **options)
        line = collectd.wait_for_log("(no )?events: .*")[0]
        told = collectd.wait(lambda: collectd.values("sampler", "gauge-events"), what="gauge-events")[-1][1]
        if told < level or (of_unix and "TCP only" in line):
            self.skipTest(line)
        return collectd

    def peaks(self, collectd, instance):
        return [int(peak) for _, peak in collectd.values(instance, "queue_length-accept_peak")]

    def make_burst(self, collectd, length, name, fill, empty):
        """Just after a read, clients fill the queue and are all accepted at once."""
        read = len(self.peaks(collectd, name))
        collectd.wait(lambda: len(self.peaks(collectd, name)) > read, what="a read")
        fill(length)
        time.sleep(SHORT)
        empty(length)

    def check_bursts(self, name, fill, empty, lengths=range(5, 5 + BURSTS), **events):
        collectd = self.with_events(**events)
        collectd.wait(lambda: self.peaks(collectd, name), what="a peak")
        for length in lengths:
            self.make_burst(collectd, length, name, fill, empty)
        collectd.wait_for_intervals(2)
        self.assertEqual([peak for peak in self.peaks(collectd, name) if peak > 0], list(lengths))
        return collectd

    def check_tcp_bursts(self, listener):
        def empty(length):
            listener.accept(length)
            listener.drop_clients()
        collectd = self.check_bursts(listener.name, listener.fill, empty)
        total = sum(range(5, 5 + BURSTS))
        for what in ("arrived", "accepted"):
            self.assertEqual(collectd.latest(listener.name, f"connections-{what}"), total)

    def test_bursts_at_ipv4(self):
        self.check_tcp_bursts(self.listener(limit=64))

    def test_bursts_at_ipv6(self):
        if not have_ipv6():
            self.skipTest("no IPv6")
        self.check_tcp_bursts(self.listener("::1", limit=64))

    def test_bursts_at_mptcp(self):
        """Its queue is that of its TCP socket, and counts once."""
        try:
            listener = self.listener(limit=64, protocol=IPPROTO_MPTCP)
        except OSError as error:
            self.skipTest(f"no MPTCP: {error}")
        self.check_tcp_bursts(listener)

    def fast_open(self):
        """Clients that send data with their SYN, and a listener that takes it."""
        raw = RawClients()
        self.addCleanup(raw.close)
        self.set_sysctl("net.ipv4.tcp_fastopen", TCP_FASTOPEN_WITHOUT_COOKIE)
        listener = self.listener("0.0.0.0", limit=64)
        listener.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 64)
        return raw, listener

    def test_bursts_by_tcp_fast_open(self):
        """They wait before their handshake ends."""
        raw, listener = self.fast_open()
        clients = []

        def fill(length):
            clients.extend(raw.send_syns(listener.port, length, b"GET"))
            wait_until(lambda: listener.length == length)

        def empty(length):
            listener.accept(length)
            raw.reset(clients)
            clients.clear()
        self.check_bursts(listener.name, fill, empty)

    def test_handshakes_beside_fast_open(self):
        """Of two functions that add to a queue the kernel calls one or both; each addition counts once."""
        cpus = os.sched_getaffinity(0)
        self.addCleanup(os.sched_setaffinity, 0, cpus)
        os.sched_setaffinity(0, {min(cpus)})
        raw, listener = self.fast_open()
        fast = []

        def fill(length):
            """The last one by a handshake."""
            for number in range(1, length + 1):
                if number % 2 == length % 2:
                    listener.fill(number)
                else:
                    fast.extend(raw.send_syns(listener.port, 1, b"GET"))
                    wait_until(lambda number=number: listener.length == number)

        def empty(length):
            listener.accept(length)
            listener.drop_clients()
            raw.reset(fast)
            fast.clear()
        collectd = self.check_bursts(listener.name, fill, empty)
        self.assertEqual(collectd.latest(listener.name, "connections-arrived"), sum(range(5, 5 + BURSTS)))

    def test_bursts_at_a_unix_socket(self):
        listener = self.unix_listener(f"\0events-{os.getpid()}", limit=64)
        listener.connect(1)
        listener.accept(1)

        def empty(length):
            for connection in listener.clients:
                connection.close()
            listener.clients.clear()
            listener.accept(length)
        self.check_bursts(listener.name, listener.connect, empty, of_unix=True,
                          config=f'{CONFIG}\nListener "{listener.name}"')

    def test_bursts_at_a_group(self):
        """The sum over its members, whichever gets a client."""
        first = self.listener(limit=64, reuse_port=True)
        others = [self.listener(port=first.port, limit=64, reuse_port=True) for _ in range(3)]
        clients = []

        def fill(length):
            clients.extend(socket.create_connection(("127.0.0.1", first.port)) for _ in range(length))
            wait_until(lambda: sum(member.length for member in (first, *others)) == length)

        def empty(_):
            for member in (first, *others):
                member.accept(member.length)
            while clients:
                clients.pop().close()
        self.check_bursts(first.name, fill, empty)

    def test_bursts_in_another_namespace(self):
        other = NetNamespace(f"events{os.getpid()}")
        self.addCleanup(other.close)
        with other.entered():
            listener = self.listener(limit=64)
        name = f"{listener.name}__netns_{other.name}"

        def fill(length):
            with other.entered():
                listener.fill(length)

        def empty(length):
            listener.accept(length)
            listener.drop_clients()
        self.check_bursts(name, fill, empty, config=f'{CONFIG}\nNetNamespace "{other.name}"')

    def test_mean_wait(self):
        """Also over several reads, in which nobody is accepted, and at rest."""
        listener = self.listener(limit=64)
        collectd = self.with_events("Values full\nSamplerBudget 20", interval=0.4)
        for pause in (0.3, 1.2):
            collectd.wait_for_intervals(4)  # those before may have been accepted in two of them
            told = len(self.mean_waits(collectd, listener))
            start = time.monotonic()
            listener.fill(20)
            time.sleep(pause)
            middle = time.monotonic()
            listener.accept(20)
            end = time.monotonic()
            listener.drop_clients()
            collectd.wait(lambda: len(self.mean_waits(collectd, listener)) > told, what="a mean wait")  # pylint: disable=cell-var-from-loop
            mean = self.mean_waits(collectd, listener)[told]
            self.assertGreater(mean, 0.8 * pause)
            self.assertLess(mean, end - start + 0.1, (pause, middle - start))

    def test_quantiles_of_waits(self):
        """Against the clocks of clients and server: never below the truth, and at most twice as long where it is 25 ms or more.
        Of a client that comes seldom and is accepted at once it may not be known."""
        quick, slow, deep = self.listener(limit=64), self.listener(limit=64), self.listener(limit=4096)
        other = self.unix_listener(f"\0waits-{os.getpid()}", limit=64)
        collectd = self.with_events(f'Values full\nSamplerBudget 20\nListener "/{quick.name}|{slow.name}|{deep.name}|{other.name}/"',
                                    level=3, interval=3, of_unix=True)
        if "waits by sk_data_ready" not in collectd.log():
            self.skipTest("this kernel lets accept() be observed")
        plans = [(quick, +1, at) for at in (0.0, 0.4, 0.8)] + [(quick, -1, at + 0.001) for at in (0.0, 0.4, 0.8)]
        for listener in (slow, other):
            plans += [(listener, +30, 0), (listener, +5, 0.2), (listener, -10, 0.3), (listener, -10, 0.4), (listener, -15, 0.6)]
        plans += [(deep, +500, 0.05), (deep, -50, 0.25), (deep, -450, 0.7)]
        wanted = {(listener, what): [] for listener in (slow, deep, other) for what in ("p50", "p99")}

        def told(listener, what):
            return [value for _, value in collectd.values(listener.name, f"duration-wait_{what}")]
        collectd.wait_for_intervals(3)
        read = len(self.peaks(collectd, quick.name))
        collectd.wait(lambda: len(self.peaks(collectd, quick.name)) > read, what="a read")
        self.assertEqual([told(*key) for key in wanted], list(wanted.values()))
        waits = follow_plans(plans)
        collectd.wait(lambda: all(told(*key) for key in wanted), what="quantiles")
        for listener, what in [*wanted, (quick, "p50"), (quick, "p99")]:
            least, most = (quantile(waits[listener], side, {"p50": 0.5, "p99": 0.99}[what]) for side in (0, 1))
            for wait in told(listener, what):
                self.assertGreaterEqual(wait, least, (listener.name, what))
                self.assertLessEqual(wait, max(2 * most, SHORTEST_TOLD), (listener.name, what))

    @staticmethod
    def mean_waits(collectd, listener):
        return [mean for _, mean in collectd.values(listener.name, "duration-wait_mean")]

    def test_a_service_that_is_restarted_within_the_interval(self):
        """What the old socket had counts, though no read has seen it so."""
        collectd = self.with_events(interval=2)
        listener = self.listener(limit=64, reuse_port=True)
        collectd.wait(lambda: len(self.peaks(collectd, listener.name)) > 1, what="peaks")
        read = len(self.peaks(collectd, listener.name))
        listener.fill(30)
        listener.accept(30)
        listener.close()
        self.listener(limit=64, port=listener.port, reuse_port=True)
        collectd.wait(lambda: len(self.peaks(collectd, listener.name)) > read, what="a peak")
        self.assertEqual(self.peaks(collectd, listener.name)[read], 30)
        collectd.wait_for_value(listener.name, "connections-arrived", 30)

    def test_rest_and_wake(self):
        listener = self.listener(limit=64)
        collectd = self.with_events("Values full\nSamplerBudget 20", level=2, interval=1)

        def periods():
            return len(collectd.values("sampler", "duration-period"))
        collectd.wait_for_intervals(4)
        before, intervals = wake_ups(collectd.pid), periods()
        collectd.wait_for_intervals(3)
        self.assertLess(wake_ups(collectd.pid) - before, 40, "40 a second, if it sampled")
        self.assertEqual(periods(), intervals)  # no period while it rests
        listener.fill(20)
        collectd.wait(lambda: periods() > intervals, what="a period, since the queue is above an eighth")
        listener.accept(20)
        collectd.wait_for_intervals(2)
        before = wake_ups(collectd.pid)
        collectd.wait_for_intervals(3)
        self.assertLess(wake_ups(collectd.pid) - before, 40)

    def test_a_queue_that_does_not_move_wakes(self):
        """Far below an eighth of its limit."""
        listener = self.listener(limit=4096)
        collectd = self.with_events("Values full\nSamplerBudget 20", level=2, interval=1)
        collectd.wait_for_intervals(4)
        periods = len(collectd.values("sampler", "duration-period"))
        for length in range(1, 6):
            listener.fill(length)
            time.sleep(0.03)
        collectd.wait(lambda: len(collectd.values("sampler", "duration-period")) > periods, what="a period")

    def test_drops_at_rest(self):
        """They need no look between the reads to be given to the right one: what moves sk_drops of another
        listener at the same time is no drop."""
        raw = RawClients()
        self.addCleanup(raw.close)
        full, deferred = self.listener("0.0.0.0", limit=4), self.listener("0.0.0.0", limit=64)
        deferred.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 30)
        collectd = self.with_events("Values full\nSamplerBudget 20", level=2, interval=1)
        collectd.wait(lambda: all(len(collectd.values(each.name, "packets-dropped")) > 1 for each in (full, deferred)),
                      what="counters")
        full.fill(5)
        dropped = 0
        for _ in range(3):
            before = kernel_counters()["ListenDrops"]
            raw.send_syns(full.port, 7)
            clients = [socket.create_connection(("127.0.0.1", deferred.port)) for _ in range(3)]
            wait_until(lambda: kernel_counters()["ListenDrops"] >= before + 7)
            dropped += kernel_counters()["ListenDrops"] - before
            for client in clients:
                client.close()
            collectd.wait_for_intervals(1)
        collectd.wait_for_intervals(2)
        self.assertEqual(collectd.latest(full.name, "packets-dropped"), dropped)
        self.assertEqual(collectd.latest(deferred.name, "packets-dropped"), 0)
        self.assertEqual(collectd.latest("kernel", "packets-dropped_unattributed"), 0)

    def test_kinds_of_drops(self):
        """SYNs and final ACKs at a full queue, and what is dropped for another reason."""
        raw = RawClients()
        self.addCleanup(raw.close)
        self.set_sysctl("net.ipv4.tcp_syncookies", 0)
        listener = self.listener("0.0.0.0", limit=4)
        table = pathlib.Path(self.folder(), "table")
        collectd = self.with_events(f'Values full\nSamplerBudget 20\nTableFile "{table}"', level=2, interval=1)
        collectd.wait(lambda: len(collectd.values(listener.name, "packets-dropped")) > 1, what="a counter")
        half_open = raw.half_open(listener.port, 3)
        listener.fill(5)
        raw.send_syns(listener.port, 7)
        raw.acknowledge(half_open)
        wait_until(lambda: kernel_counters()["ListenOverflows"] >= 10)
        wanted = {"dropped": 10, "overflows": 10, "syn_overflows": 7, "ack_overflows": 3}

        def shown():
            rows = json.loads(run(os.environ["BACKLOG_TABLE"], "--table", table, "--json"))["listeners"]
            return {key: next(row for row in rows if row["name"] == listener.name).get(key) for key in wanted}
        collectd.wait(lambda: shown()["dropped"] == 10, what="10 drops")
        if shown()["syn_overflows"] is None:
            self.skipTest("this kernel names no TCP_LISTEN_OVERFLOW")
        self.assertEqual(shown(), wanted)
        self.assertIn("dropped: 7 SYNs and 3 final ACKs at a full queue\n",
                      run(os.environ["BACKLOG_TABLE"], "--table", table))

    def test_level(self):
        """Each level tells all that those below it do, and no more than the log says."""
        collectd = self.with_events()
        line = re.search("^.* events: peaks by (.*)", collectd.log(), re.MULTILINE)[1].partition(";")[0]
        level = 1 + ("drops by" in line) + ("drops by" in line and "waits by" in line)
        self.assertEqual(collectd.latest("sampler", "gauge-events"), level, line)

    def test_of_unix_listeners_only_what_is_counted(self):
        """Where events tell of TCP only, there are no arrivals of Unix listeners, rather than none arrived."""
        listener = self.unix_listener(f"\0counted-{os.getpid()}", limit=64)
        collectd = self.with_events(f'{CONFIG}\nListener "{listener.name}"', interval=0.4)
        collectd.wait_for_intervals(2)
        listener.connect(7)
        collectd.wait_for_value(listener.name, "queue_length-accept_peak", 7)
        collectd.wait_for_intervals(2)
        counted = 7 if "TCP only" not in collectd.log() else None
        self.assertEqual(collectd.latest(listener.name, "connections-arrived"), counted)

    def test_off(self):
        self.listener().fill(1)
        collectd = self.collectd("Events off", interval=0.5)
        collectd.wait_for_value("sampler", "gauge-events", lambda value: value == 0)
        self.assertNotIn("events", collectd.log())
        self.assertEqual(program_ids(collectd.pid), set())

    def test_without_capability(self):
        """It goes on without, and says so once."""
        for capability in (CAP_BPF, CAP_PERFMON):
            with self.subTest(without=capability):
                listener = self.listener()
                listener.fill(3)
                collectd = self.collectd("Events auto", interval=0.2, without_capabilities={capability, 21})  # CAP_SYS_ADMIN has both
                collectd.wait_for_value(listener.name, "queue_length-accept_peak", lambda value: value == 3)
                collectd.wait_for_intervals(5)
                self.assertEqual(collectd.latest("sampler", "gauge-events"), 0)
                self.assertEqual(len(re.findall("no events: ", collectd.log())), 1)

    def test_two_at_once(self):
        listener = self.listener(limit=64)
        both = [self.with_events() for _ in range(2)]
        for collectd in both:
            collectd.wait(lambda: self.peaks(collectd, listener.name), what="a peak")  # pylint: disable=cell-var-from-loop
        listener.fill(9)
        listener.accept(9)
        for collectd in both:
            collectd.wait_for_value(listener.name, "queue_length-accept_peak", lambda value: value == 9)
            collectd.wait_for_value(listener.name, "connections-arrived", lambda value: value == 9)

    def check_sampling_goes_on(self, collectd, reason):
        """After the programs were given up."""
        collectd.wait_for_log(f"events: switched off for a while: {reason}", 30)
        collectd.wait_for_value("sampler", "gauge-events", 0)
        self.assertEqual(program_ids(collectd.pid), set())
        listener = self.listener(limit=64)
        listener.fill(9)
        collectd.wait_for_value(listener.name, "queue_length-accept_peak", 9)
        self.assertEqual(len(re.findall("events: switched off", collectd.log())), 1)

    def test_too_dear(self):
        """What goes on at sockets that are none of theirs may cost more than the budget has."""
        collectd = self.with_events("SamplerBudget 0.05", interval=0.5, of_unix=True)
        enough = threading.Event()

        def write():
            one, other = socket.socketpair()
            with one, other:
                while not enough.is_set():
                    one.send(b"x")
                    other.recv(1)
        thread = threading.Thread(target=write)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(enough.set)
        self.check_sampling_goes_on(collectd, "they cost more than SamplerBudget")

    def test_no_room(self):
        """More listeners than the map has entries: none is said to have had no connections that has had some."""
        collectd = self.with_events("ReportUnix false\nSamplerBudget 20", interval=2, of_unix=True)
        most = int(re.search(r"EVENT_LISTENERS =\s+(\d+)", EVENT_LAYOUT.read_text(encoding="ascii"))[1])
        many = most + 50
        with contextlib.ExitStack() as sockets:
            old = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (many + 100, max(many + 100, old[1])))
            self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, old)
            collectd.wait_for_intervals(1)
            for number in range(many):
                listener = sockets.enter_context(socket.socket(socket.AF_UNIX))
                listener.bind(f"\0events-{os.getpid()}-{number}")
                listener.listen(1)
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(listener.getsockname())
            before = collectd.resident_kb()
            self.check_sampling_goes_on(collectd, f"there are more than {most} listeners")
            if not sanitizers():  # which keep what is freed
                self.assertLess(collectd.resident_kb(), before + 4096)

    def check_nothing_is_left(self, end):
        if BPF_SYSCALL is None:
            self.skipTest(f"the number of bpf() on {platform.machine()} is not known here")
        collectd = self.with_events()
        programs = program_ids(collectd.pid)
        self.assertGreaterEqual(len(programs), 2)
        self.assertEqual({is_in_kernel(program) for program in programs}, {True})
        end(collectd)
        wait_until(lambda: not any(is_in_kernel(program) for program in programs), what="programs to go")

    def test_a_stop_leaves_nothing(self):
        self.check_nothing_is_left(lambda collectd: collectd.stop())

    def test_a_kill_leaves_nothing(self):
        def kill(collectd):
            os.kill(collectd.pid, signal.SIGKILL)
            wait_until(lambda: not collectd.running())
        self.check_nothing_is_left(kill)


if __name__ == "__main__":
    system_test.main()
