#!/usr/bin/env python3
"""Incidents of accept queues, re-created: which listener, which state, why, and the knob that is named."""

import contextlib
import json
import os
import pathlib
import pwd
import re
import signal
import socket
import subprocess
import threading
import time

import system_test
from collectd import HOSTNAME
from kernel import kernel_counters, read_sysctl, run, write_sysctl
from waiting import wait_until
from net_namespaces import NetNamespace
from notifications import (MISSING, OK, OVERFLOW, STALLED, STATE, NotificationTest, arrivals, reset_at_close,
                           service)
from raw_clients import RawClients

INTERVAL = 0.5  # seconds
SET_BEFORE = ", not known who set it: a restart may be enough"  # of a limit


def overflow(listener, collectd, refused=5):
    """Fills the queue, has so many more refused, and takes all of them out: just after a read, to be within one
    interval."""
    collectd.wait_for_intervals(0)
    before = kernel_counters()["ListenOverflows"]
    listener.fill(listener.limit + 1)
    listener.connect(refused)
    wait_until(lambda: kernel_counters()["ListenOverflows"] >= before + refused, what="overflows", pause=0.001)
    listener.accept(listener.length)
    listener.drop_clients()


def burst_of(listener, knob, refused=5):
    """The message's pattern."""
    capacity = listener.limit + 1
    return (rf"^{listener.name} \(.*python3.*\): accept queue overflow, peak {capacity} of {capacity}, "
            rf"{refused} drops in [\d.]+ s; burst: {knob}; a limit of {listener.limit + refused} would have held them$")


class BurstTest(NotificationTest):
    """The queue was empty again before the first client came again."""

    def check_burst(self, listener, knob, refused=5, collectd=None, **options):
        collectd = collectd or self.started(None, listener, interval=INTERVAL, **options)
        overflow(listener, collectd, refused)
        first = self.wait_for(collectd, listener.name, "WARNING", "")
        self.assertRegex(first.message, burst_of(listener, knob, refused))
        self.wait_for_okay(collectd, listener.name)
        self.assertEqual(self.states(collectd, listener.name), {OK, OVERFLOW})
        self.assertEqual(len(self.notifications(collectd)), 2)

    def test_application_backlog_511(self):
        somaxconn = int(read_sysctl("net.core.somaxconn"))
        self.assertGreater(somaxconn, 511)
        self.check_burst(self.listener(limit=511), rf"raise listen\(\) backlog \(511, somaxconn {somaxconn}\){SET_BEFORE}",
                         34)

    def test_application_that_came_after_collectd(self):
        collectd = self.started(None, interval=INTERVAL)
        listener = self.listener(limit=511)
        collectd.wait(lambda: collectd.values(listener.name, STATE), what="the listener's state")
        self.check_burst(listener, r"raise listen\(\) backlog \(511, somaxconn \d+\)", collectd=collectd)

    def test_clamped_by_somaxconn(self):
        self.set_sysctl("net.core.somaxconn", 64)
        self.check_burst(self.listener(limit=511), r"raise net\.core\.somaxconn \(64\), then restart it")

    def test_limit_0(self):
        self.check_burst(self.listener(limit=0), r"raise listen\(\) backlog \(0, somaxconn \d+\)")

    def test_backlog_3(self):
        self.check_burst(self.listener(limit=3), rf"raise listen\(\) backlog \(3, somaxconn \d+\){SET_BEFORE}")

    def test_somaxconn_raised_since_collectd_first_looked(self):
        self.set_sysctl("net.core.somaxconn", 64)
        listener = self.listener(limit=511)
        collectd = self.started(None, listener, interval=INTERVAL)
        write_sysctl("net.core.somaxconn", 4096)
        collectd.wait_for_value("kernel", "gauge-somaxconn", 4096)
        self.check_burst(listener, r"restart it to listen\(\) again \(limit still 64, somaxconn now 4096\)",
                         collectd=collectd)

    def test_somaxconn_lowered_below_the_limit(self):
        self.set_sysctl("net.core.somaxconn", 4096)
        listener = self.listener(limit=200)
        collectd = self.started(None, listener, interval=INTERVAL)
        write_sysctl("net.core.somaxconn", 128)
        collectd.wait_for_value("kernel", "gauge-somaxconn", 128)
        self.check_burst(listener, r"raise listen\(\) backlog \(200\) and net\.core\.somaxconn \(128\), then restart it",
                         collectd=collectd)

    def test_somaxconn_raised_without_restart(self):
        self.set_sysctl("net.core.somaxconn", 64)
        collectd = self.started(None, interval=INTERVAL)
        listener = self.listener(limit=511)
        collectd.wait(lambda: collectd.values(listener.name, STATE), what="the listener's state")
        write_sysctl("net.core.somaxconn", 4096)
        collectd.wait_for_value("kernel", "gauge-somaxconn", 4096)
        self.check_burst(listener, r"restart it to listen\(\) again \(limit still 64, somaxconn now 4096\)",
                         collectd=collectd)
        listener.listen(511)
        collectd.wait_for_value(listener.name, "queue_length-limit", 511)

    def test_restarted_with_the_same_limit_after_somaxconn_rose(self):
        self.set_sysctl("net.core.somaxconn", 64)
        old = self.listener(limit=64)
        collectd = self.started(None, old, interval=INTERVAL)
        write_sysctl("net.core.somaxconn", 4096)
        collectd.wait_for_value("kernel", "gauge-somaxconn", 4096)
        old.close()
        restarted = self.listener(port=old.port, limit=64)
        collectd.wait_for_intervals(2)
        self.check_burst(restarted, r"raise listen\(\) backlog \(64, somaxconn 4096\)", collectd=collectd)

    def test_stall_of_300_ms_in_a_busy_server(self):
        listener = self.listener(limit=64)
        server = self.fork(service(listener))
        self.fork(arrivals(listener, batch=5, period=0.01))
        collectd = self.started(None, listener, interval=1)
        self.assertEqual(self.states(collectd, listener.name), {OK})
        os.kill(server.pid, signal.SIGSTOP)
        time.sleep(0.3)
        os.kill(server.pid, signal.SIGCONT)
        collectd.wait(lambda: self.of(collectd, listener.name), what="a notification")
        self.assertRegex(self.of(collectd, listener.name)[0].message,
                         r"overflow, peak \d+ of 65, \d+ drops in [\d.]+ s; burst: raise listen\(\) backlog \(64, ")
        self.wait_for_state(collectd, listener.name, OVERFLOW)
        self.wait_for_okay(collectd, listener.name)


class PauseTest(NotificationTest):
    def test_a_pause_across_intervals(self):
        """Nothing that is told before it ends is advice."""
        collectd = self.started(None, interval=1)
        listener = self.listener(limit=16)
        collectd.wait(lambda: collectd.values(listener.name, STATE), what="the listener's state")
        server = self.fork(service(listener))
        self.fork(arrivals(listener, batch=2, period=0.02))
        collectd.wait_for_intervals(1)
        os.kill(server.pid, signal.SIGSTOP)
        time.sleep(2.5)
        os.kill(server.pid, signal.SIGCONT)
        self.wait_for(collectd, listener.name, "FAILURE",
                      r"; pause: none accepted for [23](\.\d)? s, a longer queue would hold them that long: "
                      r"raise listen\(\) backlog \(16, somaxconn \d+\); a limit of \d+ would have held them$")
        first = self.of(collectd, listener.name)[0]
        self.assertEqual(first.severity, "WARNING")
        self.assertRegex(first.message, r"overflow, peak 1[78] of 17, \d+ drops in [\d.]+ s; full "
                         r"(just now|for \d+(\.\d)? s so far)$")
        self.wait_for_okay(collectd, listener.name)
        told = " ".join(each.message for each in self.of(collectd, listener.name))
        self.assertNotRegex(told, "burst|slow_accept")


    def check_batches(self, config):
        """A server that takes all that wait at once, again and again; who is refused comes back at once, so that
        the queue is full again before a sample sees it drained."""
        listener = self.listener(limit=16)

        def accept_batches(ready):
            listener.socket.setblocking(False)
            ready()
            while True:
                time.sleep(1.7)
                with contextlib.suppress(BlockingIOError):
                    for _ in range(4 * listener.limit):
                        listener.socket.accept()[0].close()

        def come_back(ready):
            def connect_again_and_again():
                while True:
                    with contextlib.suppress(OSError), \
                            socket.create_connection(("127.0.0.1", listener.port), timeout=0.3) as client:
                        client.settimeout(10)
                        client.recv(1)
            for _ in range(40):
                threading.Thread(target=connect_again_and_again).start()
            ready()
            time.sleep(1000)
        collectd = self.started(config, listener, interval=1)
        self.fork(accept_batches)
        self.fork(come_back)
        self.wait_for(collectd, listener.name, "FAILURE",
                      r"; pause: none accepted for [12](\.\d)? s, a longer queue would hold them that long: ")
        told = " ".join(each.message for each in self.of(collectd, listener.name))
        self.assertNotIn("slow_accept", told)

    def test_clients_that_come_back_at_once(self):
        self.check_batches(None)

    def test_clients_that_come_back_at_once_without_events(self):
        self.check_batches("Events off")


class SlowTest(NotificationTest):
    def test_server_slower_than_its_arrivals(self):
        listener = self.listener(limit=16)
        self.fork(service(listener, seconds=0.1))
        collectd = self.started(None, listener, interval=2)
        self.fork(arrivals(listener, batch=2, period=0.05))
        told = self.wait_for(collectd, listener.name, "FAILURE", "")
        self.assertRegex(told.message, r"overflow, peak 1[78] of 17, \d+ drops in [\d.]+ s; slow_accept: the application "
                         r"does not keep up, a longer queue only adds waiting(; [\d.]+/s come, [\d.]+/s are accepted: no limit "
                         r"helps)?(; waits: ((p50 [\d.]+ s, )?p99 [\d.]+ s|[\d.]+ s on average))?(; the oldest waits \d+(\.\d)? s)?$")
        self.wait_for_state(collectd, listener.name, OVERFLOW)

    def test_overload_that_begins_late_in_an_interval(self):
        """What looked like a burst at the interval's end turns out to be none."""
        listener = self.listener(limit=16)
        self.fork(service(listener, seconds=0.1))
        collectd = self.started(None, listener, interval=2)
        time.sleep(1.5)
        self.fork(arrivals(listener, batch=20, period=0.05))
        self.wait_for(collectd, listener.name, "FAILURE", "slow_accept: the application does not keep up", timeout=12)

    def test_at_a_long_interval(self):
        """A pause for a third of the interval, and a backlog of 3 at half load, side by side."""
        overloaded, small = self.listener(limit=32), self.listener(limit=3)
        self.fork(service(small, seconds=0.005))
        server = self.fork(service(overloaded))
        named = "".join(f'<Watch "{listener.name}">\n</Watch>\n' for listener in (overloaded, small))
        collectd = self.started(named, overloaded, small, interval=6)
        self.fork(arrivals(small, batch=8, period=0.08))
        self.fork(arrivals(overloaded, batch=1, period=0.02))
        os.kill(server.pid, signal.SIGSTOP)
        time.sleep(2)
        os.kill(server.pid, signal.SIGCONT)
        collectd.wait(lambda: self.of(collectd, overloaded.name) and self.of(collectd, small.name),
                      what="both notifications")
        self.assertRegex(self.of(collectd, overloaded.name)[0].message,
                         r"overflow, peak 3[34] of 33, \d+ drops in [\d.]+ s; pause: none accepted for [12](\.\d)? s, a longer "
                         r"queue would hold them that long: raise listen\(\) backlog \(32, ")
        # Its burst may go on at the end of an interval, and then has no cause yet.
        pattern = r"overflow, peak [45] of 4, \d+ drops in [\d.]+ s; burst: raise listen\(\) backlog \(3, "
        collectd.wait(lambda: re.search(pattern, self.of(collectd, small.name)[-1].message), 30, "a burst")
        self.assertEqual([each.message for each in self.of(collectd, small.name)
                          if not re.search(pattern + "|; full (just now|for [\\d.]+ s so far)$", each.message)], [])
        for listener in (overloaded, small):
            self.wait_for_state(collectd, listener.name, OVERFLOW)


class StalledTest(NotificationTest):
    def check_stalled(self, listener, collectd, waiting, how):
        """how: a pattern."""
        told = self.wait_for(collectd, listener.name, "FAILURE", "")
        self.assertRegex(told.message, rf"accept queue stalled, {waiting} waiting, {how} for \d+(\.\d)? s; "
                         r"not_accepting: the application has stopped calling accept\(\), restart it$")
        self.wait_for_state(collectd, listener.name, STALLED)

    def check_accepted(self, listener, collectd, waiting):
        listener.accept(waiting)
        self.wait_for_okay(collectd, listener.name)
        self.assertEqual(len(self.of(collectd, listener.name)), 2)

    def test_acceptor_that_stopped_with_two_waiting(self):
        listener = self.listener(limit=64)
        collectd = self.started("StalledAfter 1\nValues full", listener, interval=INTERVAL)
        listener.fill(2)
        self.check_stalled(listener, collectd, 2, "(the oldest|none accepted)")
        collectd.wait_for_value(listener.name, "duration-oldest_wait", lambda seconds: seconds >= 1)
        self.check_accepted(listener, collectd, 2)

    def test_acceptor_that_stopped_and_clients_that_reset(self):
        listener = self.listener(limit=64)
        collectd = self.started("StalledAfter 1\nValues full", listener, interval=INTERVAL)
        listener.fill(5)
        for client in listener.clients:
            reset_at_close(client)
        listener.drop_clients()
        self.assertEqual(run("ss", "-ntH", "sport", "=", str(listener.port)), "")
        self.check_stalled(listener, collectd, 5, "none accepted")
        collectd.wait_for_intervals(2)
        self.assertEqual(collectd.values(listener.name, "duration-oldest_wait"), [])
        self.check_accepted(listener, collectd, 5)


class SkewTest(NotificationTest):
    def test_one_of_four_workers_stuck(self):
        first = self.listener(limit=15, reuse_port=True)
        group = [first] + [self.listener(port=first.port, limit=15, reuse_port=True) for _ in range(3)]
        collectd = self.started(None, first, interval=1)
        stuck = group[2]
        before = kernel_counters()["ListenOverflows"]

        def one_more_client():
            first.connect(1)
            for member in group:
                if member is not stuck:
                    member.accept(member.length)
            told = self.of(collectd, first.name)
            return next((each for each in told if each.severity == "FAILURE"), None)
        told = wait_until(one_more_client, what="a failure", pause=0.002)
        self.assertGreater(kernel_counters()["ListenOverflows"], before)
        self.assertRegex(told.message, r"overflow, peak 1\d of 64 in 4 sockets, \d+ drops? in [\d.]+ s; skew: the fullest "
                         r"of 4 members at 100 %, the median at \d %, restart the stuck one$")
        self.wait_for_state(collectd, first.name, OVERFLOW)


class SynQueueTest(NotificationTest):
    """A full SYN queue is no alarm. Its cause shows in the message that ends an earlier one."""

    def setUp(self):
        self.raw = RawClients()
        self.addCleanup(self.raw.close)

    def check_flood(self, pattern, counter):
        listener = self.listener("0.0.0.0", limit=16)
        collectd = self.started("Values full", listener, interval=INTERVAL)
        overflow(listener, collectd)
        self.wait_for(collectd, listener.name, "WARNING", "burst")
        before = kernel_counters()[counter]

        def flood_until_okay():
            self.raw.send_syns(listener.port, 30)
            return self.of(collectd, listener.name)[1:]
        told = collectd.wait(flood_until_okay, what="the alarm's end")
        self.assertGreater(kernel_counters()[counter], before)
        self.assertEqual(told[0].severity, "OKAY")
        self.assertRegex(told[0].message, pattern)
        collectd.wait_for_value(listener.name, "queue_length-syn", 17)
        self.assertEqual(self.states(collectd, listener.name), {OK, OVERFLOW})

    def test_flood_with_cookies(self):
        self.set_sysctl("net.ipv4.tcp_syncookies", 1)
        self.check_flood(r"SYN queue full, 17 of 17 in [\d.]+ s; syn_flood: cookies are sent instead; "
                         r"if these are clients, raise listen\(\) backlog \(16, ", "SyncookiesSent")

    def test_flood_without_cookies(self):
        self.set_sysctl("net.ipv4.tcp_syncookies", 0)
        self.check_flood(r"SYN queue full, 17 of 17, \d+ drops in [\d.]+ s; syn_queue_full: "
                         r"set net\.ipv4\.tcp_syncookies to 1$", "TCPReqQFullDrop")


class UnixTest(NotificationTest):
    def test_unix_socket_at_its_limit(self):
        listener = self.unix_listener(f"\0queue-{os.getpid()}-full", limit=16)
        collectd = self.started(f'Listener "{listener.name}"', listener, interval=1)
        self.assertEqual(listener.connect(20), 17)
        time.sleep(0.4)
        listener.accept(17)
        told = self.wait_for(collectd, listener.name, "WARNING", "")
        self.assertRegex(told.message, r"accept queue full for [\d.]+ s, peak 17 of 17 in [\d.]+ s; burst: "
                         rf"raise listen\(\) backlog \(16, somaxconn \d+\){SET_BEFORE}$")
        self.wait_for_state(collectd, listener.name, OVERFLOW)
        self.wait_for_okay(collectd, listener.name)


class MissingTest(NotificationTest):
    def test_listener_that_died(self):
        listener = self.listener(limit=16)
        config = f'MissingAfter 1\n<Watch "{listener.name}">\nExpected true\n</Watch>'
        collectd = self.started(config, listener, interval=INTERVAL)
        listener.close()
        told = self.wait_for(collectd, listener.name, "FAILURE", "")
        self.assertRegex(told.message, rf"^{listener.name}: missing, expected, but not listening for 1(\.\d)? s: start it$")
        collectd.wait_for_value(listener.name, STATE, MISSING)
        collectd.wait_for_value("host", "count-missing", 1)
        back = time.time()
        self.listener(port=listener.port, limit=16)
        self.wait_for_okay(collectd, listener.name)
        told = time.time()
        collectd.wait_for_intervals(1)  # until all values before it are stored
        clean = [value for when, value in collectd.values(listener.name, STATE) if back < when <= told and value == OK]
        self.assertGreaterEqual(len(clean), 3)
        self.assertEqual(len(self.notifications(collectd)), 2)


class NamespaceTest(NotificationTest):
    def test_overflow_inside_another_namespace(self):
        blue = NetNamespace(f"blue-{os.getpid()}")
        self.addCleanup(blue.close)
        with blue.entered():
            write_sysctl("net.core.somaxconn", 32)
            listener = self.listener(limit=511)
        name = f"{listener.name}__netns_{blue.name}"
        collectd = self.collectd(f'NetNamespace "{blue.name}"', interval=INTERVAL)
        collectd.wait(lambda: len(collectd.values(name, STATE)) > 1, what="the listener's state")
        with blue.entered():
            overflow(listener, collectd)
        told = self.wait_for(collectd, name, "WARNING", "")
        self.assertRegex(told.message, rf"^{name} \(.*python3.*\): accept queue overflow, peak 33 of 33, 5 drops in "
                         r"[\d.]+ s; burst: raise net\.core\.somaxconn \(32\), then restart it; a limit of 37 would have held them$")
        self.wait_for_state(collectd, name, OVERFLOW)
        self.wait_for_okay(collectd, name)
        self.assertEqual(collectd.latest(name, "packets-dropped"), 5)
        own = [value for _, value in collectd.values("kernel", "protocol_counter-ListenOverflows")]
        self.assertEqual(own[-1], own[0])


THRESHOLD = """
<Plugin threshold>
  <Plugin "backlog">
    Instance "{name}"
    <Type "gauge">
      Instance "state"
      WarningMax 0
      FailureMax 1
    </Type>
  </Plugin>
</Plugin>
"""


class ReceiverTest(NotificationTest):
    """Who gets what is told."""

    def receiving_script(self):
        """A program for NotificationExec, and the folder where it leaves each notification. The user that runs
        it may write there only."""
        folder = pathlib.Path(self.folder())
        folder.chmod(0o755)
        received = folder / "received"
        received.mkdir()
        script = folder / "receive"
        script.write_text('''#!/bin/sh
part=$(mktemp "$1/part.XXXXXX") && cat >"$part" && mv "$part" "$1/whole.${part##*.}"
''', encoding="ascii")
        script.chmod(0o755)
        try:
            user = pwd.getpwnam("nobody")
            os.chown(received, user.pw_uid, user.pw_gid)
            run("runuser", "-u", user.pw_name, "--", script, received)
            next(received.glob("whole.*")).unlink()
        except (KeyError, OSError, StopIteration, subprocess.CalledProcessError) as error:
            self.skipTest(f"nobody cannot receive notifications: {error}")
        return script, received

    def read(self, received):
        """[(headers, message)] in the order of time."""
        notifications = []
        for file in received.glob("whole.*"):
            head, _, message = file.read_text(encoding="utf-8").partition("\n\n")
            notifications.append((dict(line.split(": ", 1) for line in head.splitlines()), message.strip()))
        return sorted(notifications, key=lambda each: float(each[0]["Time"]))

    def test_notification_exec(self):
        script, received = self.receiving_script()
        listener = self.listener(limit=16)
        collectd = self.started(None, listener, interval=INTERVAL, plugins=["exec"], config=(
            f'<Plugin exec>\nNotificationExec "nobody" "{script}" "{received}"\n</Plugin>'))
        overflow(listener, collectd)
        self.wait_for_okay(collectd, listener.name)
        collectd.wait(lambda: len(self.read(received)) == 2, what="two notifications")
        (warning, text), (okay, _) = self.read(received)
        self.assertRegex(text, burst_of(listener, rf"raise listen\(\) backlog \(16, somaxconn \d+\){SET_BEFORE}"))
        wanted = {"Severity": "WARNING", "Host": HOSTNAME, "Plugin": "backlog", "PluginInstance": listener.name,
                  "Type": "gauge", "TypeInstance": "state", "listener": listener.name, "state": "overflow",
                  "cause": "burst", "owner": f"python3[{os.getpid()}]"}
        self.assertEqual({name: warning.get(name) for name in wanted}, wanted)
        numbers = {name: float(warning[name]) for name in ("queue", "limit", "used", "drops")}
        self.assertEqual(numbers, {"queue": 17, "limit": 16, "used": 100, "drops": 5})
        self.assertEqual((okay["Severity"], okay["state"], okay["cause"]), ("OKAY", "ok", "none"))

    def test_the_table_waits_for_no_receiver(self):
        """Nagios' command file is a FIFO; who opens it waits for Nagios."""
        folder = pathlib.Path(self.folder())
        fifo, table = folder / "nagios.cmd", folder / "table"
        os.mkfifo(fifo)
        listener = self.listener(limit=4)
        collectd = self.started(f'TableFile "{table}"', listener, interval=INTERVAL, plugins=["notify_nagios"],
                                config=f'<Plugin notify_nagios>\nCommandFile "{fifo}"\n</Plugin>')
        listener.fill(5).connect(3)

        def state():
            shown = json.loads(run(os.environ["BACKLOG_TABLE"], "--table", table, "--json"))
            return next(row["state"] for row in shown["listeners"] if row["name"] == listener.name)
        try:
            collectd.wait_for_value(listener.name, STATE, OVERFLOW)
            collectd.wait(lambda: state() == "overflow", 5, "the overflow in the table")
            self.assertNotIn("notify_nagios plugin:", collectd.log())
        finally:
            self.addCleanup(os.close, os.open(fifo, os.O_RDONLY | os.O_NONBLOCK))
        collectd.wait_for_log("notify_nagios plugin: .*Illegal seek")  # into a FIFO; but it has come to that

    def test_threshold_on_the_state(self):
        listener = self.listener(limit=16)
        collectd = self.started("Notify none", listener, interval=INTERVAL, plugins=["threshold"],
                                config=THRESHOLD.format(name=listener.name))
        overflow(listener, collectd)
        collectd.wait_for_log(rf"severity = FAILURE,.* plugin_instance = {listener.name},.* type_instance = state,")
        collectd.wait_for_log(rf"severity = OKAY,.* plugin_instance = {listener.name},.* type_instance = state,")
        self.assertNotIn("accept queue", collectd.log())


def tearDownModule():
    NotificationTest.print_told()


if __name__ == "__main__":
    system_test.main()
