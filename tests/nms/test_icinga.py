#!/usr/bin/env python3
"""conf/nms/icinga in the real Icinga 2 and the real NRPE."""

import os
import re
import shutil
import signal
import socket

import nms_harness
from nms_harness import CHECK_BACKLOG, IDS, NAGIOS, NMS, STRANGER, NmsTest, shipped, table_writer
from table_writer import listener
from waiting import wait_until

ROOT = os.environ.get("NMS_ROOT", "")
ICINGA = NMS / "icinga"
RECENT = table_writer.HAS_QUEUE | table_writer.HAS_DROPPED | table_writer.HAS_RECENT | table_writer.IS_STABLE

# The parts of Debian's configuration that are no service, with times for a test.
FRAME = """
include <itl>
include <plugins>
const PluginDir = "{plugins}"
const NodeName = "monitor"
const ZoneName = NodeName
object Endpoint NodeName {{ }}
object Zone ZoneName {{ endpoints = [ NodeName ] }}
object CheckerComponent "checker" {{ }}
object NotificationComponent "notification" {{ }}
object IcingaApplication "app" {{ enable_flapping = true }}
template Service "generic-service" {{
  max_check_attempts = 5
  check_interval = 1s
  retry_interval = 1s
  enable_flapping = true
  enable_perfdata = true
}}
object User "operator" {{ }}
object NotificationCommand "write" {{
  command = [ "/bin/sh", "-c", "echo $$KIND $$STATE $$TEXT PERFDATA: $$PERFDATA >>{log}" ]
  env = {{
    KIND = "$notification.type$"
    STATE = "$service.state$"
    TEXT = "$service.output$"
    PERFDATA = "$service.perfdata$"
  }}
}}
apply Notification "write" to Service {{
  command = "write"
  users = [ "operator" ]
  interval = 0
  assign where true
}}
object Host "web1" {{
  check_command = "dummy"
  {vars}
}}
include "{icinga}/backlog-command.conf"
include "{icinga}/backlog-services.conf"
"""
setUpModule = lambda: nms_harness.lay_over(ROOT)  # noqa: E731


class IcingaTest(NmsTest):
    def configure(self, variables):
        """The arguments that every Icinga of this test needs."""
        plugins = self.directory / "plugins"
        plugins.mkdir(exist_ok=True)
        counted = plugins / "check_backlog"
        counted.write_text(f'#!/bin/sh\necho >>{self.directory}/checks\nexec {CHECK_BACKLOG} "$@"\n')
        counted.chmod(0o755)
        self.log = self.directory / "notifications"
        config = self.directory / "icinga2.conf"
        config.write_text(FRAME.format(plugins=plugins, log=self.log, vars=variables, icinga=ICINGA))
        defines = []
        for name in ("Data", "Log", "Cache", "Spool", "InitRun"):
            folder = self.directory / name
            folder.mkdir(exist_ok=True)
            defines += ["-D", f"{name}Dir={folder}"]
        return ["-c", config, *defines]

    def validate(self, variables):
        environment = dict(os.environ, ICINGA2_USER="root", ICINGA2_GROUP="root")
        return self.run_program("icinga2", "daemon", "-C", *self.configure(variables), check=False, env=environment)

    def notifications(self):
        return self.log.read_text().splitlines() if self.log.exists() else []

    def test_icinga_takes_the_files(self):
        example = re.search(r"On a host, one of\n\n(.*?)\n\n", shipped("icinga/backlog-services.conf"), re.DOTALL)[1]
        result = self.validate(example + """
            vars.backlog["now"] = { backlog_last = true, backlog_perfdata = 3, backlog_table = "/t", backlog_timeout = 5 }""")
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertRegex(result.stdout, r"Instantiated 4 Services")

    def test_icinga_refuses_one_dollar(self):
        result = self.validate('vars.backlog["web"] = { backlog_name = "_22$" }')
        self.assertEqual(result.returncode, 1, result.stdout)
        self.assertIn("Closing $ not found", result.stdout)

    def overflow(self, **more):
        self.publish(listener("tcp_any_80", has=RECENT, peak=1, recent_peak=129, recent_used=100.0, used=1.0, dropped=34,
                              recent_state="overflow", recent_severity="warning", **more), listener("tcp_any_22", has=RECENT))

    def quiet(self):
        self.publish(listener("tcp_any_80", has=RECENT, dropped=34, peak=1, used=1.0), listener("tcp_any_22", has=RECENT))

    def test_one_problem_and_one_recovery(self):
        """An overflow whose intervals are now full and now quiet."""
        self.quiet()
        icinga = self.start("icinga2", "daemon", *self.configure(
            f'vars.backlog["web"] = {{ backlog_name = "_80$$", backlog_table = "{self.table}" }}'), name="icinga.log",
            ICINGA2_USER="root", ICINGA2_GROUP="root")
        wait_until(lambda: "Activated all objects" in icinga.output(), 30, "Icinga")
        for number in range(8):
            alarm = dict(state="overflow", message="tcp_any_80: in words") if number % 2 == 0 else {}
            self.overflow(severity="warning", alarm_state="overflow", **alarm)
            if number == 0:
                wait_until(self.notifications, 20, "the notification")
            else:
                wait_until(lambda at=self.checks(): self.checks() > at, 20, "another check")
        self.overflow()
        wait_until(lambda at=self.checks(): self.checks() > at + 1, 20, "two checks")
        self.quiet()
        wait_until(lambda: len(self.notifications()) > 1, 20, "the recovery")
        icinga.stop(signal.SIGTERM, 30)
        problem, recovery = self.notifications()
        self.assertRegex(problem, r"^PROBLEM WARNING BACKLOG WARNING - tcp_any_80")
        self.assertRegex(recovery, r"^RECOVERY OK BACKLOG OK - 1 listener, worst tcp_any_80 ok")
        for text in ("all.listeners=1;;;0 ", "all.overflow=1;;;0 ", " tcp_any_80=100%", "tcp_any_80.peak=129;;;0;129",
                     "tcp_any_80.dropped=34c"):
            self.assertIn(text, problem)

    def checks(self):
        return len((self.directory / "checks").read_text())


class NrpeTest(NmsTest):
    def start_nrpe(self, user, name):
        """As Debian starts it, with the shipped snippet."""
        folder = self.directory / name
        (folder / "plugins").mkdir(parents=True)
        # The folders above the build's may be root's own.
        shutil.copy(CHECK_BACKLOG.resolve(), folder / "plugins/check_backlog")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        snippet = shipped("icinga/nrpe-backlog.cfg", {
            "/usr/lib/nagios/plugins/check_backlog -v": f"{folder}/plugins/check_backlog -v -f {self.table}"})
        (folder / "nrpe.cfg").write_text(
            f"pid_file={folder}/pid\nserver_address=127.0.0.1\nserver_port={port}\nallowed_hosts=127.0.0.1\n"
            f"nrpe_user={user}\nnrpe_group={user}\nlog_file={folder}/log\n{snippet}")
        self.start("nrpe", "-n", "-f", "-c", folder / "nrpe.cfg", name=f"{name}.log")
        ask = ["/usr/lib/nagios/plugins/check_nrpe", "-n", "-H", "127.0.0.1", "-p", port, "-c", "check_backlog"]
        wait_until(lambda: "refused" not in self.run_program(*ask, check=False).stdout, 20, "NRPE")
        return self.run_program(*ask, check=False)

    def test_as_nagios_in_the_group(self):
        names = [f"tcp_any_{number}" for number in range(8000, 8100)]
        self.publish(*(listener(name, has=RECENT) for name in names),
                     listener("tcp_any_80", has=RECENT, state="stalled", message="tcp_any_80: in words"))
        os.chown(self.table, 0, IDS["backlog"])
        self.table.chmod(0o640)
        result = self.start_nrpe(NAGIOS, "member")
        self.assertEqual(result.returncode, 2, result.stdout)
        self.assertIn("BACKLOG CRITICAL - tcp_any_80: in words | all.listeners=101;;;0 ", result.stdout)
        self.assertIn("CRITICAL: tcp_any_80: in words", result.stdout)
        self.assertEqual(len(re.findall(".peak=", result.stdout)), 20)
        outside = self.start_nrpe(STRANGER, "stranger")
        self.assertEqual(outside.returncode, 3)
        self.assertIn(f"Permission denied; add the user to it: adduser {STRANGER} backlog, and restart", outside.stdout)


if __name__ == "__main__":
    nms_harness.main(ROOT, "sbin/icinga2", "sbin/nrpe", "lib/nagios/plugins/check_nrpe")
