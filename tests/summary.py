#!/usr/bin/env python3
"""Says how many tests passed, failed and were skipped, and why: ctest names those that were skipped
as a whole, without a reason, and says nothing of parts.

    tests/summary.py RESULTS [KNOWN]

RESULTS is what ctest --output-junit writes. KNOWN is a file of skips that are expected: regular expressions,
one a line, each over what is printed after "skipped"; # begins a comment. With KNOWN the exit status is 1 if
another one was skipped."""

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


def main(results, known=None):
    passed, failed, skipped = sort_out(xml.parse(results).getroot().iter("testcase"))
    print(f"Summary: {len(passed)} passed, {len(failed)} failed, {len(skipped)} skipped")
    for name in failed:
        print(f"  failed   {name}")
    lines = [f"{name}: {reason}" for name, reason in skipped]
    for line in lines:
        print(f"  skipped  {line}")
    if known is None:
        return 0
    patterns = [line for line in pathlib.Path(known).read_text(encoding="utf-8").splitlines()
                if line and not line.startswith("#")]
    unknown = [line for line in lines if not any(re.fullmatch(pattern, line) for pattern in patterns)]
    for line in unknown:
        print(f"  not in {known}: {line}")
    return 1 if unknown else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
