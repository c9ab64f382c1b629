#!/usr/bin/env python3
"""The plugin at work in a real collectd: this host's listeners beside what ss says, a listener
that fills and overflows until it is accepted from again, another that has bursts between the
reads, the values as they arrive in csv, and the notifications. Started by conf/demo."""

import argparse
import collections
import itertools
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "system"))
from collectd import Collectd  # noqa: E402
from kernel import ss  # noqa: E402
from listeners import Listener  # noqa: E402
from names import tcp_name  # noqa: E402
from waiting import wait_until  # noqa: E402

import demo_pictures  # noqa: E402

INTERVAL = 1
# "Listener" is given so that listeners on ephemeral ports have a series of their own, too.
PLUGIN_CONFIG = 'Listener "/./"\nTableFile "{}/table"'
FIRST_SHOWN_INTERVAL = 1  # a listener has a series from its second interval on
LIMIT = 8
CLIENTS_AT_ONCE = 3
OVERFLOWING_ROUNDS = 3
HEALTHY_ROUNDS = 4  # OKAY comes after three intervals without an overflow
BURST_LIMIT = 128
BURST_SECONDS = 0.05
BURST_CLIENTS = (40, 120)
ROUNDS_PER_TABLE = 5
ROWS_PER_TABLE = 12

Burst = collections.namedtuple("Burst", "begin end length")  # begin and end: epoch
Row = collections.namedtuple("Row", "name plugin ss used")  # plugin and ss: (length, limit) or None


class Signals:
    """Whether Ctrl-C or a signal asked for the end."""

    def __init__(self):
        self.came = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note)

    def _note(self, *_):
        self.came = True


class CsvFiles:
    """Follows the files that collectd's csv plugin appends to."""

    def __init__(self, host_folder):
        self.host_folder = host_folder
        self.newest_time = 0.0
        self._offsets = {}
        self._values = {}

    def read_new(self):
        """[(path below the data folder, line)] of what was appended since the last call."""
        new = []
        for path in sorted(self.host_folder.glob("*/*")):
            offset = self._offsets.get(path, 0)
            if path.stat().st_size == offset:
                continue
            with open(path, encoding="ascii") as file:
                file.seek(offset)
                text = file.read()
            text = text[:text.rfind("\n") + 1]
            self._offsets[path] = offset + len(text)
            lines = [line for line in text.splitlines() if not line.startswith("epoch")]
            new += [(path.relative_to(self.host_folder.parent), line) for line in lines]
            for line in lines:
                self._note(path, line)
        return new

    def _note(self, path, line):
        series = re.sub(r"-\d{4}-\d\d-\d\d$", "", path.name)
        key = (path.parent.name.removeprefix("backlog-"), series)
        when, value = map(float, line.split(","))
        self.newest_time = max(self.newest_time, when)
        self._values[key] = max(self._values.get(key, (0.0, 0.0)), (when, value))

    def begin(self):
        """The epoch at which the newest interval began."""
        return self.newest_time - INTERVAL

    def value(self, instance, series):
        """The value of the newest interval, or None."""
        when, value = self._values.get((instance, series), (0.0, None))
        return value if when > self.newest_time - 1.5 * INTERVAL else None

    def instances(self):
        return {instance for instance, _ in self._values}


def wait_for_interval(collectd, csv_files, signals, deadline):
    """The csv lines of the next interval, when no more follow; [] if the end came before."""
    lines = []
    while not signals.came and time.monotonic() < deadline:
        new = csv_files.read_new()
        lines += new
        if lines and not new:
            return lines
        if not collectd.running():
            raise AssertionError(f"collectd ended with {collectd.status}:\n{collectd.output()}")
        time.sleep(0.05)
    return []


def listeners_by_ss():
    """{name: (Recv-Q, Send-Q)}, summed where several sockets share a name (SO_REUSEPORT)."""
    sums = {}
    for listener in ss():
        name = tcp_name(*listener[:5])
        length, limit = sums.get(name, (0, 0))
        sums[name] = (length + listener.recv_q, limit + listener.send_q)
    return sums


def compare(csv_files):
    """A Row for each listener that the plugin or ss knows, fullest first."""
    by_ss = listeners_by_ss()
    names = by_ss.keys() | {name for name in csv_files.instances()
                            if name.startswith("tcp") and csv_files.value(name, "percent-used") is not None}
    rows = []
    for name in names - {"tcp_unstable"}:
        length = csv_files.value(name, "queue_length-accept")
        limit = csv_files.value(name, "queue_length-limit")
        plugin = None if length is None or limit is None else (int(length), int(limit))
        rows.append(Row(name, plugin, by_ss.get(name), csv_files.value(name, "percent-used")))
    return sorted(rows, key=lambda row: (-(row.used or 0), row.name))


def print_table(rows, bursting):
    def cells(pair):
        return "{:>8} {:>8}".format(*(pair or ("-", "-")))
    silent = [row for row in rows if row.plugin is None]
    equal = [row for row in rows if row.plugin == row.ss]
    shown = rows[:ROWS_PER_TABLE] + [row for row in rows[ROWS_PER_TABLE:] if row.plugin not in (None, row.ss)]
    width = max(len(row.name) for row in shown)
    print(f"\n(1) {'listener':{width}}  waiting    limit   used |  Recv-Q   Send-Q by ss -lnt")
    for row in shown:
        used = "-" if row.used is None else f"{row.used:.0f} %"
        differs = "has a burst just now" if row.name == bursting else "DIFFERS"
        verdict = "equal" if row.plugin == row.ss else "no series" if row.plugin is None else differs
        print(f"    {row.name:{width}} {cells(row.plugin)} {used:>6} |{cells(row.ss)} {verdict}")
    if len(rows) > len(shown):
        print(f"    ... and {len(rows) - len(shown)} more")
    without = f", {len(silent)} without a series (MaxListeners, or just opened)" if silent else ""
    print(f"    {len(equal)} of {len(rows)} equal{without}\n")


def clients(count):
    return f"{count} client{'' if count == 1 else 's'}"


def play(listener):
    """Fills the listener's queue, overflows it, then accepts all that comes, for ever; yields what
    it did."""
    full = listener.limit + 1
    yield "nobody has connected"
    while True:
        while listener.length < full:
            count = min(CLIENTS_AT_ONCE, full - listener.length)
            listener.fill(listener.length + count)
            yield f"{clients(count)} connected"
        for _ in range(OVERFLOWING_ROUNDS):
            listener.connect(CLIENTS_AT_ONCE)
            yield f"{clients(CLIENTS_AT_ONCE)} tried in vain"
        waiting = listener.length
        listener.drop_clients()
        listener.accept(waiting)
        wait_until(lambda: listener.length == 0, what="an empty queue")
        yield f"the fix: accept() is called again, {clients(waiting)} accepted"
        for _ in range(HEALTHY_ROUNDS):
            listener.fill(CLIENTS_AT_ONCE)
            listener.accept(CLIENTS_AT_ONCE)
            listener.drop_clients()
            yield f"{clients(CLIENTS_AT_ONCE)} accepted at once"


class Bursts:
    """A listener to which many clients come at once, one time a second at a random moment; all
    wait for 50 ms and are accepted."""

    def __init__(self):
        self.listener = Listener(limit=BURST_LIMIT)
        self.done = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        for second in itertools.count(time.monotonic()):
            if self._ending.wait(max(0.0, second + random.uniform(0, 1 - 2 * BURST_SECONDS) - time.monotonic())):
                return
            begin, length = time.time(), random.randint(*BURST_CLIENTS)
            self.listener.fill(length)
            self._ending.wait(BURST_SECONDS)
            self.listener.accept(length)
            self.listener.drop_clients()
            self.done.append(Burst(begin, time.time(), length))

    def highest(self, begin, end):
        """The most that waited between two epochs."""
        return max((burst.length for burst in self.done if burst.end > begin and burst.begin < end), default=0)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ending.set()
        self._thread.join()
        self.listener.close()


def risen(csv_files, before, instance, series):
    """" +2" for a counter that rose by 2 since the last call, "" for the first and an absent one."""
    value = csv_files.value(instance, series)
    last, before[instance, series] = before.get((instance, series)), value
    return "" if None in (value, last) else f" +{int(value - last)}"


def print_own_listener(listener, csv_files, before, deed):
    length = csv_files.value(listener.name, "queue_length-accept")
    limit = csv_files.value(listener.name, "queue_length-limit")
    used = csv_files.value(listener.name, "percent-used")
    own_drops = risen(csv_files, before, listener.name, "packets-dropped")
    all_drops = risen(csv_files, before, "kernel", "protocol_counter-ListenDrops")
    if None in (length, limit, used):
        print(f"(2) {listener.name} has no series (MaxListeners); {deed}")
        return
    bar = ("#" * int(length)).ljust(int(limit) + 1, ".")
    counted = f", drops{own_drops} of the host's{all_drops}" if own_drops and all_drops else ""
    print(f"(2) {time.strftime('%H:%M:%S')} [{bar}] {int(length)} waiting, limit {int(limit)}, "
          f"{used:.0f} % used{counted}; {deed}")


class BurstReport:
    """What of the bursts is seen by who reads the queue's length once a second, and by the plugin."""

    def __init__(self, bursts):
        self.name = bursts.listener.name
        self._bursts = bursts
        self._seconds = []  # (the most that waited, read at the end of the second, the plugin's peak)

    def print_second(self, csv_files):
        polled = csv_files.value(self.name, "queue_length-accept")
        peak = csv_files.value(self.name, "queue_length-accept_peak")
        if None in (polled, peak):
            print(f"(3) {self.name} has no series (MaxListeners)")
            return
        highest = self._bursts.highest(csv_files.begin(), csv_files.newest_time)
        self._seconds.append((highest, int(polled), int(peak)))
        print(f"(3)          burst of {highest} clients for {1000 * BURST_SECONDS:.0f} ms: "
              f"polling each second saw {int(polled)}, the plugin saw {int(peak)}")

    def print_end(self):
        if not any(highest for highest, _, _ in self._seconds):
            return
        clients_of_all, *clients_seen = map(sum, zip(*self._seconds))
        bursts, polled, by_plugin = (sum(length > 0 for length in lengths) for lengths in zip(*self._seconds))
        shares = [f"{100 * clients_of / clients_of_all:.0f} %" for clients_of in clients_seen]
        print(f"\nOf {bursts} bursts polling each second saw {polled}, with {shares[0]} of their clients; "
              f"the plugin saw {by_plugin}, with {shares[1]}.")


def print_csv_lines(lines, listener, shown):
    """The lines of the listener's files and of ListenDrops; shown holds each file's last value."""
    for path, line in lines:
        value = line.partition(",")[2]
        ours = path.parent.name == f"backlog-{listener.name}" or "-ListenDrops-" in path.name
        if ours and shown.get(path) != value:
            shown[path] = value
            print(f"(4)     {path}: {line}")


class Notifications:
    """Those that went through collectd's chain, as its logfile plugin receives them."""

    def __init__(self, collectd):
        self._collectd = collectd
        self._printed = 0

    def print_new(self):
        told = re.findall(r"Notification: severity = (\w+),.*?message = (.*)", self._collectd.log())
        for severity, message in told[self._printed:]:
            print(f"(5) notification {severity}: {message}")
        self._printed = len(told)


def run(collectd, listener, report, signals, deadline):
    csv_files = CsvFiles(collectd.directory / "csv" / collectd.hostname)
    deeds, shown, counters = play(listener), {}, {}
    notifications = Notifications(collectd)
    deed = next(deeds)
    for interval in itertools.count():
        lines = wait_for_interval(collectd, csv_files, signals, deadline)
        if not lines:
            return
        if interval < FIRST_SHOWN_INTERVAL:
            continue
        if (interval - FIRST_SHOWN_INTERVAL) % ROUNDS_PER_TABLE == 0:
            try:
                print_table(compare(csv_files), report.name)
            except subprocess.CalledProcessError:
                if signals.came:  # Ctrl-C ended ss, too
                    return
                raise
        print_own_listener(listener, csv_files, counters, deed)
        report.print_second(csv_files)
        print_csv_lines(lines, listener, shown)
        notifications.print_new()
        if (interval - FIRST_SHOWN_INTERVAL) % ROUNDS_PER_TABLE == ROUNDS_PER_TABLE - 1:
            print_published(collectd)
        deed = next(deeds)


def print_published(collectd):
    """What other processes see: backlog-table, and check_backlog for a monitoring system."""
    folder = pathlib.Path(os.environ["BACKLOG_PLUGIN_DIR"])
    for program, option in (("backlog-table", "--table"), ("check_backlog", "-f")):
        shown = subprocess.run([folder / program, option, collectd.directory / "table"],
                               capture_output=True, text=True, check=False)
        print(f"(6) {program}")
        print("".join(f"    {line[:150]}\n" for line in shown.stdout.splitlines()[:8]))


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


def print_end(collectd, build_directory):
    shown = pathlib.Path(os.path.relpath(build_directory))
    cache = (build_directory / "CMakeCache.txt").read_text(encoding="utf-8")
    conf_directory = re.search(r"^COLLECTD_CONF_DIR:\w+=(.*)", cache, re.MULTILINE)[1]
    print(f"""
collectd has ended. Its csv files are in
    {os.path.relpath(collectd.directory / "csv" / collectd.hostname)}
To install the plugin for good, on a host with collectd, as root:
    cmake --build {shown} && cmake --install {shown}
    systemd-tmpfiles --create collectd-backlog.conf
    editor {conf_directory}/backlog.conf
    systemctl restart collectd""")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=pathlib.Path, required=True, help="where the plugin was built")
    parser.add_argument("--seconds", type=int)
    arguments = parser.parse_args()
    deadline = time.monotonic() + arguments.seconds if arguments.seconds else float("inf")
    sys.stdout.reconfigure(line_buffering=True)
    signals = Signals()
    directory = tempfile.mkdtemp(prefix="demo.", dir=arguments.directory)
    with Listener(limit=LIMIT) as listener, Bursts() as bursts, \
            Collectd(PLUGIN_CONFIG.format(pathlib.Path(directory).resolve()), interval=INTERVAL,
                     directory=directory, hostname=socket.gethostname()) as collectd:
        print(f"""
collectd {collectd.pid} reads this host's listeners every second{"" if arguments.seconds else "; Ctrl-C ends it"}.
(1) the host's listeners beside ss, every {ROUNDS_PER_TABLE} s; used: the most within the last second
(2) a listener of this demo, {listener.name}, that fills to its limit and overflows
(3) another one, {bursts.listener.name}, to which many clients come at once, a moment each second
(4) the lines of (2) in collectd's csv files as they arrive, where the value has changed
(5) the notifications that the plugin sends, as any of collectd's receivers gets them
(6) the table that the plugin publishes for other processes, every {ROUNDS_PER_TABLE} s""")
        report = BurstReport(bursts)
        run(collectd, listener, report, signals, deadline)
        report.print_end()
    print_pictures(collectd)
    print_end(collectd, arguments.directory)


if __name__ == "__main__":
    try:
        main()
    except AssertionError as error:
        sys.exit(f"conf/demo: {error}")
