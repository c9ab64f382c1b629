#!/usr/bin/env python3
"""System calls of the plugin that fail, by turns and for good: collectd lives and does not spin, no value is
false, each fault is said once when it begins and once when it ends, and all values come back.

Each call of CALLS is a phase of one collectd. By itself it tries those of SHORT; FAULTS=all tries all of them,
FAULTS=socket,poll just these.
"""

import collections
import contextlib
import errno
import json
import math
import mmap
import os
import pathlib
import re
import signal
import struct
import time
import unittest

import system_test
from collectd import EXPENSIVE_SCAN, events_wanted, sanitizers
from kernel import run
from net_namespaces import NetNamespace
from test_drops import DROPPED, DROPS, DropsTest

CALLS = {
    "access": errno.EACCES, "bind": errno.ENOMEM, "bpf": errno.EPERM, "fchmod": errno.EPERM,
    "fdopendir": errno.ENOMEM, "foreign_answer": 0, "fstat": errno.EIO, "fstatfs": errno.EIO,
    "futex": errno.ENOSYS, "getdents64": errno.EIO, "getsockname": errno.ENOBUFS, "mmap": errno.ENOMEM,
    "open": errno.EMFILE, "openat": errno.EMFILE, "open_by_handle_at": errno.ESTALE, "opendir": errno.EMFILE,
    "pread": errno.EIO, "read": errno.EIO, "readdir": errno.EIO, "readlink": errno.EACCES,
    "readlinkat": errno.EACCES, "recv": errno.ENOMEM, "recvmsg": errno.ENOBUFS, "renameat": errno.ENOSPC,
    "sendto": errno.ENOBUFS, "setns": errno.EPERM, "setsockopt": errno.ENOBUFS, "short_answer": 0,
    "socket": errno.EMFILE, "stat": errno.ESTALE, "statfs": errno.EIO, "unlinkat": errno.EROFS,
    "write": errno.ENOSPC}
SHORT = ("foreign_answer", "futex", "open", "openat", "recvmsg", "renameat", "setns", "socket", "write")
# Called when a socket is opened, which an answer that fails gives reason for.
OF_OPENING = ("bind", "getsockname", "recv", "setsockopt", "socket")
BY_TURNS = 3
PHASE = 1.2  # seconds
INTERVAL = 0.1
MOST_CALLS = 5000  # of one function a second: more is a thread that spins
CALM = 3           # intervals in a row after which a fault has ended
LIMIT = 5
STOPPED = float(os.environ.get("STOPPED", "3"))  # seconds
BEGINS = re.compile(r"^\[warning\] backlog plugin: no (.*?): ")
ENDS = re.compile(r"^\[notice\] backlog plugin: (.*) can be read again$")


class Order:
    """What faulty_calls.cpp is told; struct Order there."""

    FORMAT = "=32siIQQ"

    def __init__(self, path):
        self.path = path
        path.write_bytes(bytes(64))
        with open(path, "r+b") as file:
            self._bytes = mmap.mmap(file.fileno(), 64)

    def give(self, call, error, every):
        self.clear()
        struct.pack_into(self.FORMAT, self._bytes, 0, call.encode(), error, 0, 0, 0)
        struct.pack_into("=I", self._bytes, 36, every)

    def clear(self):
        struct.pack_into("=I", self._bytes, 36, 0)

    @property
    def asked(self):
        return struct.unpack_from("=Q", self._bytes, 40)[0]

    @property
    def failed(self):
        return struct.unpack_from("=Q", self._bytes, 48)[0]


def chosen_calls():
    wanted = os.environ.get("FAULTS", "")
    return sorted(CALLS) if wanted == "all" else wanted.split(",") if wanted else SHORT


@unittest.skipIf(sanitizers(), "a sanitizer calls in the plugin's place")
class FaultsTest(DropsTest):
    def setUp(self):
        super().setUp()
        self.outside = self.any_listener(limit=LIMIT).fill(3)
        self.lengths = [1, 2, 3]
        self.other = NetNamespace(f"faults-{os.getpid()}")
        self.addCleanup(self.other.close)
        with self.other.entered():
            self.inside = self.listener(limit=LIMIT).fill(2)
        self.inside_name = f"{self.inside.name}__netns_{self.other.name}"
        self.unix = self.unix_listener(f"\0faults-{os.getpid()}")
        self.unix.connect(2)
        self.folder_ = pathlib.Path(self.folder())
        self.order = Order(self.folder_ / "order")
        self.table = self.folder_ / "table"
        self.never_asked = set()

    def run_collectd(self):
        collectd = self.collectd(
            f'NetNamespace "{self.other.name}"\nValues full\nTableFile "{self.table}"', interval=INTERVAL,
            preload=[os.environ["FAULTY_CALLS_LIBRARY"]], environment={"FAULTY_CALLS": str(self.order.path)})
        self.wait_for_lengths(collectd)
        return collectd

    def wait_for_lengths(self, collectd):
        for name, length in ((self.outside.name, self.outside.length), (self.inside_name, self.inside.length),
                             (self.unix.name, self.unix.length)):
            collectd.wait_for_value(name, "queue_length-accept", length)

    def change_lengths(self):
        """So that only a new value can be the right one."""
        self.lengths = self.lengths[1:] + self.lengths[:1]
        length = self.lengths[0]
        self.outside.accept(self.outside.length)
        self.outside.fill(length)
        self.unix.accept(self.unix.length)
        self.unix.connect(length)
        with self.other.entered():
            self.inside.accept(self.inside.length)
            self.inside.fill(length)

    def wait_for_table(self, collectd):
        before = self.table.stat().st_mtime_ns
        collectd.wait(lambda: self.table.stat().st_mtime_ns > before, what="a new table file")

    @staticmethod
    def lines(collectd):
        return [line for line in collectd.log().splitlines() if EXPENSIVE_SCAN not in line]

    def faults_said(self, collectd, since):
        """How often each fault was said to begin and to end, in what was logged from that line on."""
        begun, ended = collections.Counter(), collections.Counter()
        for line in self.lines(collectd)[since:]:
            for pattern, counter in ((BEGINS, begun), (ENDS, ended)):
                if match := pattern.match(line):
                    counter[match.group(1)] += 1
        return begun, ended

    def all_have_ended(self, collectd, since):
        begun, ended = self.faults_said(collectd, since)
        return begun == ended

    def phase(self, collectd, call, every):
        said_before = len(self.lines(collectd))
        if call in OF_OPENING:
            self.order.give("recvmsg", errno.ENOBUFS, 1)
            collectd.wait(lambda: self.order.failed, what="a call of recvmsg that fails")
        begin = time.monotonic()
        self.order.give(call, CALLS[call], every)
        # Some are dropped while nothing can be seen.
        self.overflow_by_syn(self.outside.fill(LIMIT + 1))
        collectd.wait(lambda: time.monotonic() > begin + PHASE, what="the end of the phase")
        self.order.clear()
        self.assertLess(self.order.asked, MOST_CALLS * (time.monotonic() - begin), "it spins")
        if not self.order.asked:
            self.never_asked.add(call)
        elif every == 1:
            self.assertGreater(self.order.failed, 0)
        self.change_lengths()
        self.wait_for_lengths(collectd)
        self.wait_for_table(collectd)
        collectd.wait(lambda: self.all_have_ended(collectd, said_before), what="the end of each fault that began")
        begun, _ = self.faults_said(collectd, said_before)
        # One that fails by turns can go well for as long as ends it, and begin again.
        most = 1 if every == 1 else math.ceil(PHASE / INTERVAL / (CALM + 1))
        self.assertFalse([part for part, times in begun.items() if times > most], self.lines(collectd)[said_before:])

    def check_values(self, collectd):
        """What was stored at any time is what can have been so."""
        for name, limit in ((self.outside.name, LIMIT), (self.inside_name, LIMIT), (self.unix.name, 16)):
            self.assertEqual({value for _, value in collectd.values(name, "queue_length-limit")}, {limit})
            for series in ("queue_length-accept", "queue_length-accept_peak"):
                self.assertLessEqual(max(value for _, value in collectd.values(name, series)), limit + 2)
        self.check_each_drop_is_given_once(collectd, self.outside.name)

    def test_calls_that_fail(self):
        collectd = self.run_collectd()
        for call in chosen_calls():
            for every in (1, BY_TURNS):
                with self.subTest(call=call, every=every):
                    self.phase(collectd, call, every)
                if not collectd.running():
                    self.fail(f"collectd has ended in the phase of {call}:\n{collectd.output()[-2000:]}")
        if self.never_asked:
            print(f"never called while it ran: {', '.join(sorted(self.never_asked))}")
        self.assertFalse(self.never_asked & set(SHORT))
        self.check_values(collectd)
        self.assertLess(collectd.stop(), 5)
        self.assertEqual(collectd.status, 0)

    def test_a_clock_that_is_set(self):
        """Forward by an hour and back again, which makes nothing old, late, or dropped twice."""
        collectd = self.run_collectd()
        for ahead in (3600, 0):
            with self.subTest(ahead=ahead):
                self.order.give("clock_gettime", ahead, 1)
                collectd.wait(lambda: abs(self.table_json()["taken_at"] - time.time() - ahead) < 60,
                              what="a table by that clock")
                self.overflow_by_syn(self.outside.fill(LIMIT + 1))
                self.change_lengths()
                collectd.wait(lambda: self.lengths_in_table() == [each.length for each in self.all_listeners()],
                              what="the new lengths")
                for _ in range(5):
                    self.wait_for_table(collectd)
                    content = self.table_json()
                    self.assertGreaterEqual(content["age_seconds"], 0)
                    self.assertLess(content["age_seconds"], 5)
                    self.assertFalse({row["state"] for row in content["listeners"]} & {"stalled", "missing"})
        self.assertGreater(self.order.failed, 0)
        self.order.clear()
        # What was stored by another clock is in another place of the file.
        self.assertEqual(max(value for _, value in collectd.values(self.outside.name, "packets-dropped")),
                         2 * DROPS)
        self.assertEqual(self.faults_said(collectd, 0), ({}, {}))
        self.assertLess(collectd.stop(), 5)
        self.assertEqual(collectd.status, 0)

    def all_listeners(self):
        return self.outside, self.inside, self.unix

    def table_json(self):
        return json.loads(run(os.environ["BACKLOG_TABLE"], "--json", "--table", str(self.table)))

    def lengths_in_table(self):
        lengths = {row["name"]: row["length"] for row in self.table_json()["listeners"]}
        return [lengths.get(name) for name in (self.outside.name, self.inside_name, self.unix.name)]

    def test_a_disk_that_is_full_and_one_that_is_read_only(self):
        disk = pathlib.Path("/run", f"faults-{os.getpid()}")  # a /run of its own, see NetNamespace
        disk.mkdir()
        run("mount", "-t", "tmpfs", "-o", "size=64k,mode=755", "tmpfs", str(disk))
        self.addCleanup(run, "umount", str(disk))
        self.table = disk / "table"
        collectd = self.run_collectd()
        self.wait_for_table(collectd)

        @contextlib.contextmanager
        def full():
            with contextlib.suppress(OSError), open(disk / "rest", "wb", buffering=0) as rest:
                while rest.write(bytes(4096)):
                    pass
            yield "No space left on device"
            (disk / "rest").unlink()

        @contextlib.contextmanager
        def read_only():
            run("mount", "-o", "remount,ro", str(disk))
            yield "Read-only file system"
            run("mount", "-o", "remount,rw", str(disk))
        for fault in (full, read_only):
            with self.subTest(fault=fault.__name__):
                said_before = len(self.lines(collectd))
                with fault() as reason:
                    collectd.wait(lambda: reason in "\n".join(self.lines(collectd)[said_before:]), what=reason)
                    self.change_lengths()
                    self.wait_for_lengths(collectd)
                self.wait_for_table(collectd)
                collectd.wait(lambda: self.all_have_ended(collectd, said_before), what="the end of the fault")
                begun, _ = self.faults_said(collectd, said_before)
                self.assertEqual(begun, {"table file": 1})
                self.assertEqual(sorted(entry.name for entry in disk.iterdir()), ["table"])
        self.assertLess(collectd.stop(), 5)
        self.assertEqual(collectd.status, 0)

    def test_stopped_for_many_intervals(self):
        """Nothing is false or said to be late, and what was dropped meanwhile is given."""
        collectd = self.run_collectd()
        dropped = collectd.latest(self.outside.name, DROPPED)
        os.kill(collectd.pid, signal.SIGSTOP)
        self.overflow_by_syn(self.outside.fill(LIMIT + 1))
        time.sleep(STOPPED)
        self.change_lengths()
        os.kill(collectd.pid, signal.SIGCONT)
        self.wait_for_lengths(collectd)
        collectd.wait_for_intervals(10)
        self.assertEqual(self.faults_said(collectd, 0), ({}, {}))
        self.assertEqual(collectd.latest(self.outside.name, DROPPED), dropped + DROPS)
        self.check_values(collectd)

    def test_a_rest_that_fails(self):
        """The sampler waits for an event in poll()."""
        if not events_wanted():
            self.skipTest("BACKLOG_EVENTS is off")
        for listener in (self.outside, self.unix):
            listener.accept(listener.length)
        collectd = self.collectd(interval=INTERVAL, preload=[os.environ["FAULTY_CALLS_LIBRARY"]],
                                 environment={"FAULTY_CALLS": str(self.order.path)})
        said = collectd.wait_for_log(r"\bevents: .*")[0]
        if "drops by" not in said:
            self.skipTest(f"the sampler does not rest: {said}")
        self.order.give("poll", errno.ENOMEM, 1)
        begin = time.monotonic()
        collectd.wait(lambda: self.order.failed > 10, what="calls of poll that fail")
        self.assertLess(self.order.asked, MOST_CALLS * (time.monotonic() - begin), "it spins")
        self.outside.fill(2)
        collectd.wait_for_value(self.outside.name, "queue_length-accept", 2)
        self.order.clear()
        self.outside.fill(3)
        collectd.wait_for_value(self.outside.name, "queue_length-accept", 3)


if __name__ == "__main__":
    system_test.main()
