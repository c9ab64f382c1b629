#!/usr/bin/env python3
"""The shipped thresholds, and the shipped program for notifications, in a real collectd."""

import os
import pathlib
import pwd
import subprocess

import stores_harness as stores
from snippets import shipped
from collectd import HOSTNAME
from kernel import run
from system_test import SystemTest

INTERVAL = 0.5  # seconds

# Stands before the real one in PATH: each call a file of its arguments, one a line.
LOGGER = """#!/bin/sh
part=$(mktemp {received}/part.XXXXXX) && printf '%s\\n' "$@" >"$part" && mv "$part" {received}/whole."${{part##*.}}"
"""


class NotificationsTest(SystemTest):

    def setUp(self):
        self.root = pathlib.Path(self.folder())
        self.root.chmod(0o755)
        self.received = self.root / "received"
        self.received.mkdir()
        self.program("bin/logger", LOGGER.format(received=self.received))
        self.notify = self.program("backlog-notify", shipped("collectd/backlog-notify"))
        self.environment = {"PATH": f"{self.root}/bin:{os.environ['PATH']}"}

    def program(self, file, text):
        path = self.root / file
        path.parent.mkdir(exist_ok=True, mode=0o755)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
        return path

    def need_nobody(self):
        try:
            user = pwd.getpwnam("nobody")
            os.chown(self.received, user.pw_uid, user.pw_gid)
            run("runuser", "-u", "nobody", "--", self.root / "bin/logger", "-t", "x")
            for file in self.received.iterdir():
                file.unlink()
        except (KeyError, OSError, subprocess.CalledProcessError) as error:
            self.skipTest(f"nobody cannot receive notifications: {error}")

    def lines(self):
        """[(priority, text)] of what went to syslog."""
        calls = [file.read_text(encoding="utf-8").splitlines() for file in self.received.glob("whole.*")]
        for call in calls:
            self.assertEqual([*call[:3], call[4]], ["-t", "backlog", "-p", "--"])
        return [(call[3], call[5]) for call in calls]

    def wait_for_line(self, collectd, priority, text):
        collectd.wait(lambda: any(found == priority and line.startswith(text) for found, line in self.lines()),
                      what=f"{priority} {text} in {self.lines()}")

    def test_notification_is_a_line_in_syslog(self):
        self.need_nobody()
        listener = self.listener(limit=16)
        exec_ = shipped("collectd/notification-exec.conf", {'"/usr/local/bin/backlog-notify"': f'"{self.notify}"'})
        collectd = stores.collectd(exec_, interval=INTERVAL, environment=self.environment)
        self.addCleanup(collectd.__exit__, None, None, None)
        collectd.start()
        collectd.wait_for_value(listener.name, "packets-dropped", 0)
        listener.connect(17 + 5)
        start = f"{HOSTNAME} {listener.name}"
        self.wait_for_line(collectd, "daemon.warning", f"{start} WARNING: {listener.name} (python3")
        listener.drop_clients()
        listener.accept(17)
        self.wait_for_line(collectd, "daemon.notice", f"{start} OKAY: ")

    def test_program_leaves_other_plugins_alone(self):
        subprocess.run([self.notify], input="Severity: FAILURE\nHost: a\nPlugin: cpu\n\nwarm\n", text=True, check=True,
                       env=dict(os.environ, **self.environment))
        self.assertEqual(self.lines(), [])
        subprocess.run([self.notify], text=True, check=True, env=dict(os.environ, **self.environment),
                       input="Severity: FAILURE\nHost: a\nPlugin: backlog\nPluginInstance: b\n\na 'message'; $(x)\n")
        self.assertEqual(self.lines(), [("daemon.err", "a b FAILURE: a 'message'; $(x)")])

    def test_thresholds(self):
        listener = self.listener(limit=16)
        healthy = self.listener(limit=16).fill(3)
        collectd = stores.collectd(shipped("collectd/threshold.conf"), interval=INTERVAL, plugin_config="Notify none")
        self.addCleanup(collectd.__exit__, None, None, None)
        collectd.start()
        collectd.wait_for_value(listener.name, "packets-dropped", 0)
        listener.connect(17 + 5)

        def told(severity, type_, instance, name=listener.name):
            return (rf"severity = {severity},.* plugin_instance = {name}, type = {type_}, "
                    rf"type_instance = {instance},")
        collectd.wait_for_log(told("FAILURE", "gauge", "state"))
        collectd.wait_for_log(told("FAILURE", "percent", "used"))
        collectd.wait_for_log(told("WARNING", "packets", "dropped"))
        listener.drop_clients()
        listener.accept(17)
        for series in (("gauge", "state"), ("percent", "used"), ("packets", "dropped")):
            collectd.wait_for_log(told("OKAY", *series))
        for name in (healthy.name, "host"):
            self.assertNotRegex(collectd.log(), told("(WARNING|FAILURE)", ".*", ".*", name))


if __name__ == "__main__":
    stores.main()
