#!/usr/bin/env python3
"""collectd as root with no capabilities but those that conf/systemd/collectd-capabilities.conf gives it, and with one
of them less."""

import grp
import json
import os
import pathlib
import re
import stat
import subprocess
import time

import system_test
from kernel import run
from processes import CAP_SYS_ADMIN, mount_private_proc
from system_test import SystemTest
from net_namespaces import NetNamespace

DROP_IN = pathlib.Path(__file__).resolve().parents[2] / "conf/systemd/collectd-capabilities.conf"
NUMBERS = {"CAP_CHOWN": 0, "CAP_DAC_READ_SEARCH": 2, "CAP_SYS_PTRACE": 19, "CAP_SYS_ADMIN": CAP_SYS_ADMIN}
REFUSED = "look into other processes: Permission denied"


def capabilities_of(option):
    """Those of the drop-in's line that the comment above it says is for this option."""
    comment = rf"^# (?:\w+, )*{option}(?:, \w+)*: .*\n(?:# .*\n)*"
    text = DROP_IN.read_text(encoding="ascii")
    return set(re.search(comment + r"#?CapabilityBoundingSet=(.*)", text, re.MULTILINE)[1].split())


class CapabilitiesTest(SystemTest):
    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("not root")
        # Of no user, which not every system has a name for, and of a group that has one.
        self.other = 65534
        self.group = next(entry for entry in grp.getgrall() if entry.gr_gid != os.getegid())

    def started(self, config, capabilities, **options):
        self.table = pathlib.Path(self.folder(), "table")
        last = int(pathlib.Path("/proc/sys/kernel/cap_last_cap").read_text(encoding="ascii"))
        collectd = self.collectd(f'TableFile "{self.table}"\n{config}', interval=0.1, without_capabilities=(
            set(range(last + 1)) - {NUMBERS[name] for name in capabilities}), **options)
        collectd.wait_for_intervals(4)
        return collectd

    def rows(self):
        """{name: row} as backlog-table shows them."""
        program = pathlib.Path(os.environ["BACKLOG_PLUGIN_DIR"], "backlog-table")
        shown = json.loads(run(program, "--table", self.table, "--json"))
        return {row["name"]: row for row in shown["listeners"]}

    def check_messages(self, collectd, *wanted):
        """Each of them once, and no others, in any of many intervals."""
        collectd.wait_for_intervals(10)
        said = [line.partition("backlog plugin: ")[2] for line in collectd.messages()]
        self.assertEqual(sorted(said), sorted(wanted))

    def service_of_another_user(self):
        """(listener, what its owner is called)"""
        self.skip_in_a_unit()
        listener = self.unix_listener(f"\0capabilities-{os.getpid()}")
        service = subprocess.Popen(["sleep", "infinity"], user=self.other, group=self.other,
                                   extra_groups=[], pass_fds=[listener.socket.fileno()])
        self.addCleanup(service.wait)
        self.addCleanup(service.kill)
        listener.connect(1)
        listener.socket.close()
        return listener, f"sleep[{service.pid}]"

    def test_owners(self):
        listener, owner = self.service_of_another_user()
        collectd = self.started("", capabilities_of("ReportOwner"))
        collectd.wait(lambda: self.rows()[listener.name].get("owner") == owner, what="the owner")
        self.check_messages(collectd)

    def test_owners_with_one_less(self):
        listener, _ = self.service_of_another_user()
        wanted = capabilities_of("ReportOwner")
        self.assertEqual(len(wanted), 2)
        for capability in wanted:
            with self.subTest(without=capability):
                collectd = self.started("", wanted - {capability})
                row = self.rows()[listener.name]
                self.assertNotIn("owner", row)
                self.assertEqual(row["length"], 1)
                self.check_messages(collectd, f"no owners: {REFUSED}")

    def hidden(self):
        """Options of mounts of /proc that hide the processes of others, from root too if it has no
        capabilities; the first lists them."""
        def can_mount(options):
            try:
                subprocess.run(["true"], check=True, preexec_fn=lambda: mount_private_proc(options))
                return True
            except subprocess.SubprocessError:
                return False
        all_options = [f"hidepid={value},gid={self.group.gr_gid}" for value in (1, 2)]
        return [options for options in all_options if can_mount(options)] or self.skipTest("no /proc can be mounted")

    def test_owners_that_are_hidden(self):
        listener, owner = self.service_of_another_user()
        for options in self.hidden():
            with self.subTest(options):
                collectd = self.started("", capabilities_of("ReportOwner"), proc_options=options)
                self.assertEqual(self.rows()[listener.name]["owner"], owner)
                self.check_messages(collectd)
                collectd = self.started("", set(), proc_options=options)
                self.assertNotIn("owner", self.rows()[listener.name])
                self.check_messages(collectd, f"no owners: {REFUSED}")

    def test_other_namespaces_that_are_hidden(self):
        with_file, without_file = self.namespaces()
        wanted = capabilities_of("NetNamespace")
        for options in self.hidden():
            with self.subTest(options):
                config = 'ReportOwner false\nNetNamespace "/./"'
                collectd = self.started(config, wanted, proc_options=options)
                self.assertLessEqual({with_file, without_file}, self.rows().keys())
                self.check_messages(collectd)
                collectd = self.started(config, wanted - {"CAP_SYS_PTRACE"}, proc_options=options)
                self.assertIn(with_file, self.rows())
                self.check_messages(collectd, f"no other net namespaces without a file: {REFUSED}")

    def test_without_any(self):
        listener = self.listener(limit=4).fill(2)
        collectd = self.started("ReportOwner false", set())
        self.assertEqual(self.rows()[listener.name]["length"], 2)
        collectd.wait_for_value(listener.name, "queue_length-limit", 4)
        self.check_messages(collectd)

    def namespaces(self):
        """Names of listeners: in a namespace with a file, and in one that only a process holds."""
        names = []
        for kind in ("file", "process"):
            namespace = NetNamespace(f"{kind}-{os.getpid()}")
            self.addCleanup(namespace.close)
            with namespace.entered():
                listener = self.listener(limit=16)
                if kind == "process":
                    held = os.stat(namespace.path).st_ino
                    self.fork(lambda ready: (ready(), time.sleep(1000)))
            names.append(f"{listener.name}__netns_{namespace.name if kind == 'file' else held}")
        namespace.close()
        return names

    def test_other_namespaces(self):
        names = self.namespaces()
        collectd = self.started('ReportOwner false\nNetNamespace "/./"', capabilities_of("NetNamespace"))
        collectd.wait(lambda: set(names) <= self.rows().keys(), what="the listeners")
        self.check_messages(collectd)

    def test_other_namespaces_with_one_less(self):
        with_file, without_file = self.namespaces()
        wanted = capabilities_of("NetNamespace")
        self.assertEqual(wanted, {"CAP_SYS_ADMIN", "CAP_SYS_PTRACE"})
        collectd = self.started('ReportOwner false\nNetNamespace "/./"', wanted - {"CAP_SYS_PTRACE"})
        collectd.wait(lambda: with_file in self.rows(), what="the listener")
        self.assertNotIn(without_file, self.rows())
        self.check_messages(collectd, f"no other net namespaces without a file: {REFUSED}")

    def test_table_group(self):
        config = f'ReportOwner false\nTableGroup "{self.group.gr_name}"'
        wanted = capabilities_of("TableGroup")
        self.assertEqual(len(wanted), 1)
        collectd = self.started(config, wanted)
        status = self.table.stat()
        self.assertEqual((status.st_gid, stat.S_IMODE(status.st_mode)), (self.group.gr_gid, 0o640))
        self.check_messages(collectd)
        collectd = self.started(config, set())
        collectd.wait(self.table.exists, what="the table")
        status = self.table.stat()
        self.assertEqual((status.st_gid, stat.S_IMODE(status.st_mode)), (os.getegid(), 0o640))
        self.check_messages(collectd, "no group on the table file (TableGroup): collectd is neither root nor in "
                                      "that group, so only collectd's own group may read it")


if __name__ == "__main__":
    system_test.main()
