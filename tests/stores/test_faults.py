#!/usr/bin/env python3
"""Stores that are down, that refuse, that take and never read, that are full: the plugin samples on, SNMP
has each table, the other stores have a value for each interval, and collectd stays small."""

import contextlib
import os
import pathlib
import re
import socket
import subprocess
import sys
import time
import unittest

import stores_harness as stores
from carbon import graphite_snippet, start_carbon, start_graphite_web
from influxdb import influxdb_encrypted_snippet, influxdb_snippet, start_influxdb
from kafka import kafka_snippet
from prometheus import prometheus_snippet
from rrd_files import RrdFiles
from store import fetch, free_port, LOOPBACK
from collectd import HOSTNAME, sanitizers
from kernel import run, write_sysctl
from waiting import wait_until
import net_namespaces

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "snmp"))
import snmp_harness  # noqa: E402
import snmp_programs  # noqa: E402
from snmp_harness import table_writer  # noqa: E402

INTERVAL = 1.0  # seconds
LONGEST_GAP = 2.5 * INTERVAL
ARRIVAL_TIMEOUT = 30
MEGABYTE = 1 << 20

SMALL_DISK = 400 << 10  # bytes: two files of rrd.conf
TAKEN_AT = 7  # of the fields in a table's header

# The shipped snippets let this much wait: 50000 values (WriteQueueLimitHigh) of 0.8 kB, and 16 MB in
# librdkafka (queue.buffering.max.kbytes), which counts neither its own structures nor what malloc adds:
# half as much again. Without those limits the values that are fed take 95 MB (Kafka) and 150 MB.
MOST_GROWTH = (50000 * 800 + 16 * MEGABYTE) * 3 // 2
FED_SERIES, FED_ROUNDS = 100, 2000

_seen = {}


def setUpModule():  # pylint: disable=invalid-name
    stores.set_up_network()
    # A connection whose other side does not read is full after a few kB.
    write_sysctl("net.ipv4.tcp_wmem", "4096 4096 4096")
    write_sysctl("net.ipv4.tcp_rmem", "4096 4096 4096")


def resident_bytes(pid):
    text = pathlib.Path("/proc", str(pid), "status").read_text(encoding="ascii")
    return 1024 * int(re.search(r"^VmRSS:\s+(\d+) kB", text, re.MULTILINE)[1])


class Deaf:
    """A server that accepts connections when accept() is called, or has a UDP socket, and does not read until
    read() is called."""

    def __init__(self, kind=socket.SOCK_STREAM):
        self.socket = socket.socket(socket.AF_INET, kind)
        self.port = free_port(kind)
        self.socket.bind((LOOPBACK, self.port))
        self.connections = []
        if kind == socket.SOCK_STREAM:
            self.socket.listen()
        self.socket.setblocking(False)

    def accept(self):
        with contextlib.suppress(BlockingIOError):
            self.connections.append(self.socket.accept()[0])
        return self.connections

    def read(self):
        """What has come."""
        data = b""
        for connection in self.accept():
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                data += connection.recv(MEGABYTE)
        return data

    def close(self):
        for connection in self.connections:
            connection.close()
        self.socket.close()


def snmp_missing():
    """Why there is no SNMP here, or None."""
    if not os.environ.get("BACKLOG_AGENTX"):
        return "built without SNMP"
    try:
        for name in ("snmpd", "snmpget"):
            snmp_programs.program(name)
    except unittest.SkipTest as reason:
        return str(reason)
    return None


class FaultsTest(snmp_harness.SnmpTest):

    def keep(self, closable):
        self.addCleanup(closable.close)
        return closable

    def started(self, *snippets):
        """A collectd with these snippets, csv beside them, SNMP if there is any, and a listener that waits."""
        self.waiting = self.listener(limit=128).fill(37)
        self.socket_path = self.folder() + "/unixsock"
        collectd = stores.collectd(
            f'LoadPlugin unixsock\n<Plugin unixsock>\nSocketFile "{self.socket_path}"\n</Plugin>', *snippets,
            interval=INTERVAL, plugin_config=f'TableFile "{self.table_file}"')
        self.addCleanup(collectd.__exit__, None, None, None)
        collectd.start()
        collectd.wait_for_value(self.waiting.name, "queue_length-accept", 37)
        with self.subTest("SNMP"):
            if reason := snmp_missing():
                self.skipTest(reason)
            if not self.snmpd:
                self.start_snmpd()
                self.start_subagent()
        return collectd

    def table_time(self):
        """Nanoseconds since the epoch."""
        return table_writer.HEADER.unpack_from(self.table_file.read_bytes())[TAKEN_AT]

    def check_table_goes_on(self, collectd):
        """Two tables more, and SNMP has the newest."""
        for _ in range(2):
            before = self.table_time()
            collectd.wait(lambda before=before: self.table_time() > before, what="the next table")
        if self.snmpd is None:  # as started() has said
            return
        length = f"BACKLOG-MIB::backlogListenerLength.{table_writer.name_index(self.waiting.name)}"
        asked = ("snmpget", "-OqvU", "BACKLOG-MIB::backlogTableStatus.0", length)
        collectd.wait(lambda: self.ask(*asked).split() == ["fresh", "37"], what="the table by SNMP")

    def check_goes_on(self, collectd, count=6):
        """So many values more of the plugin's in csv, an interval apart, and samples."""
        begin = time.time()
        series = ("sampler", "percent-cpu")

        def gaps():
            """Of so many values, the newest."""
            times = [when for when, _ in collectd.values(*series) if when > begin][-count:]
            return [later - earlier for earlier, later in zip(times, times[1:])]
        collectd.wait(lambda: len(gaps()) == count - 1 and max(gaps()) <= LONGEST_GAP, ARRIVAL_TIMEOUT,
                      "values in csv, an interval apart")
        longest = max(gaps())
        self.assertEqual(collectd.latest(self.waiting.name, "queue_length-accept"), 37)
        collectd.wait_for_samples()
        self.check_table_goes_on(collectd)
        return longest

    def check_all_goes_on(self, collectd, influxdb, fault):
        """Sampling, csv, the table and the store that is well; and collectd stays small."""
        longest = self.check_goes_on(collectd)
        self.check_influxdb_goes_on(collectd, influxdb)
        self.check_stays_small(collectd, fault)
        self.check_goes_on(collectd)
        _seen[fault] += f", csv at most {longest:.1f} s apart"

    def feed(self):
        """Values of other plugins, by collectd's unixsock, as fast as it takes them."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self.socket_path)
            answers = connection.makefile("rb")
            for round_ in range(FED_ROUNDS):
                lines = (f'PUTVAL "fed/fed-{number}/gauge-x" interval=1 N:{round_}\n' for number in range(FED_SERIES))
                connection.sendall("".join(lines).encode())
                for _ in range(FED_SERIES):
                    self.assertTrue(answers.readline().startswith(b"0 "))

    def check_stays_small(self, collectd, what):
        before = resident_bytes(collectd.pid)
        self.feed()
        growth = resident_bytes(collectd.pid) - before
        _seen[what] = f"{growth / MEGABYTE:.0f} MB more after {FED_SERIES * FED_ROUNDS} values"
        if sanitizers():
            _seen[what] += " (not judged: a sanitizer keeps what was freed)"
        else:
            self.assertLess(growth, MOST_GROWTH)

    def started_influxdb(self):
        return self.keep(start_influxdb())

    def check_influxdb_goes_on(self, collectd, influxdb):
        newest = """SELECT last("value") FROM "backlog_value" WHERE "instance" = 'sampler'"""

        def time_of_newest():
            series = influxdb.query(newest)
            return series and series[0]["values"][0][0]
        times = set()
        collectd.wait(lambda: times.add(time_of_newest()) or len(times) > 4, ARRIVAL_TIMEOUT, "values in InfluxDB")

    def test_nobody_there(self):
        """Every address refuses."""
        influxdb = self.started_influxdb()
        collectd = self.started(
            influxdb_snippet(influxdb.collectd_port),
            graphite_snippet(free_port(socket.SOCK_DGRAM)),
            influxdb_encrypted_snippet(free_port(socket.SOCK_DGRAM)),
            stores.leaf_snippet(free_port(socket.SOCK_DGRAM)), kafka_snippet(free_port()))
        self.check_all_goes_on(collectd, influxdb, "nobody there")

    def test_nobody_reads(self):
        """Every address takes what comes until its buffer is full, and so does a client of the page for Prometheus."""
        influxdb = self.started_influxdb()
        packets = [self.keep(Deaf(socket.SOCK_DGRAM)) for _ in range(3)]
        broker = self.keep(Deaf())
        page = free_port()
        collectd = self.started(
            influxdb_snippet(influxdb.collectd_port), graphite_snippet(packets[0].port),
            influxdb_encrypted_snippet(packets[1].port), stores.leaf_snippet(packets[2].port),
            kafka_snippet(broker.port), prometheus_snippet(page))
        wait_until(broker.accept, what="a connection to the broker")
        clients = [self.keep(socket.create_connection((LOOPBACK, page))) for _ in range(5)]
        for client in clients:
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: page\r\n\r\n")
        self.check_all_goes_on(collectd, influxdb, "nobody reads")
        self.assertIn(f'backlog="{self.waiting.name}"',
                      fetch(f"http://{LOOPBACK}:{page}/metrics").decode())

    def test_stores_come_back(self):
        """Values arrive again without a restart of collectd."""
        carbon = self.keep(start_carbon())
        web = self.keep(start_graphite_web(carbon))
        influxdb = self.started_influxdb()
        collectd = self.started(graphite_snippet(carbon.port), influxdb_snippet(influxdb.collectd_port))
        name = self.waiting.name
        path = f"collectd.{HOSTNAME}.backlog.{name}.queue_length.accept"

        def wait_for(length):
            collectd.wait(lambda: web.latest(path) == length, ARRIVAL_TIMEOUT, f"{length} in Graphite")
            collectd.wait(lambda: influxdb.latest(name, "queue_length", "accept") == length, ARRIVAL_TIMEOUT,
                          f"{length} in InfluxDB")
        wait_for(37)
        carbon.stop()
        influxdb.stop()
        self.check_goes_on(collectd)
        self.waiting.fill(64)
        carbon.run()
        influxdb.run()
        wait_for(64)

    def test_carbon_by_tcp_that_never_reads(self):
        """collectd 5.12 waits for it with all its write threads, for which reason graphite.conf has udp.
        The plugin samples on, collectd stays small, and the values come again when carbon reads again."""
        carbon = self.keep(Deaf())
        collectd = self.started(graphite_snippet(carbon.port).replace('Protocol "udp"', 'Protocol "tcp"'))
        wait_until(carbon.accept, what="a connection to carbon")
        begin = time.time()

        def newest():
            return max((epoch for epoch, _ in collectd.values("sampler", "percent-cpu")), default=begin)
        collectd.wait(lambda: time.time() - newest() > 4 * INTERVAL, 60, "the write threads to wait for carbon")
        self.check_stays_small(collectd, "carbon by TCP never reads")
        collectd.wait_for_samples()
        self.check_table_goes_on(collectd)

        begin = time.time()
        received = b""

        def reads_again():
            nonlocal received
            received = (received + carbon.read())[-100000:]
            return newest() > begin and f"collectd.{HOSTNAME}.backlog.".encode() in received
        collectd.wait(reads_again, 60, "values in csv, and in carbon")


    def test_disk_is_full(self):
        """That of the RRD files, after two of them."""
        try:
            net_namespaces.make_private_run()  # and private mounts
            folder = self.folder()
            run("mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "none", folder)
        except (OSError, subprocess.CalledProcessError) as error:
            self.skipTest(f"no small disk can be made: {error}")
        self.addCleanup(run, "umount", folder)
        influxdb = self.started_influxdb()
        collectd = self.started(influxdb_snippet(influxdb.collectd_port), RrdFiles(folder).snippet)
        collectd.wait_for_log("rrdtool plugin: .*failed")
        self.check_all_goes_on(collectd, influxdb, "a full disk")

    def test_each_snippet_alone(self):
        """Each, with a store that does not read, is enough to keep collectd small."""
        packets, broker = self.keep(Deaf(socket.SOCK_DGRAM)), self.keep(Deaf())
        page = free_port()
        for snippet in (graphite_snippet(packets.port), influxdb_snippet(packets.port),
                        influxdb_encrypted_snippet(packets.port), stores.leaf_snippet(packets.port),
                        kafka_snippet(broker.port), prometheus_snippet(page),
                        RrdFiles(self.folder()).snippet):
            with self.subTest(snippet.file):
                collectd = self.started(snippet)
                self.check_stays_small(collectd, f"{snippet.file} alone")
                self.check_goes_on(collectd, 2)
                collectd.stop(60)


def tearDownModule():  # pylint: disable=invalid-name
    print("\nSummary of the faults:")
    for what, text in _seen.items():
        print(f"  {what}: {text}")


if __name__ == "__main__":
    stores.main("carbon-cache", "influxd")
