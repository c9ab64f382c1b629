#!/usr/bin/env python3
"""How a site runs it: as a daemon that logs to syslog, over TCP, and unprivileged with the configuration of conf/."""

import grp
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess

import snmp_harness
import snmp_programs
from snmp_harness import MIB_OID, SNMP_PORT, SnmpTest, table_writer
from snmp_programs import program
from waiting import wait_until

CONF = pathlib.Path(__file__).resolve().parents[2] / "conf"
SYSTEM_UPTIME = "1.3.6.1.2.1.1.3.0"
AGENTX_PORT = 16705  # on the loopback of the test's own net namespace


class SetupsTest(SnmpTest):
    def setUp(self):
        super().setUp()
        self.publish([table_writer.listener("a")], interval=600)

    def wait_for_mib(self):
        wait_until(lambda: self.answers(f"{MIB_OID}.1.1.1.0"), 20, "the MIB")

    def need_root(self):
        if os.geteuid() != 0 or shutil.which("setpriv") is None:
            self.skipTest("needs root and setpriv")

    def test_over_tcp(self):
        self.agentx_address = f"tcp:127.0.0.1:{AGENTX_PORT}"
        self.start_snmpd()
        self.start_subagent()
        self.assertEqual(self.get(f"{MIB_OID}.1.1.6.0"), ["1 listeners"])

    def daemons(self):
        """The subagents of this test that have no parent in it."""
        found = []
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[0] == os.environ["BACKLOG_AGENTX"].encode() and self.agentx_address.encode() in words:
                found.append(int(process.name))
        return found

    def test_a_daemon_logs_to_syslog(self):
        """With a table whose path is relative, and a /dev of its own, where the log is a socket of the test's."""
        self.need_root()
        dev = self.directory / "dev"
        dev.mkdir()
        (dev / "null").touch()
        log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(log.close)
        log.bind(str(self.directory / "log"))
        log.settimeout(20)
        (dev / "log").symlink_to(self.directory / "log")
        self.start_snmpd()
        mount = f"mount --bind /dev/null {dev}/null && mount --rbind {dev} /dev"
        started = subprocess.run(
            ["unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh", os.environ["BACKLOG_AGENTX"],
             "--table", "run/table", "--agentx", self.agentx_address],
            cwd=self.directory, capture_output=True, text=True, timeout=20, check=False)
        pid, = wait_until(self.daemons, what="the daemon")
        self.addCleanup(lambda: [os.kill(left, signal.SIGKILL) for left in self.daemons()])
        self.assertEqual((started.returncode, started.stdout, started.stderr), (0, "", ""))
        self.assertEqual(os.getsid(pid), pid)
        line = log.recv(1000).decode()
        self.assertRegex(line, rf"^<29>.* backlog-agentx\[{pid}\]: connected to the SNMP agent")  # daemon.notice
        self.wait_for_mib()
        self.assertEqual(self.get(f"{MIB_OID}.1.1.6.0"), ["1 listeners"])
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not self.daemons(), what="its end")

    def start_snmpd_by_conf(self, chosen, user, group):
        """With Debian's snmpd.conf, but for the address and without its users, and conf/snmp/snmpd-backlog.conf with
        one line chosen, but for the names of the user and the group, and the socket's place."""
        debian = (snmp_programs.snmp_root() / "etc/snmp/snmpd.conf").read_text()
        text = (CONF / "snmp" / "snmpd-backlog.conf").read_text()
        for shipped, own in (("/run/agentx/master", self.agentx_address), ("Debian-snmp backlog", f"{user} {group}"),
                             (f"#{chosen}", chosen)):
            self.assertIn(shipped, text)
            text = text.replace(shipped, own)
        config = self.directory / "snmpd.conf"
        lines = [line for line in debian.splitlines()
                 if line and line.split()[0] not in ("#", "agentaddress", "rouser", "includeDir")]
        self.assertIn("rocommunity  public default -V systemonly", lines)
        config.write_text("\n".join([f"agentAddress udp:127.0.0.1:{SNMP_PORT}", "dontLogTCPWrappersConnects true",
                                     *lines, text]))
        self.snmpd = self._process([program("snmpd"), "-f", "-Lo", "-C", "-c", config, "-I",
                                    "vacm_conf,usmConf,agentx_config,sysORTable,system_mib,snmp_mib,usmUser"], "snmpd.log")
        wait_until(lambda: os.path.exists(self.agentx_address), what="the socket")

    def test_unprivileged_with_the_configuration_of_conf(self):
        self.check_configuration_of_conf("rocommunity accept-queues", "accept-queues")
        # The view is of the MIB and nothing else.
        self.assertFalse(self.answers(SYSTEM_UPTIME, "accept-queues"))

    def test_in_the_view_of_debian(self):
        self.check_configuration_of_conf("view systemonly included", "public")

    def check_configuration_of_conf(self, chosen, community):
        self.need_root()
        owner = next(entry for entry in pwd.getpwall() if entry.pw_uid not in (0, 65534))
        group = next(entry for entry in grp.getgrall() if entry.gr_gid not in (0, 65534, owner.pw_gid))
        for folder in (self.directory, self.table_file.parent):
            folder.chmod(0o755)
        self.table_file.chmod(0o640)
        os.chown(self.table_file, 0, group.gr_gid)
        self.start_snmpd_by_conf(chosen, owner.pw_name, group.gr_name)
        as_nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--inh-caps=-all", "--no-new-privs"]
        outside = self.start_subagent(wait=False, name="outside.log", before=[*as_nobody, "--clear-groups"])
        wait_until(lambda: "no SNMP agent answers" in outside.output(), what="the line about the socket")
        self.assertIn("Permission denied", outside.output())
        inside = self.start_subagent(before=[*as_nobody, "--groups", str(group.gr_gid)], wait=False)
        wait_until(lambda: self.answers(f"{MIB_OID}.1.1.1.0", community), 20, "the MIB")
        values = self.ask("snmpget", "-Oqv", f"{MIB_OID}.1.1.1.0", f"{MIB_OID}.1.1.6.0", community=community)
        self.assertEqual(values.splitlines(), ["fresh", "1 listeners"])
        self.assertEqual(inside.output().count("no table"), 0)


if __name__ == "__main__":
    snmp_harness.main()
