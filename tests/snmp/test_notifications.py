#!/usr/bin/env python3
"""Traps and informs as the real snmptrapd receives them."""

import signal
import time

import snmp_harness
from snmp_harness import MIB_OID, SnmpTest, TRAP_PORT, table_writer
from waiting import wait_until

MANY = 2000
MANY_INTERVAL = 20  # s; alarms end by tables only that are three intervals older than the start of the system


def overflowing(name, state="overflow", severity="warning", **options):
    return table_writer.listener(name, state=state, severity=severity, cause="burst", used=100.0,
                                 message=f"{name}: {state}", **options)


class NotificationsTest(SnmpTest):
    def serve(self, listeners=(), sink=f"trap2sink 127.0.0.1:{TRAP_PORT} public", **options):
        self.start_trapd()
        self.publish(listeners, **options)
        self.start_snmpd(sink)
        return self.start_subagent()

    def wait_for_traps(self, count):
        wait_until(lambda: len(self.traps()) >= count, what=f"{count} traps")
        return self.traps()

    def test_alarm_worse_and_clear(self):
        self.serve([table_writer.listener("tcp_any_80")])
        self.publish([overflowing("tcp_any_80", owner="nginx.service", peak=129)])
        alarm = self.wait_for_traps(1)[0]
        self.assertEqual({key: alarm[key] for key in alarm if key.startswith(("trap", "backlog"))}, {
            "trap": "backlogListenerAlarm", "backlogListenerName": "tcp_any_80", "backlogListenerState": "overflow",
            "backlogListenerCause": "burst", "backlogListenerSeverity": "warning",
            "backlogListenerMessage": "tcp_any_80: overflow", "backlogListenerOwner": "nginx.service",
            "backlogListenerPeak": "129 connections", "backlogListenerLimit": "128 connections",
            "backlogListenerNamespace": "self"})
        self.publish([overflowing("tcp_any_80", severity="failure")])
        self.assertEqual(self.wait_for_traps(2)[1]["backlogListenerSeverity"], "failure")
        self.publish([overflowing("tcp_any_80", state="high")])
        lesser = self.wait_for_traps(3)[2]
        self.assertEqual((lesser["trap"], lesser["backlogListenerState"], lesser["backlogListenerSeverity"]),
                         ("backlogListenerAlarm", "high", "warning"))
        self.publish([table_writer.listener("tcp_any_80")])
        clear = self.wait_for_traps(4)[3]
        self.assertEqual((clear["trap"], clear["backlogListenerState"]), ("backlogListenerClear", "ok"))
        self.assertEqual(len(self.traps()), 4)
        self.assertEqual(self.counters(), (4, 0))

    def test_gone_is_a_state_of_its_own(self):
        self.serve([overflowing("tcp_any_80", owner="nginx.service"), overflowing("tcp_any_81", has=0, state="missing")])
        alarms = {trap["backlogListenerName"]: trap for trap in self.wait_for_traps(2)}
        self.assertEqual(alarms["tcp_any_81"]["backlogListenerLimit"], "4294967295 connections")
        for number in (1, 2, 3):
            self.publish([overflowing("tcp_any_81", has=0, state="missing")], dropped=number)
            wait_until(lambda number=number: self.get("BACKLOG-MIB::backlogDropped.0")[0].startswith(str(number)),
                       what="the next table")
        clear = self.wait_for_traps(3)[2]
        self.assertEqual((clear["trap"], clear["backlogListenerName"], clear["backlogListenerState"], clear["backlogListenerSeverity"],
                          clear["backlogListenerOwner"], clear["backlogListenerPeak"]),
                         ("backlogListenerClear", "tcp_any_80", "gone", "okay", "nginx.service", "4294967295 connections"))

    def counters(self):
        """Sent, superseded."""
        return tuple(int(value.split()[0]) for value in self.get("BACKLOG-MIB::backlogNotificationsSent.0",
                                                                 "BACKLOG-MIB::backlogNotificationsSuperseded.0"))

    def test_informs_and_version_3(self):
        for sink in (f"trapsess -Ci -v2c -c public 127.0.0.1:{TRAP_PORT}",
                     f"trapsess -v3 -e 0x8000000001020304 -u trapper -l authPriv -a SHA -A authpassword -x AES "
                     f"-X privpassword 127.0.0.1:{TRAP_PORT}"):
            with self.subTest(sink=sink):
                subagent = self.serve([overflowing("tcp_any_80")], sink)
                self.assertEqual(self.wait_for_traps(1)[0]["backlogListenerName"], "tcp_any_80")
                for process in (subagent, self.snmpd, self.trapd):
                    process.stop()
                for process in (subagent, self.trapd):
                    process.output_file.write_text("")

    def test_stale_and_current(self):
        self.serve([table_writer.listener("a")], interval=0.3)
        stale = self.wait_for_traps(1)[0]
        self.assertEqual((stale["trap"], stale["backlogTableStatus"]), ("backlogMonitorStale", "stale"))
        self.assertEqual(self.walk(f"{MIB_OID}.1.2"), {})
        self.publish([table_writer.listener("a")])
        current = self.wait_for_traps(2)[1]
        self.assertEqual((current["trap"], current["backlogTableStatus"]), ("backlogMonitorCurrent", "fresh"))

    def test_many_at_once(self):
        names = [f"tcp_any_{number}" for number in range(MANY)]
        # By TCP, which loses nothing when snmptrapd gets no CPU for a while.
        self.serve([table_writer.listener(name) for name in names], interval=MANY_INTERVAL,
                   sink=f"trapsess -v2c -c public tcp:127.0.0.1:{TRAP_PORT}")
        self.publish_until(lambda: len(self.traps()) >= MANY, [overflowing(name) for name in names])
        self.assertEqual(sorted(trap["backlogListenerName"] for trap in self.traps()), sorted(names))
        # Many changes meanwhile: what every one is in the end arrives.
        for round_ in range(6):
            self.publish([overflowing(name, severity="failure") if (number + round_) % 3 else table_writer.listener(name)
                          for number, name in enumerate(names)], interval=MANY_INTERVAL)
            time.sleep(0.3)
        ends = [("stalled", "failure"), ("ok", "okay"), ("high", "warning")]
        wanted = {name: ends[number % 3] for number, name in enumerate(names)}
        self.publish_until(lambda: self.final_states() == wanted,
                           [overflowing(name, *wanted[name]) for name in names])
        sent, superseded = self.counters()
        self.assertEqual(sent, len(self.traps()))
        self.assertGreater(superseded, 0)

    def final_states(self):
        return {trap["backlogListenerName"]: (trap["backlogListenerState"], trap["backlogListenerSeverity"])
                for trap in self.traps()}

    def publish_until(self, condition, listeners, timeout=60):
        """The same table as collectd would; snmpd answers throughout."""
        deadline = time.monotonic() + timeout
        published = 0
        while not condition():
            begin = time.monotonic()
            self.assertLess(begin, deadline, "the traps did not come")
            if begin > published + 5:
                self.publish(listeners, interval=MANY_INTERVAL)
                published = begin
            begin = time.monotonic()
            self.get("1.3.6.1.2.1.1.3.0")
            self.assertLess(time.monotonic() - begin, 2)

    def test_a_stall_of_snmpd_repeats_nothing(self):
        subagent = self.serve([table_writer.listener(f"l{number}") for number in range(10)], interval=600)
        self.snmpd.send_signal(signal.SIGSTOP)
        self.publish([overflowing(f"l{number}") for number in range(5)]
                     + [table_writer.listener(f"l{number}") for number in range(5, 10)], interval=600)
        time.sleep(3.5)  # longer than between two pings and an answer to one, and than the library's first retry
        self.snmpd.send_signal(signal.SIGCONT)
        self.wait_for_traps(5)
        self.publish([overflowing(f"l{number}") for number in range(10)], interval=600)
        self.wait_for_traps(10)
        self.assertEqual(sorted(trap["backlogListenerName"] for trap in self.traps()),
                         sorted(f"l{number}" for number in range(10)))
        self.assertEqual(subagent.output().count("connected to the SNMP agent"), 1)

    def test_a_restarted_snmpd_is_told_again(self):
        subagent = self.serve([overflowing("a"), overflowing("b")])
        self.wait_for_traps(2)
        self.snmpd.stop(signal.SIGKILL)
        wait_until(lambda: "is gone" in subagent.output(), what="the loss of snmpd")
        self.publish([overflowing("a"), table_writer.listener("b")])
        self.start_snmpd(f"trap2sink 127.0.0.1:{TRAP_PORT} public")
        traps = self.wait_for_traps(4)
        self.assertEqual({(trap["trap"], trap["backlogListenerName"]) for trap in traps[2:]},
                         {("backlogListenerAlarm", "a"), ("backlogListenerClear", "b")})

    def test_a_clear_that_a_hanging_snmpd_had_is_sent_again(self):
        subagent = self.serve([overflowing("a"), overflowing("b")])
        self.wait_for_traps(2)
        self.snmpd.send_signal(signal.SIGSTOP)
        self.publish([overflowing("a"), table_writer.listener("b")])
        time.sleep(1)  # until the table is seen and the clear is sent
        self.snmpd.stop(signal.SIGKILL)
        wait_until(lambda: "is gone" in subagent.output(), what="the loss of snmpd")
        self.start_snmpd(f"trap2sink 127.0.0.1:{TRAP_PORT} public")
        traps = self.wait_for_traps(4)
        self.assertEqual({(trap["trap"], trap["backlogListenerName"]) for trap in traps[2:]},
                         {("backlogListenerAlarm", "a"), ("backlogListenerClear", "b")})


if __name__ == "__main__":
    snmp_harness.main()
