#!/usr/bin/env python3
"""What CMake says of a host that lacks something.

Environment (set by ctest from CMake):
  CMAKE, GENERATOR   the program, and what it generates for
  CXX                the compiler
  COLLECTD_ROOT      as CMake was told; may be empty
"""

import os
import pathlib
import subprocess
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[1]


class ConfigureTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="collectd-backlog-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def configure(self, *options, **environment):
        """(exit status, what it said)"""
        result = subprocess.run(
            [os.environ["CMAKE"], "-S", SOURCE, "-B", self.folder / "build", "-G", os.environ["GENERATOR"],
             f"-DCOLLECTD_ROOT={os.environ['COLLECTD_ROOT']}", *options],
            check=False, env=os.environ | environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return result.returncode, result.stdout

    def compiler(self, *options):
        """This one with further options."""
        path = self.folder / "c++"
        path.write_text(f'#!/bin/sh\nexec {os.environ["CXX"]} {" ".join(options)} "$@"\n')
        path.chmod(0o755)
        return f"-DCMAKE_CXX_COMPILER={path}"

    def test_an_old_compiler_is_refused_first(self):
        status, text = self.configure(self.compiler("-U__GNUC__", "-D__GNUC__=10", "-w"), PKG_CONFIG="/nowhere")
        self.assertNotEqual(status, 0)
        self.assertIn("This compiler is too old (GNU 10.", text)
        self.assertIn("g++ 11 or newer, or clang 14 or newer", " ".join(text.split()))
        self.assertEqual(text.count("CMake Error"), 1, text)

    def without_check(self):
        """A folder for pkg-config in which there is all but Check."""
        folder = self.folder / "pkgconfig"
        folder.mkdir()
        place = subprocess.run(["pkg-config", "--variable=pcfiledir", "libmnl"], check=True, capture_output=True, text=True)
        (folder / "libmnl.pc").symlink_to(pathlib.Path(place.stdout.strip(), "libmnl.pc"))
        return {"PKG_CONFIG_LIBDIR": str(folder), "PKG_CONFIG_PATH": ""}

    def test_without_check_there_are_no_tests(self):
        environment = self.without_check()
        status, text = self.configure(**environment)
        self.assertEqual(status, 0, text)
        self.assertIn("Check was not found: the tests are not built", text)
        self.assertFalse((self.folder / "build" / "tests").exists())
        status, text = self.configure("-DTESTS=ON", **environment)
        self.assertNotEqual(status, 0)
        self.assertIn("TESTS is ON, but Check", text)

    def test_with_all_of_it_nothing_is_said(self):
        status, text = self.configure()
        self.assertEqual(status, 0, text)
        self.assertNotIn("not found: ", text)
        self.assertTrue((self.folder / "build" / "tests").is_dir())


if __name__ == "__main__":
    unittest.main(verbosity=2)
