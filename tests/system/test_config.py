#!/usr/bin/env python3
"""Bad configuration: collectd refuses to start, and its log says which option, which value, and
what is allowed. Good configuration starts."""

import os
import pathlib
import re

import system_test
from collectd import Collectd, EXPENSIVE_SCAN
from system_test import SystemTest

CONF = pathlib.Path(__file__).resolve().parents[2] / "conf"

# configuration, what the one error message must hold
REFUSED = [
    ("Listners 5", ["Listners", "5", "Listener", "IgnoreSelected", "MaxListeners", "Values"]),
    ("<Window>\nSize 3\n</Window>", ["Window", "Listener"]),
    ('Listener "/^tcp_(/"', ["Listener", "/^tcp_(/", "regex"]),
    ('Listener "/a{2,1}/"', ["Listener", "/a{2,1}/", "regex"]),
    ('Listener ""', ["Listener", "name"]),
    ("Listener 80", ["Listener", "80", "name"]),
    ("Listener true", ["Listener", "true", "name"]),
    ('Listener "tcp_any_80" "tcp_any_81"', ["Listener", "tcp_any_80", "tcp_any_81", "one name"]),
    ('<Listener "tcp_any_80">\n</Listener>\n<Listener>\nName "x"\n</Listener>', ["Listener", "name"]),
    ('<Listener "tcp_any_80">\nName "x"\n</Listener>', ["Listener", "tcp_any_80", "name"]),
    ('IgnoreSelected "maybe"', ["IgnoreSelected", "maybe", "true", "false"]),
    ("IgnoreSelected 1", ["IgnoreSelected", "1", "true", "false"]),
    ("<IgnoreSelected>\nValue true\n</IgnoreSelected>", ["IgnoreSelected", "block", "true", "false"]),
    ('MaxListeners "many"', ["MaxListeners", "many", "number"]),
    ("MaxListeners true", ["MaxListeners", "true", "number"]),
    ("MaxListeners -1", ["MaxListeners", "-1", "number", "from"]),
    ("MaxListeners 1.5", ["MaxListeners", "1.5", "number"]),
    ("MaxListeners 1000000000000", ["MaxListeners", "1000000000000", "number", "from"]),
    ("MaxListeners 1 2", ["MaxListeners", "1 2", "number"]),
    ("SamplerBudget 0", ["SamplerBudget", "0 is", "0.01", "100", "percent"]),
    ("SamplerBudget -0.5", ["SamplerBudget", "-0.5", "0.01", "100"]),
    ("SamplerBudget 100.5", ["SamplerBudget", "100.5", "0.01", "100"]),
    ('SamplerBudget "half"', ["SamplerBudget", "half", "0.01", "100"]),
    ("SampleInterval 0", ["SampleInterval", "0 is", "0.001", "86400", "seconds"]),
    ("SampleInterval -1", ["SampleInterval", "-1", "0.001"]),
    ("SampleInterval 1000000", ["SampleInterval", "1000000", "86400"]),
    ("BurstInterval 0", ["BurstInterval", "0 is", "0.001"]),
    ("BurstInterval 0.1", ["BurstInterval", "0.1", "SampleInterval", "0.025"]),
    ("BurstInterval 0.02\nSampleInterval 0.01", ["BurstInterval", "0.02", "SampleInterval", "0.01"]),
    ("ReportUnix 1", ["ReportUnix", "1", "true", "false"]),
    ('ReportSynQueue "no"', ["ReportSynQueue", "no", "true", "false"]),
    ('Values "some"', ["Values", "some", "basic", "full"]),
    ("Values 7", ["Values", "7", "basic", "full"]),
    ("Values basic full", ["Values", "basic", "full"]),
    ('TableFile "relative/table"', ["TableFile", "relative/table", "absolute"]),
    ('TableFile "/run/"', ["TableFile", "/run/", "absolute"]),
    ("TableFile 5", ["TableFile", "5", "absolute"]),
    ('TableGroup "no such group"', ["TableGroup", "no such group", "group"]),
    ("TableGroup true", ["TableGroup", "true", "group"]),
    ('Listener "TCP_ANY_80"', ["Listener", "TCP_ANY_80", "a-z, 0-9"]),
    ('Listener "127.0.0.1:65536"', ["Listener", "127.0.0.1:65536", "127.0.0.1:8001"]),
    ('Listener "web"', ["Listener", "web", "no <Watch> gives this name"]),
    ('<Watch "tcp_any_80 ">\nExpected true\n</Watch>', ["Watch", '"tcp_any_80 "', "/regex/"]),
    ('<Watch "tcp_10.0.0.1_80">\n</Watch>', ["Watch", "tcp_10.0.0.1_80", "127.0.0.1:8001"]),
    ('<Watch "' + "x" * 5000 + '">\n</Watch>', ["Watch", "at most 100 bytes"]),
    ('<Watch "">\n</Watch>', ["Watch", '""', "/regex/"]),
    ('<Watch "tcp_any_80">\nName "unix_unstable"\n</Watch>', ["Name", "unix_unstable", "other than host"]),
    ('<Watch "tcp_any_80">\nName "x"\n</Watch>\n<Watch "tcp_any_81">\nName "x"\n</Watch>',
     ["Name", '"x"', "tcp_any_80", "tcp_any_81"]),
    ('ReportUnix false\n<Watch "/run/x.sock">\n</Watch>', ["Watch", "/run/x.sock", "ReportUnix"]),
    ("<Values>\nFull true\n</Values>", ["Values", "block", "basic", "full"]),
]

LONG = 5000 * "x"
LARGE = "1e300"
# Of every option: values of a wrong type, empty, very long or large, and outside of what is allowed.
BAD_VALUES = {
    "Listener": ["80", '""', f'"{LONG}"', '"TCP ANY"'],
    "IgnoreSelected": ["1", '""', f'"{LONG}"', "perhaps"],
    "ReportUnix": ["1", '""', f'"{LONG}"', "perhaps"],
    "ReportSynQueue": ["1", '""', f'"{LONG}"', "perhaps"],
    "ReportClients": ["1", '""', f'"{LONG}"', "perhaps"],
    "ReportOwner": ["1", '""', f'"{LONG}"', "perhaps"],
    "NetNamespace": ["80", '""', f'"{LONG}"', '"/(/"'],
    "WarningPercent": ["true", '""', LARGE, "0.5"],
    "WarningMinimum": ["true", '""', LARGE, "1.5"],
    "StalledAfter": ["true", '""', LARGE, "0"],
    "MissingAfter": ["true", '""', LARGE, "-1"],
    "Notify": ["1", '""', f'"{LONG}"', "low"],
    "Watch": ["443", '""', f'"/{LONG}"', '"127.0.0.1:65536"'],
    "SamplerBudget": ["true", '""', LARGE, "101"],
    "SampleInterval": ["true", '""', LARGE, "0"],
    "BurstInterval": ["true", '""', LARGE, "-1"],
    "MaxListeners": ["true", '""', LARGE, "-1"],
    "Events": ["1", '""', f'"{LONG}"', "on"],
    "TableFile": ["5", f'"/{LONG}"', '"table"'],
    "TableGroup": ["5", f'"{LONG}"', '"no such group"'],
    "Values": ["1", '""', f'"{LONG}"', "some"],
}
BAD_VALUES_OF_WATCH = {
    "Name": ["1", '""', f'"{LONG}"', '"A b"'],
    "WarningPercent": ["true", '""', LARGE, "101"],
    "Expected": ["1", '""', f'"{LONG}"', "perhaps"],
}

ACCEPTED = [
    None,
    "",
    'listener "tcp_any_80"\nLISTENER "/_(80|443)$/"\nIgnoreSelected true',
    "MaxListeners 0\nvalues FULL",
    "BurstInterval 1\nSampleInterval 1\nSamplerBudget 100",
    "SampleInterval 0.002\nReportUnix false\nReportSynQueue off",
    'TableFile ""\nTableGroup "root"',
    'Listener "127.0.0.1:8001"\nListener "*:443"\nListener "[fe80::1%eth0]:80"\nListener "@x"\nListener "/run/x.sock"',
    '<Watch "web">\nExpected false\n</Watch>\n<Watch "[::1]:9000">\nName "web"\n</Watch>\nListener "web"',
    'MaxListeners 1000\nValues "basic"\nIgnoreSelected false',
]


def complaints(log):
    """Lines of the plugin, but for what it says of events at each start, and of a slow host."""
    return [line for line in log.splitlines()
            if "backlog plugin: " in line and "events: " not in line and EXPENSIVE_SCAN not in line]


class ConfigTest(SystemTest):
    def run_once(self, text):
        """The exit status of a collectd that reads everything once, and what it said."""
        collectd = Collectd(text)
        try:
            status = collectd.run_to_exit("-T")
            collectd.check_sanitizers()
            return status, collectd.log()
        finally:
            collectd.close()

    def refusal(self, text):
        """The one message."""
        status, log = self.run_once(text)
        self.assertEqual(status, 1, log)
        messages = [line for line in log.splitlines() if "backlog plugin: " in line]
        self.assertEqual(len(messages), 1, log)
        self.assertTrue(messages[0].startswith("[error]"), messages)
        return messages[0]

    def test_refused(self):
        for text, wanted in REFUSED:
            with self.subTest(config=text):
                message = self.refusal(text)
                for word in wanted:
                    self.assertIn(word, message)

    def test_bad_values_of_every_option(self):
        for line, bad_values in (("{}", BAD_VALUES), ('<Watch "tcp_any_80">\n{}\n</Watch>', BAD_VALUES_OF_WATCH)):
            known = self.refusal(line.format("Nonsense 1")).partition("allowed is one of ")[2]
            self.assertEqual(set(known.split(", ")), set(bad_values))
            for option, values in bad_values.items():
                for value in values:
                    with self.subTest(option=option, value=value[:40]):
                        message = self.refusal(line.format(f"{option} {value}"))
                        self.assertRegex(message, rf"option {option}: .+ is not allowed; allowed is \S")
                        self.assertLess(len(message), 1000)

    def test_a_refusal_ends_the_start(self):
        collectd = Collectd("Values some")
        self.addCleanup(collectd.close)
        self.assertEqual(collectd.run_to_exit("-f"), 1)
        self.assertNotIn("entering read-loop", collectd.log())

    def test_accepted(self):
        for text in ACCEPTED:
            with self.subTest(config=text):
                status, log = self.run_once(text)
                self.assertEqual(status, 0, log)
                self.assertEqual(complaints(log), [])

    def test_intervals_of_several_blocks_in_any_order(self):
        for first, second in (("BurstInterval 0.1", "SampleInterval 1"), ("SampleInterval 1", "BurstInterval 0.1")):
            with self.subTest(first=first):
                with Collectd(first, config=f"<Plugin backlog>\n{second}\n</Plugin>") as collectd:
                    collectd.wait_for_intervals(1)
                    self.assertEqual(complaints(collectd.log()), [])

    def test_files_of_ones_own(self):
        """A block that collectd reads before LoadPlugin is ignored; the manual says what to do about it."""
        wrong = "<Plugin backlog>\nValues some\n</Plugin>\n"
        shipped = (CONF / "collectd" / "backlog.conf").read_text(encoding="utf-8")
        load = re.search(r"^<LoadPlugin backlog>\n.*^</LoadPlugin>\n", shipped, re.MULTILINE | re.DOTALL)[0]
        for name, text, is_read in (("a.conf", wrong, False), ("a.conf", load + wrong, True), ("z.conf", wrong, True)):
            folder = pathlib.Path(self.folder())
            (folder / "backlog.conf").write_text(shipped, encoding="utf-8")
            (folder / name).write_text(text, encoding="utf-8")
            include = f'PluginDir "{os.environ["BACKLOG_PLUGIN_DIR"]}"\n<Include "{folder}">\nFilter "*.conf"\n</Include>'
            collectd = Collectd(load_backlog=False, config=include)
            self.addCleanup(collectd.close)
            with self.subTest(name=name, text=text):
                self.assertEqual(collectd.run_to_exit("-T"), int(is_read), collectd.output())
                self.assertEqual("Values" in collectd.log(), is_read, collectd.log())

    def test_several_blocks_add_up(self):
        first, second, third = (self.listener() for _ in range(3))
        more = f'<Plugin backlog>\nListener "{second.name}"\n</Plugin>'
        collectd = self.collectd(f'Listener "{first.name}"', config=more)
        collectd.wait(lambda: collectd.listeners() == {first.name, second.name}, what="both named listeners")
        collectd.wait_for_intervals(2)
        self.assertNotIn(third.name, collectd.listeners())


if __name__ == "__main__":
    system_test.main()
