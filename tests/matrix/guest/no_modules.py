#!/usr/bin/env python3
"""A kernel that has neither tcp_diag nor unix_diag, and cannot load them."""

import json
import os
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "system"))
# pylint: disable=wrong-import-position
import system_test
from collectd import Collectd
from kernel import kernel_counters, read_sysctl
from system_test import SystemTest


class NoModulesTest(SystemTest):
    def test_each_is_said_once_and_the_rest_goes_on(self):
        self.listener(limit=5).fill(3)
        table = pathlib.Path(self.folder(), "table")
        collectd = self.collectd(f'TableFile "{table}"', interval=0.5)
        collectd.wait_for_intervals(6)
        for module in ("tcp_diag", "unix_diag"):
            self.assertEqual(len(re.findall(f"the kernel has no {module}", collectd.log())), 1, collectd.log())
        self.assertEqual(collectd.instances() - {"kernel", "sampler"}, set())
        self.assertEqual(collectd.latest("kernel", "gauge-somaxconn"), float(read_sysctl("net.core.somaxconn")))
        self.assertEqual(collectd.latest("kernel", "protocol_counter-ListenDrops"), kernel_counters()["ListenDrops"])
        shown = subprocess.run([os.environ["BACKLOG_TABLE"], "--json", "--table", table], capture_output=True,
                               text=True, check=False)
        self.assertEqual(json.loads(shown.stdout)["listeners"], [], shown.stdout + shown.stderr)
        self.assertLess(collectd.stop(), 5)

    def test_reading_once_fails(self):
        collectd = Collectd()
        self.addCleanup(collectd.close)
        self.assertNotEqual(collectd.run_to_exit("-T"), 0)


if __name__ == "__main__":
    system_test.main()
