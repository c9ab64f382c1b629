#!/usr/bin/env python3
"""conf/nms for systems of which this has a part at most: snmptt takes real notifications, snmpsim plays the walk that
is for LibreNMS, and what LibreNMS, OpenNMS and Cacti ask for is in the MIB and in that walk."""

import os
import pathlib
import re
import subprocess
import xml.etree.ElementTree

import yaml

import nms_harness
import snmp_harness
from nms_harness import NMS, shipped, table_writer
from snmp_harness import MIB_OID, SNMP_PORT, TRAP_PORT, SnmpTest
from table_writer import listener
from waiting import wait_until

ROOT = os.environ.get("NMS_ROOT", "")
SIMULATOR_PORT = 16163  # of the test's own net namespace
ALL = (table_writer.HAS_QUEUE | table_writer.HAS_DROPPED | table_writer.HAS_RECENT | table_writer.HAS_RECENT_DROPPED |
       table_writer.IS_STABLE)
UNIX = dict(address=b"", port=0, has=table_writer.HAS_QUEUE | table_writer.HAS_RECENT | table_writer.IS_STABLE)
# What is another value in each walk: times and what follows from them.
CHANGING = {f"{MIB_OID}.1.1.{number}.0" for number in (2, 3, 5, 15, 16, 18, 20)}
CHANGING_COLUMNS = (f"{MIB_OID}.1.2.1.25.", f"{MIB_OID}.1.3.1.9.")
TYPES = {"INTEGER": "2", "STRING": "4", "Hex-STRING": "4x", "OID": "6", "Counter32": "65", "Gauge32": "66", "Timeticks": "67",
         "Counter64": "70"}
setUpModule = lambda: nms_harness.lay_over(ROOT)  # noqa: E731


def snmprec(walk):
    """The lines of a recording of snmpsim, of what snmpbulkwalk -On -OU prints without a MIB."""
    lines = []
    for line in walk.splitlines():
        oid, _, value = line.removeprefix(".").partition(" = ")
        kind, _, value = value.partition(": ") if value != '""' else ("STRING", "", value)
        if kind == "Timeticks" or oid in CHANGING or oid.startswith(CHANGING_COLUMNS):
            value = {"Hex-STRING": "07 EA 0B 1D 00 00 00 00 2B 00 00", "STRING": '"2026-11-29T00:00:00Z"'}.get(kind, "0")
        if kind == "Hex-STRING":
            value = value.replace(" ", "").lower()
        if kind == "STRING":
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        lines.append(f"{oid}|{TYPES[kind]}|{value}")
    return "\n".join(lines) + "\n"


class RecordingTest(SnmpTest):
    FILE = "librenms/linux_backlog.snmprec"

    def record(self):
        self.publish([
            listener("tcp_any_80", has=ALL, owner="nginx.service", length=3, peak=129, recent_peak=129, used=100.0,
                     recent_used=100.0, dropped=34, overflows=34, recent_dropped=34, recent_overflows=34, state="overflow",
                     recent_state="overflow", severity="warning", recent_severity="warning", alarm_state="overflow", cause="burst",
                     message="tcp_any_80 (nginx.service): accept queue overflow, peak 129 of 129, 34 drops in 10 s; burst"),
            listener("tcp_any_40000", has=ALL & ~table_writer.IS_STABLE, owner="rpc.mountd[812]"),
            listener("unix_run_php-fpm-sock", path="/run/php-fpm.sock", owner="php-fpm.service", peak=4, recent_peak=4, **UNIX)],
            interval=600)
        self.start_snmpd()
        self.start_subagent()
        return snmprec(self.ask("snmpbulkwalk", "-On", "-OU", "-m", "", MIB_OID))

    def test_it_is_a_walk_of_now(self):
        recorded = self.record()
        if os.environ.get("RECORD"):
            (NMS / self.FILE).write_text(recorded)
        self.assertEqual(shipped(self.FILE), recorded, "RECORD=1 writes it")

    def test_snmpsim_plays_it_to_librenms(self):
        """Each sensor of the definition has a value for each stable listener."""
        folder = self.directory / "data"
        folder.mkdir()
        (folder / "public.snmprec").write_text(shipped(self.FILE))
        account = f"--process-user={nms_harness.STRANGER}", f"--process-group={nms_harness.STRANGER}"
        for path in (self.directory, folder):
            path.chmod(0o777)
        simulator = self._process(["snmpsimd", f"--data-dir={folder}", f"--cache-dir={self.directory}/cache",
                                   f"--agent-udpv4-endpoint=127.0.0.1:{SIMULATOR_PORT}", *account], "snmpsim.log",
                                  dict(os.environ, PYTHONPATH="/usr/lib/python3/dist-packages", HOME=str(self.directory)))

        def walk(oid):
            result = subprocess.run([snmp_harness.program("snmpbulkwalk"), "-v2c", "-c", "public", "-On", "-OQ", "-Oe", "-m", "",
                                     f"udp:127.0.0.1:{SIMULATOR_PORT}", oid], env=self.environment, capture_output=True, text=True,
                                    check=False)
            return dict(line.removeprefix(".").split(" = ", 1) for line in result.stdout.splitlines() if " = " in line)
        names = wait_until(lambda: walk(f"{MIB_OID}.1.2.1.2"), 30, "the simulator")
        self.assertEqual(len(names), 3, simulator.output())
        stable = {oid.rsplit(".", 1)[1] for oid, value in walk(f"{MIB_OID}.1.2.1.34").items() if value == "1"}
        self.assertEqual(len(stable), 2)
        definition = yaml.safe_load(shipped("librenms/linux_backlog.yaml"))
        sensors = [(kind, each) for kind, sensor in definition["modules"]["sensors"].items() for each in sensor["data"]]
        self.assertEqual(len(sensors), 5)
        for kind, sensor in sensors:
            oid, _, index = sensor["num_oid"].removeprefix(".").rpartition(".")
            self.assertEqual(index, "{{ $index }}")
            values = walk(oid)
            if "skip_values" not in sensor:
                self.assertEqual(values, {f"{oid}.0": "1"})
                continue
            having = {row.rsplit(".", 1)[1] for row in values}
            self.assertEqual(stable - having, set() if "Dropped" not in sensor["value"] else
                             {str(table_writer.name_index("unix_run_php-fpm-sock"))}, sensor)
            if kind == "state":
                known = {str(state["value"]) for state in sensor["states"]}
                self.assertLessEqual(set(values.values()), known)
                self.assertEqual({tuple(state) for state in sensor["states"]}, {("value", "generic", "graph", "descr")})


class DefinitionsTest(nms_harness.NmsTest):
    @classmethod
    def setUpClass(cls):
        mib = pathlib.Path(os.environ["BACKLOG_MIBS"], "BACKLOG-MIB.txt").read_text()
        parents = {"backlogMonitor": "1.1", "backlogListenerEntry": "1.2.1", "backlogNamespaceEntry": "1.3.1"}
        cls.names = {f"{MIB_OID}.{parents[parent]}.{number}": (name, syntax) for name, syntax, parent, number in re.findall(
            r"^(backlog\w+) OBJECT-TYPE\n +SYNTAX +(\w+)(?:(?!::=).)*::= \{ (\w+) (\d+) \}", mib, re.DOTALL | re.MULTILINE)
            if parent in parents}

    def test_librenms_names_what_it_reads(self):
        found = re.findall(r"value: BACKLOG-MIB::(\w+)\n +num_oid: '\.([0-9.]+)\.\{\{", shipped("librenms/linux_backlog.yaml"))
        self.assertEqual(len(found), 5)
        for name, oid in found:
            self.assertEqual(self.names[oid][0], name)

    def test_opennms(self):
        group = xml.etree.ElementTree.fromstring(shipped("opennms/backlog-datacollection.xml"))
        space = "{http://xmlns.opennms.org/xsd/config/datacollection}"
        objects = group.findall(f".//{space}mibObj")
        self.assertEqual(len(objects), 10)
        aliases = [each.get("alias") for each in objects]
        self.assertEqual(len(set(aliases)), len(aliases))
        for each in objects:
            self.assertLessEqual(len(each.get("alias")), 19)
            name, syntax = self.names[each.get("oid").removeprefix(".")]
            kind = {"counter": ("Counter64", "Counter32"), "string": ("SnmpAdminString",)}.get(
                each.get("type"), ("Gauge32", "INTEGER", "BacklogState"))
            self.assertIn(syntax, kind, name)
        groups = {each.get("name") for each in group.findall(f"{space}group")}
        self.assertEqual({each.text for each in group.findall(f".//{space}includeGroup")}, groups)
        events = xml.etree.ElementTree.fromstring(shipped("opennms/backlog.events.xml"))
        space = "{http://xmlns.opennms.org/xsd/eventconf}"
        self.assertEqual([[value.text for value in event.findall(f".//{space}mevalue")] for event in events],
                         [[f".{MIB_OID}", "6", str(number)] for number in (1, 2, 3, 4)])
        ueis = {event.find(f"{space}uei").text for event in events}
        for data in events.findall(f".//{space}alarm-data"):
            if clear := data.get("clear-key"):
                self.assertIn(clear.split(":")[0], ueis)

    def test_cacti(self):
        query = xml.etree.ElementTree.fromstring(shipped("cacti/backlog.xml"))
        fields = {field.tag: field.find("oid").text for field in query.find("fields")}
        self.assertEqual({tag: self.names[oid.removeprefix(".")][0].removeprefix("backlogListener") for tag, oid in fields.items()},
                         {"backlogName": "Name", "backlogOwner": "Owner", "backlogPeak": "RecentPeak", "backlogUsed": "RecentUsed",
                          "backlogLimit": "Limit", "backlogDropped": "Dropped"})
        self.assertEqual(self.names[query.find("oid_num_indexes").text.removeprefix(".").removesuffix(".0")][0], "backlogListeners")
        self.assertIn(query.find("index_order").text, fields)


class SnmpttTest(SnmpTest):
    """With Debian's configuration, by snmptrapd."""

    def test_notifications(self):
        text = pathlib.Path("/etc/snmp/snmptt.ini").read_text()
        log = self.directory / "snmptt.log"
        for pattern, new in ((r"(?ms)^snmptt_conf_files = <<END\n.*?END$",
                              f"snmptt_conf_files = <<END\n{NMS}/snmptt/snmptt-backlog.conf\nEND"),
                             (r"(?m)^log_file = .*", f"log_file = {log}"), (r"(?m)^syslog_enable = 1", "syslog_enable = 0"),
                             (r"(?m)^syslog_system_enable = 1", "syslog_system_enable = 0"),
                             (r"(?m)^ipv6_enable = 1", "ipv6_enable = 0")):  # it would need another package
            text, count = re.subn(pattern, new, text)
            self.assertEqual(count, 1, pattern)
        (self.directory / "snmptt.ini").write_text(text)
        (self.directory / "snmptrapd.conf").write_text(
            f"disableAuthorization yes\noutputOption n\ntraphandle default /usr/sbin/snmptt --ini={self.directory}/snmptt.ini\n")
        self.trapd = self._process([snmp_harness.program("snmptrapd"), "-f", "-Lo", "-C", "-c", self.directory / "snmptrapd.conf",
                                    "-m", "", f"udp:127.0.0.1:{TRAP_PORT}"], "snmptrapd.log")
        wait_until(lambda: f":{TRAP_PORT:04X} " in pathlib.Path("/proc/net/udp").read_text(), what="snmptrapd")

        def publish(severity, message, **options):
            state = "ok" if severity == "okay" else "overflow"
            self.publish([listener("tcp_any_80", has=ALL, state=state, severity=severity, alarm_state=state, message=message)],
                         interval=table_writer.longest_interval(), **options)
        publish("okay", "")
        self.start_snmpd(f"trap2sink 127.0.0.1:{TRAP_PORT} public")
        self.start_subagent()

        def logged():
            return log.read_text() if log.exists() else ""
        for severity, message, line in (("warning", "tcp_any_80: it overflows", "WARNING \"Accept queues\" localhost - "),
                                        ("failure", "tcp_any_80: it goes on", "MAJOR \"Accept queues\" localhost - "),
                                        ("okay", "tcp_any_80: ok", "NORMAL \"Accept queues\" localhost - ")):
            publish(severity, message)
            wait_until(lambda wanted=f"{line}Accept queue: {message}": wanted in logged(), 30, f"{severity} in snmptt's log")
        interval = min(10, table_writer.longest_interval() / 2)
        publish("okay", "")
        self.publish([listener("tcp_any_80", has=ALL)], interval=interval, age=4 * interval)
        wait_until(lambda: "MAJOR \"Accept queues\" localhost - Accept queues: the table of listeners is out of date (status" in
                   logged(), 30, "the stale table")
        publish("okay", "")
        wait_until(lambda: "the table of listeners is current again" in logged(), 30, "the current one")

    def test_the_comments_of_the_mib(self):
        """snmpttconvertmib makes of them a severity and a text for each."""
        output = self.directory / "converted.conf"
        environment = dict(self.environment, PATH=f"{pathlib.Path(snmp_harness.program('snmptranslate')).parent}:{os.environ['PATH']}")
        subprocess.run(["snmpttconvertmib", f"--in={os.environ['BACKLOG_MIBS']}/BACKLOG-MIB.txt", f"--out={output}"], check=True,
                       capture_output=True, env=environment)
        text = output.read_text()
        events = re.findall(rf'^EVENT (\w+) \.{re.escape(MIB_OID)}\.0\.(\d) "Status Events" (\w+)\nFORMAT (.*)$', text, re.MULTILINE)
        self.assertEqual([(name, severity) for name, _, severity, _ in events],
                         [("backlogListenerAlarm", "MAJOR"), ("backlogListenerClear", "NORMAL"), ("backlogMonitorStale", "MAJOR"),
                          ("backlogMonitorCurrent", "NORMAL")])
        self.assertIn("$5", events[0][3])
        self.assertEqual({(name, number) for name, number, *_ in events}, {
            (name.replace("Failure", "Alarm"), number) for name, number in re.findall(
                rf"^EVENT (\w+) \.{re.escape(MIB_OID)}\.0\.(\d) ", shipped("snmptt/snmptt-backlog.conf"), re.MULTILINE)})


if __name__ == "__main__":
    nms_harness.main(ROOT, "sbin/snmptt", "bin/snmpsimd")
