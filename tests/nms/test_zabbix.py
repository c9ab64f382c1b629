#!/usr/bin/env python3
"""conf/nms/zabbix without a server: the templates are those of the generator, and Zabbix's own rules take what is for
this version. What a server makes of them: test_zabbix_server.py."""

import os
import pathlib
import re
import subprocess
import sys

import yaml

import nms_harness
from nms_harness import NMS, NmsTest, shipped

ROOT = os.environ.get("NMS_ROOT", "")
VALIDATOR = pathlib.Path(__file__).with_name("validate_zabbix.php")
EXTENSIONS = ("mbstring", "xml", "dom", "simplexml", "xmlreader", "ctype")
setUpModule = lambda: nms_harness.lay_over(ROOT)  # noqa: E731
sys.path.insert(0, str(NMS / "zabbix"))


def all_of(value, key):
    """Every value of the key, at whatever depth."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == key:
                yield inner
            yield from all_of(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from all_of(inner, key)


class ZabbixTest(NmsTest):
    def template(self, version):
        export = yaml.safe_load(shipped(f"zabbix/zabbix-{version}.yaml"))["zabbix_export"]
        self.assertEqual(export["version"], version)
        return export["templates"][0]

    def test_the_templates_are_the_generators(self):
        import generate
        for name, text in generate.files().items():
            self.assertEqual(shipped(f"zabbix/{name}"), text, f"{name}: run conf/nms/zabbix/generate.py")

    def validate(self, text):
        file = self.directory / "template.yaml"
        file.write_text(text)
        options = [part for extension in EXTENSIONS for part in ("-d", f"extension={extension}")]
        result = subprocess.run(["php8.2", *options, VALIDATOR, file], capture_output=True, text=True, timeout=60, check=False)
        return result.returncode, result.stdout.strip()

    def test_zabbix_takes_the_template(self):
        text = shipped("zabbix/zabbix-6.0.yaml")
        self.assertEqual(self.validate(text), (0, "valid"))
        for old, new, wrong in (("value_type: FLOAT", "value_type: DOUBLE", "unexpected constant"),
                                ("snmp_oid:", "snmpoid:", "unexpected tag"), ("priority: HIGH", "priority: PAGE", "unexpected")):
            status, said = self.validate(text.replace(old, new, 1))
            self.assertEqual(status, 1, said)
            self.assertIn(wrong, said)

    def test_nothing_is_unsupported_that_is_gone(self):
        """Each item says what it becomes when its row is not there."""
        for version, step in (("6.0", "CHECK_NOT_SUPPORTED"), ("7.0", "SNMP_WALK_VALUE")):
            template = self.template(version)
            items = [item for item in template["items"] if item["type"] != "SNMP_TRAP"]
            prototypes = [item for rule in template["discovery_rules"] for item in rule["item_prototypes"]]
            for item in (*items, *prototypes):
                first = item["preprocessing"][0]
                self.assertEqual(first["type"], "CHECK_NOT_SUPPORTED" if item["key"] == "backlog.walk" else step, item["key"])
                # A check of what is not supported discards by itself.
                handler = first.get("error_handler", "DISCARD_VALUE" if first["type"] == "CHECK_NOT_SUPPORTED" else None)
                self.assertIn(handler, ("DISCARD_VALUE", "CUSTOM_VALUE"), item["key"])

    def test_both_versions_have_the_same(self):
        old, new = self.template("6.0"), self.template("7.0")
        self.assertEqual([item["key"] for item in old["items"]],
                         [item["key"] for item in new["items"] if item["key"] != "backlog.walk"])
        for field in ("name", "expression", "uuid", "opdata", "newvalue", "macro"):
            self.assertEqual(set(all_of(old, field)), set(all_of(new, field)) - self.of_the_walk(new, field), field)

    @staticmethod
    def of_the_walk(template, field):
        walk, = (item for item in template["items"] if item["key"] == "backlog.walk")
        return set(all_of(walk, field))

    def test_the_walk_has_what_is_taken_from_it(self):
        template = self.template("7.0")
        walk, = (item for item in template["items"] if item["key"] == "backlog.walk")
        walked = walk["snmp_oid"].removeprefix("walk[").removesuffix("]").split(",")
        taken = [oid for parameters in all_of(template, "parameters") for oid in parameters if re.match(r"1\.3\.6\.1\.4", oid)]
        self.assertGreater(len(taken), 30)
        for oid in taken:
            self.assertTrue(any(oid == part or oid.startswith(part + ".") for part in walked), oid)
        self.assertEqual({item["key"] for item in all_of(template, "master_item")}, {"backlog.walk"})

    def test_identities(self):
        """Version 4, and each once: Zabbix knows by them what it has already."""
        for version in ("6.0", "7.0"):
            identities = list(all_of(self.template(version), "uuid"))
            self.assertEqual(len(identities), len(set(identities)))
            for identity in identities:
                self.assertRegex(identity, r"^[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}$")

    def test_the_columns_are_those_of_the_mib(self):
        mib = pathlib.Path(os.environ["BACKLOG_MIBS"], "BACKLOG-MIB.txt").read_text()
        columns = dict(re.findall(r"^(backlog\w+) OBJECT-TYPE(?:(?!::=).)*::= \{ backlogListenerEntry (\d+) \}", mib,
                                  re.DOTALL | re.MULTILINE))
        numbers = {name: int(number) for name, number in columns.items()}
        self.assertGreater(len(numbers), 40)
        rule = self.template("6.0")["discovery_rules"][0]
        wanted = {"state": "RecentState", "used": "Used", "peak": "Peak", "limit": "Limit", "dropped": "Dropped",
                  "message": "Message", "interval_state": "State", "length": "Length", "mean": "Mean",
                  "half_open": "SynLength", "oldest_wait": "OldestWait", "wait_p99": "WaitP99", "cause": "Cause",
                  "owner": "Owner"}
        taken = {item["key"].split(".")[2].partition("[")[0]: int(item["snmp_oid"].split(".")[-2])
                 for item in rule["item_prototypes"]}
        self.assertEqual(taken, {key: numbers[f"backlogListener{name}"] for key, name in wanted.items()})
        macros = dict(re.findall(r"\{#(\w+)\},[0-9.]+\.(\d+)", rule["snmp_oid"]))
        self.assertEqual({macro: int(number) for macro, number in macros.items()}, {
            macro: numbers[f"backlogListener{name}"] for macro, name in (
                ("NAME", "Name"), ("OWNER", "Owner"), ("ADDRTYPE", "AddressType"), ("PORT", "Port"), ("PATH", "Path"),
                ("NETNS", "Namespace"), ("STABLE", "Stable"), ("EXPECTED", "Expected"))})

    def test_trap_handler(self):
        handler = NMS / "zabbix/zabbix_traphandle"
        traps = self.directory / "traps"
        subprocess.run([handler, traps], check=True, text=True,
                       input="host\nUDP: [192.0.2.7]:40000->[192.0.2.1]:162\n.1.3.6 value\n.1.3.7 \"of two\nlines\"\n")
        self.assertRegex(traps.read_text(), r'^\d\d:\d\d:\d\d\d{4}/\d\d/\d\d ZBXTRAP 192\.0\.2\.7\n'
                                            r'\.1\.3\.6 value\n\.1\.3\.7 "of two\nlines"\n$')


if __name__ == "__main__":
    nms_harness.main(ROOT, "bin/php8.2", "share/zabbix")
