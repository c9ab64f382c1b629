#!/usr/bin/env python3
"""backlog-table and check_backlog over tables of every kind, and the file that a real collectd
publishes."""

import contextlib
import fcntl
import grp
import itertools
import json
import os
import pathlib
import pty
import pwd
import re
import shutil
import stat
import struct
import subprocess
import termios
import time

from snmp_harness import table_writer
import system_test
from system_test import SystemTest, skip
from waiting import wait_until
from table_writer import listener


class CommandTest(SystemTest):
    def setUp(self):
        self.directory = pathlib.Path(self.folder())
        self.table = self.directory / "table"

    def publish(self, *listeners, **options):
        table_writer.publish(self.table, table_writer.table(listeners, **options))

    def publish_aged(self, intervals):
        """One of a listener, so many intervals old; they are as short as the system is young."""
        interval = min(10, table_writer.boot_ns() / 4e9)
        self.publish(listener("a"), interval=interval, age=intervals * interval)

    def run_program(self, program, *arguments):
        binary = pathlib.Path(os.environ["BACKLOG_TABLE"]).with_name(program)
        return subprocess.run([binary, *arguments], capture_output=True, text=True, timeout=30, check=False)

    def check(self, *arguments):
        """(status, first line, perfdata, further lines)"""
        result = self.run_program("check_backlog", "-f", self.table, *arguments)
        self.assertEqual(result.stderr, "")
        first, *more = result.stdout.splitlines()
        text, _, perfdata = first.partition(" | ")
        return result.returncode, text, perfdata, more

    def show(self, *arguments):
        return self.run_program("backlog-table", "--table", self.table, *arguments)

    def shown_json(self):
        result = self.show("--json")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return json.loads(result.stdout)


class AddressNameTest(CommandTest):
    """A listener that a <Watch> block has given a name is found by that of its address, too."""

    def test_selection(self):
        self.publish(listener("other", address_name="tcp_any_81", address=bytes(4), port=81), listener("tcp_any_80"),
                     listener("web", address_name="tcp6_any_443__dev_eth0", address=bytes(16), port=443))
        for argument, names in (("web", ["web"]), ("tcp6_any_443__dev_eth0", ["web"]), ("/^tcp_/", ["other", "tcp_any_80"]),
                                ("tcp_any_81", ["other"]), ("other", ["other"]), ("[::]%eth0:443", ["web"])):
            result = self.show("--json", argument)
            rows = json.loads(result.stdout)["listeners"] if result.returncode == 0 else []
            self.assertEqual(sorted(row["name"] for row in rows), names, (argument, result.stderr))
        self.assertEqual({row["name"]: row.get("address_name") for row in self.shown_json()["listeners"]},
                         {"other": "tcp_any_81", "tcp_any_80": None, "web": "tcp6_any_443__dev_eth0"})
        self.assertEqual(self.show("--oid", "tcp_any_81").stdout, self.show("--oid", "other").stdout)
        for name, status in (("^tcp_any_81$", 0), ("^other$", 0), ("^tcp_any_8$", 3)):
            self.assertEqual(self.check("-n", name)[0], status, name)


class CheckBacklogTest(CommandTest):
    def test_states(self):
        for state, status, word in (("ok", 0, "OK"), ("high", 1, "WARNING"), ("overflow", 2, "CRITICAL"),
                                    ("stalled", 2, "CRITICAL"), ("missing", 2, "CRITICAL")):
            self.publish(listener("a"), listener("b", state=state, message="b: in words" if status else "", used=55.5))
            got, text, perfdata, _ = self.check()
            self.assertEqual(got, status, text)
            self.assertTrue(text.startswith(f"BACKLOG {word} - "), text)
            if status:
                self.assertIn("b: in words", text)
            self.assertIn("b=55.5%;;;0;100", perfdata)

    def test_ranges(self):
        self.publish(listener("a", used=50.0, state="overflow"))
        for options, status in ((("-w", "60"), 0), (("-w", "40"), 1), (("-c", "40"), 2), (("-w", "40", "-c", "45"), 2),
                                (("-w", "40", "-c", "60"), 1), (("-w", "60:"), 1), (("-w", "10:60"), 0), (("-w", "@10:60"), 1),
                                (("-w", "~:49"), 1), (("-w", "50"), 0), (("-w", "@60"), 1), (("--warning=40",), 1),
                                (("--critical", "40"), 2), (("-w40",), 1)):
            self.assertEqual(self.check(*options)[0], status, options)
        self.assertIn("a=50%;40;60;0;100", self.check("-w", "40", "-c", "60")[2])
        self.publish(listener("a", used=3.0, state="stalled"))
        for options in (("-w", "60", "-c", "90"), ("-w", "60"), ("-c", "@90:100")):
            self.assertEqual(self.check(*options)[0], 2, options)

    def test_capacity_of_a_group(self):
        self.publish(listener("a", members=4, limit=512, peak=500, used=97.0))
        self.assertIn("peak 500 of 516", self.check()[1])
        # One of two sockets on a Unix path is only counted.
        self.publish(listener("unix_a", members=2, limit=512, peak=500, used=97.0, address=b"", port=0, path="/a"))
        self.assertIn("peak 500 of 513", self.check()[1])

    def test_what_is_not_listening(self):
        # The row has no queue: its state decides, with thresholds as well.
        for options in ((), ("-w", "60"), ("-c", "60"), ("-w", "@0:100", "-c", "@0:100")):
            for state, status in (("ok", 0), ("missing", 2)):
                self.publish(listener("a", has=0, state=state))
                got, text, perfdata, _ = self.check(*options)
                self.assertEqual((got, " a=" in perfdata), (status, False), options)
                self.assertIn(f"a {state}, not listening", text)
        self.publish(listener("a", has=0, message="a: expected, but not listening for 5 s"))
        self.assertIn("worst a: expected, but not listening for 5 s", self.check()[1])

    def test_a_cause_without_an_alarm(self):
        self.publish(listener("a", cause="syn_flood", message="a: in words"), listener("b", message="b: in words"))
        status, _, _, more = self.check("-vv")
        self.assertEqual((status, more), (0, ["OK: a: in words", "OK: b ok, 0% used, peak 0 of 129"]))
        shown = self.show().stdout
        self.assertIn("    a: in words\n", shown)
        self.assertNotIn("b: in words", shown)

    def test_names(self):
        self.publish(listener("tcp_any_80"), listener("tcp_any_81", state="stalled"))
        self.assertEqual(self.check("-n", "_80$")[0], 0)
        self.assertEqual(self.check("-n", "_81$")[0], 2)
        self.assertEqual(self.check("-n", "_82$")[0], 3)
        self.assertEqual(self.check("-n", "(")[0], 3)

    def figures(self, *arguments):
        """{label: value with unit, warning, critical, lowest, highest}, in order"""
        return dict(part.split("=") for part in self.check(*arguments)[2].split())

    def figures_of_listeners(self, *arguments):
        return [label for label in self.figures(*arguments) if "." not in label]

    def test_perfdata_of_a_listener(self):
        recent = table_writer.HAS_QUEUE | table_writer.HAS_DROPPED | table_writer.HAS_RECENT
        self.publish(listener("a", peak=3, used=2.0, dropped=7, has=recent, recent_peak=100, recent_used=77.5, members=2),
                     listener("b", has=table_writer.HAS_QUEUE, peak=1, limit=4, used=20.0), dropped=9)
        self.assertEqual(self.figures("-w", "50"), {
            "all.listeners": "2;;;0", "all.high": "0;;;0", "all.overflow": "0;;;0", "all.stalled": "0;;;0",
            "all.missing": "0;;;0", "all.dropped": "9c", "a": "77.5%;50;;0;100", "a.peak": "100;;;0;130", "a.dropped": "7c",
            "b": "20%;50;;0;100", "b.peak": "1;;;0;5"})
        self.assertEqual({label: value for label, value in self.figures("--last", "-n", "^a$").items() if value[0] != "0"},
                         {"all.listeners": "1;;;0", "a": "2%;;;0;100", "a.peak": "3;;;0;130", "a.dropped": "7c"})

    def test_perfdata_counts_states(self):
        self.publish(listener("a", state="high"), listener("b", state="missing", has=0), listener("c"),
                     listener("d", has=table_writer.HAS_QUEUE | table_writer.HAS_RECENT, recent_state="high"),
                     has=table_writer.HAS_HOST)
        counts = {label: value[0] for label, value in self.figures().items() if label.startswith("all.")}
        self.assertEqual(counts, {"all.listeners": "4", "all.high": "2", "all.overflow": "0", "all.stalled": "0",
                                  "all.missing": "1"})
        self.assertEqual(self.figures("--last")["all.high"], "1;;;0")

    def test_perfdata_of_the_same_listeners_in_each_state(self):
        stable = table_writer.HAS_QUEUE | table_writer.IS_STABLE
        names = [f"l{number:02}" for number in range(50)]
        for worst in ("l00", "l49"):
            self.publish(*(listener(name, has=stable, used=90.0 * (name == worst)) for name in names),
                         listener("a-unstable", used=100.0, state="overflow"))
            self.assertEqual(self.figures_of_listeners(), names[:20])
            self.assertEqual(self.figures_of_listeners("-p", "3"), names[:3])
            self.assertEqual(self.figures_of_listeners("--perfdata=0"), [])
            self.assertEqual(self.figures_of_listeners("-p", "1000"), names)
        self.assertEqual(self.figures_of_listeners("-n", "unstable"), ["a-unstable"])
        self.publish(*(listener(name, has=stable | table_writer.IS_EXPECTED * (name == "l49")) for name in names))
        self.assertEqual(self.figures_of_listeners(), ["l49", *names[:19]])

    def test_perfdata_is_short_enough_for_nagios(self):
        names = [f"tcp_any_{number}__" + 88 * "x" for number in range(10000, 10020)]
        self.publish(*(listener(name, has=table_writer.HAS_QUEUE | table_writer.HAS_DROPPED | table_writer.IS_STABLE,
                                peak=10**9, limit=10**9, used=33.333, dropped=10**12) for name in names))
        self.assertEqual(self.figures_of_listeners(), names)
        self.assertLess(len(self.run_program("check_backlog", "-f", self.table).stdout), 8192)  # MAX_PLUGIN_OUTPUT_LENGTH

    def test_perfdata_has_no_exponent(self):
        self.publish(*(listener(f"l{number}", used=used) for number, used in enumerate((100.0, 33.337, 0.5, 9.3e-8))))
        self.assertEqual([f"{label}={value.split('%')[0]}" for label, value in self.figures().items() if "." not in label],
                         ["l0=100", "l1=33.34", "l2=0.5", "l3=0"])

    def test_more_words(self):
        self.publish(listener("a"), *(listener(f"b{number}", state="high", message=f"b{number} | x") for number in range(5)))
        status, text, _, more = self.check("-v")
        self.assertEqual((status, len(more)), (1, 5))
        self.assertIn("and 2 more", text)
        self.assertNotIn("|", text)
        self.assertEqual(len(self.check("-vv")[3]), 6)

    def test_a_check_of_nothing_is_unknown(self):
        self.publish()
        status, text, perfdata, _ = self.check()
        self.assertEqual((status, perfdata), (3, ""))
        self.assertIn("no listener to check", text)

    def test_the_alarm_that_stands(self):
        # Between two retries of the clients the interval itself is quiet.
        for severity, status in (("okay", 0), ("warning", 1), ("failure", 2)):
            self.publish(listener("a", severity=severity, alarm_state="overflow" if status else "ok", alarm_cause="burst",
                                  owner="nginx.service", message="a: accept queue ok, peak 1 of 129"))
            got, text, *_ = self.check()
            self.assertEqual((got, self.check("--last")[0]), (status, 0), text)
            if status:
                self.assertIn("a (nginx.service): the alarm stands, overflow by burst", text)
        # A state that Notify leaves out makes no alarm.
        self.publish(listener("a", state="high"))
        self.assertEqual(self.check()[0], 1)
        # The first overflow is a warning, as in the notifications.
        self.publish(listener("a", state="overflow", severity="warning", alarm_state="overflow", message="a: overflow"))
        self.assertEqual(self.check()[:2], (1, "BACKLOG WARNING - a: overflow"))
        # A stalled listener is critical, even without an alarm.
        self.publish(listener("a", state="stalled", severity="warning", alarm_state="overflow"))
        self.assertEqual(self.check()[0], 2)

    def test_the_last_five_minutes(self):
        recent = dict(has=table_writer.HAS_QUEUE | table_writer.HAS_DROPPED | table_writer.HAS_RECENT | table_writer.HAS_RECENT_DROPPED,
                      peak=3, used=2.0, recent_peak=129, recent_used=100.0, recent_overflows=12, recent_dropped=13)
        self.publish(listener("a", recent_state="overflow", recent_severity="warning", **recent))
        status, text, perfdata, _ = self.check()
        self.assertEqual(status, 1)
        self.assertIn("a ok, was overflow in the last 5 min: 100% used, peak 129 of 129, 12 overflows", text)
        self.assertIn(" a=100%;;;0;100 a.peak=129;;;0;129 a.dropped=0c", perfdata)
        self.assertEqual(self.check("-w", "50")[0], 1)
        self.assertEqual(self.check("-c", "50")[0], 2)
        for options in (("--last",), ("--last", "-w", "50"), ("-c", "50", "--last")):
            status, text, perfdata, _ = self.check(*options)
            self.assertEqual(status, 0, text)
            self.assertIn(" a=2%;", perfdata)
            self.assertIn("2% used, peak 3 of 129", text)
        self.publish(listener("a", recent_state="stalled", recent_severity="failure", **recent))
        self.assertEqual(self.check("-w", "101")[0], 2)
        self.assertEqual(self.check("-w", "101", "--last")[0], 0)

    def test_permission_denied_says_what_to_do(self):
        if os.geteuid() != 0:
            self.skipTest("needs root, to be somebody else")
        self.publish(listener("a"))
        self.directory.chmod(0o755)
        self.table.chmod(0o640)
        group = next(entry for entry in grp.getgrall() if entry.gr_gid != 0)
        user = pwd.getpwuid(65534).pw_name
        binary = pathlib.Path(os.environ["BACKLOG_TABLE"])
        # The folders above may be root's own.
        copy = self.directory / "bin"
        copy.mkdir()
        shutil.copy(binary, copy / "check_backlog")
        for gid, words in ((0, f'TableGroup "backlog" in collectd\'s configuration), then add the user to it: adduser {user} backlog'),
                           (group.gr_gid, f"; add the user to it: adduser {user} {group.gr_name}")):
            os.chown(self.table, 0, gid)
            result = subprocess.run([copy / "check_backlog", "-f", self.table], user=65534, group=65534, extra_groups=[],
                                    capture_output=True, text=True, check=False)
            self.assertEqual(result.returncode, 3)
            self.assertIn("Permission denied", result.stdout)
            self.assertIn(words, result.stdout)

    def test_unknown(self):
        for options in (("-w", "x"), ("-w", "5:1"), ("-w",), ("-q",), ("--tabel",), ("word",), ("-t", "0"), ("-w", ""), ("-c", "1:2:3")):
            self.publish(listener("a"))
            self.assertEqual(self.check(*options)[0], 3, options)
        self.publish_aged(3.1)
        self.assertEqual(self.check()[0], 3)
        self.assertIn("stale", self.check()[1])
        self.publish_aged(2)
        self.assertEqual(self.check()[0], 0)
        self.publish(listener("a"), age=-100)
        self.assertEqual(self.check()[0], 3)
        for data in (b"", b"BACKLOG\n", table_writer.table(version=3), table_writer.table([listener("a")])[:-1]):
            table_writer.publish(self.table, data)
            self.assertEqual(self.check()[0], 3)
        self.table.unlink()
        self.assertEqual(self.check()[0], 3)
        os.mkfifo(self.table)
        self.assertEqual(self.check()[0], 3)

    def test_the_time_is_up(self):
        if shutil.which("strace") is None:
            self.skipTest("strace is missing")
        self.publish(listener("a"))
        check = pathlib.Path(os.environ["BACKLOG_TABLE"]).with_name("check_backlog")
        result = subprocess.run(
            ["strace", "-o", "/dev/null", "-P", self.table, "-e", "trace=openat", "-e", "inject=openat:delay_enter=3s",
             check, "-f", self.table, "-t", "1"], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual((result.returncode, result.stdout), (3, "BACKLOG UNKNOWN - no answer in time\n"), result.stderr)

    def test_not_all_listeners_could_be_read(self):
        self.publish(listener("a"), complete=False)
        self.assertEqual(self.check()[:2], (3, "BACKLOG UNKNOWN - not all listeners could be read: see collectd's log"))
        self.assertIn("others could not be read", self.show().stdout)
        self.publish(listener("a", state="high"), complete=False)
        self.assertEqual(self.check()[0], 1)

    def test_help_and_version(self):
        for option in ("-h", "--help", "-V", "--version"):
            result = self.run_program("check_backlog", option)
            self.assertEqual(result.returncode, 3)  # as the guidelines want it
            self.assertIn("check_backlog", result.stdout)


class BacklogTableTest(CommandTest):
    def test_the_worst_first(self):
        self.publish(listener("calm"), listener("half", used=50.0, length=64, peak=64),
                     listener("bad", state="overflow", severity="failure", used=100.0, message="bad: in words", owner="x.service"))
        result = self.show()
        self.assertEqual(result.returncode, 0)
        lines = [line.split()[0] for line in result.stdout.splitlines()[2:]]
        self.assertEqual(lines, ["bad", "bad:", "half", "calm"])
        self.assertIn("##########..........", result.stdout)

    def test_json(self):
        self.publish(listener("a", message='a "quoted" \\\\ word', dropped=2 ** 63, has=table_writer.HAS_DROPPED), dropped=5)
        content = self.shown_json()
        self.assertEqual(content["listeners"][0]["message"], 'a "quoted" \\\\ word')
        self.assertEqual(content["listeners"][0]["dropped"], 2 ** 63)
        self.assertNotIn("length", content["listeners"][0])
        self.assertEqual(content["namespaces"][0]["somaxconn"], 4096)
        self.assertFalse(content["stale"])
        self.assertEqual((content["dropped"], content["unreported"]), (5, 0))
        self.publish(listener("a"), has=table_writer.HAS_HOST)
        content = self.shown_json()
        self.assertNotIn("dropped", content)
        self.assertEqual(content["unreported"], 0)
        self.publish(listener("a"), has=0)
        content = self.shown_json()
        self.assertNotIn("dropped", content)
        self.assertNotIn("unreported", content)

    def test_who_waits_for_whom_when_only_some_are_shown(self):
        self.publish(listener("a", waits_for=4), listener("b"), listener("c", waits_for=1), listener("d", waits_for=4))
        for arguments, expected in (((), {"a": "d", "b": None, "c": "a", "d": "d"}), (("a",), {"a": "d"}), (("c", "d"), {"c": "a", "d": "d"}),
                                    (("a", "c"), {"a": "d", "c": "a"}), (("b",), {"b": None})):
            rows = json.loads(self.show("--json", *arguments).stdout)["listeners"]
            self.assertEqual({row["name"]: row.get("waits_for") for row in rows}, expected)

    def test_audit_and_index(self):
        self.publish(listener("a", limit=511, limit_source=2), listener("unix_run_7kv-jj"), listener("unix_run_y-l35jrjf1"))
        self.assertRegex(self.show("--audit").stdout, r"(?m)^a +511 +somaxconn +- +- +1 +-$")
        for name, index in (("a", table_writer.name_index("a")), ("unix_run_7kv-jj", 108337934),
                            ("unix_run_y-l35jrjf1", 108337935), ("other", table_writer.name_index("other"))):
            self.assertEqual(self.show("--oid", name).stdout, f"{index}\n")
            self.assertEqual(self.show("--oid", name).returncode, 0)

    def test_audit_says_what_to_write_where(self):
        known = table_writer.HAS_QUEUE | table_writer.HAS_ENOUGH | table_writer.HAS_DAY_PEAK
        self.publish(*(listener(name, limit=511, has=known, owner=owner, enough=enough, day_peak=512)
                       for name, owner, enough in (("a", "web.service", 546), ("b", "web[7]", 9000), ("c", "web[8]", 511),
                                                   ("d", "other[1]", 546), ("e", "other[1]", 9000), ("f", "other[1]", 12))))
        servers = self.table.parent / "servers"
        servers.write_text("# mine\nweb | listen backlog=N; in web.conf | 511 | reload\n", encoding="ascii")
        lines = self.show("--audit", "--servers", servers).stdout.splitlines()[3:]
        somaxconn = "    sysctl net.core.somaxconn=9000, then "
        told = ["    listen backlog=546; in web.conf; then reload",
                somaxconn + "listen backlog=9000; in web.conf; then reload",
                "    listen backlog=N; in web.conf; then reload (default 511)",
                "    raise the backlog of its listen() to 546, then restart it",
                somaxconn + "raise the backlog of its listen() to 9000, then restart it"]
        self.assertEqual([line for line in lines if line.startswith(" ")], told)
        self.assertRegex(lines[0], r"^a +511 +application +512 +546 +1 +web\.service$")

    def test_audit_names_a_wrong_line(self):
        self.publish(listener("a"))
        servers = self.table.parent / "servers"
        servers.write_text("web | N\n", encoding="ascii")
        result = self.show("--audit", "--servers", servers)
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertRegex(result.stderr, r"option --servers: .*/servers line 1: allowed is OWNER \| PLACE \| DEFAULT \| HOW")

    def test_an_index_that_is_not_certain(self):
        self.publish(listener("unix_run_7kv-jj"))
        result = self.show("--oid", "unix_run_y-l35jrjf1")
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertIn("its index is that of unix_run_7kv-jj", result.stderr)
        self.table.unlink()
        result = self.show("--oid", "unix_run_y-l35jrjf1")
        self.assertEqual((result.returncode, result.stdout), (1, "108337934\n"))
        self.assertIn("No such file", result.stderr)

    def test_failures(self):
        self.assertEqual(self.show().returncode, 1)
        self.publish(listener("a"))
        for options in (("--tabel",), ("--oid",), ("--live", "x"), ("--live", "0.0004"), ("word",)):
            self.assertEqual(self.show(*options).returncode, 1, options)

    def test_options_that_exclude_each_other(self):
        self.publish(listener("a"))
        servers = self.directory / "servers"
        servers.write_text("", encoding="ascii")
        options = {"--json": (), "--openmetrics": (), "--audit": (), "--oid": ("a",), "--watch": (), "--live": ("0.01",),
                   "--servers": (servers,), "--table": (self.table,)}
        together = {frozenset(pair.split()) for pair in (
            "--json --watch", "--openmetrics --watch", "--audit --watch", "--json --live", "--openmetrics --live",
            "--audit --live", "--watch --live", "--audit --servers", "--json --table", "--openmetrics --table",
            "--audit --table", "--oid --table", "--watch --table")}
        for one, other in itertools.permutations(options, 2):
            with self.subTest(one=one, other=other):
                command = (one, *options[one], other, *options[other])
                if frozenset((one, other)) in together:
                    if "--watch" not in command:
                        self.assertNotRegex(self.run_program("backlog-table", *command).stderr, "exclude|without effect")
                    continue
                result = self.run_program("backlog-table", *command)
                self.assertEqual((result.returncode, result.stdout), (1, ""))
                if {one, other} == {"--servers", "--table"} or "--servers" in command and (
                        "--watch" in command or "--live" in command):
                    self.assertIn("option --servers is without effect; allowed beside --servers is --audit", result.stderr)
                    continue
                self.assertRegex(result.stderr, rf"options ({one} and {other}|{other} and {one}) exclude each other; allowed ")
        for options in (("--oid", "a", "b"), ("--servers", servers)):
            self.assertRegex(self.show(*options).stderr, "allowed beside --(oid is --table|servers is --audit)$")

    def test_a_full_disk_is_said(self):
        self.publish(listener("a"))
        for options in ((), ("--json",), ("--openmetrics",), ("--audit",), ("--oid", "a")):
            with open("/dev/full", "wb") as full:
                result = subprocess.run([os.environ["BACKLOG_TABLE"], "--table", self.table, *options], stdout=full,
                                        stderr=subprocess.PIPE, text=True, timeout=30, check=False)
            self.assertEqual((result.returncode, result.stderr),
                             (1, "backlog-table: standard output: No space left on device\n"), options)

    @contextlib.contextmanager
    def watching(self, *arguments):
        """What it has printed to both, as functions, and the process; it ends by a signal, soon and with 0."""
        output = self.directory / "output"
        errors = self.directory / "errors"
        with open(output, "wb") as file, open(errors, "wb") as error_file, subprocess.Popen(
                [os.environ["BACKLOG_TABLE"], *([] if "--live" in arguments else ["--table", self.table]), "--watch", *arguments],
                stdout=file, stderr=error_file) as process:
            try:
                yield output.read_text, errors.read_text, process
                process.terminate()
                self.assertEqual(process.wait(10), 0, errors.read_text())
            finally:
                process.kill()

    def test_watch(self):
        self.publish(listener("a"))
        with self.watching() as (output, *_):
            wait_until(lambda: " a " in f" {output()}".replace("\n", " "), what="the first table")
            self.publish(listener("newcomer"))
            wait_until(lambda: "newcomer" in output(), what="the next")

    def test_watch_tells_that_the_table_gets_old(self):
        self.publish(listener("a"), interval=2)
        with self.watching() as (output, *_):
            wait_until(lambda: "; STALE" in output(), 20, "the mark")
            self.assertNotIn("STALE", output().splitlines()[0])

    def test_watch_goes_on_without_a_table(self):
        with self.watching() as (output, errors, _):
            wait_until(lambda: "No such file" in errors(), what="the reason")
            self.publish(listener("a"))
            wait_until(lambda: "1 listener" in output(), what="the table")
            table_writer.publish(self.table, b"BACKLOG\n")
            wait_until(lambda: "shorter than a header" in errors(), what="the other reason")
            shown = len(output())
            self.publish(listener("b"))
            wait_until(lambda: len(output()) > shown, what="the next table")
        self.assertEqual(len(errors().splitlines()), 2)

    def on_a_terminal(self, rows, columns, *arguments, **variables):
        """The lines of the first table that is shown on one of this size."""
        env = dict(os.environ, TERM="xterm", NO_COLOR="1")
        env.update(variables)
        terminal, inside = pty.openpty()
        with open(terminal, "rb", buffering=0) as output, open(inside, "wb", buffering=0) as screen:
            fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
            with subprocess.Popen([os.environ["BACKLOG_TABLE"], "--table", self.table, "--watch", *arguments],
                                  stdout=screen, env=env) as process:
                shown = b""
                while shown.count(b"\x1b[H\x1b[J") < 2:
                    shown += output.read(65536)
                process.kill()
        return shown.split(b"\x1b[H\x1b[J")[1].decode().splitlines()

    def test_the_worst_find_room_on_the_screen(self):
        """Each has a line more, with what is wrong."""
        names = [f"tcp_any_{port}" for port in range(1, 41)]
        self.publish(*(listener(name, state="overflow", used=100.0 - index, message=f"{name}: in words, {'x' * 100}")
                       for index, name in enumerate(names)))
        for rows in (24, 25, 100):
            lines = self.on_a_terminal(rows, 80)
            shown = [line.split()[0] for line in lines[2:] if line.startswith("tcp_")]
            self.assertLess(len(lines), rows)
            self.assertLessEqual(max(map(len, lines)), 80)
            self.assertRegex(lines[0], "^40 listeners, ")
            self.assertEqual(shown, names[:len(shown)])
            if len(shown) < 40:
                self.assertEqual(lines[-1], f"... and {40 - len(shown)} more")
                self.assertGreaterEqual(len(lines), rows - 2)
            else:
                self.assertEqual(rows, 100)
        audit = self.on_a_terminal(24, 80, "--audit")
        self.assertEqual(len(audit), 23)
        self.assertRegex(audit[-1], "^... and [0-9]+ more$")
        self.assertLessEqual(max(map(len, self.on_a_terminal(24, 20))), 20)

    def test_names_are_whole_where_no_screen_bounds_them(self):
        names = [f"tcp_any_8080__netns_docker-{'a' * 60}{number}" for number in (1, 2)]
        self.publish(*(listener(name, limit=2 ** 30, peak=2 ** 30 + 1) for name in names))
        for options in ((), ("--audit",)):
            shown = self.show(*options).stdout
            for name in names:
                self.assertRegex(shown, rf"(?m)^{name} ")
        self.assertRegex(self.show().stdout, r" 1073741825 1073741824 ")

    def test_only_those_asked_for(self):
        v6 = bytes(15) + b"\x01"
        self.publish(listener("tcp_any_8080", port=8080, address=bytes(4)),
                     listener("tcp_127-0-0-1_80", port=80, address=bytes([127, 0, 0, 1])),
                     listener("tcp6_--1_9000", port=9000, address=v6),
                     listener("unix_run_a-sock", port=0, address=b"", path="/run/a.sock"),
                     listener("unix_run_e-sock", port=0, address=b"", path=r"/run/\xc3\xa9"),
                     listener("unix_abstract_x", port=0, address=b"", path="@x"))
        for argument, name in (("tcp_any_8080", "tcp_any_8080"), ("/y_80/", "tcp_any_8080"), ("*:8080", "tcp_any_8080"),
                               (":8080", "tcp_any_8080"), ("0.0.0.0:8080", "tcp_any_8080"),
                               ("127.0.0.1:80", "tcp_127-0-0-1_80"), ("[::1]:9000", "tcp6_--1_9000"),
                               ("[0:0::1]:9000", "tcp6_--1_9000"), (":9000", "tcp6_--1_9000"), ("/run/a.sock", "unix_run_a-sock"),
                               ("/run/é", "unix_run_e-sock"), ("@x", "unix_abstract_x")):
            rows = json.loads(self.show("--json", argument).stdout)["listeners"]
            self.assertEqual([row["name"] for row in rows], [name], argument)
            self.assertIn(f"\n{name} ", self.show("--audit", argument).stdout)
        self.assertEqual(len(json.loads(self.show(":80", "--json", "@x").stdout)["listeners"]), 2)
        for argument in ("*:80", ":1", "/none/", "127.0.0.1:8080", "@y"):
            result = self.show(argument)
            self.assertEqual((result.returncode, result.stdout), (1, ""), argument)
            self.assertIn(f"{argument}: no listener", result.stderr)
        for argument in ("/(/", "1.2.3:80", "[::1:80", "a:b", ":99999", "::1:80"):
            result = self.show(argument)
            self.assertEqual(result.returncode, 1)
            self.assertIn(argument, result.stderr)
            self.assertIn("allowed are", result.stderr)

    def test_a_table_of_another_version(self):
        self.publish(listener("a"), version=1)
        for program, status, where in (("backlog-table", 1, "stderr"), ("check_backlog", 3, "stdout")):
            result = self.run_program(program, "-f", self.table)
            self.assertEqual(result.returncode, status)
            self.assertRegex(getattr(result, where), r"has layout version 1, not \d+; restart collectd, ")

    def test_only_those_of_a_device(self):
        link_local = bytes.fromhex("fe80") + bytes(13) + b"\x01"
        devices = ("eth0", "eth0-100", "eth0_510c60c4")  # the last is Eth0
        names = {device: (f"tcp_any_80__dev_{device}", f"tcp_10-0-0-1_80__dev_{device}__netns_blue",
                          f"tcp6_fe80--1_{device}_80", f"tcp6_fe80--1_{device}_80__netns_blue") for device in devices}
        self.publish(listener("tcp_any_80", port=80, address=bytes(4)), *(
            listener(name, port=80, address=address) for of_device in names.values() for name, address in
            zip(of_device, (bytes(4), bytes([10, 0, 0, 1]), link_local, link_local))))
        for device, of_device in (("eth0", names["eth0"]), ("eth0.100", names["eth0-100"]), ("Eth0", names["eth0_510c60c4"])):
            for argument, wanted in ((f"*%{device}:80", of_device[:1]), (f"10.0.0.1%{device}:80", of_device[1:2]),
                                     (f"[fe80::1%{device}]:80", of_device[2:]), (f"[fe80::1]%{device}:80", of_device[2:])):
                rows = json.loads(self.show("--json", argument).stdout or '{"listeners": []}')["listeners"]
                self.assertEqual(sorted(row["name"] for row in rows), sorted(wanted), argument)
        rows = json.loads(self.show("--json", "*:80").stdout)["listeners"]
        self.assertEqual([row["name"] for row in rows], ["tcp_any_80"])

    def test_spellings_of_options(self):
        self.publish(listener("a"))
        for options in (("-f", self.table), (f"-f{self.table}",), ("--table", self.table), (f"--table={self.table}",)):
            for program in ("backlog-table", "check_backlog"):
                result = self.run_program(program, *options)
                self.assertEqual((result.returncode, result.stderr), (0, ""), options)
        for option in ("-h", "--help", "-V", "--version"):
            self.assertEqual(self.run_program("backlog-table", option).returncode, 0)
            self.assertEqual(self.run_program("check_backlog", option).returncode, 3)
        for options, words in ((("--table=",), "option --table needs a value"), (("--watch=1",), "option --watch=1 is unknown"),
                               (("--live=x",), "option --live: x is not a number"), (("--live", "0"), "option --live: 0 is not a number"),
                               (("--oid",), "option --oid needs a value"), (("-fx", "-q"), "option -q is unknown")):
            result = self.run_program("backlog-table", *options)
            self.assertEqual(result.returncode, 1)
            self.assertIn(words, result.stderr)

    def test_columns_of_long_numbers(self):
        self.publish(listener("a", limit=4294967295, peak=4294967296, length=4294967296, dropped=2 ** 63),
                     listener("b", limit=8, peak=3))
        for options in ((), ("--audit",)):
            lines = self.show(*options).stdout.splitlines()[1 if not options else 2:]
            self.assertEqual(len(lines), 3)
            self.assertEqual(len({len(line.split("LIMIT")[0]) + 5 for line in lines[:1]} |
                                 {line.index(" 4294967295") + 11 for line in lines[1:2]} |
                                 {re.search(r" 8 ", line).start() + 2 for line in lines[2:]}), 1, lines)

    def test_utf8_is_shown_as_it_is(self):
        self.publish(listener("a", owner=r"caf\xc3\xa9[7]"), listener("b", owner=r"bad\xc3 \\xc3\xa9 \xe2\x80\xae"))
        for locale, owners in (("C.UTF-8", ("café[7]", r"bad\xc3 \\xc3\xa9 \xe2\x80\xae")),
                               ("C", (r"caf\xc3\xa9[7]", r"bad\xc3 \\xc3\xa9 \xe2\x80\xae"))):
            binary = os.environ["BACKLOG_TABLE"]
            result = subprocess.run([binary, "--table", self.table], capture_output=True, check=True, env={"LC_ALL": locale})
            for owner in owners:
                self.assertIn(owner + "\n", result.stdout.decode())
        rows = json.loads(self.show("--json").stdout)["listeners"]
        self.assertEqual(rows[0]["owner"], "café[7]")

    def test_colours(self):
        self.publish(listener("a", state="overflow", severity="failure", message="a: in words"), listener("b"))
        lines = self.on_a_terminal(24, 100, NO_COLOR="")
        self.assertTrue(lines[0].endswith("; Ctrl-C ends"), lines[0])
        self.assertTrue(lines[2].startswith("a         \x1b[31moverflow\x1b[0m "), lines[2])
        self.assertTrue(lines[4].startswith("b         \x1b[32mok\x1b[0m "), lines[4])
        for variables in ({"NO_COLOR": "1"}, {"NO_COLOR": "", "TERM": "dumb"}):
            self.assertNotIn("\x1b", "\n".join(self.on_a_terminal(24, 100, **variables)))
        self.assertNotIn("\x1b", self.show().stdout)

    def test_audit_tells_how_old_it_is(self):
        self.publish(listener("a"), interval=0.1, age=0.6)
        self.assertRegex(self.show("--audit").stdout, r"^1 listener, [1-9] s ago, .*; STALE\n")

    def test_the_end_of_watching_live(self):
        with self.watching("--live", "3600") as (output, _, process):
            wait_until(lambda: len(os.listdir(f"/proc/{process.pid}/task")) > 1, what="the sampler")
        self.assertEqual(output(), "")

    def test_watching_live(self):
        listening = self.listener(limit=7).fill(3)
        with self.watching("--live", "0.2") as (output, *_):
            wait_until(lambda: output().count("LISTENER ") >= 3, what="three tables")
            self.assertGreaterEqual(output().count(f"\n{listening.name} "), 3)

    def test_live_audit(self):
        listening = self.listener(limit=7)
        self.assertRegex(self.run_program("backlog-table", "--live", "0.2", "--audit").stdout,
                         rf"(?m)^{re.escape(listening.name)} +7  unknown +0 +- +1 ")

    def test_stale(self):
        self.publish_aged(3.1)
        self.assertRegex(self.show().stdout, r"^1 listener, [0-9]+ s ago, .*; STALE\n")
        self.assertTrue(self.shown_json()["stale"])
        self.publish_aged(2)
        self.assertNotIn("STALE", self.show().stdout)

    def test_live(self):
        listening = self.listener(limit=7).fill(3)
        content = json.loads(self.run_program("backlog-table", "--live", "0.2", "--json").stdout)
        row = {row["name"]: row for row in content["listeners"]}[listening.name]
        self.assertEqual((row["length"], row["limit"], row["port"]), (3, 7, listening.port))


class MissingFolderTest(CommandTest):
    def test_it_is_told_to_who_asks_for_the_file(self):
        listening = self.listener(limit=4).fill(2)
        group = grp.getgrgid(os.getegid()).gr_name
        default = pathlib.Path("/run/collectd-backlog")
        if default.exists():
            self.skipTest(f"{default} is there")
        for options, told in (("", 0), (f'TableGroup "{group}"', 1)):
            collectd = self.collectd(options)
            collectd.wait_for_value(listening.name, "queue_length-accept", 2)
            collectd.wait_for_intervals(2)
            self.assertEqual(collectd.log().count("no table file: "), told, options)
            collectd.stop()


class InstalledTest(CommandTest):
    def test_what_is_installed_works(self):
        self.publish(listener("a"))
        (self.directory / "etc/collectd/collectd.conf.d").mkdir(parents=True)
        result = subprocess.run([os.environ["CMAKE"], "--install", os.environ["BACKLOG_BUILD"], "--prefix", "/usr"],
                                env=dict(os.environ, DESTDIR=str(self.directory)), capture_output=True, text=True, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)
        for program in ("usr/lib/nagios/plugins/check_backlog", "usr/bin/backlog-table"):
            result = subprocess.run([self.directory / program, "--version"], capture_output=True, text=True, check=False)
            self.assertEqual(result.returncode, 3 if program.endswith("check_backlog") else 0)
            self.assertTrue(result.stdout.startswith(pathlib.Path(program).name), result.stdout)
        installed = {str(path.relative_to(self.directory)) for path in self.directory.rglob("*") if path.is_file()}
        self.assertLessEqual({"usr/lib/tmpfiles.d/collectd-backlog.conf",
                              "etc/collectd/collectd.conf.d/backlog.conf"}, installed)


class PublishedTest(CommandTest):
    def test_collectd_publishes_what_it_dispatches(self):
        # Only root may give a file to a group that it is not in.
        group = next(entry for entry in grp.getgrall() if (entry.gr_gid != os.getegid()) == (os.geteuid() == 0)
                     and (os.geteuid() == 0 or entry.gr_gid == os.getegid()))
        overflowing = self.listener(limit=2)
        other = self.listener(limit=100).fill(10)
        path = self.directory / "run" / "table"
        path.parent.mkdir(mode=0o755)
        collectd = self.collectd(f'TableFile "{path}"\nTableGroup "{group.gr_name}"\nListener "/^tcp_127/"\nValues full', interval=0.5)
        collectd.wait_for_value(other.name, "queue_length-accept", 10)
        overflowing.fill(3)
        overflowing.connect(6)
        collectd.wait_for_value(overflowing.name, "packets-dropped", lambda value: value > 0)
        self.table = path
        same = 0
        deadline = time.monotonic() + 20
        while same < 5 and time.monotonic() < deadline:
            content = self.shown_json()
            at = content["taken_at"]
            for row in content["listeners"]:
                values = {}
                for key, series in (("length", "queue_length-accept"), ("peak", "queue_length-accept_peak"),
                                    ("limit", "queue_length-limit"), ("used_percent", "percent-used"),
                                    ("mean", "queue_length-accept_mean"), ("dropped", "packets-dropped"),
                                    ("members", "count-sockets")):
                    values[key] = wait_until(
                        lambda: [value for when, value in collectd.values(row["name"], series) if abs(when - at) < 0.01],
                        what=f"{series} of the same interval")[0]
                for key, value in values.items():
                    self.assertAlmostEqual(row[key], value, delta=1e-3 * max(1, abs(value)), msg=f"{row['name']} {key}")
                same += 1
            wait_until(lambda: self.shown_json()["taken_at"] != at, what="the next table")
        self.assertGreaterEqual(same, 5)
        self.assertEqual((stat.S_IMODE(path.stat().st_mode), path.stat().st_gid), (0o640, group.gr_gid))
        if os.geteuid() == 0:
            self.directory.chmod(0o755)
            for gid, may_read in ((group.gr_gid, True), (group.gr_gid + 1, False)):
                result = subprocess.run(["cat", path], user=65534, group=gid, extra_groups=[], capture_output=True,
                                        check=False)
                self.assertEqual(result.returncode == 0, may_read, result.stderr)
        self.assertEqual(sorted(entry.name for entry in path.parent.iterdir()), ["table"])
        overflowing.drop_clients()  # those that were refused come again
        wait_until(lambda: self.run_program("check_backlog", "--last", "-f", path).returncode == 0, what="a quiet interval")
        self.assertIn(self.run_program("check_backlog", "-f", path).returncode, (1, 2))

    def test_a_check_does_not_change_within_an_incident(self):
        """Nobody accepts, and between two retries of the clients (after 1, 2 and 4 s) nothing overflows."""
        full = self.listener(limit=2)
        path = self.directory / "run" / "table"
        path.parent.mkdir(mode=0o755)
        self.table = path
        self.collectd(f'TableFile "{path}"\nListener "{full.name}"', interval=0.5).wait_for_intervals(3)
        full.fill(3)
        full.connect(10)

        def row():
            return json.loads(self.show("--json").stdout)["listeners"][0]
        wait_until(lambda: row()["severity"] == "failure", what="the alarm")
        states = set()
        wait_until(lambda: states.add(row()["state"]) or self.assertEqual(self.check()[0], 2) or {"ok", "overflow"} <= states,
                   what="a quiet interval within the incident")

        def check_of_a_quiet_interval():
            """Nothing while an overflow is on, or if the table has changed meanwhile."""
            before, last, after = row(), self.check("--last"), row()
            return last if before == after and before["state"] == "ok" else None
        quiet = wait_until(check_of_a_quiet_interval, what="a quiet interval")
        self.assertEqual(quiet[0], 0, quiet)

    def test_no_permission_is_said_once_and_values_go_on(self):
        path = self.directory / "run" / "table"
        path.parent.mkdir()
        path.parent.chmod(0o777)
        listening = self.listener(limit=4).fill(2)
        collectd = self.collectd(f'TableFile "{path}"')
        collectd.wait_for_value(listening.name, "queue_length-accept", 2)
        collectd.wait_for_intervals(3)
        self.assertEqual(collectd.log().count("no table file: "), 1)
        self.assertIn("writable by others", collectd.log())
        self.assertFalse(path.exists())
        path.parent.chmod(0o755)
        wait_until(path.exists, what="the table")


if __name__ == "__main__":
    if not os.environ.get("BACKLOG_TABLE"):
        skip("BACKLOG_TABLE is not set")
    system_test.main()
