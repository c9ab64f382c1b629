#!/usr/bin/env python3
"""Writes the modules of snmp_exporter from BACKLOG-MIB:

    generate.py [--generator PROGRAM] [--mibs FOLDER:FOLDER...] [DIRECTORY]

PROGRAM     prometheus-snmp-generator, that of the exporter before 0.23 as Debian 12 has it
FOLDER      where BACKLOG-MIB and the modules are that it imports; default: $MIBDIRS
DIRECTORY   default: the folder of this file

snmp-0.22.yml is for the exporter up to 0.22, snmp-0.23.yml for 0.23 and newer, which has the
authentication apart from the modules. To what a metric is the unit of the MIB is added."""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import yaml

HERE = pathlib.Path(__file__).resolve().parent
MODULE = "backlog"
HEAD = "# BACKLOG-MIB for Prometheus's snmp_exporter {versions}, by generate.py: change that or generator.yml, not this.\n"


class Indented(yaml.SafeDumper):
    """Lists as deep as those of generator.yml."""

    def increase_indent(self, flow=False, indentless=False):
        return super().increase_indent(flow, False)


def units_of(mib):
    """{object: unit}"""
    units = {}
    for name, text in re.findall(r"^(backlog\w+) OBJECT-TYPE\n(.*?)::=", mib, re.DOTALL | re.MULTILINE):
        unit = re.search(r'^ +UNITS +"(.*)"$', text, re.MULTILINE)
        if unit:
            units[name] = "thousandths of " + unit[1] if "BacklogMilli" in text else unit[1]
    return units


def with_units(module, units):
    for metric in module["metrics"]:
        if unit := units.get(metric["name"]):
            text, dash, oid = metric["help"].rpartition(" - ")
            metric["help"] = f"{text.rstrip('.')} ({unit}){dash}{oid}"
    return module


def generated(generator, mibs):
    """What the generator makes of generator.yml."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(HERE / "generator.yml", folder)
        subprocess.run([generator, "generate"], cwd=folder, check=True, capture_output=True, text=True,
                       env=dict(os.environ, MIBDIRS=mibs, MIBS="BACKLOG-MIB"))
        return yaml.safe_load(pathlib.Path(folder, "snmp.yml").read_text(encoding="utf-8"))[MODULE]


def files(generator, mibs):
    """{name: text}"""
    mib = next(path for path in (pathlib.Path(folder, "BACKLOG-MIB.txt") for folder in mibs.split(":")) if path.exists())
    module = with_units(generated(generator, mibs), units_of(mib.read_text(encoding="ascii")))

    def text(content, versions):
        return HEAD.format(versions=versions) + yaml.dump(content, Dumper=Indented, sort_keys=False, width=110)
    authentication = {"version": 2, "auth": {"community": "public"}}
    return {
        "snmp-0.22.yml": text({MODULE: {**authentication, **module}}, "up to 0.22"),
        "snmp-0.23.yml": text({"auths": {"public_v2": {"version": 2, "community": "public"}}, "modules": {MODULE: module}},
                              "0.23 and newer"),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generator", default="prometheus-snmp-generator")
    parser.add_argument("--mibs", default=os.environ.get("MIBDIRS", ""))
    parser.add_argument("directory", nargs="?", type=pathlib.Path, default=HERE)
    arguments = parser.parse_args()
    for name, text in files(arguments.generator, arguments.mibs).items():
        (arguments.directory / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
