#!/usr/bin/env python3
"""The options of the code, with default and what is allowed, are those of the manual and of the
snippet, and the other way round.

Environment (set by ctest from CMake):
  PRINT_OPTIONS   a program that prints what the code has
"""

import collections
import os
import pathlib
import re
import subprocess
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]

Option = collections.namedtuple("Option", "default allowed")

# Limits that depend on another option.
LIMIT_OF_ANOTHER_OPTION = {("Plugin", "BurstInterval"): "86400"}
# Not defaults in the snippet, but examples, as its first lines say.
EXAMPLES = {("Plugin", "Listener"), ("Plugin", "NetNamespace"), ("Plugin", "Watch"),
            ("Watch", "Name"), ("Watch", "WarningPercent"), ("Watch", "Expected")}


def options_of_code():
    text = subprocess.run([os.environ["PRINT_OPTIONS"]], check=True, capture_output=True, text=True).stdout
    rows = [line.split("\t") for line in text.splitlines()]
    return {(block, name): Option(default, allowed) for block, name, default, allowed in rows}


def options_of_manual(text):
    """The lists of the sections "Options of Plugin" and "Options of Watch" in mdoc(7)."""
    options = {}
    for block, section in re.findall(r"^\.Ss Options of (\w+)\n(.*?)(?=^\.S[sh] )", text, re.DOTALL | re.MULTILINE):
        for item in re.split(r"^\.It ", section, flags=re.MULTILINE)[1:]:
            name = re.match(r"Cm (\w+)", item)[1]
            default = re.search(r"^Defaults to\s+(?:(none)\b|\.Cm (.*?) ?[.,:]?$)", item, re.MULTILINE)
            value = default and (default[1] or default[2]).replace(r"\(dq", "")
            options[block, name] = Option(value, item)
    return options


def options_of_snippet(text):
    """What is commented out in the block. Comments in it are still comments without the first #."""
    options = {}
    block = "Plugin"
    lines = re.search(r"^<Plugin backlog>\n(.*?)^</Plugin>", text, re.DOTALL | re.MULTILINE)[1].splitlines()
    for line in (line[1:].strip() for line in lines):
        if line.startswith("#"):
            continue
        if line.startswith("<Watch"):
            options["Plugin", "Watch"] = Option(None, "")
            block = "Watch"
        elif line == "</Watch>":
            block = "Plugin"
        else:
            name, value = line.split(None, 1)
            options[block, name] = Option(value.strip('"'), "")
    return options


def differences(code, documented, with_allowed=True, without_default=frozenset()):
    """A line for each."""
    found = [f"{name} is not documented" for name in sorted(code.keys() - documented.keys())]
    found += [f"{name} is not in the code" for name in sorted(documented.keys() - code.keys())]
    for name in sorted(code.keys() & documented.keys()):
        wanted, told = code[name], documented[name]
        if name not in without_default and told.default != wanted.default:
            found.append(f"{name} has the default {wanted.default}, told is {told.default}")
        if with_allowed:
            numbers = set(re.findall(r"\d+(?:\.\d+)?", told.allowed))
            for number in re.findall(r"(?<![\w-])\d+(?:\.\d+)?(?![\w-])", wanted.allowed):
                if number not in numbers and LIMIT_OF_ANOTHER_OPTION.get(name) != number:
                    found.append(f"{name}: {number} of \"{wanted.allowed}\" is not told")
    return found


class OptionsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.code = options_of_code()
        cls.manual = (SOURCE / "plugin/collectd-backlog.5").read_text(encoding="utf-8")
        cls.snippet = (SOURCE / "conf/collectd/backlog.conf").read_text(encoding="utf-8")

    def in_manual(self, text):
        return differences(self.code, options_of_manual(text))

    def in_snippet(self, text):
        return differences(self.code, options_of_snippet(text), with_allowed=False, without_default=EXAMPLES)

    def test_all_agree(self):
        self.assertGreater(len(self.code), 15)
        self.assertEqual(self.in_manual(self.manual), [])
        self.assertEqual(self.in_snippet(self.snippet), [])

    def test_what_differs_is_found(self):
        """This test can fail: each kind of mistake in each document is told, and nothing else."""
        for check, text, old, new, wanted in [
                (self.in_manual, self.manual, ".Cm 200 .", ".Cm 300 .", "MaxListeners"),
                (self.in_manual, self.manual, "0 to 100000,", "0 to 1000,", "MaxListeners"),
                (self.in_manual, self.manual, ".It Cm ReportUnix ", ".It Cm ReportUnixx ", "ReportUnix"),
                (self.in_snippet, self.snippet, "#  MaxListeners 200", "#  MaxListeners 300", "MaxListeners"),
                (self.in_snippet, self.snippet, "#  ReportUnix true", "#  # ReportUnix true", "ReportUnix"),
                (self.in_snippet, self.snippet, "#    Expected", "#    Expectedd", "Expected")]:
            with self.subTest(old=old, new=new):
                self.assertEqual(text.count(old), 1)
                found = check(text.replace(old, new))
                self.assertIn(len(found), (1, 2), found)
                for line in found:
                    self.assertIn(wanted, line)


if __name__ == "__main__":
    unittest.main(verbosity=2)
