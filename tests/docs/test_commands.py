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


LONG = "/" + 5000 * "x"  # longer than any path
# Values that each option refuses, besides the empty and the very long: of a wrong type, or outside
# of what is allowed. Whether a path or a pattern is good shows only later.
BAD_VALUES = {
    "backlog-table": {
        ("-f", "--table"): [],
        ("--servers",): ["/nonexistent/servers", "/"],
        ("--oid",): ["80|81", "TCP_ANY_80", "tcp_any_80 ", 101 * "x"],
        ("--live",): ["0", "0.0001", "3601", "1.5.2", "1e400", "nan", "-1", "soon"],
    },
    "check_backlog": {
        ("-w", "--warning"): ["high", "90%", "5:1", "1:2:3", "@", "nan", "1e400", "~"],
        ("-c", "--critical"): ["high", "90%", "5:1", "1:2:3", "@", "nan", "1e400", "~"],
        ("-n", "--name"): ["(", "a|(b", "[", "a{2,1}"],
        ("-p", "--perfdata"): ["-1", "1001", "2.5", "many", "+3"],
        ("-f", "--table", "--file"): [],
        ("-t", "--timeout"): ["soon", "0", "-1", "3601", "nan", "1 2"],
    },
    "backlog-agentx": {
        ("-f", "--table"): [],
        ("--agentx",): [],
        ("--root",): ["backlogRoot", "1", "1.3.", "1..3", "3.1", "1.3.4294967296", "1.3.-1", "1." + 100 * "3." + "3"],
    },
}
STATUS = {"backlog-table": 1, "check_backlog": 3, "backlog-agentx": 2}  # of a refusal
FLAGS = {
    "backlog-table": {"--watch", "--json", "--openmetrics", "--audit", "-V", "--version", "-h", "--help"},
    "check_backlog": {"--last", "-v", "--verbose", "-V", "--version", "-h", "--help"},
    "backlog-agentx": {"--foreground", "-V", "--version", "-h", "--help"},
}


class BadArgumentsTest(unittest.TestCase):
    """Every option of every command refuses what is no value of it, and says which option and what it was given."""

    def refusal(self, command, *arguments):
        """The one line; what follows is refused, too, so that nothing is started."""
        result = subprocess.run([command.path, *arguments, "--nonsense"], check=False, text=True, timeout=10,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual(result.returncode, STATUS[command.name], arguments)
        self.assertEqual(result.stdout.count("\n"), 1, result.stdout)
        self.assertLess(len(result.stdout), 400)
        if command.name == "check_backlog":
            self.assertNotIn("|", result.stdout)  # perfdata would begin there
        return result.stdout

    def check(self, command, option, *values):
        for value in values:
            with self.subTest(command=command.name, option=option, value=value[:40]):
                together = f"{option}={value}" if option.startswith("--") else f"{option}{value}"
                ways = [[together]] if option == "--live" else [[option, value], [together]] if value else [[option, value]]
                for way in ways:
                    text = self.refusal(command, *way)
                    self.assertRegex(text, rf"option {option}(:| needs a value)")
                    self.assertIn(value[:100].replace("|", "/" if command.name == "check_backlog" else "|"), text)

    def test_every_option(self):
        for command in COMMANDS:
            if not command.path:
                continue
            cases = BAD_VALUES[command.name]
            with_cases = {option for spellings in cases for option in spellings}
            self.assertEqual(known_options(command), with_cases | FLAGS[command.name],
                             f"an option of {command.name} has no bad values here, or is there no more")
            for spellings, values in cases.items():
                for option in spellings:
                    self.check(command, option, "", LONG, *values)
            for flag in FLAGS[command.name]:
                if flag.startswith("--"):
                    self.assertIn(f"option {flag}=1 is unknown", self.refusal(command, f"{flag}=1"))

    def test_what_is_no_option(self):
        for command in COMMANDS:
            if command.path:
                for argument in (LONG, "two\nlines|more"):
                    if command.name == "backlog-table" and argument != LONG:
                        continue  # a name that nobody has
                    result = subprocess.run([command.path, "--", argument], check=False, text=True, timeout=10,
                                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                    self.assertIn(argument[:3], result.stdout)
                    self.assertEqual(result.stdout.count("\n"), 1, result.stdout)
                    self.assertLess(len(result.stdout), 400)


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
