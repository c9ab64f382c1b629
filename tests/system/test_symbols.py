#!/usr/bin/env python3
"""What backlog.so wants of collectd, which loads it with RTLD_NOW, and what it shows."""

import os
import pathlib
import re
import shutil
import unittest

import system_test
from collectd import sanitizers
from kernel import run

PLUGIN = pathlib.Path(os.environ.get("BACKLOG_PLUGIN_DIR", ""), "backlog.so")


def symbols(file, *options):
    """{name: type letter} of the dynamic symbols, without their versions."""
    lines = (line.split() for line in run("nm", "-D", *options, str(file)).splitlines())
    return {words[-1].split("@")[0]: words[-2] for words in lines}


def needed_libraries(file):
    """The files of the libraries that the file itself names."""
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", run("readelf", "-d", str(file)))
    paths = dict(re.findall(r"^\s*(\S+) => (/\S+)", run("ldd", str(file)), re.MULTILINE))
    return [paths[name] for name in needed if name in paths]


@unittest.skipUnless(shutil.which("nm") and shutil.which("readelf"), "nm or readelf is missing")
@unittest.skipIf(sanitizers(), "a sanitizer's symbols come from what is preloaded")
class SymbolsTest(unittest.TestCase):
    def test_every_undefined_symbol_is_exported(self):
        collectd = os.environ["COLLECTD"]
        wanted = {name for name, kind in symbols(PLUGIN, "--undefined-only").items() if kind == "U"}
        self.assertIn("plugin_dispatch_values", wanted)
        offered = set(symbols(collectd, "--defined-only"))
        for library in needed_libraries(PLUGIN) + needed_libraries(collectd):
            offered |= set(symbols(library, "--defined-only"))
        self.assertEqual(wanted - offered, set())

    def test_only_module_register_is_exported(self):
        self.assertEqual(set(symbols(PLUGIN, "--defined-only")), {"module_register"})


if __name__ == "__main__":
    system_test.main(namespace=False)
