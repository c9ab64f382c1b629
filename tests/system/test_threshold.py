#!/usr/bin/env python3
"""collectd's own threshold plugin on percent-used."""

import re

import system_test
from system_test import SystemTest

# A value that is late has gone only after many intervals.
THRESHOLD = """
Timeout 40
<Plugin threshold>
  <Plugin "backlog">
    Instance "{name}"
    <Type "percent">
      Instance "used"
      FailureMax 90
    </Type>
  </Plugin>
</Plugin>
"""


class ThresholdTest(SystemTest):
    def notifications(self, collectd):
        """The severities of all notifications so far, oldest first."""
        return re.findall(r"Notification: severity = (\w+)", collectd.log())

    def test_failure_stays_when_the_limit_is_lowered_on_a_filled_queue(self):
        listener = self.listener(limit=10).fill(11)
        collectd = self.collectd(plugins=["threshold"], config=THRESHOLD.format(name=listener.name))
        collectd.wait_for_log("severity = FAILURE")
        listener.listen(2)
        collectd.wait_for_value(listener.name, "queue_length-limit", 2)
        collectd.wait_for_intervals(4)
        self.assertEqual({value for _, value in collectd.values(listener.name, "percent-used")}, {100.0})
        self.assertEqual(self.notifications(collectd), ["FAILURE"])
        self.assertNotRegex(collectd.log(), "(?i)nan")

        listener.accept(11)
        collectd.wait_for_log("severity = OKAY")
        self.assertEqual(self.notifications(collectd), ["FAILURE", "OKAY"])


if __name__ == "__main__":
    system_test.main()
