"""Where the programs of net-snmp are: below SNMP_ROOT, else the system's own."""

import os
import pathlib
import unittest


def snmp_root():
    return pathlib.Path(os.environ.get("SNMP_ROOT") or "/")


def program(name):
    for folder in ("usr/sbin", "usr/bin", "usr/local/sbin", "usr/local/bin"):
        path = snmp_root() / folder / name
        if path.exists():
            return str(path)
    raise unittest.SkipTest(f"{name} is missing")


def library_path():
    return ":".join(map(str, (snmp_root() / "usr/lib").glob("*-linux-gnu"))) if os.environ.get("SNMP_ROOT") else ""
