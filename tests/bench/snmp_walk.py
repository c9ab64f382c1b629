#!/usr/bin/env python3
"""What a walk over 10 000 rows x 10 columns costs the subagent, beside the least that a subagent
over libnetsnmpagent can be, and what the subagent's memory and reading of a table are. Prints
lines of name and number; the argument: how often to walk.

Environment as tests/snmp/snmp_harness.py, and SNMP_BARE_AGENT, BACKLOG_READ_TABLE."""

import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "snmp"))
import snmp_harness  # noqa: E402
from snmp_harness import SnmpTest, TABLE_OID, table_writer  # noqa: E402
from waiting import wait_until  # noqa: E402

ROWS = 10000
COLUMNS = range(2, 12)
ROUNDS = int(sys.argv.pop(1))
BARE_OID = "1.3.6.1.4.1.8072.9999.9999.4343.1.1"


class WalkBenchmark(SnmpTest):
    def walk_cost(self, process, table):
        """(CPU of the process, wall time) per cell in us."""
        before, begin = self.cpu_ns(process), time.monotonic()
        cells = 0
        for column in COLUMNS:
            cells += self.ask("snmpbulkwalk", "-Cr50", "-Onq", f"{table}.{column}").count("\n")
        self.assertEqual(cells, ROWS * len(COLUMNS))
        return (self.cpu_ns(process) - before) / cells / 1000, (time.monotonic() - begin) / cells * 1e6

    @staticmethod
    def cpu_ns(process):
        total = 0
        for task in os.listdir(f"/proc/{process.pid}/task"):
            total += int(pathlib.Path(f"/proc/{process.pid}/task/{task}/schedstat").read_text().split()[0])
        return total

    def test_walk(self):
        listeners = [table_writer.listener(f"tcp_127-0-{number >> 8}-{number & 255}_80", owner="some.service",
                                           message="m" * 60, peak=number) for number in range(ROWS)]
        self.publish(listeners, interval=3600)
        self.start_snmpd()
        # On one CPU the two processes do not wake each other across CPUs.
        cpu = {min(os.sched_getaffinity(0))}
        os.sched_setaffinity(self.snmpd.pid, cpu)
        subagent = self.start_subagent()
        bare = self._process([os.environ["SNMP_BARE_AGENT"], self.agentx_address, str(ROWS)], "bare.log")
        wait_until(lambda: self.answers(f"{BARE_OID}.2.1"), what="the bare agent")
        for process in (subagent, bare):
            for task in os.listdir(f"/proc/{process.pid}/task"):
                os.sched_setaffinity(int(task), cpu)
        best = {}
        for _ in range(ROUNDS):
            for name, process, table in (("bare", bare, BARE_OID), ("subagent", subagent, TABLE_OID)):
                best[name] = min(best.get(name, (1e9, 0)), self.walk_cost(process, table))
        for name, costs in best.items():
            for kind, cost in zip(("cpu_us", "wall_us"), costs):
                print(name, kind, sep="_", end=f" {cost}\n")
        print("resident_mb", subagent.resident_mib() * 1.048576)
        print("read_ms", subprocess.run([os.environ["BACKLOG_READ_TABLE"], self.table_file], check=True,
                                        capture_output=True, text=True).stdout.strip())


if __name__ == "__main__":
    snmp_harness.main(namespace=False)
