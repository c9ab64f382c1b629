#!/usr/bin/env python3
"""A user who listens at very many addresses: the others stay in sight."""

import json
import os
import pathlib
import socket
import subprocess
import time

import system_test
from kernel import run
from system_test import SystemTest

ROOM = 5000                 # Unix listeners, as plugin/listener_room.h has it
FLOOD = 2 * ROOM
SOCKETS_OF_A_PROCESS = 900  # descriptors that it may have without asking


class FloodTest(SystemTest):
    def flood(self):
        """Of abstract Unix listeners."""
        def listen(first, count):
            def work(ready):
                sockets = []
                for number in range(first, first + count):
                    sockets.append(socket.socket(socket.AF_UNIX))
                    sockets[-1].bind(f"\0flood-{os.getppid()}-{number}")
                    sockets[-1].listen(1)
                ready()
                time.sleep(1000)
            return work
        return [self.fork(listen(first, min(SOCKETS_OF_A_PROCESS, FLOOD - first)))
                for first in range(0, FLOOD, SOCKETS_OF_A_PROCESS)]

    def rows(self):
        shown = json.loads(run(os.environ["BACKLOG_TABLE"], "--table", self.table, "--json"))
        return {row["name"]: row for row in shown["listeners"]}

    def test_the_others_stay_in_sight(self):
        tag = f"flooded-{os.getpid()}"
        self.table = pathlib.Path(self.folder(), "table")
        tcp = self.listener(limit=5).fill(3)
        early = self.unix_listener(f"\0early-{tag}")
        collectd = self.collectd(f'Events off\nTableFile "{self.table}"\nStalledAfter 3600\n'
                                 f'<Watch "@watched-{tag}">\nExpected true\n</Watch>', interval=1)
        collectd.wait(lambda: self.table.exists() and early.name in self.rows(), what="the table")
        flood = self.flood()
        collectd.wait_for_log(r"^\[warning\] backlog plugin: no room for all Unix listeners: \d+ more than the "
                              f"{ROOM} that are sampled; ", 30)
        watched = self.unix_listener(f"\0watched-{tag}")
        used = self.unix_listener(f"\0used-{tag}")
        used.connect(2)
        names = {tcp.name, early.name, watched.name, used.name}
        collectd.wait(lambda: names <= self.rows().keys(), 30, "what there is beside the flood")
        rows = self.rows()
        self.assertEqual((rows[tcp.name]["length"], rows[used.name]["length"]), (3, 2))
        self.assertLessEqual(len(rows), ROOM + ROOM // 4 + 1)
        collectd.wait_for_value("host", "count-unreported", lambda count: count >= FLOOD - ROOM)
        program = pathlib.Path(os.environ["BACKLOG_TABLE"]).parent / "check_backlog"
        check = subprocess.run([program, "--table", self.table, "-n", f"^{tcp.name}$"], capture_output=True, text=True,
                               check=False)
        self.assertEqual(check.returncode, 0, check.stdout + check.stderr)
        # TCP is sampled as before: at most half of the budget is the Unix listeners'.
        period = collectd.latest("sampler", "duration-period")
        self.assertLess(period, 0.5)
        for process in flood:
            process.close()
        collectd.wait_for_log(r"^\[notice\] backlog plugin: room for all Unix listeners can be read again$", 30)
        collectd.wait_for_intervals(2)
        self.assertIn(early.name, self.rows())


if __name__ == "__main__":
    system_test.main()
