#!/usr/bin/env python3
"""Unix-domain listeners."""

import json
import os
import pathlib
import socket
import time
import uuid

import system_test
from kernel import run
from names import percent_used
from processes import raise_descriptor_limit
from notifications import MISSING, STATE, NotificationTest

INTERVAL = 0.1
CONTAINERS = 1000
LISTENERS = 200
CROWD = 9000  # clients


class UnixTest(NotificationTest):
    def setUp(self):
        self.path = self.stable_folder()

    def listening(self, file, **options):
        return self.unix_listener(str(self.path / file), **options)

    def abstract(self, **options):
        return self.unix_listener(f"\0listener-{os.getpid()}-{self.id().rpartition('.')[2]}", **options)

    def check(self, collectd, listener, length, limit):
        """Until the values of an interval are these."""
        series = ("queue_length-accept", "queue_length-accept_peak", "queue_length-limit", "percent-used")
        wanted = [length, length, limit, percent_used(length, limit)]

        def newest():
            rows = collectd.rows(*((listener.name, each) for each in series))
            return rows[max(rows)] if rows else None
        collectd.wait(lambda: newest() is not None
                      and all(abs(value - other) < 1e-6 for value, other in zip(newest(), wanted)),
                      what=f"{listener.name} at {length} of {limit}")

    def wait_for_kernel(self, collectd):
        collectd.wait_for_intervals(3)

    def check_at_and_over_its_limit(self, listener):
        self.assertEqual(listener.connect(4), 4)
        collectd = self.collectd("Values full", interval=INTERVAL)
        self.check(collectd, listener, 4, 4)
        collectd.wait_for_value(listener.name, "percent-full", 0)
        self.assertEqual(listener.connect(3), 1)
        self.check(collectd, listener, 5, 4)
        collectd.wait_for_value(listener.name, "percent-full", 100)
        collectd.wait_for_value(listener.name, "queue_length-accept_mean", 5)
        collectd.wait_for_value(listener.name, "count-sockets", 1)
        collectd.wait_for_value("host", "percent-worst", 100)
        listener.accept(5)
        self.check(collectd, listener, 0, 4)
        for series in ("packets-dropped", "queue_length-syn"):
            self.assertNotIn(series, collectd.series_names(listener.name))

    def test_stream_at_and_over_its_limit(self):
        self.check_at_and_over_its_limit(self.listening("stream.sock", limit=4))

    def test_seqpacket_at_and_over_its_limit(self):
        self.check_at_and_over_its_limit(self.listening("seqpacket", limit=4, kind=socket.SOCK_SEQPACKET))

    def test_abstract_at_and_over_its_limit(self):
        self.check_at_and_over_its_limit(self.abstract(limit=4))

    def test_datagram_sockets_and_connections_are_no_listeners(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagram:
            datagram.bind(str(self.path / "datagram"))
            listener = self.listening("stream")
            listener.connect(2)
            connection, _ = listener.socket.accept()
            self.addCleanup(connection.close)
            collectd = self.collectd(interval=INTERVAL)
            collectd.wait_for_value(listener.name, "queue_length-accept", 1)
            self.assertEqual(collectd.unix_listeners(), {listener.name})
            collectd.wait_for_value("host", "count-listeners", 1)

    def test_one_that_was_shut_down_is_no_listener(self):
        """It refuses all clients for good, though the kernel lists it."""
        listener = self.listening("stream")
        listener.connect(3)
        collectd = self.collectd(f'MissingAfter 1\n<Watch "{listener.name}">\nExpected true\n</Watch>',
                                 interval=INTERVAL)
        self.check(collectd, listener, 3, 16)
        listener.socket.shutdown(socket.SHUT_RD)
        listener.socket.listen(16)
        with self.assertRaises(ConnectionRefusedError):
            listener.connect(1)
        collectd.wait_for_value(listener.name, STATE, MISSING)
        collectd.wait_for_value("host", "count-listeners", 0)

    def test_a_series_from_the_first_waiting_client_on(self):
        idle, busy = self.listening("idle"), self.listening("busy")
        collectd = self.collectd(interval=INTERVAL)
        collectd.wait_for_value("host", "count-listeners", 2)
        self.wait_for_kernel(collectd)
        self.assertEqual(collectd.unix_listeners(), set())
        busy.connect(1)
        self.check(collectd, busy, 1, 16)
        busy.accept(1)
        self.check(collectd, busy, 0, 16)
        self.assertEqual(collectd.unix_listeners(), {busy.name})
        idle.connect(1)
        self.check(collectd, idle, 1, 16)

    def test_a_named_listener_has_its_series_at_once(self):
        named, other = self.listening("named", limit=7), self.listening("other")
        collectd = self.collectd(f'Listener "{named.name}"\nListener "{other.name}x"', interval=INTERVAL)
        self.check(collectd, named, 0, 7)
        other.connect(1)
        self.wait_for_kernel(collectd)
        self.assertEqual(collectd.unix_listeners(), {named.name})

    def test_not_asked_for(self):
        self.listening("busy").connect(2)
        self.listening(str(uuid.uuid4())).connect(2)
        collectd = self.collectd("ReportUnix false", interval=INTERVAL)
        self.wait_for_kernel(collectd)
        self.assertEqual({name for name in collectd.instances() if name.startswith("unix")}, set())
        collectd.wait_for_value("host", "count-listeners", 0)

    def test_whom_a_queue_refused_leaves_no_trace(self):
        """The kernel shows the same of a queue that refused forty clients and of one that refused nobody, so that no
        limit can be told that would have held them."""
        full, refusing = self.listening("full", limit=16), self.listening("refusing", limit=16)
        collectd = self.collectd("Values full", interval=INTERVAL)
        self.wait_for_kernel(collectd)
        self.assertEqual((full.connect(17), refusing.connect(57)), (17, 17))
        shown = [line.split() for line in run("ss", "-xlnH").splitlines()]
        lengths = {line[4]: line[2:4] for line in shown if line[4].startswith(str(self.path))}
        self.assertEqual(lengths, {str(self.path / name): ["17", "16"] for name in ("full", "refusing")})
        for listener in (full, refusing):
            collectd.wait_for_value(listener.name, "percent-full", 100)
        # Each has its own times of waiting.
        series = {name for name in collectd.series_names(full.name) if not name.startswith("duration-")}
        self.assertGreaterEqual(series, {"queue_length-accept_peak", "gauge-state", "percent-used"})
        for name in series:
            collectd.wait(lambda name=name: collectd.latest(full.name, name) == collectd.latest(refusing.name, name),
                          what=f"the same {name}")
        for listener in (full, refusing):
            listener.accept(17)
            collectd.wait_for_value(listener.name, "queue_length-accept", 0)
        self.wait_for_kernel(collectd)
        for listener in (full, refusing):
            self.assertNotIn("queue_length-enough", collectd.series_names(listener.name))
            self.assertNotIn("would have held", " ".join(each.message for each in self.of(collectd, listener.name)))

    def test_paths_with_ids_make_one_series(self):
        raise_descriptor_limit()
        stable = self.listening("stable", limit=3)
        stable.connect(2)
        (self.path / "containers").mkdir()
        listeners = [self.listening(f"containers/{uuid.uuid4().hex}.sock", limit=2) for _ in range(CONTAINERS)]
        collectd = self.collectd("Values full", interval=INTERVAL)
        collectd.wait_for_value("unix_unstable", "count-sockets", CONTAINERS)
        collectd.wait_for_value("unix_unstable", "queue_length-limit", 2 * CONTAINERS)
        collectd.wait_for_value("unix_unstable", "percent-used", 0)
        listeners[7].connect(3)
        listeners[500].connect(1)
        collectd.wait_for_value("unix_unstable", "queue_length-accept", 4)
        collectd.wait_for_value("unix_unstable", "percent-used", 100)
        collectd.wait_for_value("unix_unstable", "percent-full", 100)
        listeners[7].accept(2)
        collectd.wait_for_value("unix_unstable", "percent-used", lambda value: abs(value - 100 / 3) < 1e-6)
        for listener in listeners[600:]:
            listener.close()
        collectd.wait_for_value("unix_unstable", "count-sockets", 600)
        collectd.wait_for_value("unix_unstable", "queue_length-limit", 1200)
        self.assertEqual(collectd.unix_listeners(), {stable.name})
        self.check(collectd, stable, 2, 3)

    def test_of_two_sockets_of_one_path_the_current_one_counts(self):
        old = self.listening("server", limit=3)
        old.connect(4)
        collectd = self.collectd("Values full", interval=INTERVAL)
        self.check(collectd, old, 4, 3)
        os.unlink(old.address)
        new = self.listening("server", limit=9)
        self.check(collectd, new, 0, 9)
        collectd.wait_for_value(new.name, "count-sockets", 2)
        new.connect(5)
        self.check(collectd, new, 5, 9)
        old.close()
        collectd.wait_for_value(new.name, "count-sockets", 1)
        self.check(collectd, new, 5, 9)

    def test_a_replaced_socket_that_is_full_judges_nobody(self):
        old = self.listening("server", limit=3)
        old.connect(4)
        os.unlink(old.address)
        new = self.listening("server", limit=9)
        table = pathlib.Path(self.folder(), "table")
        collectd = self.started(f'Listener "{new.name}"\nTableFile "{table}"', new, interval=INTERVAL)
        self.check(collectd, new, 0, 9)
        new.connect(10)
        message = self.wait_for(collectd, new.name, "WARNING", "accept queue full").message
        self.assertIn(", peak 10 of 10 in ", message)
        self.assertNotIn("skew", message)

        def shown():
            rows = json.loads(run(os.environ["BACKLOG_TABLE"], "--table", table, "--json"))["listeners"]
            return next(row for row in rows if row["name"] == new.name)
        collectd.wait(lambda: shown()["state"] == "overflow", what="the table of that interval")
        row = shown()
        self.assertEqual((row["limit_source"], row["members"], row["cause"]), ("unknown", 2, "none"))

    def test_small_queues_that_are_full_for_a_moment(self):
        """One too small for WarningMinimum is told of; one of three is merely used."""
        small, tiny = self.listening("small", limit=8), self.listening("tiny", limit=2)
        collectd = self.started(f'Listener "{small.name}"\nListener "{tiny.name}"', small, tiny, interval=1)
        end = time.monotonic() + 20
        while not self.of(collectd, small.name):
            self.assertLess(time.monotonic(), end)
            for listener, limit in ((small, 8), (tiny, 2)):
                self.assertEqual(listener.connect(limit + 5), limit + 1)
            time.sleep(0.06)
            for listener in (small, tiny):
                listener.accept(listener.length)
            time.sleep(0.7)
        self.assertRegex(self.of(collectd, small.name)[0].message, r"accept queue (high|full .*), peak 9 of 9 .*; burst: ")
        collectd.wait_for_intervals(3)
        self.assertEqual(self.of(collectd, tiny.name), [])

    def test_a_queue_of_very_many_hides_nobody(self):
        """With UDIAG_SHOW_ICONS the kernel would cut the dump short where it comes to that queue."""
        self.set_sysctl("net.core.somaxconn", CROWD)
        room = raise_descriptor_limit() - 2 * LISTENERS
        crowded = self.listening("crowded", limit=CROWD)
        others = [self.listening(f"other-{number}") for number in range(LISTENERS - 1)]

        def crowd(count):
            def work(ready):
                clients = [socket.socket(socket.AF_UNIX) for _ in range(count)]
                for client in clients:
                    client.connect(crowded.address)
                ready()
                while clients:
                    time.sleep(60)
            return work
        for begin in range(0, CROWD, room):
            self.fork(crowd(min(room, CROWD - begin)))
        collectd = self.collectd('Listener "/^unix_/"', interval=1)
        collectd.wait_for_value("host", "count-listeners", LISTENERS)
        self.check(collectd, crowded, CROWD, CROWD)
        self.assertEqual(collectd.unix_listeners(), {listener.name for listener in [crowded, *others]})
        collectd.wait_for_intervals(2)
        self.assertEqual({value for _, value in collectd.values("host", "count-listeners")}, {LISTENERS})

    def test_two_paths_that_meet_in_one_name_are_two_listeners(self):
        """Whoever comes first, and while the one that keeps the name is away."""
        other = self.listening("a-b", limit=5)
        other.connect(2)
        collectd = self.collectd("Values full", interval=INTERVAL)
        collectd.wait_for_value(other.name, "queue_length-accept", 2)  # nobody else is there
        service = self.listening("a.b", limit=4)
        self.assertEqual(service.name, other.name)
        service.connect(1)

        def renamed():
            return [name for name in collectd.unix_listeners() if name.startswith(f"{other.name}_")]
        collectd.wait(renamed, what="a name of its own")
        (name,) = renamed()
        collectd.wait_for_value(name, "queue_length-accept", 2)
        collectd.wait_for_value(service.name, "queue_length-accept", 1)
        collectd.wait_for_value(service.name, "queue_length-limit", 4)
        service.close()
        os.unlink(service.address)
        other.connect(1)
        collectd.wait_for_value(name, "queue_length-accept", 3)
        again = self.unix_listener(service.address, limit=4)
        again.connect(3)
        collectd.wait_for_value(service.name, "queue_length-accept", 3)
        self.assertEqual({value for _, value in collectd.values(name, "count-sockets")}, {1})
        self.assertLessEqual(max(value for _, value in collectd.values(service.name, "queue_length-accept")), 3)
        self.wait_for_kernel(collectd)
        said = collectd.messages()
        self.assertEqual(len(said), 1, said)
        for word in ("[notice]", service.address, other.address, name):
            self.assertIn(word, said[0])


if __name__ == "__main__":
    system_test.main()
