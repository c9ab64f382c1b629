#!/usr/bin/env python3
"""The MIB modules are without fault; smilint's exit status does not tell."""

import os
import pathlib
import subprocess
import tempfile
import unittest

import snmp_harness
import snmp_programs
from system_test import skip

MODULES = ("BACKLOG-ROOT-MIB.txt", "BACKLOG-MIB.txt")


class MibTest(unittest.TestCase):
    def lint(self, folder, level):
        mibs = pathlib.Path(os.environ["BACKLOG_MIBS"])
        environment = dict(os.environ, LD_LIBRARY_PATH=snmp_programs.library_path(),
                           SMIPATH=f"{snmp_harness.STAND_INS}:{folder}:/usr/share/snmp/mibs")
        result = subprocess.run(
            [snmp_programs.program("smilint"), "-c", "/dev/null", "-s", "-l", str(level), *(folder / module for module in MODULES)],
            env=environment, capture_output=True, text=True, check=False)
        self.assertTrue(mibs.is_dir())
        return result.stdout + result.stderr

    def test_no_message(self):
        for level in (6, 9):
            self.assertEqual(self.lint(pathlib.Path(os.environ["BACKLOG_MIBS"]), level), "")

    def test_faults_are_found(self):
        faults = [("Gauge32\n    UNITS", "Gauge33\n    UNITS"), ("::= { backlogListenerEntry 5 }", "::= { backlogListenerEntry 6 }"),
                  ("backlogListenerPeak,\n", "")]
        mibs = pathlib.Path(os.environ["BACKLOG_MIBS"])
        for before, after in faults:
            with tempfile.TemporaryDirectory() as folder:
                for module in MODULES:
                    text = (mibs / module).read_text()
                    pathlib.Path(folder, module).write_text(text.replace(before, after, 1))
                self.assertNotEqual(self.lint(pathlib.Path(folder), 6), "", before)


if __name__ == "__main__":
    if not os.environ.get("BACKLOG_MIBS"):
        skip("BACKLOG_MIBS is not set")
    unittest.main(verbosity=2)
