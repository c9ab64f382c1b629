#!/usr/bin/env python3
"""The snippets side by side in one folder, as an operator copies them: collectd takes global options from
the file that it reads last, and none of them may take another's away."""

import collections
import os
import pathlib
import re

import stores_harness as stores
import harness  # found by stores_harness

NO_FAULT = "Initialization complete"
LOW_ABOVE_HIGH = "WriteQueueLimitLow must not be larger than WriteQueueLimitHigh"


def snippet_files():
    return sorted(file.name for file in pathlib.Path(os.environ["BACKLOG_CONF"], "stores").glob("*.conf"))


def global_options(text):
    """The options outside of blocks, but those that add up."""
    text = re.sub(r"^<(\w+).*?^</\1>", "", text, flags=re.MULTILINE | re.DOTALL)
    words = re.findall(r"^\s*(\w+)", text, re.MULTILINE)
    return [word for word in words if word != "LoadPlugin"]


class SnippetsTest(harness.SystemTest):
    def test_a_global_option_is_in_one_snippet(self):
        files = collections.defaultdict(list)
        for file in snippet_files():
            for option in global_options(stores.shipped(f"stores/{file}")):
                files[option].append(file)
        self.assertEqual(files, {"WriteQueueLimitHigh": ["write-queue.conf"],
                                 "WriteQueueLimitLow": ["write-queue.conf"], "CollectInternalStats": ["central.conf"]})

    def low_is_above_high(self, queue):
        """Whether a collectd says so that has all snippets and this one as write-queue.conf."""
        folder = pathlib.Path(self.folder())
        (folder / "auth_file").write_text(f"{stores.USER}: {stores.PASSWORD}\n", encoding="ascii")
        own_places = {"/etc/collectd/auth_file": folder / "auth_file", "/var/lib/collectd/rrd": folder / "rrd",
                      '"0.0.0.0" "25826"': f'"{stores.LOOPBACK}" "{stores.free_port()}"', ".example.com": ".invalid",
                      'Port "9103"': f'Port "{stores.free_port()}"'}
        snippets = []
        for file in snippet_files():
            text = queue if file == "write-queue.conf" else stores.snippet(file)
            for old, new in own_places.items():
                text = text.replace(old, str(new))
            snippets.append(stores.Snippet(text))
            snippets[-1].file = file
        collectd = harness.Collectd(config=f'PluginDir "{os.environ["COLLECTD_PLUGIN_DIR"]}"',
                                    environment=stores.library_environment())
        stores.include_snippets(collectd, *snippets)
        with collectd:
            collectd.wait_for_log(NO_FAULT)
            return LOW_ABOVE_HIGH in collectd.output()

    def test_the_queue_has_the_limits_of_its_snippet(self):
        """collectd complains of a Low above High: whether it does tells whose limits it has taken."""
        for queue in (stores.write_queue_snippet(), stores.central_write_queue_snippet()):
            low, high = (re.search(rf"^WriteQueueLimit{name} (\d+)$", queue, re.MULTILINE)[1]
                         for name in ("Low", "High"))
            self.assertLess(int(low), int(high))
            with self.subTest(high):
                self.assertFalse(self.low_is_above_high(queue))
                swapped = queue.replace(f"Low {low}", "Low 2").replace(f"High {high}", "High 1")
                self.assertTrue(self.low_is_above_high(swapped))


if __name__ == "__main__":
    stores.main()
