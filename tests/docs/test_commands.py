#!/usr/bin/env python3
"""The options of the commands are those of their --help and of the manual, and the other way round.
What a command knows, it is asked.

Environment (set by ctest from CMake):
  BACKLOG_TABLE, CHECK_BACKLOG, BACKLOG_AGENTX   the commands; the last may be empty
"""

import collections
import os
import pathlib
import re
import string
import subprocess
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SAID_NOWHERE_ELSE = {"-V", "--version", "-h", "--help"}

Command = collections.namedtuple("Command", "name path source page section")
COMMANDS = [
    Command("backlog-table", os.environ["BACKLOG_TABLE"], "plugin/command/backlog_table.cpp", "plugin/backlog-table.1",
            "Options of backlog-table"),
    Command("check_backlog", os.environ["CHECK_BACKLOG"], "plugin/command/check_backlog.cpp", "plugin/backlog-table.1",
            "Options of check_backlog"),
    Command("backlog-agentx", os.environ["BACKLOG_AGENTX"], "snmp/options.cpp", "snmp/backlog-agentx.8",
            ""),
]


def read(name):
    return (SOURCE / name).read_text(encoding="utf-8")


def knows(command, option):
    """The arguments that follow are refused in any case, so that nothing is started."""
    result = subprocess.run([command.path, option, "x", "--nonsense"], check=False, text=True, timeout=10,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return f"option {option} is unknown" not in result.stdout


def known_options(command):
    """Asked of are all letters, and all words that occur in the source."""
    words = {f"-{letter}" for letter in string.ascii_letters} | set(re.findall(r"--[a-z]+", read(command.source)))
    return {word for word in words if knows(command, word)}


def options_of_help(command, text):
    """{option: default or None}; a line of an option begins with two blanks."""
    options = {}
    for line in re.findall(r"^  (-.*(?:\n   .*)*)", text, re.MULTILINE):
        default = re.search(r"\((\S+)\)", line)
        for option in re.findall(r"(?<![\w-])--?[A-Za-z]+", line.partition("  ")[0]):
            options[option] = default and default[1]
    return options


def options_of_manual(command, text):
    """[({option, ...}, default or None)]"""
    if command.section:
        text = re.search(rf"^\.Ss {command.section}\n(.*?)(?=^\.S[sh] )", text, re.DOTALL | re.MULTILINE)[1]
    items = []
    for item in re.split(r"^\.It (?=Fl )", text, flags=re.MULTILINE)[1:]:
        head = item.splitlines()[0]
        names = {f"--{long}" if long else f"-{short}" for long, short in re.findall(r"Fl (?:Fl (\w+)|(\w)\b)", head)}
        default = re.search(r"^Defaults to\s+(?:\.\w\w )?(\S+?)(?: ?[.,])?$", item, re.MULTILINE)
        items.append((names, default and default[1]))
    return items


def differences(command, known, help_text, manual_text):
    told = options_of_help(command, help_text)
    items = options_of_manual(command, manual_text)
    manual = set().union(*(names for names, _ in items))
    found = [f"{option} is not in the manual" for option in sorted(known - manual)]
    found += [f"{option} of the manual is unknown" for option in sorted(manual - known)]
    found += [f"{option} of --help is unknown" for option in sorted(told.keys() - known)]
    for names, default in items:
        shown = sorted(names & told.keys())
        if not shown and not names & SAID_NOWHERE_ELSE:
            found.append(f"{'/'.join(sorted(names))} is not in --help")
        if shown and told[shown[0]] != default:
            found.append(f"{shown[0]} has the default {told[shown[0]]} in --help and {default} in the manual")
    return found


class CommandsTest(unittest.TestCase):
    def texts(self, command):
        result = subprocess.run([command.path, "--help"], check=False, text=True, stdout=subprocess.PIPE)
        # Of a monitoring plugin the guidelines want UNKNOWN.
        self.assertEqual(result.returncode, 3 if command.name == "check_backlog" else 0)
        return known_options(command), result.stdout, read(command.page)

    def test_all_agree(self):
        for command in COMMANDS:
            with self.subTest(command=command.name):
                if not command.path:
                    self.skipTest("built without SNMP")
                known, *texts = self.texts(command)
                self.assertGreater(len(known), 4)
                self.assertEqual(differences(command, known, *texts), [])

    def test_what_differs_is_found(self):
        """This test can fail."""
        for command in COMMANDS[:2]:
            known, help_text, manual = self.texts(command)
            other = "/run/other"
            for changed in [(known | {"--new"}, help_text, manual),
                            (known - {max(known & options_of_help(command, help_text).keys())}, help_text, manual),
                            (known, help_text.replace("/run/collectd-backlog/table", other), manual),
                            (known, help_text, manual.replace("/run/collectd-backlog/table", other))]:
                self.assertNotEqual(differences(command, *changed), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
