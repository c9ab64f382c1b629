#!/usr/bin/env python3
"""Known queues on their way into every store, by the shipped snippets and a real collectd: the values
in the stores are the true lengths, limits and drops."""

import collections
import contextlib
import math
import os
import pathlib
import re
import signal
import socket
import statistics
import struct
import subprocess
import tempfile
import time
import unittest

import stores_harness as stores
from carbon import graphite_snippet, start_carbon, start_graphite_web
from influxdb import INFLUXDB_ENCRYPTED_DATABASE, influxdb_encrypted_snippet, influxdb_snippet, start_influxdb
from kafka import kafka_snippet, KCAT, start_kafka, start_kafka_consumer
from pictures import pixels_of_colour
from prometheus import prometheus_snippet, start_prometheus
from rrd_files import RrdFiles
from snippets import shipped
from store import fetch, free_port, LOOPBACK
from store_programs import program
from collectd import HOSTNAME
from kernel import have_ipv6, kernel_counters, parse_proc_counters, read_sysctl
from listeners import Listener, UnixListener
from names import percent_used
from system_test import SystemTest
from waiting import wait_until

setUpModule = stores.set_up_network  # pylint: disable=invalid-name

HOST = "web1.example.com"
ACCEPT, PEAK, LIMIT = [("queue_length", name) for name in ("accept", "accept_peak", "limit")]
USED, STATE, DROPPED = ("percent", "used"), ("gauge", "state"), ("packets", "dropped")
OK, HIGH = 0, 1  # of gauge-state
STEADY_COUNTS = 4
ARRIVAL_TIMEOUT = 40
MAX_LISTENERS = 200  # the option's default
COUNTED_INTERVALS = 5
MOST_CLIENTS = 200
GRAPHITE_STEP = 10  # seconds, in the shipped storage-schemas.conf
MOVES = (23, 64, 31, 90, 12)  # connections waiting at the listener whose values are timed
MOST_DELAY = 3  # seconds, of half of the moves: a busy machine may be late with some

SHIPPED_READ_BUFFER = 26214400
BURST_VALUES = 16000
VALUES_PART = 6  # of collectd's protocol

_seen = collections.defaultdict(dict)  # {store: {what: text}} for the summary


def same(value, wanted):
    """graphite-web and Prometheus give six digits after the point."""
    return value is not None and math.isclose(value, wanted, rel_tol=1e-6, abs_tol=1e-6)


def values_in(packet):
    """How many values a packet of collectd's protocol has: it is parts of a type and a length, two bytes each."""
    count = offset = 0
    while offset < len(packet):
        kind, length = struct.unpack_from(">HH", packet, offset)
        count += kind == VALUES_PART
        offset += length
    return count


class World:
    """The stores, a collectd that feeds them all, a central one, and listeners."""

    def __init__(self, stack):
        self._stack = stack
        self._start_stores()
        self._listen()
        self.drops_before = kernel_counters()["ListenDrops"]
        self.central = self._enter(stores.start_central(self.central_port))
        self.central.hostname = HOST  # whose values are read
        # The lengths below are not to become stalled while the test goes on.
        self.collectd = self._enter(stores.collectd(
            graphite_snippet(self.carbon.port), influxdb_snippet(self.influxdb.collectd_port),
            influxdb_encrypted_snippet(self.influxdb.encrypted_port),
            prometheus_snippet(self.prometheus_port), self.rrd.snippet, kafka_snippet(self.kafka.port),
            stores.leaf_snippet(self.central_port), plugin_config="StalledAfter 86400", hostname=HOST).start())
        self.readers = {
            "Graphite": self.graphite_latest,
            "InfluxDB": lambda *series: self.influxdb.latest(*series, host=HOST),
            "InfluxDB, encrypted": lambda *series: self.influxdb.latest(
                *series, host=HOST, database=INFLUXDB_ENCRYPTED_DATABASE),
            "Prometheus": self.prometheus_latest,
            "RRD": self.rrd.latest,
            "Kafka": lambda *series: self.consumer.latest(*series, host=HOST),
            "central collectd": lambda instance, *series: self.central.latest(instance, "-".join(series)),
        }

    def _enter(self, closable):
        self._stack.callback(closable.close)
        return closable

    def _start_stores(self):
        self.carbon = self._enter(start_carbon())
        self.web = self._enter(start_graphite_web(self.carbon))
        self.influxdb = self._enter(start_influxdb())
        self.prometheus_port = free_port()
        self.prometheus = self._enter(start_prometheus(self.prometheus_port))
        self.kafka = self._enter(start_kafka())
        self.consumer = self._enter(start_kafka_consumer(self.kafka.port))
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="collectd-backlog-rrd-"))
        self.rrd = RrdFiles(folder, HOST)
        self.central_port = free_port(socket.SOCK_DGRAM)

    def _listen(self):
        """{name: (length, limit, state)} of those whose queues stay as they are."""
        self.moving = self._enter(Listener(limit=128).fill(11))
        self.dropping = self._enter(Listener(limit=4).fill(5))
        waiting = self._enter(Listener(limit=128).fill(37))
        full = self._enter(Listener("0.0.0.0", limit=16).fill(17))
        still = [(waiting, 37, 128, OK), (full, 17, 16, HIGH)]
        if have_ipv6():
            still.append((self._enter(Listener("::1", limit=32).fill(5)), 5, 32, OK))
        unix = self._enter(UnixListener("\0application", limit=10))
        unix.connect(6)
        still.append((unix, 6, 10, OK))
        self.still = {listener.name: known for listener, *known in still}
        self.waiting = waiting

    @staticmethod
    def graphite_path(instance, type_, type_instance):
        return f"collectd.{HOST.replace('.', '_')}.backlog.{instance}.{type_}.{type_instance}"

    def graphite_latest(self, *series):
        return self.web.latest(self.graphite_path(*series))

    def prometheus_latest(self, instance, type_, type_instance):
        metric = f"collectd_backlog_{type_}" + ("_total" if type_ == "packets" else "")
        return self.prometheus.latest(metric, backlog=instance, type=type_instance, instance=HOST)

    def wait_for(self, store, wanted):
        """Until the newest values in the store are {series: value}."""
        read = self.readers[store]

        def wrong():
            values = {series: read(*series) for series in wanted}
            return {series: value for series, value in values.items() if not same(value, wanted[series])}
        last = [None]

        def check():
            last[0] = wrong()
            return not last[0]
        try:
            self.collectd.wait(check, ARRIVAL_TIMEOUT, f"the values in {store}")
        except AssertionError as error:
            details = [f"{'/'.join(series)}: {value}, true is {wanted[series]}" for series, value in last[0].items()]
            raise AssertionError("\n".join([str(error), *details])) from None


class ValuesTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        stack = contextlib.ExitStack()
        cls.addClassCleanup(stack.close)
        start = time.monotonic()
        cls.world = World(stack)
        _seen["all"]["started"] = f"{time.monotonic() - start:.1f} s"

    def test_a_change_arrives_in_time(self):
        """From the time that a value has until each store shows it."""
        world = self.world
        name = world.moving.name
        delays = collections.defaultdict(list)
        for store in world.readers:
            world.wait_for(store, {(name, *ACCEPT): 11})
        for length in MOVES:
            change = time.time()
            world.moving.accept(max(0, world.moving.length - length))
            world.moving.fill(length)
            shown = {}

            def look():
                for store, read in world.readers.items():
                    if store not in shown and same(read(name, *ACCEPT), length):
                        shown[store] = time.time()
                return len(shown) == len(world.readers)
            world.collectd.wait(look, ARRIVAL_TIMEOUT, f"{length} in each store")
            rows = world.collectd.values(name, "queue_length-accept")
            taken = next(when for when, value in rows if when > change and value == length)
            for store, when in shown.items():
                delays[store].append(when - taken)
        for store, seconds in delays.items():
            _seen[store]["delay"] = " ".join(f"{each:.1f}" for each in seconds) + " s"
            with self.subTest(store):
                self.assertLessEqual(statistics.median(seconds), MOST_DELAY)

    def test_queues(self):
        world = self.world
        wanted = {}
        for name, (length, limit, state) in world.still.items():
            wanted |= {(name, *ACCEPT): length, (name, *PEAK): length, (name, *LIMIT): limit,
                       (name, *USED): percent_used(length, limit), (name, *STATE): state}
        wanted["host", "percent", "worst"] = 100
        wanted["kernel", "gauge", "somaxconn"] = int(read_sysctl("net.core.somaxconn"))
        for store in world.readers:
            with self.subTest(store):
                world.wait_for(store, wanted)
                _seen[store]["series"] = f"{len(wanted)} values of queues"

    def test_drops(self):
        """After what was dropped in this net namespace, all at one listener, the counters are that number
        (but for a drop that was given to none); Graphite and RRD have rates."""
        world = self.world
        name = world.dropping.name
        world.wait_for("RRD", {(name, *DROPPED): 0})
        world.collectd.wait(lambda: self.drop_some(name), ARRIVAL_TIMEOUT, "a rate of drops in Graphite")
        world.dropping.drop_clients()
        drops = kernel_counters()["ListenDrops"] - world.drops_before
        unattributed = ("kernel", "packets", "dropped_unattributed")

        def counted():
            """Of an interval in which all of them are counted."""
            rows = world.collectd.rows((name, "packets-dropped"), ("kernel", "packets-dropped_unattributed"))
            return next((row for row in rows.values() if sum(row) == drops), None)
        attributed, of_none = world.collectd.wait(counted, ARRIVAL_TIMEOUT, f"{drops} drops")
        self.assertGreaterEqual(attributed, 0.98 * drops)
        wanted = {(name, *DROPPED): attributed, ("host", *DROPPED): drops, unattributed: of_none}
        for store in world.readers:
            if store != "Graphite":
                with self.subTest(store):
                    world.wait_for(store, wanted)
                    _seen[store]["drops"] = f"{attributed:.0f} of {drops} drops"
        self.check_graphite_rates(name)
        self.check_rrd_rates(name, attributed)

    def drop_some(self, name):
        """Whether Graphite shows them at the end of a step that is over."""
        dropping = self.world.dropping
        dropping.connect()
        while len(dropping.clients) > MOST_CLIENTS:
            dropping.clients.pop(0).close()
        return any(rate > 0 and when + GRAPHITE_STEP < time.time() - 1 for when, rate in self.graphite_rates(name))

    def graphite_rates(self, name):
        path = self.world.graphite_path(name, *DROPPED)
        return self.world.web.render(path, since="-5min").get(path, [])

    def check_graphite_rates(self, name):
        """Of each step the rate of the last interval (1 s) in it is kept."""
        world = self.world
        rows = world.collectd.values(name, "packets-dropped")
        rates = [(when, (value - before) / (when - earlier))
                 for (earlier, before), (when, value) in zip(rows, rows[1:])]

        def points_of_steps_over():
            points = [(when, value) for when, value in self.graphite_rates(name) if when + GRAPHITE_STEP < rows[-1][0]]
            return points if any(value > 0 for _, value in points) else None
        points = world.collectd.wait(points_of_steps_over, ARRIVAL_TIMEOUT, "a rate of drops in Graphite")
        for when, value in points:
            possible = [rate for time_, rate in rates if when <= time_ < when + GRAPHITE_STEP]
            self.assertTrue(any(math.isclose(value, rate, rel_tol=0.01, abs_tol=1e-6) for rate in possible),
                            f"{value} at {when}, of {possible}")
        shown = ", ".join(f"{value:.1f}" for _, value in points)
        _seen["Graphite"]["drops"] = f"{shown} a second"

    def check_rrd_rates(self, name, drops):
        world = self.world
        total = [None]

        def all_there():
            step, rates = world.rrd.fetch(name, *DROPPED, start="-5min")
            total[0] = step * sum(rate for _, rate in rates)
            return math.isclose(total[0], drops, rel_tol=0.001)
        try:
            world.collectd.wait(all_there, ARRIVAL_TIMEOUT)
        except AssertionError as error:
            raise AssertionError(f"{error}: {total[0]} drops by rates, true are {drops}") from None

    def test_graphite_finds_all_listeners_by_a_wildcard(self):
        world = self.world
        host = HOST.replace(".", "_")
        world.wait_for("Graphite", {(name, *ACCEPT): length for name, (length, *_) in world.still.items()})
        found = world.web.find(f"collectd.{host}.backlog.*")
        self.assertLessEqual(set(world.still) | {"host", "kernel", "sampler"}, set(found))
        series = world.web.render(f"aliasByNode(collectd.{host}.backlog.*.queue_length.accept, 3)")
        self.assertLessEqual(set(world.still), set(series))

    def test_graphite_files_have_the_shipped_schemas(self):
        """Each pattern matches the paths it is meant for."""
        world = self.world
        name = world.waiting.name
        methods = {
            (name, *PEAK): "max", (name, *USED): "max", (name, *STATE): "max", (name, *LIMIT): "max",
            ("host", "percent", "worst"): "max", ("host", "count", "overflow"): "max",
            (name, *ACCEPT): "average", (name, *DROPPED): "average",
            ("kernel", "protocol_counter", "ListenOverflows"): "average", ("sampler", "percent", "cpu"): "average",
        }
        for series, method in methods.items():
            path = world.graphite_path(*series)
            file = world.carbon.file(path)
            world.collectd.wait(file.exists, ARRIVAL_TIMEOUT, f"a file of {path}")
            with self.subTest(path):
                self.assertEqual(world.carbon.file_setting(path, "aggregationMethod"), method)
                self.assertEqual(float(world.carbon.file_setting(path, "xFilesFactor")), 0)
                self.assertEqual(world.carbon.file_setting(path, "maxRetention"), str(365 * 24 * 3600))
                self.assertEqual(file.stat().st_size // 1000, 252)

    def test_graphite_draws_the_queue(self):
        """The line is as high as the queue is long."""
        world = self.world
        length = world.waiting.length
        target = f'color({world.graphite_path(world.waiting.name, *ACCEPT)},"ff00ff")'

        def drawn():
            picture = world.web.picture(target, width=400, height=200, graphOnly="true", margin=0, yMin=0,
                                        yMax=2 * length, lineWidth=3, **{"from": "-60s"})
            height, pixels = pixels_of_colour(picture, "ff00ff")
            return pixels and (height, [y for _, y in pixels])
        height, rows = world.collectd.wait(drawn, ARRIVAL_TIMEOUT, "the line")
        self.assertAlmostEqual(sum(rows) / len(rows), height / 2, delta=4)
        _seen["Graphite"]["picture"] = f"PNG with the line at {1 - sum(rows) / len(rows) / height:.0%} of its height"

    def test_influxdb_keeps_for_a_month_by_default(self):
        (series,) = self.world.influxdb.query('SHOW RETENTION POLICIES ON "collectd"')
        policies = [dict(zip(series["columns"], row)) for row in series["values"]]
        self.assertEqual([(each["name"], each["duration"]) for each in policies if each["default"]],
                         [("a_month", "720h0m0s")])

    def test_influxdb_gives_the_rate_of_drops(self):
        """The statement in influxdb.conf."""
        text = shipped("collectd/stores/influxdb.conf")
        (statement,) = re.findall(r"^# +(SELECT .*\n(?:#   .*\n)+)", text, re.MULTILINE)
        statement = statement.replace("\n#", "\n")

        def instances():
            return {each["tags"]["instance"] for each in self.world.influxdb.query(statement)}
        self.world.collectd.wait(lambda: self.world.waiting.name in instances(), ARRIVAL_TIMEOUT, "a rate")

    def test_prometheus_can_read_all_of_the_page(self):
        page = fetch(f"http://127.0.0.1:{self.world.prometheus_port}/metrics")
        checked = subprocess.run([program("promtool"), "check", "metrics"], input=page, capture_output=True,
                                 check=False)
        only_style = 3  # collectd's types make names that end in _count and _gauge
        self.assertIn(checked.returncode, (0, only_style), checked.stderr + checked.stdout)
        _seen["Prometheus"]["page"] = f"{page.count(b'{backlog=')} series"

    def test_rrd_by_fetch(self):
        world = self.world
        name, (length, limit, _) = next(iter(world.still.items()))
        for consolidation in ("AVERAGE", "MAX"):
            for series, wanted in ((ACCEPT, length), (PEAK, length), (USED, percent_used(length, limit))):
                def fetched(series=series, consolidation=consolidation):
                    with contextlib.suppress(subprocess.CalledProcessError):  # no file yet
                        return world.rrd.fetch(name, *series, consolidation=consolidation)[1]
                    return []
                points = world.collectd.wait(fetched, ARRIVAL_TIMEOUT, "a row")
                self.assertTrue(all(same(value, wanted) for _, value in points), f"{series}: {points}")

    def test_rrd_draws_the_queue(self):
        world = self.world
        path = world.rrd.path(world.waiting.name, *PEAK)

        def drawn():
            if not path.exists():
                return None
            picture = world.rrd.tool("graph", "-", "--start", "-60", "--width", 300, "--height", 100,
                                     f"DEF:q={path}:value:MAX", "AREA:q#ff00ff:peak")
            return pixels_of_colour(picture, "ff00ff")[1]
        world.collectd.wait(drawn, ARRIVAL_TIMEOUT, "the area")

    def test_central_refuses_what_is_not_encrypted_by_a_known_password(self):
        world = self.world
        refused = {
            "wrong password": (stores.leaf_snippet(world.central_port).replace("of your own", "of another"),
                               "Checksum mismatch"),
            "plain": (influxdb_snippet(world.central_port), "Unencrypted packet"),
        }
        for what, (snippet, message) in refused.items():
            with self.subTest(what), stores.collectd(snippet, hostname=what.replace(" ", "-")) as leaf:
                leaf.wait_for_intervals(2)
                world.central.wait_for_log(message, ARRIVAL_TIMEOUT)
                self.assertFalse((world.central.directory / "csv" / leaf.hostname).exists())


    def test_central_forwards_to_influxdb(self):
        world = self.world
        port = free_port(socket.SOCK_DGRAM)
        central = stores.start_central(port, influxdb_snippet(world.influxdb.collectd_port), forward=True)
        self.addCleanup(central.close)
        name, (length, *_) = next(iter(world.still.items()))
        with stores.collectd(stores.leaf_snippet(port), hostname="leaf") as leaf:
            leaf.wait(lambda: world.influxdb.latest(name, *ACCEPT, host="leaf") == length, ARRIVAL_TIMEOUT,
                      "a value by way of the central collectd")


def lost_datagrams():
    """Those of this net namespace that found a socket's buffer full."""
    text = pathlib.Path("/proc/thread-self/net/snmp").read_text(encoding="ascii")
    return parse_proc_counters(text)["Udp"]["RcvbufErrors"]


class FullHostTest(SystemTest):

    def start(self, listener_count, values, snippets, interval):
        """(listeners, their collectd): these and not the stores' own."""
        listeners = [self.listener(limit=16).fill(number % 8) for number in range(listener_count)]
        # The BPF programs give some of the values, and must not be detached by a busy host's load.
        config = "\n".join([f"Values {values}", "SamplerBudget 100",
                            *(f'Listener "{listener.name}"' for listener in listeners)])
        collectd = stores.collectd(*snippets, plugin_config=config, interval=interval)
        self.addCleanup(collectd.__exit__, None, None, None)
        collectd.start()
        collectd.wait(lambda: len(collectd.listeners()) == listener_count, ARRIVAL_TIMEOUT, "all listeners in csv")
        return listeners, collectd

    def keep(self, store):
        self.addCleanup(store.close)
        return store

    def check_every_value_arrives(self, listener_count, values):
        carbon = self.keep(start_carbon(retentions="1s:10m"))
        web = self.keep(start_graphite_web(carbon))
        influxdb = self.keep(start_influxdb())
        snippets = [graphite_snippet(carbon.port), influxdb_snippet(influxdb.collectd_port)]
        # No two values of a series have the same second, which would be one point in Graphite.
        listeners, collectd = self.start(listener_count, values, snippets, interval=2)
        lengths = {listener.name: listener.length for listener in listeners}
        for _ in range(3):  # a busy host may keep a receiver from its CPU; a buffer that is too small fails each time
            lost = lost_datagrams()
            collectd.wait_for_intervals(COUNTED_INTERVALS + 1)  # a rate needs one more
            if lost_datagrams() == lost:
                break

        name = listeners[0].name
        times = [when for when, _ in collectd.values(name, "queue_length-accept")][-COUNTED_INTERVALS:]
        begin, end = ((when + delta) * 1e9 for when, delta in ((times[0], -0.5), (times[-1], 0.5)))
        statement = ("""SELECT count("value") FROM "backlog_value" WHERE "type_instance" = 'accept' """
                     f"AND time > {begin:.0f} AND time < {end:.0f}")
        wanted = listener_count * len(times)

        def count():
            series = influxdb.query(statement)
            return series[0]["values"][0][1] if series else 0
        collectd.wait(lambda: count() >= wanted, ARRIVAL_TIMEOUT, f"{wanted} values in InfluxDB")
        self.assertEqual(count(), wanted)

        def in_graphite(series):
            pattern = f"collectd.{HOSTNAME}.backlog.tcp*.{series.replace('-', '.', 1)}"
            return {path.split(".")[3]: dict(points) for path, points in web.render(pattern, since="-5min").items()}
        series_names = collectd.series_names(name)
        self.assertGreater(len(series_names), 5)
        slots = [math.floor(when + 0.5) for when in times]  # collectd rounds to seconds
        points = 0
        whole = {}  # graphite-web does not see what carbon has taken from its cache and not yet written
        for series in sorted(series_names):
            wrong = {}

            def complete(series=series, wrong=wrong):
                found = in_graphite(series)
                wrong.clear()
                wrong.update({name: missing for name in lengths
                              if (missing := [slot for slot in slots if slot not in found.get(name, {})])})
                if not wrong:
                    whole[series] = found
                return not wrong
            try:
                collectd.wait(complete, ARRIVAL_TIMEOUT)
            except AssertionError:
                self.fail(f"{series} of {len(wrong)} listeners has gaps in Graphite, "
                          f"and {lost_datagrams() - lost} datagrams were lost")
            points += len(lengths) * len(slots)
        accept = whole["queue_length-accept"]
        self.assertEqual({name: accept[name][slots[-1]] for name in lengths}, lengths)
        _seen["InfluxDB"][f"full host, {values} values"] = f"{wanted} of {wanted}"
        _seen["Graphite"][f"full host, {values} values"] = f"{points} of {points}"

    def test_as_many_listeners_as_have_series(self):
        """MaxListeners of them: the packets of an interval find room in the buffers of the receivers."""
        self.check_every_value_arrives(MAX_LISTENERS, "basic")

    def test_values_full(self):
        """Of as many as find room in a buffer of net.core.rmem_default (see README.md), read or not."""
        self.check_every_value_arrives(MAX_LISTENERS // 2, "full")

    def receiver(self, read_buffer=None):
        receiver = self.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        if read_buffer:
            receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, read_buffer)
        receiver.bind((LOOPBACK, 0))
        receiver.setblocking(False)
        return receiver

    @staticmethod
    def drain(receiver):
        packets = []
        with contextlib.suppress(BlockingIOError):
            while True:
                packets.append(receiver.recv(65536))
        return packets

    @staticmethod
    def burst(packets, port):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for packet in packets:
                sender.sendto(packet, (LOOPBACK, port))

    def held(self, packets, read_buffer=None):
        """How many of these a socket holds that nobody reads."""
        receiver = self.receiver(read_buffer)
        self.burst(packets, receiver.getsockname()[1])
        return len(self.drain(receiver))

    def packets_of_collectd(self, value_count):
        receiver = self.receiver(SHIPPED_READ_BUFFER)
        snippet = influxdb_snippet(receiver.getsockname()[1])
        _, collectd = self.start(MAX_LISTENERS, "full", [snippet], interval=1)
        packets = []

        def enough():
            packets.extend(self.drain(receiver))
            return sum(map(values_in, packets)) >= value_count
        collectd.wait(enough, 2 * ARRIVAL_TIMEOUT, f"{value_count} values in packets")
        collectd.stop()
        return packets

    def arrived(self, packets, **options):
        """(values in InfluxDB, datagrams lost) after a burst that comes while influxd is stopped."""
        influxdb = self.keep(start_influxdb(**options))
        lost_before = lost_datagrams()
        os.kill(influxdb.pid, signal.SIGSTOP)
        self.burst(packets, influxdb.collectd_port)
        lost = lost_datagrams() - lost_before
        os.kill(influxdb.pid, signal.SIGCONT)
        wanted = sum(map(values_in, packets[:len(packets) - lost]))  # as many at least, but for the packets' sizes
        counts = [0] * STEADY_COUNTS

        def settled():
            time.sleep(0.5)  # batch-timeout
            series = influxdb.query('SELECT count("value") FROM "backlog_value", "backlog_seconds"')
            counts.append(sum(each["values"][0][1] for each in series))
            return len(set(counts[-STEADY_COUNTS:])) == 1 and counts[-1] >= 0.9 * wanted
        wait_until(settled, ARRIVAL_TIMEOUT, f"{wanted} values in InfluxDB")
        influxdb.close()
        return counts[-1], lost

    def test_influxdb_takes_a_burst_with_the_shipped_read_buffer(self):
        packets = self.packets_of_collectd(BURST_VALUES)
        by_default, at_most = self.held(packets), self.held(packets, SHIPPED_READ_BUFFER)
        if at_most <= by_default:
            self.skipTest("net.core.rmem_max does not let a socket have a larger buffer than by default")
        packets = packets[:at_most]
        values = sum(map(values_in, packets))
        self.assertEqual(self.arrived(packets), (values, 0))
        without, lost = self.arrived(packets, read_buffer=0)
        self.assertLess(without, values)
        self.assertGreater(lost, 0)
        _seen["InfluxDB"]["a burst"] = f"{values} values, {without} with read-buffer 0"


def tearDownModule():
    print("\nSummary of the stores:")
    for store, what in _seen.items():
        print(f"  {store}: " + "; ".join(f"{name} {text}" for name, text in what.items()))


if __name__ == "__main__":
    stores.main("carbon-cache", "influxd", "prometheus", "rrdtool", "promtool", KCAT)
