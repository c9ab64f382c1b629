#!/usr/bin/env python3
"""Net namespaces beside collectd's own."""

import os
import pathlib
import re
import signal
import socket
import time

import system_test
from kernel import run
from processes import CAP_SYS_ADMIN
from system_test import SystemTest
from waiting import wait_until
from net_namespaces import NetNamespace, enter_new_namespace
from notifications import OK, OVERFLOW, STATE, NotificationTest, arrivals

PORT = 10001  # in a namespace of its own


class NetNamespaceTest(SystemTest):
    def namespace(self, name):
        namespace = NetNamespace(f"{name}-{os.getpid()}")
        self.addCleanup(namespace.close)
        return namespace


class ForbiddenNamespaceTest(NetNamespaceTest):
    def test_what_may_not_be_entered_is_said_once_and_not_missing(self):
        namespace = self.namespace("closed")
        with namespace.entered():
            listener = self.listener(limit=16)
        own = self.listener(limit=16)
        name = f"{listener.name}__netns_{namespace.name}"
        collectd = self.collectd(f'NetNamespace "{namespace.name}"\nMissingAfter 1\n'
                                 f'<Watch "{name}">\nExpected true\n</Watch>', interval=0.1,
                                 without_capabilities=[CAP_SYS_ADMIN])
        collectd.wait_for_log("no other net namespaces: .*Operation not permitted")
        collectd.wait_for_value(own.name, "queue_length-accept", 0)
        collectd.wait_for_intervals(20)
        self.assertEqual(len(collectd.messages()), 1, collectd.log())
        # Nothing but that it was awaited, before the namespace was found.
        self.assertLessEqual(collectd.series_names(name), {STATE})
        self.assertLessEqual({value for _, value in collectd.values(name, STATE)}, {OK})
        self.assertEqual(collectd.latest("host", "count-missing"), 0)
        self.assertEqual(collectd.series_names("sampler") - {"duration-period"}, {"percent-cpu", "gauge-events"})
        self.assertNotIn("Notification: ", collectd.log())


class RestartTest(NetNamespaceTest, NotificationTest):
    def test_what_goes_on_is_told_once(self):
        """What was wrong before collectd began: two intervals of its own prove it, and later ones add nothing."""
        namespace = self.namespace("restart")
        with namespace.entered():
            listener = self.listener(limit=1).fill(2)
            self.fork(arrivals(listener, batch=10, period=0.05))
        name = f"{listener.name}__netns_{namespace.name}"
        collectd = self.collectd(f'NetNamespace "{namespace.name}"', interval=1)
        self.wait_for_state(collectd, name, OVERFLOW)
        self.wait_for(collectd, name, "FAILURE", "accept queue overflow")
        collectd.wait_for_intervals(4)
        self.assertEqual(self.states(collectd, name), {OVERFLOW})
        self.assertEqual([(told.name, told.severity) for told in self.notifications(collectd)], [(name, "FAILURE")])


class NewNamespaceTest(NetNamespaceTest, NotificationTest):
    def test_made_anew_while_collectd_runs(self):
        """With a file it is there within a second, so that what is expected there is not missing."""
        self.namespace("before").close()  # collectd is to see the same /run as the test
        name = f"anew-{os.getpid()}"
        port = PORT
        listener = f"tcp_127-0-0-1_{port}__netns_{name}"
        collectd = self.collectd(f'NetNamespace "/^anew-/"\nMissingAfter 8\n'
                                 f'<Watch "{listener}">\nExpected true\n</Watch>', interval=0.5)
        collectd.wait_for_intervals(3)
        for time_made in range(3):
            namespace = NetNamespace(name)
            self.addCleanup(namespace.close)
            with namespace.entered():
                opened = self.listener(port=port, limit=10 + time_made)
            # A second, two intervals, and what a busy machine adds.
            collectd.wait_for_value(listener, "queue_length-limit", 10 + time_made, timeout=5)
            opened.close()
            namespace.close()
        self.assertEqual(self.notifications(collectd), [])

    def test_without_a_file(self):
        """It is there with the next survey."""
        def work(ready):
            enter_new_namespace()
            kept = socket.socket()
            kept.bind(("127.0.0.1", PORT))
            kept.listen(4)
            ready()
            signal.pause()
        collectd = self.collectd('NetNamespace "/./"', interval=0.5)
        collectd.wait_for_intervals(3)
        before = collectd.latest("host", "count-listeners")
        self.fork(work)
        collectd.wait(lambda: collectd.latest("host", "count-listeners") > before, timeout=10, what="its listener")


class DeletedNamespaceTest(NetNamespaceTest):
    def mark(self, namespace):
        """A device that ends with the namespace."""
        device = f"{namespace.name[:4]}-{os.getpid()}"
        run("ip", "link", "add", device, "type", "veth", "peer", "name", "mark", "netns", namespace.name)
        return device

    def check_gone(self, device, within):
        wait_until(lambda: device not in (name for _, name in socket.if_nameindex()), within,
                           "the end of the namespace")

    def check_quiet(self, collectd, name):
        """The series have ended, and nothing was said of it."""
        last = {series: collectd.values(name, series)[-1][0] for series in collectd.series_names(name)}
        collectd.wait_for_intervals(4)
        self.assertEqual({series: collectd.values(name, series)[-1][0] for series in last}, last)
        self.assertEqual(collectd.latest("host", "count-listeners"), 0)
        self.assertEqual(collectd.messages() + re.findall(r"^.*Notification: .*$", collectd.log(), re.MULTILINE), [])

    def started_with_listener(self, namespace, config, interval):
        with namespace.entered():
            listener = self.listener(limit=16).fill(2)
        name = f"{listener.name}__netns_{namespace.name}"
        collectd = self.collectd(f'NetNamespace "{namespace.name}"\n<Watch "{name}">\n</Watch>\n{config}',
                                 interval=interval)
        collectd.wait_for_value(name, "queue_length-accept", 2, 15 + 3 * interval)
        return collectd, listener, name

    def test_gone_while_sampled(self):
        namespace = self.namespace("sampled")
        device = self.mark(namespace)
        collectd, listener, name = self.started_with_listener(namespace, "", interval=0.25)
        collectd.wait_for_value(name, STATE, 0)
        listener.close()
        collectd.wait_for_value("host", "count-listeners", 0)
        namespace.close()
        self.check_gone(device, within=10)
        collectd.wait_for_intervals(2)
        self.check_quiet(collectd, name)
        self.check_quiet(collectd, f"kernel_netns_{namespace.name}")

    def test_its_end_is_no_good_news(self):
        namespace = self.namespace("unread")
        trigger = pathlib.Path(self.folder(), "refused")
        trigger.touch()
        collectd = self.collectd(f'NetNamespace "{namespace.name}"', interval=0.25,
                                 preload=[os.environ["STRANGE_SOCK_DIAG"]],
                                 environment={"STRANGE_SOCK_DIAG_REFUSED": str(trigger)})
        collectd.wait_for_log(f"no TCP listeners of net namespace {namespace.name}: .*Permission denied")
        namespace.close()
        collectd.wait_for_intervals(4)
        trigger.unlink()
        collectd.wait_for_log("TCP listeners can be read again")
        self.assertNotIn(f"{namespace.name} can be read again", collectd.log())

    def test_its_last_drops_are_counted(self):
        interval = 3
        namespace = self.namespace("last")
        collectd, listener, name = self.started_with_listener(namespace, "", interval)
        values = len(collectd.values(name, STATE))
        collectd.wait(lambda: len(collectd.values(name, STATE)) > values, 3 * interval, "another interval")
        self.assertEqual(collectd.latest("host", "packets-dropped"), 0)
        with namespace.entered():
            listener.fill(17)
            listener.connect(5)
        time.sleep(0.5)  # for samples
        listener.close()
        namespace.close()
        collectd.wait_for_intervals(2)
        self.assertEqual(collectd.latest("host", "packets-dropped"), 5)
        self.assertEqual(collectd.latest(name, "packets-dropped"), 5)

    def test_nothing_is_held_between_samples(self):
        """The next sample, which would find it gone, comes only after it must be gone."""
        interval = 10
        namespace = self.namespace("held")
        device = self.mark(namespace)
        collectd, listener, name = self.started_with_listener(namespace, "SampleInterval 60", interval)
        values = len(collectd.values(name, STATE))
        collectd.wait(lambda: len(collectd.values(name, STATE)) > values, 3 * interval, "another interval")
        listener.close()
        namespace.close()
        began = time.monotonic()
        self.check_gone(device, within=interval / 2)
        self.assertEqual(len(collectd.values(name, STATE)), values + 1, f"after {time.monotonic() - began} s")


if __name__ == "__main__":
    system_test.main()
