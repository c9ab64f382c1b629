#!/usr/bin/env python3
"""The folders of plugin/ form one chain, and each file includes only what is of its folder or of one
before it; snmp/ includes nothing of plugin/; collectd's headers are seen by three files."""

import pathlib
import re
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
CHAIN = ["base", "kernel", "sampling", "survey", "judging", "publishing", "collector", "command"]
COLLECTD_API = "collectd_api.h"  # the one door to collectd's headers, outside of the chain
SEE_COLLECTD = {"plugin/plugin.cpp", "plugin/publishing/dispatch.cpp", "plugin/base/config.cpp"}


def sources(*folders):
    """{path from the top: text}"""
    return {str(path.relative_to(SOURCE)): path.read_text(encoding="utf-8")
            for folder in folders for path in sorted((SOURCE / folder).rglob("*")) if path.suffix in (".cpp", ".h", ".c")}


def includes(text):
    return re.findall(r'^#include "([^"]+)"', text, re.MULTILINE)


def floor_of(path):
    """The number in the chain of the folder, or of the collector, which is a file; plugin.cpp is above all."""
    name = pathlib.PurePath(path).parts[1].partition(".")[0]
    return CHAIN.index(name) if name in CHAIN else len(CHAIN)


def arrows_up(files):
    """A line for each include of plugin/ that runs up the chain, or leads nowhere."""
    found = []
    where = {pathlib.PurePath(path).name: path for path in files}
    for path, text in files.items():
        for name in includes(text):
            if name.startswith("backlog/") or name == COLLECTD_API:
                continue
            target = where.get(name)
            if target is None:
                found.append(f"{path} includes {name}, which is not in plugin/")
            elif floor_of(target) > floor_of(path):
                found.append(f"{path} includes {target}, which is above it")
    return found


def see_collectd(files):
    header = re.compile(r'^#include (?:<(?:collectd|liboconfig)/|"collectd_api\.h")', re.MULTILINE)
    return {path for path, text in files.items() if header.search(text) and not path.endswith(COLLECTD_API)}


class HouseTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.plugin = sources("plugin")

    def test_every_folder_is_in_the_chain(self):
        self.assertEqual({path.name for path in (SOURCE / "plugin").iterdir() if path.is_dir()}, set(CHAIN) - {"collector"})

    def test_no_include_runs_up(self):
        self.assertGreater(len(self.plugin), 70)
        self.assertEqual(arrows_up(self.plugin), [])

    def test_three_files_see_collectd(self):
        self.assertEqual(see_collectd(self.plugin), SEE_COLLECTD)

    def test_the_subagent_sees_the_contract_only(self):
        own = {path.name for path in (SOURCE / "snmp").iterdir()}
        for path, text in sources("snmp").items():
            for name in includes(text):
                self.assertTrue(name in own or name.startswith("backlog/"), f"{path} includes {name}")

    def test_what_runs_up_is_found(self):
        """This test can fail."""
        sock_diag = "plugin/kernel/sock_diag.h"
        for header, arrows, collectd in [("table.h", 1, SEE_COLLECTD), ("nowhere.h", 1, SEE_COLLECTD),
                                         (COLLECTD_API, 0, SEE_COLLECTD | {sock_diag})]:
            changed = dict(self.plugin)
            changed[sock_diag] += f'#include "{header}"\n'
            self.assertEqual(len(arrows_up(changed)), arrows)
            self.assertEqual(see_collectd(changed), collectd)


if __name__ == "__main__":
    unittest.main(verbosity=2)
