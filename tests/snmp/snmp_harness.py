"""A real snmpd, snmptrapd, net-snmp's commands and the subagent, private to a test.

Environment (set by ctest from CMake):
  BACKLOG_AGENTX    the subagent
  BACKLOG_MIBS      the folder of BACKLOG-MIB.txt
  SNMP_ROOT         root below which snmpd, snmptrapd and the commands are; empty: the system's
"""

import contextlib
import os
import pathlib
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "system"))
import system_test  # noqa: E402
from system_test import SystemTest, skip  # noqa: E402
from waiting import wait_until  # noqa: E402
import table_writer  # noqa: E402
from snmp_processes import Process, Subagent  # noqa: E402
from snmp_programs import library_path, program  # noqa: E402

ROOT_OID = "1.3.6.1.4.1.8072.9999.9999.4242"
MIB_OID = ROOT_OID + ".1"
TABLE_OID = MIB_OID + ".1.2.1"
STAND_INS = HERE / "mibs"
SNMP_PORT = 16161   # on the loopback of the test's own net namespace
TRAP_PORT = 16162


class SnmpTest(SystemTest):
    """Folders, programs and questions of one test."""

    def setUp(self):
        self.directory = pathlib.Path(self.folder())
        self.agentx_address = str(self.directory / "agentx")
        self.table_file = self.directory / "run" / "table"
        self.table_file.parent.mkdir(mode=0o755)
        (self.directory / "state").mkdir()
        self.environment = dict(
            os.environ, LD_LIBRARY_PATH=library_path(), SNMP_PERSISTENT_DIR=str(self.directory / "state"),
            SNMPCONFPATH=str(self.directory / "state"), TZ="UTC", LC_ALL="C", MIBS="BACKLOG-MIB",
            MIBDIRS=":".join(map(str, [os.environ["BACKLOG_MIBS"], STAND_INS, "/usr/share/snmp/mibs"])))
        self.snmpd = self.trapd = None

    def _process(self, arguments, name, environment=None, kind=Process):
        process = kind([str(argument) for argument in arguments], environment or self.environment,
                       self.directory / name)
        self.addCleanup(self._end, process)
        return process

    @staticmethod
    def _end(process):
        with contextlib.suppress(*[AssertionError] * (not isinstance(process, Subagent))):
            process.stop(timeout=5)

    def start_snmpd(self, more="", wait=True):
        config = self.directory / "snmpd.conf"
        config.write_text("\n".join([
            f"agentAddress udp:127.0.0.1:{SNMP_PORT}", "rocommunity public 127.0.0.1", "rwcommunity private 127.0.0.1",
            "master agentx", f"agentXSocket {self.agentx_address}", "dontLogTCPWrappersConnects true", more, ""]))
        self.snmpd = self._process(
            [program("snmpd"), "-f", "-Lo", "-C", "-c", config, "-I",
             "vacm_conf,usmConf,agentx_config,sysORTable,system_mib,snmp_mib,usmUser"], "snmpd.log")
        if wait:
            wait_until(lambda: self.answers("1.3.6.1.2.1.1.3.0"), what="an answer of snmpd")
        return self.snmpd

    def start_trapd(self):
        config = self.directory / "snmptrapd.conf"
        config.write_text("disableAuthorization yes\n"
                          "createUser -e 0x8000000001020304 trapper SHA authpassword AES privpassword\n"
                          "authUser log trapper priv\n")
        self.trapd = self._process(
            [program("snmptrapd"), "-f", "-Lo", "-C", "-c", config, "-OQ", "-t", "-F",
             "TRAP %P %v\\n", f"udp:127.0.0.1:{TRAP_PORT}", f"tcp:127.0.0.1:{TRAP_PORT}"], "snmptrapd.log")
        port = f":{TRAP_PORT:04X} "
        wait_until(lambda: all(port in pathlib.Path("/proc/net", kind).read_text() for kind in ("udp", "tcp")),
                   what="snmptrapd")
        return self.trapd

    def start_subagent(self, *options, wait=True, name="subagent.log", before=(), agentx=None):
        """before: what it is started by."""
        environment = dict(os.environ)
        environment["HOME"] = str(self.directory)
        # net-snmp 5.9.3 leaks 110 bytes with each connection that the agent closes.
        suppressions = self.directory / "suppressions"
        suppressions.write_text("leak:libnetsnmp.so\n")
        environment["LSAN_OPTIONS"] = f"suppressions={suppressions}:print_suppressions=0"
        memcheck = ["valgrind", "--quiet", "--error-exitcode=99"] if os.environ.get("MEMCHECK") else []
        subagent = self._process(
            [*before, *memcheck, os.environ["BACKLOG_AGENTX"], "--foreground", "--table", self.table_file,
             "--agentx", agentx or self.agentx_address, *options], name, environment, Subagent)
        if wait:
            wait_until(lambda: "connected to the SNMP agent" in subagent.output(), what="the connection to snmpd")
            wait_until(lambda: self.answers(MIB_OID + ".1.1.1.0"), what="the MIB")
        return subagent

    def publish(self, listeners=(), **options):
        table_writer.publish(self.table_file, table_writer.table(listeners, **options))

    def ask(self, command, *arguments, community="public", timeout=60, check=True, version=("-v2c", "-c")):
        """The output of one of net-snmp's commands."""
        who = [*version, community] if community else []
        result = subprocess.run(
            [program(command), *who, "-r", "0", "-t", "10", f"udp:127.0.0.1:{SNMP_PORT}", *arguments],
            env=self.environment, capture_output=True, text=True, timeout=timeout, check=False)
        if check and result.returncode != 0:
            raise AssertionError(f"{command} {arguments}: {result.stdout}{result.stderr}")
        return result.stdout + (result.stderr if not check else "")

    def answers(self, oid, community="public"):
        result = subprocess.run(
            [program("snmpget"), "-v2c", "-c", community, "-r", "0", "-t", "1", "-On",
             f"udp:127.0.0.1:{SNMP_PORT}", oid],
            env=self.environment, capture_output=True, text=True, check=False)
        return result.returncode == 0 and "No Such" not in result.stdout

    def get(self, *names):
        """The values, as -Oqv prints them."""
        return self.ask("snmpget", "-Oqv", *names).splitlines()

    def walk(self, name="BACKLOG-MIB::backlogMIB", *options, command="snmpbulkwalk"):
        """{name: value}, in the order of the walk."""
        pairs = {}
        for line in self.ask(command, *options, "-OQ", "-On", name).splitlines():
            key, separator, value = line.partition(" = ")
            if separator and "No Such" not in value and "No more" not in value:
                assert key not in pairs, f"twice: {key}"
                pairs[key] = value
        return pairs

    def traps(self):
        """What snmptrapd has printed: [{object: value}], and as "trap" the notification's name."""
        traps = []
        for line in self.trapd.output().splitlines():
            if not line.startswith("TRAP "):
                continue
            trap = {}
            for part in line.split("\t"):
                key, _, value = part.partition(" = ")
                name = "trap" if "snmpModules.1.1.4.1.0" in key else key.split("::")[-1].split(".")[0]
                trap[name] = value.strip('"').split("::")[-1]
            if trap.get("trap", "").startswith("backlog"):
                traps.append(trap)
        return traps


def main(namespace=True):
    for variable in ("BACKLOG_AGENTX", "BACKLOG_MIBS"):
        if not os.environ.get(variable):
            skip(f"{variable} is not set")
    try:
        for name in ("snmpd", "snmptrapd", "snmpget"):
            program(name)
    except unittest.SkipTest as error:
        skip(str(error))
    system_test.main(namespace)
