#!/usr/bin/env python3
"""A whole host: real collectd, plugin, table file, subagent and snmpd beside overflowing listeners. What SNMP
tells is what collectd stores of the same interval."""

import datetime
import re

import snmp_harness
from snmp_harness import MIB_OID, SnmpTest, TABLE_OID, TRAP_PORT, table_writer
from kernel import kernel_counters
from waiting import wait_until
from net_namespaces import NetNamespace
from notifications import NotificationTest

INTERVAL = 1  # second: the table's time has tenths
STATES = ("ok", "high", "overflow", "stalled", "missing")
# column of backlogListenerTable: (series, how the value is to be read, what rounding can do)
COLUMNS = {
    "Length": ("queue_length-accept", int, 0),
    "Peak": ("queue_length-accept_peak", int, 0),
    "Limit": ("queue_length-limit", int, 0),
    "Used": ("percent-used", int, 0.51),
    "Mean": ("queue_length-accept_mean", float, 0.00051),
    "Full": ("percent-full", int, 0.51),
    "Dropped": ("packets-dropped", int, 0),
    "Members": ("count-sockets", int, 0),
    "State": ("gauge-state", STATES.index, 0),
    "SynLength": ("queue_length-syn", int, 0),
    "OldestWait": ("duration-oldest_wait", lambda text: int(text) / 1000, 0.00051),
}
COUNTERS = ("ListenOverflows", "ListenDrops", "TCPReqQFullDrop", "TCPReqQFullDoCookies", "SyncookiesSent",
            "SyncookiesRecv", "SyncookiesFailed", "EmbryonicRsts", "TCPDeferAcceptDrop", "TCPFastOpenListenOverflow",
            "TCPSynRetrans", "TCPTimeouts", "RetransSegs", "PassiveOpens", "AttemptFails")
NAMESPACE_COLUMNS = {
    "Somaxconn": "gauge-somaxconn",
    "MaxSynBacklog": "gauge-tcp_max_syn_backlog",
    "Syncookies": "gauge-tcp_syncookies",
    "AbortOnOverflow": "gauge-tcp_abort_on_overflow",
    "Unattributed": "packets-dropped_unattributed",
    "SynLength": "queue_length-syn",
    **{counter.removeprefix("TCP"): f"protocol_counter-{counter}" for counter in COUNTERS},
}
SCALARS = {
    "WorstUsed": ("percent-worst", int, 0.51),
    "Listeners": ("count-listeners", int, 0),
    **{f"Listeners{state.capitalize()}": (f"count-{state}", int, 0) for state in (*STATES[1:], "unreported")},
    "Dropped": ("packets-dropped", int, 0),
}


class HostTest(SnmpTest, NotificationTest):
    def setUp(self):
        super().setUp()
        self.compared = set()  # objects that had a value

    def start_host(self, options="", sink=f"trap2sink 127.0.0.1:{TRAP_PORT} public"):
        self.start_trapd()
        self.start_snmpd(sink)
        collectd = self.collectd(f'TableFile "{self.table_file}"\nListener "/./"\nValues full\n{options}',
                                 interval=INTERVAL)
        self.start_subagent(wait=False)
        wait_until(lambda: self.answers(f"{MIB_OID}.1.1.6.0") and self.status() == "fresh", 20, "the table")
        return collectd

    def status(self):
        return self.get("BACKLOG-MIB::backlogTableStatus.0")[0]

    def asked(self, objects):
        """{object: text} and the table's time, by one request, thus of one table."""
        values = self.ask("snmpget", "-OqvU", "BACKLOG-MIB::backlogTableTime.0",
                          *(f"BACKLOG-MIB::{name}" for name in objects)).splitlines()
        numbers = map(int, re.match(r"(\d+)-(\d+)-(\d+),(\d+):(\d+):(\d+)\.(\d),\+0:0$", values[0]).groups())
        *parts, tenths = numbers
        at = datetime.datetime(*parts, 100000 * tenths, datetime.timezone.utc).timestamp()
        return at, dict(zip(objects, (value.strip('"') for value in values[1:])))

    @staticmethod
    def stored(collectd, instance, series, at):
        """collectd's values of that time, which SNMP cuts to tenths."""
        return [value for when, value in collectd.values(instance, series) if at - 0.001 < when < at + 0.101]

    def compare(self, collectd, instance, wanted, what):
        """wanted: {object: (series, parse, delta)}. The time that was compared."""
        at, texts = self.asked(list(wanted))
        absent = [name for name, text in texts.items() if text.startswith("No Such Instance")]
        for name, (series, parse, delta) in wanted.items():
            if name in absent:
                continue
            self.compared.add(name.split(".")[0])
            value = wait_until(lambda: self.stored(collectd, instance, series, at), what=f"{series} of {instance} at {at}")[0]
            self.assertAlmostEqual(parse(texts[name]), value, delta=delta, msg=f"{what} {name} {texts}")
        for name in absent:
            self.assertEqual(self.stored(collectd, instance, wanted[name][0], at), [], f"{what} {name} {texts}")
        return at

    def compare_listener(self, collectd, name):
        index = table_writer.name_index(name)
        return self.compare(collectd, name, {f"backlogListener{column}.{index}": how for column, how in COLUMNS.items()},
                            name)

    def test_snmp_tells_what_collectd_stores(self):
        blue = NetNamespace("blue")
        self.addCleanup(blue.close)
        with blue.entered():
            inside = self.listener(limit=20).fill(9)
        inside_name = f"{inside.name}__netns_blue"
        waiting = self.listener(limit=100).fill(10)
        overflowing = self.listener(limit=8)
        collectd = self.start_host('NetNamespace "blue"')
        overflowing.fill(9)
        overflowing.connect(5)
        collectd.wait_for_value(overflowing.name, "packets-dropped", lambda value: value > 0)
        for name in (overflowing.name, waiting.name, inside_name):
            wait_until(lambda: self.answers(f"{TABLE_OID}.2.{table_writer.name_index(name)}"), what=f"{name} by SNMP")

        times = set()
        for step in range(4):
            if step == 2:
                waiting.accept(4)
                overflowing.connect(3)
            for name in (overflowing.name, waiting.name, inside_name):
                times.add(self.compare_listener(collectd, name))
            for instance, name in (("kernel", "self"), ("kernel_netns_blue", "blue")):
                index = table_writer.name_index(name)
                times.add(self.compare(collectd, instance, {f"backlogNs{column}.{index}": (series, int, 0)
                                                            for column, series in NAMESPACE_COLUMNS.items()}, name))
            times.add(self.compare(collectd, "host", {f"backlog{name}.0": how for name, how in SCALARS.items()}, "host"))
            newest = max(times)
            wait_until(lambda: self.asked([])[0] > newest, what="the next table")
        self.assertGreaterEqual(len(times), 4)
        self.assertEqual(self.compared, {f"backlogListener{column}" for column in COLUMNS}
                         | {f"backlogNs{column}" for column in NAMESPACE_COLUMNS} | {f"backlog{name}" for name in SCALARS})
        index = table_writer.name_index(inside_name)
        self.assertEqual(self.asked([f"backlogListenerNamespace.{index}", f"backlogListenerPort.{index}"])[1],
                         {f"backlogListenerNamespace.{index}": "blue", f"backlogListenerPort.{index}": str(inside.port)})

    def test_traps_and_notifications_agree(self):
        listener = self.listener(limit=8)
        healthy = self.listener(limit=100)
        collectd = self.start_host()
        collectd.wait_for_value(listener.name, "gauge-state", 0)
        before = kernel_counters()["ListenOverflows"]
        listener.fill(9)
        listener.connect(6)
        wait_until(lambda: kernel_counters()["ListenOverflows"] > before, what="an overflow")
        listener.drop_clients()  # those that were refused would come again, and be a failure
        listener.accept(listener.length)
        self.wait_for(collectd, listener.name, "WARNING", "accept queue overflow")
        alarm = wait_until(lambda: self.traps_of(listener.name), what="the trap")[0]
        first = self.of(collectd, listener.name)[0]
        self.assertEqual((alarm["trap"], alarm["backlogListenerState"], alarm["backlogListenerSeverity"],
                          alarm["backlogListenerMessage"]),
                         ("backlogListenerAlarm", "overflow", "warning", first.message))
        self.wait_for_okay(collectd, listener.name)
        wait_until(lambda: self.traps_of(listener.name)[-1]["trap"] == "backlogListenerClear", what="the clear")
        self.assertEqual([trap["backlogListenerSeverity"] for trap in self.traps_of(listener.name)],
                         [{"FAILURE": "failure", "WARNING": "warning", "OKAY": "okay"}[told.severity]
                          for told in self.of(collectd, listener.name)])
        self.assertEqual(self.traps_of(healthy.name), [])

    def traps_of(self, name):
        return [trap for trap in self.traps() if trap.get("backlogListenerName") == name]

    def test_a_restart_of_collectd_tells_nothing(self):
        listener = self.listener(limit=4)
        collectd = self.start_host("StalledAfter 2")
        listener.fill(3)
        self.wait_for(collectd, listener.name, "FAILURE", "")
        wait_until(lambda: self.traps_of(listener.name), what="the trap")
        before = len(self.traps())
        collectd.stop()
        again = self.collectd(f'TableFile "{self.table_file}"\nListener "/./"\nValues full\nStalledAfter 2',
                              interval=INTERVAL)
        again.wait_for_intervals(4)
        again.wait_for_value(listener.name, "gauge-state", 3)
        again.wait_for_intervals(4)
        told = self.traps()[before:]
        self.assertEqual([trap for trap in told if trap["trap"] == "backlogListenerClear"], [], told)


if __name__ == "__main__":
    snmp_harness.main()
