#!/usr/bin/env python3
"""The snippets side by side in one folder, as an operator copies them: collectd takes global options from
the file that it reads last, and none of them may take another's away."""

import collections
import os
import pathlib
import re

import stores_harness as stores
from snippets import shipped, snippet, Snippet
from store import free_port, LOOPBACK, PASSWORD, USER
from store_programs import library_environment
from collectd import Collectd
from system_test import SystemTest

CENTRAL = "zz-central-queue.conf"
NO_FAULT = "Initialization complete"
LOW_ABOVE_HIGH = "WriteQueueLimitLow must not be larger than WriteQueueLimitHigh"


def snippet_files():
    return sorted(file.name for file in pathlib.Path(os.environ["BACKLOG_CONF"], "collectd", "stores").glob("*.conf"))


def global_options(text):
    """(name, value) of the options outside of blocks, but those that add up."""
    text = re.sub(r"^<(\w+).*?^</\1>", "", text, flags=re.MULTILINE | re.DOTALL)
    options = re.findall(r"^\s*(\w+) (\S+)", text, re.MULTILINE)
    return [(name, value) for name, value in options if name != "LoadPlugin"]


class SnippetsTest(SystemTest):
    def test_global_options_are_the_same_wherever_they_are(self):
        """But for a central collectd's, in the file that is read last."""
        values = collections.defaultdict(set)
        for file in snippet_files()[:-1]:
            for option in global_options(shipped(f"collectd/stores/{file}")):
                values[option[0]].add(option[1])
        self.assertEqual(values, {"WriteQueueLimitHigh": {"50000"}, "WriteQueueLimitLow": {"40000"},
                                  "CollectInternalStats": {"true"}})
        self.assertEqual(dict(global_options(shipped(f"collectd/stores/{CENTRAL}"))),
                         {"WriteQueueLimitHigh": "500000", "WriteQueueLimitLow": "400000"})
        self.assertEqual(snippet_files()[-1], CENTRAL)

    def test_each_way_to_a_store_has_the_limits(self):
        for file in set(snippet_files()) - {"central.conf"}:
            with self.subTest(file):
                options = dict(global_options(shipped(f"collectd/stores/{file}")))
                self.assertLess(int(options["WriteQueueLimitLow"]), int(options["WriteQueueLimitHigh"]))

    def low_is_above_high(self, changed_file, change):
        """Whether a collectd says so that has all snippets, one of them changed."""
        folder = pathlib.Path(self.folder())
        (folder / "auth_file").write_text(f"{USER}: {PASSWORD}\n", encoding="ascii")
        own_places = {"/etc/collectd/auth_file": folder / "auth_file", "/var/lib/collectd/rrd": folder / "rrd",
                      '"0.0.0.0" "25826"': f'"{LOOPBACK}" "{free_port()}"', ".example.com": ".invalid",
                      'Port "9103"': f'Port "{free_port()}"'}
        snippets = []
        for file in snippet_files():
            text = snippet(file)
            for old, new in {**own_places, **(change if file == changed_file else {})}.items():
                text = text.replace(old, str(new))
            snippets.append(Snippet(text))
            snippets[-1].file = file
        collectd = Collectd(config=f'PluginDir "{os.environ["COLLECTD_PLUGIN_DIR"]}"',
                                    environment=library_environment())
        stores.include_snippets(collectd, *snippets)
        with collectd:
            collectd.wait_for_log(NO_FAULT)
            return LOW_ABOVE_HIGH in collectd.output()

    def test_a_central_collectd_has_its_own_limits(self):
        """collectd complains of a Low above High: whether it does tells whose limits it has taken."""
        swapped = {"High 500000": "High 1", "High 50000\n": "High 1\n", "Low 40000": "Low 2"}
        self.assertFalse(self.low_is_above_high("none", {}))
        self.assertTrue(self.low_is_above_high(CENTRAL, swapped))
        self.assertFalse(self.low_is_above_high("rrd.conf", swapped))


if __name__ == "__main__":
    stores.main()
