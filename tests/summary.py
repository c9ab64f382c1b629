#!/usr/bin/env python3
"""Says how many tests passed, failed and were skipped, and why: ctest names those that were skipped
as a whole, without a reason, and says nothing of parts.

    tests/summary.py [--second-turn RESULTS] RESULTS [KNOWN]

RESULTS is what ctest --output-junit writes; of a second turn, those of tests that had failed. KNOWN is a file of
skips that are expected: regular expressions, one a line, each over what is printed after "skipped"; # begins a
comment. The exit status is 1 if a test failed, in both turns if it had two, if there was none, or, with KNOWN, if
another one was skipped."""

import argparse
import pathlib
import re
import sys
import xml.etree.ElementTree as xml

# As unittest prints them: of a test, of a part of one (subTest), of a class (setUpClass).
PART = re.compile(r"^ *((?:test|setUp)\w*) \((?:__main__\.)?([^)\n]*)\)( [\[(].*)?(?:\n.*)? \.\.\. skipped (.*)$",
                  re.MULTILINE)
NAMELESS_CLASS = re.compile(r"^skipped (.*)$", re.MULTILINE)  # before Python 3.11


def skipped_parts(output):
    """[(part, reason)] of a test program's output."""
    parts = []
    for method, owner, of_part, reason in PART.findall(output):
        parts.append((owner if method.startswith("setUp") else method + of_part, reason.strip("\"'")))
    return parts + [("a class", reason.strip("\"'")) for reason in NAMELESS_CLASS.findall(output)]


def sort_out(tests):
    """(names passed, names failed, [(name, reason)] skipped) of the elements testcase."""
    passed, failed, skipped = [], [], []
    for test in tests:
        name, output = test.get("name"), test.findtext("system-out") or ""
        if test.get("status") == "run":
            passed.append(name)
            skipped += [(f"{part} of {name}", reason) for part, reason in skipped_parts(output)]
        elif test.get("status") == "notrun" or test.find("skipped") is not None:
            reasons = re.findall(r"^SKIP: *(.*)", output, re.MULTILINE)
            skipped.append((name, "; ".join(reasons) or "no reason given"))
        else:
            failed.append(name)
    return passed, failed, skipped


def results_of(file):
    return sort_out(xml.parse(file).getroot().iter("testcase"))


def unknown_skips(lines, known):
    patterns = [line for line in pathlib.Path(known).read_text(encoding="utf-8").splitlines()
                if line and not line.startswith("#")]
    return [line for line in lines if not any(re.fullmatch(pattern, line) for pattern in patterns)]


def main(results, known=None, second_turn=None):
    passed, failed, skipped = results_of(results)
    again = []
    if second_turn:
        again, _, parts = results_of(second_turn)
        failed = [name for name in failed if name not in again]
        skipped += parts
    print(f"Summary: {len(passed)} passed, " + f"{len(again)} in a second turn, " * bool(again)
          + f"{len(failed)} failed, {len(skipped)} skipped")
    for name in failed:
        print(f"  failed   {name}")
    for name in again:
        print(f"  failed first, passed alone  {name}")
    lines = [f"{name}: {reason}" for name, reason in skipped]
    for line in lines:
        print(f"  skipped  {line}")
    unknown = unknown_skips(lines, known) if known is not None else []
    for line in unknown:
        print(f"  not in {known}: {line}")
    return 1 if failed or unknown or not passed + again + skipped else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--second-turn")
    parser.add_argument("results")
    parser.add_argument("known", nargs="?")
    sys.exit(main(**vars(parser.parse_args())))
