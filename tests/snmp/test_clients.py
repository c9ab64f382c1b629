#!/usr/bin/env python3
"""An independent client: pysnmp, with its own compiler of MIBs."""

import os
import subprocess
import sys
import textwrap

import snmp_harness
from snmp_harness import SNMP_PORT, SnmpTest, table_writer
from snmp_programs import snmp_root

PYSNMP = textwrap.dedent("""
    import sys
    from pysnmp.hlapi import *
    from pysnmp.smi import builder, view, compiler
    mibs = sys.argv[1].split(":")
    engine = SnmpEngine()
    mib_builder = engine.getMibBuilder()
    compiler.addMibCompiler(mib_builder, sources=["file://" + folder for folder in mibs], destination=sys.argv[2])
    names = sys.argv[4:]
    for name in names:
        for error, status, _, variables in bulkCmd(
                engine, CommunityData("public"), UdpTransportTarget(("127.0.0.1", int(sys.argv[3])), timeout=10),
                ContextData(), 0, 25, ObjectType(ObjectIdentity("BACKLOG-MIB", name)), lexicographicMode=False):
            if error or status:
                sys.exit(str(error or status))
            for key, value in variables:
                print(key.prettyPrint(), "=", value.prettyPrint())
""")


class ClientsTest(SnmpTest):
    def setUp(self):
        super().setUp()
        self.publish([table_writer.listener("tcp_any_80", used=75.0, length=3, dropped=12, state="high", owner="nginx.service"),
                      table_writer.listener("unix_run_php-fpm-sock", address=b"", port=0, path="/run/php-fpm.sock",
                                            has=table_writer.HAS_QUEUE)], interval=600)
        self.start_snmpd()
        self.start_subagent()

    def test_pysnmp(self):
        packages = snmp_root() / "usr/lib/python3/dist-packages"
        environment = dict(os.environ, PYTHONPATH=str(packages), HOME=str(self.directory), PYTHONDONTWRITEBYTECODE="1")
        if subprocess.run([sys.executable, "-c", "import pysnmp.hlapi, pysmi"], env=environment, capture_output=True,
                          check=False).returncode != 0:
            self.skipTest("pysnmp is missing")
        result = subprocess.run(
            [sys.executable, "-c", PYSNMP, self.environment["MIBDIRS"], self.directory / "compiled", str(SNMP_PORT),
             "backlogListenerName", "backlogListenerState", "backlogListenerDropped", "backlogListenerPath"],
            env=environment, capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)
        index = table_writer.name_index("tcp_any_80")
        other = table_writer.name_index("unix_run_php-fpm-sock")
        for line in (f"BACKLOG-MIB::backlogListenerName.{index} = tcp_any_80", f"BACKLOG-MIB::backlogListenerState.{index} = high",
                     f"BACKLOG-MIB::backlogListenerDropped.{index} = 12",
                     f"BACKLOG-MIB::backlogListenerPath.{other} = /run/php-fpm.sock"):
            self.assertIn(line, result.stdout.splitlines())
        self.assertNotIn(f"backlogListenerDropped.{other}", result.stdout)


if __name__ == "__main__":
    snmp_harness.main()
