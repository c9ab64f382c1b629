#!/usr/bin/env python3
"""Runs cells of the matrix and writes what came out; called by run, which has made what they need."""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import time

import machine
from cells import CELLS, TOO_SLOW

SOURCE = pathlib.Path(__file__).resolve().parents[2]
RESULTS = pathlib.Path(__file__).parent / "results.md"
sys.path.insert(0, str(SOURCE / "tests"))
from summary import skipped_parts  # pylint: disable=wrong-import-position

SILENT_S = 1500  # more than the slowest test takes: then a guest is taken for dead
MOST_SHOWN = 6000  # of a failed test's output
SLOWER = 5  # as the timeouts of ctest are for a processor that is not emulated
PYTHON = "/usr/bin/python3"
# The user land's own collectd and net-snmp, in place of those that the build knows.
ENVIRONMENT = {"COLLECTD": "/usr/sbin/collectd", "COLLECTD_PLUGIN_DIR": "/usr/lib/collectd",
               "COLLECTD_TYPESDB": "/usr/share/collectd/types.db", "SNMP_ROOT": "",
               "PYTHONDONTWRITEBYTECODE": "1", "CK_TIMEOUT_MULTIPLIER": str(SLOWER)}
HEAD = """# The matrix

Kernels and user lands on which the tests ran in virtual machines, with an emulated processor. `tests/matrix/run`
wrote this; `tests/matrix/cells.py` says what each cell runs. A program that fails has a second turn, and is named.

| cell | what it is | kernel | user land, collectd | result | minutes |
|---|---|---|---|---|---|
"""


def ctest_tests(build, pattern):
    """The tests of ctest whose names match, as the guest's agent takes them."""
    shown = json.loads(subprocess.run(["ctest", "--test-dir", build, "--show-only=json-v1"], check=True,
                                      capture_output=True, text=True).stdout)
    tests = []
    for test in shown["tests"]:
        properties = {each["name"]: each["value"] for each in test["properties"]}
        if pattern and re.search(pattern, test["name"]):
            environment = dict(pair.split("=", 1) for pair in properties.get("ENVIRONMENT", []))
            command = test["command"]
            if pathlib.PurePath(command[0]).name.startswith("python3"):
                command = [PYTHON, *command[1:]]
            tests.append({"name": test["name"], "command": command, "environment": environment | ENVIRONMENT,
                          "timeout": SLOWER * properties.get("TIMEOUT", 60)})
    return tests


def guest_tests(build, cell):
    environment = ENVIRONMENT | {"BACKLOG_PLUGIN_DIR": str(build / "plugin"), "EXPECTED_EVENTS": cell.events,
                                 "BACKLOG_TABLE": str(build / "plugin/backlog-table"),
                                 "PACKAGES": str(build / "matrix/packages/packages")}
    return [{"name": f"matrix.{name.removesuffix('.py')}", "command": [PYTHON, str(machine.GUEST / name)],
             "environment": environment, "timeout": 900} for name in cell.guest]


def parts_failed(done):
    """The names of what failed in a test: its own if it does not tell more."""
    if done["status"] == "late":
        return [f"{done['name']}: too late"]
    parts = re.findall(r"^(?:FAIL|ERROR): (\w+)", done["output"], re.MULTILINE)
    return [f"{done['name']}: {part}" for part in dict.fromkeys(parts)] or [done["name"]]


def checks_of(output):
    """How many tests a program has run that went well, by unittest's words or by Check's."""
    of_check = sum(int(checks) - int(failures) - int(errors) for checks, failures, errors in
                   re.findall(r"^\d+%: Checks: (\d+), Failures: (\d+), Errors: (\d+)", output, re.MULTILINE))
    return of_check + len(re.findall(r"\.\.\. ok$", output, re.MULTILINE))


def failed_tests(reports):
    """Names of the programs that fail for another reason than an emulated processor."""
    return {each["name"] for each in reports if each.get("status") in ("failed", "late")
            and set(parts_failed(each)) - set(TOO_SLOW)}


def with_second_turn(reports):
    """Each program's last report, and what failed in the first one of those that have passed then."""
    last = {each["name"]: each for each in reports if "name" in each}
    first_failures = [part for each in reports if each.get("status") in ("failed", "late")
                      and last[each["name"]] is not each and last[each["name"]]["status"] == "passed"
                      for part in parts_failed(each)]
    return [each for each in reports if "name" not in each or last[each["name"]] is each], first_failures


class Outcome:
    """What a cell's guest has reported."""

    def __init__(self, name, reports, trouble, minutes):
        self.name, self.trouble, self.minutes = name, trouble, minutes
        reports, self.second_turn = with_second_turn(reports)
        self.boot = next((each["boot"] for each in reports if "boot" in each), {})
        tests = [each for each in reports if "name" in each]
        self.passed = sum(each["status"] == "passed" for each in tests)
        self.checks = sum(checks_of(each["output"]) for each in tests)
        failed = [part for each in tests if each["status"] in ("failed", "late") for part in parts_failed(each)]
        self.failed = [part for part in failed if part not in TOO_SLOW]
        self.too_slow = {part: TOO_SLOW[part] for part in failed if part in TOO_SLOW}
        self.skipped = {}
        for each in tests:
            reasons = re.findall(r"^SKIP: *(.*)", each["output"], re.MULTILINE)
            if each["status"] == "skipped":
                self.skipped[each["name"]] = "; ".join(reasons) or "no reason given"
            for part, reason in skipped_parts(each["output"]) if each["status"] != "skipped" else ():
                self.skipped[f"{each['name']}: {part}"] = reason

    def is_well(self):
        return not self.trouble and not self.failed and self.passed > 0

    def result(self):
        words = [f"{self.passed} programs passed, {self.checks} checks"]
        words += [f"**{len(self.failed)} failed**"] * bool(self.failed)
        words += [f"{len(self.too_slow)} too slow"] * bool(self.too_slow)
        words += [f"{len(self.second_turn)} in a second turn"] * bool(self.second_turn)
        words += [f"{len(self.skipped)} skipped"] * bool(self.skipped)
        words += [f"**{self.trouble}**"] * bool(self.trouble)
        return ", ".join(words)

    def row(self):
        user_land = re.sub(r"Debian GNU/Linux (\d+).*", r"Debian \1", self.boot.get("user_land", "?"))
        return (f"| {self.name} | {CELLS[self.name].about} | {self.boot.get('kernel', '?')} | {user_land}, "
                f"{self.boot.get('collectd', '?')} | {self.result()} | {self.minutes:.0f} |")

    def remarks(self):
        lines = [f"- failed: {part}" for part in self.failed]
        lines += [f"- too slow: {part}: {reason}" for part, reason in self.too_slow.items()]
        lines += [f"- passed in a second turn: {part}" for part in self.second_turn]
        lines += [f"- skipped: {part}: {reason}" for part, reason in self.skipped.items()]
        return [f"**{self.name}**", "", *lines, ""] if lines else []


def write_results(outcomes):
    """Keeps the rows and remarks of cells that have not run."""
    text = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else ""
    rows = {row.split("|")[1].strip(): row for row in re.findall(r"^\| .*\|$", text, re.MULTILINE)}
    remarks = {name: body.strip().splitlines()
               for name, body in re.findall(r"^\*\*(\S+)\*\*\n(.*?)(?=^\*\*|\Z)", text, re.MULTILINE | re.DOTALL)}
    remarks = {name: [f"**{name}**", "", *lines, ""] for name, lines in remarks.items()}
    for outcome in outcomes:
        rows[outcome.name] = outcome.row()
        remarks[outcome.name] = outcome.remarks()
    lines = [rows[name] for name in CELLS if name in rows] + [""]
    for name in CELLS:
        lines += remarks.get(name, [])
    RESULTS.write_text(HEAD + "\n".join(lines).rstrip() + "\n", encoding="utf-8")


def run_guest(build, name, tests):
    """What it reports, and what is wrong with it, or None."""
    cell, matrix = CELLS[name], build / "matrix"
    folder = matrix / "results" / name
    folder.mkdir(parents=True, exist_ok=True)
    kernel = matrix / f"kernel-{cell.kernel.suite}"
    job = {"mounts": [str(SOURCE), str(build)], "tests": tests}
    initrd = folder / "initrd"
    initrd.write_bytes(machine.initramfs(matrix / "busybox/bin/busybox", kernel / "modules", job))
    init = "/sbin/init" if cell.systemd else "/matrix-init"
    command = machine.arguments([matrix / f"{cell.user_land}.ext4", kernel / "modules.ext4", matrix / "work.ext4"],
                                kernel / "vmlinuz", initrd,
                                f"console=ttyS0 panic=-1 quiet matrix.init={init} {cell.command_line}", folder,
                                cpus=2, memory=cell.memory)
    print(f"{name}: {cell.about}, {len(tests)} tests", flush=True)

    def say(report):
        if "boot" in report:
            boot = report["boot"]
            print(f"  {boot['kernel']}, {boot['user_land']}, init {boot['init']}, up for {boot['uptime_s']} s")
        elif "name" in report:
            print(f"  {report['name']}: {report['status']} after {report['seconds']} s")
            if report["status"] in ("failed", "late"):
                print(report["output"][-MOST_SHOWN:])
        sys.stdout.flush()
    trouble = machine.run(command, folder, SILENT_S, say)
    if trouble:
        print(f"  {trouble}\n--- the end of its console ---\n{machine.tail(folder)}", flush=True)
    return machine.read_report(folder / "report"), trouble


def run_cell(build, name, only=None):
    """What failed has a second turn: beside other work an emulated processor is late now and then."""
    cell, began = CELLS[name], time.monotonic()
    tests = guest_tests(build, cell) + ctest_tests(build, only or cell.ctest)
    tests = [test for test in tests if not only or re.search(only, test["name"])]
    reports, trouble = run_guest(build, name, tests)
    failed = failed_tests(reports)
    if failed and not trouble:
        more, trouble = run_guest(build, name, [test for test in tests if test["name"] in failed])
        reports += more
    outcome = Outcome(name, reports, trouble, (time.monotonic() - began) / 60)
    print(f"  {outcome.result()}, {outcome.minutes:.1f} min", flush=True)
    return outcome


def needs(cells):
    """What run has to make for the cells, a line each."""
    lines = [f"user_land {cell.user_land}" for cell in cells]
    lines += [f"kernel {cell.kernel.suite} {cell.kernel.package}" for cell in cells]
    lines += ["packages" for cell in cells if cell.systemd]
    return "\n".join(dict.fromkeys(lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--needs", action="store_true")
    parser.add_argument("--build", type=pathlib.Path)
    parser.add_argument("--tests", metavar="REGEX")
    parser.add_argument("cells", nargs="*", metavar="CELL")
    arguments = parser.parse_args()
    unknown = set(arguments.cells) - set(CELLS)
    if unknown:
        sys.exit(f"unknown cell: {', '.join(sorted(unknown))}; there are {', '.join(CELLS)}")
    names = arguments.cells or list(CELLS)
    if arguments.list:
        print("\n".join(f"{name:16} {CELLS[name].about}" for name in names))
    elif arguments.needs:
        print(needs([CELLS[name] for name in names]))
    else:
        outcomes = []
        for name in names:
            outcomes.append(run_cell(arguments.build, name, arguments.tests))
            if not arguments.tests:
                write_results(outcomes)
        sys.exit(0 if all(outcome.is_well() for outcome in outcomes) else 1)


if __name__ == "__main__":
    main()
