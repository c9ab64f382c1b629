#!/usr/bin/env python3
"""The MIB as a real snmpd serves it: every kind of question, names, values and errors."""

import os
import pathlib
import random
import re
import subprocess
import threading
import time

import snmp_harness
from snmp_harness import MIB_OID, SnmpTest, TABLE_OID, table_writer
from collectd import sanitizers
from waiting import wait_until

COLUMNS = 24


def oid_key(name):
    return [int(part) for part in name.strip(".").split(".")]


class AgentXTest(SnmpTest):
    def serve(self, listeners, **options):
        self.publish(listeners, **options)
        self.start_snmpd()
        return self.start_subagent()

    def test_values_by_name(self):
        index = table_writer.name_index("tcp_any_80")
        self.serve([table_writer.listener(
            "tcp_any_80", owner="nginx.service", message="slow", length=3, peak=129, limit=128, used=100.0, mean=1.25,
            dropped=2 ** 40, overflows=5, state="overflow", cause="slow_accept", severity="failure", full=12.0,
            address=bytes([192, 0, 2, 1]), counted_since_ns=table_writer.boot_ns(), members=2,
            syn_overflows=3, ack_overflows=1, waits_for=2,
            has=0xBFFF, clients="31 of 40 from 10.0.0.7", recent_peak=130, recent_dropped=8, recent_overflows=6, arrivals=605,
            accepts=355, peak_bound=131, enough=546, recent_used=99.6, wait_mean=0.25, wait_p50=0.125, wait_p99=1.5,
            alarm_state="stalled", alarm_cause="not_accepting", recent_state="missing", recent_severity="warning"),
            table_writer.listener("unix_a", address=b"", path="/a")], dropped=7)
        names = {"Name": "tcp_any_80", "State": "overflow", "Used": "100", "Length": "3", "Peak": "129", "Limit": "128",
                 "Mean": "1.250", "Full": "12", "Dropped": str(2 ** 40), "Overflows": "5", "Members": "2",
                 "Cause": "slowAccept", "LimitSource": "application", "Severity": "failure", "Message": "slow",
                 "Owner": "nginx.service", "RecentPeak": "130", "RecentUsed": "100", "RecentDropped": "8", "RecentOverflows": "6",
                 "RecentState": "missing", "RecentSeverity": "warning", "AlarmState": "stalled", "AlarmCause": "notAccepting",
                 "Stable": "true", "Expected": "true", "ArrivalRate": "60.500", "AcceptRate": "35.500", "WaitMean": "250000",
                 "WaitP50": "125000", "WaitP99": "1500000", "PeakBound": "131", "Enough": "546",
                 "SynOverflows": "3", "AckOverflows": "1", "OtherDropped": str(2 ** 40 - 5), "WaitsFor": "unix_a",
                 "AddressType": "ipv4", "Port": "80", "Path": "", "Namespace": "self"}
        values = self.get(*(f"BACKLOG-MIB::backlogListener{name}.{index}" for name in names))
        shown = dict(zip(names, (value.split(" ")[0].strip('"') for value in values)))
        self.assertEqual(shown, names)
        address = self.ask("snmpget", "-Oqvx", f"BACKLOG-MIB::backlogListenerAddress.{index}").strip()
        self.assertEqual(address.strip('" '), "C0 00 02 01")
        self.assertEqual(self.get("BACKLOG-MIB::backlogWorstName.0", "BACKLOG-MIB::backlogTableStatus.0"),
                         ["tcp_any_80", "fresh"])
        self.assertIn("tcp_any_80", self.ask("snmptable", "-Cb", "BACKLOG-MIB::backlogListenerTable"))
        self.publish([table_writer.listener("tcp_any_80")], complete=False)
        wait_until(lambda: self.get("BACKLOG-MIB::backlogTableStatus.0") == ["partial"], what="the table that is partial")

    def test_order_bulk_and_get(self):
        # An absent value shows at the edges of a walk.
        listeners = [table_writer.listener(f"tcp_any_{port}", has=random.Random(port).randrange(2 ** 16), port=port)
                     for port in range(1, 60)]
        self.serve(listeners, interval=60)
        scalars = f".{MIB_OID}.1.1."
        def steady(walk):
            return {key: value for key, value in walk.items() if not key.startswith(scalars)}
        walk = self.walk(MIB_OID, command="snmpwalk")
        self.assertEqual(sorted(walk, key=oid_key), list(walk))
        for repetitions in (1, 2, 7, 50, 200):
            self.assertEqual(steady(self.walk(MIB_OID, f"-Cr{repetitions}")), steady(walk))
        names = list(steady(walk))
        for first in range(0, len(names), 40):
            part = names[first:first + 40]
            self.assertEqual(self.get(*part), [walk[name] for name in part])
        self.assertEqual(sum(name.startswith(f".{TABLE_OID}.2.") for name in names), len(listeners))
        bulk = self.ask("snmpbulkget", "-Cn0", "-Cr5", "-OQ", "-On", MIB_OID + ".1.2.1.2").splitlines()
        self.assertEqual([line.split(" = ")[0] for line in bulk], names[:5])

    def test_what_is_not_there(self):
        self.serve([table_writer.listener("a")])
        for name, wanted in ((f"{TABLE_OID}.2.5", "No Such Instance"), (f"{TABLE_OID}.1.5", "No Such Object"),
                             (f"{TABLE_OID}.48.5", "No Such Object"), (f"{MIB_OID}.1.1.1", "No Such Instance"),
                             (f"{MIB_OID}.1.1.21.0", "No Such Object"), (f"{MIB_OID}.9", "No Such Object"),
                             (f"{TABLE_OID}.2", "No Such Instance"), (f"{TABLE_OID}.2.5.5", "No Such Instance"),
                             (f"{TABLE_OID}.2.4294967295", "No Such Instance"), (MIB_OID, "No Such Object")):
            self.assertIn(wanted, self.ask("snmpget", "-Ir", "-On", name), name)
        long_name = TABLE_OID + ".2" + ".4294967295" * (127 - len(TABLE_OID.split(".")))
        self.assertIn(".3.", self.ask("snmpgetnext", "-Ir", "-On", long_name))
        self.assertNotIn(MIB_OID, self.ask("snmpgetnext", "-On", f"{MIB_OID}.1.4"))
        twice = self.ask("snmpget", "-Oqv", *[f"{MIB_OID}.1.1.6.0"] * 2).split()
        self.assertEqual(twice[0], twice[-2] if "listeners" in twice else twice[-1])

    def test_nothing_can_be_set(self):
        self.serve([table_writer.listener("a")])
        index = table_writer.name_index("a")
        for name, kind in ((f"{TABLE_OID}.2.{index}", "s"), (f"{MIB_OID}.1.1.1.0", "i"), (f"{TABLE_OID}.2.77", "s"),
                           (f"{TABLE_OID}.99.{index}", "i"), (f"{MIB_OID}.5", "i")):
            output = self.ask("snmpset", name, kind, "1", community="private", check=False)
            self.assertRegex(output, "notWritable|noAccess|noCreation", name)
        self.assertEqual(self.get(f"{TABLE_OID}.2.{index}"), ["a"])

    def test_version_3(self):
        self.publish([table_writer.listener("a")])
        self.start_snmpd("createUser someone SHA authpassword AES privpassword\nrouser someone priv")
        self.start_subagent()
        who = ("-v3", "-u", "someone", "-l", "authPriv", "-a", "SHA", "-A", "authpassword", "-x", "AES", "-X", "privpassword")
        values = self.ask("snmpget", *who, "-Oqv", f"{MIB_OID}.1.1.6.0", community=None)
        self.assertEqual(values.split()[0], "1")
        wrong = [word.replace("authpassword", "otherpassword") for word in who]
        self.assertNotIn("= ", self.ask("snmpget", *wrong, f"{MIB_OID}.1.1.6.0", community=None, check=False))

    def test_time_stamps_do_not_jitter(self):
        self.serve([])
        time.sleep(2)  # of the agent's uptime, in which nothing was counted
        since = table_writer.boot_ns()
        self.publish([table_writer.listener("a", counted_since_ns=since)], interval=60)
        stamp = f"{TABLE_OID}.25.{table_writer.name_index('a')}"
        wait_until(lambda: self.answers(stamp), what="the row")
        names = [stamp, f"{MIB_OID}.1.1.5.0"]
        seen = {tuple(self.get("-Ot", *names)) for _ in range(30)}
        self.assertEqual(len(seen), 1, seen)
        before = table_writer.boot_ns()
        ticks, uptime = map(int, self.get("-Ot", stamp, "1.3.6.1.2.1.1.3.0"))
        # Both are cut to hundredths; the uptime was taken over some time after snmpd had told it.
        age = (uptime - ticks) / 100
        self.assertGreater(age, (before - since) / 1e9 - 0.03)
        self.assertLess(age, (table_writer.boot_ns() - since) / 1e9 + 1)

    def test_rows_come_and_go_while_walked(self):
        always = [table_writer.listener(f"tcp_any_{port}") for port in range(1, 60)]
        subagent = self.serve(always)
        ended = threading.Event()
        def churn():
            chance = random.Random(3)
            while not ended.is_set():
                some = [table_writer.listener(f"unix_run_{chance.randrange(400)}x{number}") for number in range(30)]
                self.publish(always + some)
                time.sleep(0.03)
        thread = threading.Thread(target=churn)
        thread.start()
        try:
            for _ in range(10):
                for command in ("snmpwalk", "snmpbulkwalk"):
                    names = self.ask(command, "-Oqv", f"{TABLE_OID}.2").splitlines()
                    self.assertEqual({name for name in names if name.startswith("tcp_any_")},
                                     {f"tcp_any_{port}" for port in range(1, 60)})
        finally:
            ended.set()
            thread.join()
        self.assertTrue(subagent.running())

    def test_another_root(self):
        self.publish([table_writer.listener("a")])
        self.start_snmpd()
        self.start_subagent("--root", "1.3.6.1.4.1.32473.77", wait=False)
        wait_until(lambda: self.answers("1.3.6.1.4.1.32473.77.1.1.1.1.0"), what="the MIB below the other root")
        self.assertFalse(self.answers(f"{MIB_OID}.1.1.1.0"))
        folder = self.directory / "mibs"
        folder.mkdir()
        mibs = pathlib.Path(os.environ["BACKLOG_MIBS"])
        text = (mibs / "BACKLOG-ROOT-MIB.txt").read_text()
        own = "IMPORTS\n    enterprises FROM SNMPv2-SMI;\nsite OBJECT IDENTIFIER ::= { enterprises 32473 }\n" \
              "backlogRoot OBJECT IDENTIFIER ::= { site 77 }\nEND\n"
        (folder / "BACKLOG-ROOT-MIB.txt").write_text(text[:text.index("IMPORTS")] + own)
        (folder / "BACKLOG-MIB.txt").write_text((mibs / "BACKLOG-MIB.txt").read_text())
        self.environment["MIBDIRS"] = f"{folder}:{snmp_harness.STAND_INS}"
        self.assertEqual(self.get("BACKLOG-MIB::backlogListeners.0"), ["1 listeners"])

    def test_memory_and_speed_at_10000_rows(self):
        subagent = self.serve([])
        self.publish([table_writer.listener(f"tcp_127-0-{number >> 8}-{number & 255}_80", message="m" * 60,
                                            owner="some-long-name.service") for number in range(10000)], interval=600)
        wait_until(lambda: self.get(f"{MIB_OID}.1.1.6.0")[0].startswith("10000"), what="the rows")
        self.assertEqual(len(self.walk(f"{TABLE_OID}.2", "-Cr50")), 10000)
        for dropped in (1, 2, 3):
            self.publish([table_writer.listener(f"tcp_127-0-{number >> 8}-{number & 255}_80", message="n" * 60,
                                                owner="some-long-name.service") for number in range(10000)],
                         interval=600, dropped=dropped)
            wait_until(lambda dropped=dropped: self.get(f"{MIB_OID}.1.1.14.0") == [f"{dropped} segments"],
                       what="the next table")
        if not sanitizers():
            self.assertLess(subagent.resident_mib(), 25)

    def test_files(self):
        """The subagent reads and makes no file of net-snmp's."""
        if sanitizers():
            self.skipTest("the sanitizers' own files would be seen")
        if subprocess.run(["which", "strace"], capture_output=True, check=False).returncode != 0:
            self.skipTest("strace is missing")
        self.publish([table_writer.listener("a")])
        self.start_snmpd()
        trace = self.directory / "trace"
        process = self._process(["strace", "-D", "-f", "-o", trace, "-e", "trace=%file", os.environ["BACKLOG_AGENTX"],
                                 "--foreground", "--table", self.table_file, "--agentx", self.agentx_address], "strace.log")
        wait_until(lambda: self.answers(f"{MIB_OID}.1.1.1.0"), what="the MIB")
        process.stop()
        wait_until(lambda: "+++ exited" in trace.read_text(), what="the end of the trace")
        self.assertIn(f'"{self.table_file}"', trace.read_text())
        known = (str(self.directory), str(pathlib.Path(os.environ["BACKLOG_AGENTX"]).parent))
        root = os.environ.get("SNMP_ROOT", "")  # where the libraries may be
        for line in trace.read_text().splitlines():
            if "execve" in line:
                continue
            self.assertNotRegex(line, r"O_(CREAT|WRONLY|RDWR|TRUNC)|rename|unlink", line)
            for path in re.findall(r'"([^"]*)"', line):
                if "snmp" in path.removeprefix(root) and not path.startswith(known):
                    self.assertRegex(path, r"/libnetsnmp\w*\.so[.0-9]*$", line)
                self.assertNotIn("cert_indexes", path if not path.startswith("/dev/null/") else "", line)
            if "mkdir" in line:
                self.assertIn('"/dev/null', line)


if __name__ == "__main__":
    snmp_harness.main()
