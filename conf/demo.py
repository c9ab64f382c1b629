#!/usr/bin/env python3
"""The plugin at work in a real collectd: what listens on this host, a listener that overflows until it is served
again, another with bursts that a look each second misses, and the notifications. Started by conf/demo."""

import argparse
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "system"))
import kernel  # noqa: E402 (found by the path above)
from collectd import Collectd  # noqa: E402
from listeners import Listener  # noqa: E402

import demo_pictures  # noqa: E402
import demo_screen  # noqa: E402
import demo_story  # noqa: E402

INTERVAL = 1
DEFAULT_SECONDS = 40  # the story twice
# "Listener" is given so that listeners on ephemeral ports have a series of their own, too.
PLUGIN_CONFIG = 'Listener "/./"\nTableFile "{}/table"'
DROPS = ("kernel", "protocol_counter-ListenDrops")
ALTERNATE_SCREEN, MAIN_SCREEN = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"


class Signals:
    """Whether Ctrl-C or a signal asked for the end."""

    def __init__(self):
        self.came = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note)

    def _note(self, *_):
        self.came = True


class Tables:
    """What the plugin publishes for other processes, as backlog-table --json tells it."""

    def __init__(self, path):
        self._path = path
        self._command = [pathlib.Path(os.environ["BACKLOG_PLUGIN_DIR"], "backlog-table"), "--table", path, "--json"]
        self._inode = None

    def next(self):
        """The table, if it is another one than at the last call, else None."""
        with contextlib.suppress(FileNotFoundError):
            inode = os.stat(self._path).st_ino
            if inode != self._inode:
                self._inode = inode
                return json.loads(kernel.run(*self._command))
        return None


def default_budget():
    """Of the plugin's manual, whose defaults tests/docs compares with the code."""
    manual = pathlib.Path(__file__).resolve().parent.parent / "plugin" / "collectd-backlog.5"
    text = manual.read_text(encoding="utf-8")
    return float(re.search(r"^\.It Cm SamplerBudget .*?^Defaults to\n\.Cm ([0-9.]+)", text, re.MULTILINE | re.DOTALL)[1])


def rows_of(table):
    """Fullest first."""
    rows = [demo_screen.Row(row["name"], row.get("owner", ""), row["length"], row["limit"], row["peak"],
                            row["used_percent"]) for row in table["listeners"] if "length" in row]
    return sorted(rows, key=lambda row: (-row.used, row.name))


class Observer:
    """Keeps a View up to date."""

    def __init__(self, collectd, listener, bursts, begin):
        self.view = demo_screen.View(own=listener.name, bursting=bursts.listener.name, budget_percent=default_budget())
        self._collectd = collectd
        self._bursts = bursts
        self._begin = begin
        self._first_drops = None

    def take(self, table, deed):
        view = self.view
        view.elapsed, view.deed, view.rows = time.monotonic() - self._begin, deed, rows_of(table)
        for row in table["listeners"]:
            if row["name"] == view.own:
                view.dropped = row.get("dropped", 0)
        view.events = table.get("events", view.events)
        bursting = view.row(view.bursting)
        if bursting:
            highest = self._bursts.highest(table["taken_at"] - table["measured_seconds"], table["taken_at"])
            view.last_burst = (highest, bursting.length, bursting.peak)
            view.burst_count.add(*view.last_burst)
        self._take_values()
        told = re.findall(r"Notification: severity = (\w+),.*?message = (.*)", self._collectd.log())
        view.alarms += [demo_screen.Alarm(time.time(), severity, message)
                        for severity, message in told[len(view.alarms):]]

    def _take_values(self):
        drops = self._collectd.values(*DROPS)
        if drops:
            self.view.kernel_dropped = int(drops[-1][1] - drops[0][1])
        for series, name in (("duration-period", "period"), ("percent-cpu", "cpu_percent")):
            values = [value for _, value in self._collectd.values("sampler", series)]
            if values:
                setattr(self.view, name, sum(values) / len(values))


class Terminal:
    """One screen that is drawn anew; the one there was before comes back at the end."""

    def __enter__(self):
        sys.stdout.write(ALTERNATE_SCREEN)
        return self

    def __exit__(self, *_):
        sys.stdout.write(MAIN_SCREEN)
        sys.stdout.flush()

    def show(self, view):
        size = shutil.get_terminal_size()
        sys.stdout.write(demo_screen.screen(view, size.columns, size.lines, colours=not os.environ.get("NO_COLOR")))
        sys.stdout.flush()


class Pipe:
    """Lines, where there is no terminal."""

    def __init__(self):
        self._log = demo_screen.Log()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def show(self, view):
        for line in self._log.lines(view):
            print(line, flush=True)


def run(collectd, observer, output, signals, listener, deadline):
    tables = Tables(collectd.directory / "table")
    deeds = demo_story.play(listener)
    deed = next(deeds)
    while not signals.came and time.monotonic() < deadline:
        if not collectd.running():
            raise AssertionError(f"collectd ended with {collectd.status}:\n{collectd.output()}")
        try:
            table = tables.next()
        except subprocess.CalledProcessError:
            if signals.came:  # Ctrl-C ended backlog-table, too
                return
            raise
        if table:
            observer.take(table, deed)
            output.show(observer.view)
            deed = next(deeds)
        time.sleep(0.05)


def print_pictures(collectd):
    if not shutil.which("rrdtool"):
        print("\nrrdtool is missing: no pictures.")
        return
    pictures = demo_pictures.draw_pictures(collectd.directory / "csv" / collectd.hostname,
                                           collectd.directory / "pictures", INTERVAL)
    if pictures:
        print("\nPictures of the busy listeners, by rrdtool, with the RRD of each beside it:")
    for picture in pictures:
        print(f"    {os.path.relpath(picture.png)}")


def print_installation(build_directory):
    shown = pathlib.Path(os.path.relpath(build_directory))
    cache = (build_directory / "CMakeCache.txt").read_text(encoding="utf-8")
    conf_directory = re.search(r"^COLLECTD_CONF_DIR:\w+=(.*)", cache, re.MULTILINE)[1]
    print(f"""
Nothing has been installed. To install the plugin for good, on a host with collectd, as root:
    cmake --build {shown} && cmake --install {shown}
    systemd-tmpfiles --create collectd-backlog.conf
    editor {conf_directory}/backlog.conf
    systemctl restart collectd""")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=pathlib.Path, required=True, help="where the plugin was built")
    parser.add_argument("--seconds", type=int, default=DEFAULT_SECONDS)
    arguments = parser.parse_args()
    signals = Signals()
    directory = tempfile.mkdtemp(prefix="demo.", dir=arguments.directory)
    begin = time.monotonic()
    with Listener(limit=demo_story.LIMIT) as listener, demo_story.Bursts() as bursts, \
            Collectd(PLUGIN_CONFIG.format(pathlib.Path(directory).resolve()), interval=INTERVAL,
                             directory=directory, hostname=socket.gethostname()) as collectd:
        print(f"collectd {collectd.pid} reads this host's listeners every second for {arguments.seconds} s, in a folder "
              "of its own; Ctrl-C ends it.", flush=True)
        observer = Observer(collectd, listener, bursts, begin)
        with Terminal() if sys.stdout.isatty() else Pipe() as output:
            run(collectd, observer, output, signals, listener, begin + arguments.seconds)
    print("\n" + "\n".join(demo_screen.summary_lines(observer.view)))
    print_pictures(collectd)
    print_installation(arguments.directory)


if __name__ == "__main__":
    try:
        main()
    except AssertionError as error:
        sys.exit(f"conf/demo: {error}")
