#!/usr/bin/env python3
"""conf/demo: one screen on a terminal, a short log in a pipe, and at the end what there was to see."""

import contextlib
import fcntl
import os
import pathlib
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import unittest

import system_test
from system_test import SystemTest
from waiting import wait_until

CONF = pathlib.Path(__file__).resolve().parent.parent.parent / "conf"
sys.path.insert(0, str(CONF))
import demo_pictures  # noqa: E402 (found by the path above)
import demo_screen  # noqa: E402
import demo_story  # noqa: E402

ROWS, COLUMNS = 24, 80
SECONDS = 20  # the story once
MOST_LINES = 60  # of the log, pictures and installation included
SCREEN_END = "\x1b[?1049l"


def view(**changes):
    rows = [demo_screen.Row(f"tcp_any_{port}", "nginx.service", 0, 511, 0, 0.0) for port in range(80, 110)]
    rows.insert(0, demo_screen.Row("tcp_own", "python3[1]", 9, 8, 9, 100.0))
    rows.insert(1, demo_screen.Row("tcp_bursts", "python3[1]", 0, 128, 87, 67.4))
    alarm = demo_screen.Alarm(0, "WARNING", "tcp_own (python3[1]): accept queue overflow, peak 9 of 9, 3 drops in 1.0 s; "
                              "burst: raise listen() backlog (8, somaxconn 4096)")
    return demo_screen.View(**{
        "elapsed": 75, "rows": rows, "own": "tcp_own", "bursting": "tcp_bursts", "dropped": 3, "kernel_dropped": 3,
        "deed": demo_story.Deed(2, "3 clients tried in vain"), "alarms": [alarm], "last_burst": (87, 0, 87),
        "burst_count": demo_screen.BurstCount(39, 1, 39, 3000, 80, 3000), "period": 0.025, "cpu_percent": 0.8,
        "budget_percent": 1} | changes)


class ScreenTest(unittest.TestCase):
    def texts(self, shown, columns=COLUMNS, rows=ROWS):
        return [text for text, _, _ in demo_screen.screen_lines(shown, columns, rows)]

    def test_all_of_the_story_is_on_a_small_terminal(self):
        text = "\n".join(self.texts(view()))
        for wanted in ("1:15", "tcp_own", "this demo", "[#########] 9 of 9 waiting, 3 dropped", "clients come > full > [drops] > the fix > all clear",
                       "3 clients tried in vain", "WARNING: accept queue overflow", "raise listen() backlog",
                       "a look each second saw 0, the plugin saw 87", "of 39 bursts: a look each second saw 1, the plugin saw 39",
                       "every 25 ms", "0.80 %", "SamplerBudget 1"):
            self.assertIn(wanted, text)

    def test_it_fits(self):
        for columns, rows in ((80, 24), (40, 16), (100, 50), (250, 100)):
            for shown in (view(), demo_screen.View(own="tcp_own", bursting="tcp_bursts", budget_percent=1), view(alarms=[])):
                texts = self.texts(shown, columns, rows)
                self.assertLess(len(texts), rows)
                self.assertLessEqual(max(map(len, texts)), columns)

    def test_a_high_terminal_shows_more_listeners(self):
        self.assertIn("... and", "\n".join(self.texts(view(), rows=24)))
        self.assertNotIn("... and", "\n".join(self.texts(view(), rows=60)))

    def test_nothing_moves_when_an_alarm_comes(self):
        def place(shown):
            return next(index for index, text in enumerate(self.texts(shown)) if text.startswith("Bursts of 50 ms"))
        self.assertEqual(place(view(alarms=[])), place(view()))

    def test_what_is_full_is_red(self):
        def red(shown, colours=True):
            text = demo_screen.screen(shown, COLUMNS, ROWS, colours)
            return re.findall(re.escape(demo_screen.RED) + r"(.*?)\x1b", text)
        self.assertTrue(any("9 of 9 waiting" in text for text in red(view())))
        empty = view(alarms=[])
        empty.rows[0] = demo_screen.Row("tcp_own", "", 0, 8, 0, 0.0)
        self.assertEqual(red(empty), [])
        self.assertEqual(red(view(), colours=False), [])

    def test_bars(self):
        for length, limit, bar in ((0, 8, "[.........]"), (1, 8, "[#........]"), (9, 8, "[#########]"), (10, 8, "[#########]"),
                                   (1, 511, "[#........]"), (256, 511, "[#####....]")):
            self.assertEqual(demo_screen.bar(demo_screen.Row("a", "", length, limit, 0, 0.0)), bar)


class LogTest(unittest.TestCase):
    def test_a_line_where_something_changed(self):
        log, shown = demo_screen.Log(), view()
        first = log.lines(shown)
        self.assertEqual(len([line for line in first if "3 clients tried in vain" in line]), 1)
        self.assertEqual(len([line for line in first if "WARNING" in line]), 1)
        self.assertEqual(log.lines(shown), [])
        shown.deed = demo_story.Deed(3, "the fix")
        self.assertEqual(len(log.lines(shown)), 1)


class SummaryTest(unittest.TestCase):
    def summary(self, **changes):
        return " ".join(demo_screen.summary_lines(view(**changes)))

    def test_all_was_seen(self):
        text = self.summary()
        self.assertIn("Of 39 bursts of 50 ms a look each second saw 1, with 3 % of their clients; the plugin saw 39, with 100 %",
                      text)
        self.assertNotIn("between two looks", text)

    def test_some_were_missed(self):
        """Then it says how often the plugin looked, what that costs, and what bounds it."""
        text = self.summary(burst_count=demo_screen.BurstCount(39, 0, 29, 3000, 0, 2100), period=0.064, cpu_percent=0.5)
        self.assertIn("the plugin saw 29, with 70 %", text)
        self.assertIn("every 64 ms, with 0.50 % of one CPU (SamplerBudget 1)", text)
        self.assertIn("10 of the bursts fell between two looks: each takes 320 us of CPU here", text)

    def test_a_busy_machine_is_not_the_budgets_fault(self):
        text = self.summary(burst_count=demo_screen.BurstCount(39, 0, 38, 3000, 0, 2900), period=0.026, cpu_percent=0.5)
        self.assertIn("1 of the bursts fell between two looks: this machine was busy", text)
        self.assertNotIn("larger SamplerBudget", text)

    def test_bursts_are_counted_by_their_clients(self):
        count = demo_screen.BurstCount()
        for length, polled, peak in ((100, 0, 100), (50, 20, 50), (0, 0, 0), (10, 0, 0), (10, 12, 12)):
            count.add(length, polled, peak)
        self.assertEqual(count, demo_screen.BurstCount(4, 2, 3, 170, 30, 160))


class DemoTest(SystemTest):
    def start(self, seconds, **options):
        folder = pathlib.Path(self.folder())
        build = next(parent for parent in pathlib.Path(os.environ["BACKLOG_PLUGIN_DIR"]).parents
                     if (parent / "CMakeCache.txt").exists())
        (folder / "CMakeCache.txt").symlink_to(build / "CMakeCache.txt")
        process = subprocess.Popen([sys.executable, str(CONF / "demo.py"), "--directory", str(folder), "--seconds", str(seconds)],
                                   **options)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def check_end(self, text):
        self.assertRegex(text, r"(?m)^What you have seen$")
        self.assertRegex(text, r"Of \d+ bursts of 50 ms a look each second saw \d+, with \d+ % of their clients; the plugin saw \d+")
        self.assertRegex(text, r"(The plugin looks every \d+ ms, with|The kernel tells the plugin of each connection \(Events\), for) "
                         r"[0-9.]+ % of one CPU \(SamplerBudget [0-9.]+\)")
        self.assertRegex(text, r"(?m)^Nothing has been installed. To install .*\n +cmake --build .*\n.*\n +editor /\S+/backlog.conf\n")
        self.assertNotRegex(text, r"(?m)^\S+: \d{10}\.\d+[,:]", "a line of a csv file")

    def test_in_a_pipe(self):
        demo = self.start(SECONDS, stdout=subprocess.PIPE, text=True)
        text, _ = demo.communicate(timeout=4 * SECONDS)
        self.assertEqual(demo.returncode, 0)
        self.assertNotIn("\x1b", text)
        self.assertLess(len(text.splitlines()), MOST_LINES)
        self.assertRegex(text, r"(?m)^collectd \d+ reads this host's listeners every second for 20 s")
        own = re.search(r"^0:\d\d  (\S+) \[.*of 9 waiting", text, re.MULTILINE)[1]
        steps = [rf"\[#########\] 9 of 9 waiting, 0 dropped; 3 clients connected", r"clients tried in vain",
                 rf"notification (WARNING|FAILURE): {own} .*accept queue overflow", r"the fix|accept\(\) is called again: 9 clients"]
        at = 0
        for step in steps:
            found = re.compile(step).search(text, at)
            self.assertTrue(found, f"{step} in {text[at:]}")
            at = found.end()
        self.assertRegex(text, rf"{own} overflowed: the plugin counted ([1-9]\d*) dropped segments, the kernel \1 on the whole host")
        self.check_end(text)
        if not shutil.which("rrdtool"):
            self.skipTest("rrdtool is missing")
        printed = [pathlib.Path(path) for path in re.findall(r"^ +(\S+\.png)$", text, re.MULTILINE)]
        self.assertEqual(len(printed), 2, text)
        self.assertIn(own, {path.stem for path in printed})
        for path in printed:
            self.assertEqual(path.read_bytes()[16:24], struct.pack(">II", demo_pictures.WIDTH, demo_pictures.HEIGHT))

    def test_on_a_terminal_until_ctrl_c(self):
        terminal, inside = pty.openpty()
        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("4H", ROWS, COLUMNS, 0, 0))
        environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
        with open(terminal, "rb", buffering=0) as output:
            demo = self.start(600, stdin=inside, stdout=inside, env=environment)
            os.close(inside)
            shown = []

            def read():
                with contextlib.suppress(OSError):  # the end of the other side
                    data = output.read(65536)
                    shown.append(data)
                    return data
                return b""

            def screens():
                return [screen for screen in b"".join(shown).decode().split(demo_screen.HOME) if "waiting, " in screen]
            wait_until(lambda: read() and len(screens()) >= 4, 30, "some screens", pause=0)
            demo.send_signal(signal.SIGINT)
            while read():
                pass
            self.assertEqual(demo.wait(30), 0)
        text = b"".join(shown).decode().replace("\r\n", "\n")
        for screen in screens():
            lines = re.sub(r"\x1b\[[0-9?]*[A-Za-z]", "", screen.split(SCREEN_END)[0].replace("\r\n", "\n")).splitlines()
            self.assertLess(len(lines), ROWS)
            self.assertLessEqual(max(map(len, lines)), COLUMNS)
        self.check_end(text.partition(SCREEN_END)[2])


if __name__ == "__main__":
    system_test.main()
