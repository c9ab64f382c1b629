#!/usr/bin/env python3
"""A kernel that has loaded none of what the plugin asks for: the first to run in a guest.

Environment: EXPECTED_EVENTS is what the plugin says of its BPF programs here."""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "system"))
# pylint: disable=wrong-import-position
import system_test
from system_test import SystemTest

DIAG = {"tcp_diag", "inet_diag", "unix_diag"}


def loaded():
    return {line.split()[0] for line in pathlib.Path("/proc/modules").read_text(encoding="ascii").splitlines()}


class ModulesTest(SystemTest):
    def test_the_first_reading_loads_them(self):
        """It waits for that, and nothing is missing."""
        self.assertEqual(loaded() & DIAG, set(), "loaded before the plugin")
        tcp = self.listener(limit=5).fill(3)
        unix = self.unix_listener(f"\0modules-{os.getpid()}", limit=5)
        unix.connect(2)
        collectd = self.collectd(f'Listener "/./"\nListener "{unix.name}"', interval=0.5)
        collectd.wait_for_value(tcp.name, "queue_length-accept", 3)
        collectd.wait_for_value(unix.name, "queue_length-accept", 2)
        self.assertEqual(loaded() & DIAG, DIAG)
        said = collectd.wait_for_log("backlog plugin: (?:no )?events: .*")[0]
        self.assertEqual(said, f"backlog plugin: {os.environ['EXPECTED_EVENTS']}")
        collectd.stop()
        self.assertEqual(collectd.messages(), [])


if __name__ == "__main__":
    system_test.main()
