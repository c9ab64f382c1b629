#!/usr/bin/env python3
"""Memory that runs out now and then: the daemon lives, and what was lost comes back."""

import os
import pathlib
import time
import unittest

import system_test
from collectd import Collectd, sanitizers
from system_test import SystemTest
from net_namespaces import NetNamespace

RATES = (3000, 30000)  # of a million allocations; a survey makes some thousands
SHORTAGE = 4.0         # seconds
ENOUGH = 20            # allocations that are to fail in it


@unittest.skipIf(sanitizers(), "a sanitizer has an operator new of its own")
class ShortMemoryTest(SystemTest):
    def test_collectd_lives(self):
        listener = self.listener(limit=5).fill(3)
        other = NetNamespace(f"short-{os.getpid()}")
        self.addCleanup(other.close)
        with other.entered():
            inside = self.listener(limit=5).fill(2)
        inside_name = f"{inside.name}__netns_{other.name}"
        self.unix_listener(f"\0short-{os.getpid()}").connect(2)
        folder = pathlib.Path(self.folder())
        for rate in RATES:
            with self.subTest(rate=rate):
                trigger, failed = folder / f"rate-{rate}", folder / f"failed-{rate}"
                collectd = Collectd(
                    f'NetNamespace "/./"\nValues full\nTableFile "{folder}/table"', interval=0.1,
                    preload=[os.environ["SHORT_MEMORY"]],
                    environment={"SHORT_MEMORY_RATE": str(trigger), "SHORT_MEMORY_FAILED": str(failed)})
                with collectd:
                    collectd.wait_for_value(listener.name, "queue_length-accept", 3)
                    collectd.wait_for_value(inside_name, "queue_length-accept", 2)
                    self.assertFalse(failed.exists())
                    trigger.write_text(str(rate), encoding="ascii")
                    end = time.monotonic() + SHORTAGE
                    collectd.wait(lambda: time.monotonic() > end and failed.exists() and
                                  failed.stat().st_size >= ENOUGH, 30, "memory that runs out")
                    trigger.unlink()
                    listener.accept(1)
                    collectd.wait_for_value(listener.name, "queue_length-accept", 2)
                    collectd.wait_for_value(inside_name, "queue_length-accept", 2)
                    listener.fill(3)
                    collectd.wait_for_value(listener.name, "queue_length-accept", 3)
                    if rate == max(RATES):  # at the lower one a thread may get all that it asks for
                        collectd.wait_for_log("a thread ended and was restarted: std::bad_alloc")
                    collectd.stop()
                    self.assertEqual(collectd.status, 0)

    def test_what_fails_in_one_reading_after_the_other_is_said_once(self):
        listener = self.listener(limit=5).fill(3)
        trigger = pathlib.Path(self.folder(), "rate")
        collectd = self.collectd(interval=0.1, preload=[os.environ["SHORT_MEMORY"]],
                                 environment={"SHORT_MEMORY_RATE": str(trigger)})
        collectd.wait_for_value(listener.name, "queue_length-accept", 3)
        trigger.write_text("300000", encoding="ascii")
        collectd.wait_for_log("read: std::bad_alloc")
        time.sleep(20 * collectd.interval)
        trigger.unlink()
        listener.accept(1)
        collectd.wait_for_value(listener.name, "queue_length-accept", 2)
        collectd.wait_for_log(r"^\[notice\] backlog plugin: read: works again$")
        said = [line for line in collectd.messages() if "read: std::bad_alloc" in line]
        self.assertEqual(len(said), 1, collectd.messages())


if __name__ == "__main__":
    system_test.main()
