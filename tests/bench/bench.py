#!/usr/bin/env python3
"""Runs the benchmark programs and prints their figures in one table. Started by tests/bench/run,
in a net namespace of its own."""

import argparse
import collections
import concurrent.futures
import contextlib
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "system"))
import kernel  # noqa: E402
import peers  # noqa: E402
from collectd import Collectd  # noqa: E402

GROSS = 2  # times the goal
COLLECTD_INTERVAL = 10
SAMPLER_THREAD = "backlog sampler"
# Without a writer, whose cost is its own affair: csv opens a file for each value.
NO_WRITER = 'PostCacheChain "nobody"\n<Chain "nobody">\n  Target "stop"\n</Chain>'
MIXES = (  # of drop_mixes; the goal in percent
    ("deferred", "SYN overflow beside a deferred-accept listener briefly full", 1),
    ("final_ack", "SYN overflow beside final-ACK overflow, 20 ms away", 1),
    ("restarting", "the overflowing listener restarted every 3 s", 3),
    ("scanned", "half-open scan of 1 000/s beside SYN overflow", 2),
    ("full", "three permanently full", 4),
)
SKIPPED = 77
FOREIGN_GOAL = 0.5  # percent of a core
EXACT_DROPS = 10000  # of which none is given wrongly with events


class Skipped(Exception):
    """A figure cannot be had here; the text says why."""


class Programs:
    """The compiled ones."""

    def __init__(self, directory):
        self.directory = directory

    def figures(self, program, *arguments):
        """What the program printed as {name: number}."""
        result = subprocess.run([self.directory / program, *map(str, arguments)], check=False, text=True,
                                stdin=subprocess.DEVNULL, capture_output=True)
        if result.returncode == SKIPPED:
            raise Skipped((result.stderr or result.stdout).strip())
        if result.returncode != 0:
            raise RuntimeError(f"{program} {arguments} ended with {result.returncode}: {result.stderr}")
        return {name: float(number) for name, number in map(str.split, result.stdout.splitlines())}

    @contextlib.contextmanager
    def held(self, **counts):
        """While this many sockets are there: tcp listeners, connections, unix sockets."""
        options = [text for kind, count in counts.items() for text in (f"--{kind}", str(count))]
        with subprocess.Popen([self.directory / "hold_sockets", *options], text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            if process.stdout.readline() != "ready\n":
                raise RuntimeError(f"hold_sockets {options} did not get ready")
            yield  # leaving closes its input, which ends it


class Table:
    """Rows as they come."""

    HEADER = ("figure", "value", "goal", "", "remark")

    def __init__(self):
        self.grossly_missed = []
        self._print(*self.HEADER)

    @staticmethod
    def _print(name, value, goal, verdict, remark):
        print(f"{name:<83} {value:>9}  {goal:<9} {verdict:<5} {remark}".rstrip(), flush=True)

    def at_most(self, name, value, goal, unit="", remark="", is_ratio=True):
        """is_ratio: within one run, so that a slow machine is no excuse."""
        self._row(name, value, goal, value <= goal, is_ratio and value > GROSS * goal, "<=", unit, remark)

    def at_least(self, name, value, goal, unit="", remark=""):
        self._row(name, value, goal, value >= goal, value < goal / GROSS, ">=", unit, remark)

    def _row(self, name, value, goal, is_met, is_gross, relation, unit, remark):
        if is_gross:
            self.grossly_missed.append(name)
        self._print(name, f"{value:.3g}{unit}" if value < 100 else f"{value:.0f}{unit}",
                    f"{relation} {goal}{unit}", "ok" if is_met else "MISS", remark)

    def skip(self, name, reason):
        self._print(name, "-", "", "skip", reason)


def pair(figures, one, other):
    """Two costs in words."""
    return f"{figures[one]:.1f} / {figures[other]:.1f} us"


class Bench:
    def __init__(self, programs, table, is_short):
        self.programs = programs
        self.table = table
        self.is_short = is_short
        self.raindrops = pathlib.Path(__file__).with_name("raindrops.rb")

    def sample(self):
        """One sample against the bare dump, both with warm caches."""
        for listeners in (10, 1000, 10000):
            with self.programs.held(tcp=listeners):
                figures = self.programs.figures("sample_cost", 4 if self.is_short else 12, "dump", "sample")
            self.table.at_most(f"one sample / bare dump, {listeners} listeners", figures["sample_ratio"], 1.25, "x",
                               pair(figures, "sample", "dump"))

    def pace(self):
        """What a sample costs collectd's sampling thread, all that it does included, against a bare dump at the same
        pace. Both sleep in between, so that wake-ups and cold caches are in it."""
        turns, seconds = (1, COLLECTD_INTERVAL) if self.is_short else (5, 3 * COLLECTD_INTERVAL)
        with self.programs.held(tcp=20, unix=500):
            costs = [self._paced_costs(seconds) for _ in range(turns)]
        samples, dumps, periods = zip(*costs)
        self.table.at_most("one sample in collectd / bare dump, both at collectd's pace, 20 listeners",
                           statistics.median(sample / dump for sample, dump, _ in costs), 1.5, "x",
                           f"{statistics.median(samples):.0f} / {statistics.median(dumps):.0f} us of CPU; "
                           f"period {1000 * statistics.median(periods):.1f} ms; load {os.getloadavg()[0]:.1f}")

    def _paced_costs(self, seconds):
        """(microseconds of a sample, of a dump, the period in seconds), without the events by which it would rest."""
        with Collectd("Events off", interval=COLLECTD_INTERVAL) as collectd:
            def periods():
                return [period for _, period in collectd.values("sampler", "duration-period")]
            collectd.wait(periods, 3 * COLLECTD_INTERVAL, "a period")
            before, begin = cpu_seconds(collectd.pid)[SAMPLER_THREAD], time.monotonic()
            time.sleep(seconds)
            spent, passed = cpu_seconds(collectd.pid)[SAMPLER_THREAD] - before, time.monotonic() - begin
            collectd.wait(lambda: len(periods()) > 1, 2 * COLLECTD_INTERVAL, "another period")
            period = statistics.mean(periods()[1:])
        dump = self.programs.figures("paced_dump", seconds, period)["dump_us"]
        return 1e6 * spent * period / passed, dump, period

    def connections(self):
        """A sample on a host with many connections against one without."""
        turns = [self._with_and_without_connections() for _ in range(3 if self.is_short else 8)]
        ratio = statistics.median(with_them["sample"] / without["sample"] for without, with_them in turns)
        self.table.at_most("one sample, 20 000 connections / none, 100 listeners", ratio, 1.1, "x")

    def _with_and_without_connections(self):
        with self.programs.held(tcp=100):
            without = self.programs.figures("sample_cost", 1.5, "sample")
        with self.programs.held(tcp=100, connections=20000):
            return without, self.programs.figures("sample_cost", 1.5, "sample")

    def others(self):
        """A sample against what people use."""
        with self.programs.held(tcp=10):
            self._other("ss", "ss -lntH as a process / one sample, 10 listeners", 150)
        if not self._has_raindrops():
            self.table.skip("raindrops / one sample", "ruby or ruby-raindrops is not installed")
            return
        what = f"raindrops={self.raindrops}"
        # Both dump the listeners. Of 1000 the dump alone takes 110 us on one machine and 430 us on another.
        for listeners, connections, goal in ((10, 0, 12), (1000, 0, 2), (10, 5000, 150)):
            sockets = f"{listeners} listeners" + (f", {connections} connections" if connections else "")
            with self.programs.held(tcp=listeners, connections=connections):
                self._other(what, f"raindrops / one sample, {sockets}", goal)

    def _other(self, what, title, goal):
        key = what.partition("=")[0]
        figures = self.programs.figures("sample_cost", 3 if self.is_short else 10, "sample", what)
        self.table.at_least(title, figures[f"{key}_ratio"], goal, "x", pair(figures, key, "sample"))

    @staticmethod
    def _has_raindrops():
        return shutil.which("ruby") and subprocess.run(["ruby", "-rraindrops", "-e", ""], check=False,
                                                       stderr=subprocess.DEVNULL).returncode == 0

    def daemon(self):
        """The whole collectd process by default settings."""
        with Collectd(interval=COLLECTD_INTERVAL, load_backlog=False, config=NO_WRITER) as plain:
            for counts, cpu_goal, memory_goal in (({"tcp": 100}, 1.1, 6), ({"tcp": 100, "unix": 5000}, 1.1, None),
                                                  ({"tcp": 10000}, None, 40)):
                self._daemon_among(counts, cpu_goal, memory_goal, plain)

    def _daemon_among(self, counts, cpu_goal, memory_goal, plain):
        sockets = ", ".join(f"{count} {'listeners' if kind == 'tcp' else 'Unix sockets'}"
                            for kind, count in counts.items())
        # A second more, so that the last harvest is not half in.
        seconds = (COLLECTD_INTERVAL if self.is_short or not cpu_goal else 60) + 1
        # Its size after ten intervals does not hang on how long these are.
        interval = COLLECTD_INTERVAL if cpu_goal else seconds / 11
        with self.programs.held(**counts), Collectd(interval=interval, config=NO_WRITER) as collectd:
            collectd.wait(lambda: SAMPLER_THREAD in cpu_seconds(collectd.pid), what="the sampler's thread")
            before, begin = cpu_seconds(collectd.pid), time.monotonic()
            time.sleep(seconds)
            after, passed = cpu_seconds(collectd.pid), time.monotonic() - begin
            growth = resident_mb(collectd.pid) - resident_mb(plain.pid)
        if cpu_goal:
            sampler = (after[SAMPLER_THREAD] - before[SAMPLER_THREAD]) / passed
            self.table.at_most(f"collectd's CPU, no writer, {sockets}",
                               100 * (sum(after.values()) - sum(before.values())) / passed, cpu_goal, " %",
                               is_ratio=False, remark=f"over {seconds} s; the sampler's thread {100 * sampler:.2f} %")
        if memory_goal:
            self.table.at_most(f"collectd's resident growth, {sockets}", growth, memory_goal, " MB")

    def snmp(self):
        """A walk over 10 000 listeners against a handler that does the least."""
        title = "CPU of a cell, walk of 10 000 x 10 / bare handler of libnetsnmpagent"
        if not os.environ.get("BACKLOG_AGENTX"):
            self.table.skip(title, "built without SNMP")
            return
        try:
            figures = self.programs.figures(pathlib.Path(__file__).with_name("snmp_walk.py"), 2 if self.is_short else 5)
        except Skipped as reason:
            self.table.skip(title, str(reason))
            return
        self.table.at_most(title, figures["subagent_cpu_us"] / figures["bare_cpu_us"], 1.15, "x",
                           "{subagent_cpu_us:.1f} / {bare_cpu_us:.1f} us; "
                           "wall {subagent_wall_us:.0f} / {bare_wall_us:.0f} us".format(**figures))
        self.table.at_most("subagent's memory, 10 000 rows", figures["resident_mb"], 25, " MB")
        self.table.at_most("subagent's reading of a new table, 10 000 rows", figures["read_ms"], 20, " ms", "CPU, median of 21",
                           is_ratio=False)

    def latency(self):
        """Connect to accept of a busy server, with and without the sampler."""
        figures = self.programs.figures("accept_latency", 3 if self.is_short else 10, 2 if self.is_short else 5)
        self.table.at_most("p99 of connect to accept, rise by the sampler, 1 000 listeners", figures["p99_rise"], 100,
                           " us", f"{figures['p99_with']:.0f} us / {figures['p99_without']:.0f} us", is_ratio=False)

    def bursts(self):
        """Peaks that the sampler reports of short bursts."""
        intervals, seconds = (2, 5) if self.is_short else (6, 10)
        for stall_every, goal in ((1, 0.95), (seconds, 0.9)):
            figures = self.programs.figures("burst_peaks", intervals, seconds, stall_every)
            self.table.at_least(f"peak reported / true, a stall of 50 ms per {stall_every} s",
                                figures["reported_of_true"], goal, "",
                                f"median of {intervals} intervals of {seconds} s, lowest {figures['lowest']:.2f}")
        figures = self.programs.figures("single_bursts", intervals)
        remark = "period {:.1f} ms, {cpu_percent:.2f} % of a CPU; load {:.1f}".format(
            1000 * figures["period"], os.getloadavg()[0], **figures)
        self.table.at_least("single bursts of 50 ms seen, nothing else to do", figures["seen"], 0.97, "",
                            f"of {figures['bursts']:.0f}; {remark}")
        self.table.at_least("... and of their clients", figures["reported_of_true"], 0.95, "")
        self.table.at_most("... mean period", 1000 * figures["period"], 30, " ms", is_ratio=False)

    def events(self):
        """What the BPF programs see, and what they cost."""
        bursts = 50 if self.is_short else 250
        for milliseconds in (1, 5, 20, 50):
            title = f"bursts of {milliseconds} ms whose peak is true, by events"
            with_them, without = (self.programs.figures("burst_truth", bursts, milliseconds, use) for use in ("auto", "off"))
            if with_them["events"] == 0:
                self.table.skip(title, "this kernel or these privileges have no events")
                continue
            self.table.at_least(title, with_them["true_percent"], 100, " %",
                                f"of {bursts}; {with_them['above']:.0f} above; without events {without['true_percent']:.1f} %")
            self.table.at_least("... without events: within what is seen and \"at most\"", without["within_percent"], 100,
                                " %", f"of {bursts}")
        try:
            figures = self.programs.figures("event_cost", 3 if self.is_short else 15)
        except RuntimeError as reason:
            self.table.skip("events: 200 000 foreign ones a second", str(reason))
            return
        self._foreign_events(figures)
        self.table.at_most("events: load and attach", figures["load_ms"], 50, " ms", is_ratio=False)

    def rest(self):
        """What the sampler takes while nothing happens, and how soon it looks when something does."""
        seconds, bursts = (12, 20) if self.is_short else (60, 200)
        with_them, without = (self.programs.figures("at_rest", seconds, bursts, use) for use in ("auto", "off"))
        title = "CPU of the sampler at rest, 100 listeners, by events"
        if with_them["events"] < 2:
            self.table.skip(title, "this kernel or these privileges have no events that tell drops")
            return
        self.table.at_most(title, with_them["cpu_percent"], 0.05, " %", f"without events {without['cpu_percent']:.2f} %",
                           is_ratio=False)
        self.table.at_most("... wake-ups a second", with_them["wake_ups"], 1, "",
                           f"without events {without['wake_ups']:.1f}")
        self.table.at_most("... from an eighth of the limit to the end of the first sample, p99",
                           with_them["first_sample_p99"], 5, " ms",
                           f"of {bursts}, {with_them['unseen']:.0f} unseen; median {with_them['first_sample_p50']:.1f} ms; "
                           f"load {os.getloadavg()[0]:.1f}", is_ratio=False)
        self.table.at_most("... memory more than without", with_them["resident_mb"] - without["resident_mb"], 1, " MB")

    def flow(self):
        """Whether as many are said to have come as came."""
        figures = self.programs.figures("flow_truth", 15 if self.is_short else 600)
        title = "arrivals by events, off by"
        if figures["events"] == 0:
            self.table.skip(title, "this kernel or these privileges have no events")
            return
        self.table.at_most(title, figures["arrived_off"], 0.01, " %", f"of {figures['connections']:.0f}; accepts off by "
                           f"{figures['accepted_off']:.3f} %; mean wait {figures['wait_ms']:.2f} ms, true "
                           f"{figures['true_wait_ms']:.2f} ms")
        if figures["quantiles_told"] > 0:
            self.table.at_most("waits by events: quantiles that are wrong", figures["quantiles_wrong"], 0, "",
                               f"of {figures['quantiles_told']:.0f} told, {figures['quantiles']:.0f} in all: below the truth, or "
                               "above twice the truth and 25 ms")

    def peers(self):
        """What others see of the same incidents, and what they take; not in --short, but by its name."""
        if reason := peers.missing():
            self.table.skip("peers", reason)
            return
        peers.Comparison(self.programs, 60 if self.is_short else 300).run()

    def _foreign_events(self, figures):
        """Of sockets that are none of theirs. Where the machine takes more than the goal to call programs that do
        nothing, ours are held against these, by the kernel's clock: on a busy machine two rises are too far apart."""
        percent = {name: figures[f"{name}_ns"] * 200000 / 1e9 * 100 for name in ("rise", "idle_rise")}
        remark = ("{rise_ns:.0f} ns each, {idle_rise_ns:.0f} ns with programs that do nothing, on a write and read of "
                  "{without_ns:.0f} ns; by the kernel's clock {program_ns:.0f} ns more than those".format(**figures))
        title = "events: 200 000 foreign ones a second"
        if percent["idle_rise"] <= FOREIGN_GOAL:
            self.table.at_most(title, percent["rise"], FOREIGN_GOAL, " % of a core", remark, is_ratio=False)
        else:
            self.table.at_most("events: a foreign one / the same by programs that do nothing",
                               1 + max(figures["program_ns"], 0) / figures["idle_rise_ns"], 1.25, "x",
                               f"{title[8:]}: {percent['rise']:.2f} % of a core, of which {percent['idle_rise']:.2f} % "
                               f"are tracing itself; {remark}")

    def drops(self):
        """Drops given to the wrong listener. The long form goes on with events until there were enough of them."""
        seconds = COLLECTD_INTERVAL if self.is_short else 60
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            runs = [pool.submit(self.programs.figures, "drop_mixes", mix, seconds, COLLECTD_INTERVAL, *how)
                    for mix, _, _ in MIXES for how in (["off"], ["auto", 0 if self.is_short else EXACT_DROPS])]
            for (_, title, goal), without, with_them in zip(MIXES, runs[::2], runs[1::2]):
                self._drops_of(f"drops given wrongly, {title}", goal, without)
                self._drops_of("... with events", 0, with_them, by_events=True)

    def _drops_of(self, title, goal, run, by_events=False):
        try:
            figures = run.result()
        except Skipped as reason:
            self.table.skip(title, str(reason))
            return
        if by_events and figures["without_events"] > 0:
            self.table.skip(title, f"{figures['without_events']:.0f} intervals were without events")
            return
        ports = [name.removeprefix("given_") for name in figures if name.startswith("given_")]
        given = ", ".join(f"{figures[f'given_{port}']:.0f} of {figures[f'true_{port}']:.0f}" for port in ports)
        wrong, doubtful = figures["wrong_percent"], figures["doubtful_percent"]
        remark = f"given {given}; to none {figures['none_percent']:.2f} %"
        if doubtful > 0:
            remark += f"; the truth is in doubt for {doubtful:.3f} %"
        self.table.at_most(title, max(0, wrong - doubtful), goal, " %", remark)


def cpu_seconds(pid):
    """{thread's name: CPU time} by the scheduler's own account; /proc/PID/stat counts in ticks."""
    seconds = collections.Counter()
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        name = (task / "comm").read_text(encoding="utf-8").strip()
        seconds[name] += int((task / "schedstat").read_text(encoding="ascii").split()[0]) / 1e9
    return seconds


def resident_mb(pid):
    pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


PARTS = ("sample", "pace", "connections", "others", "daemon", "snmp", "latency", "bursts", "events", "rest", "flow", "drops",
         "peers")
LONG = {"peers"}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("programs", type=pathlib.Path, help="the folder of the compiled programs")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; none: all")
    arguments = parser.parse_intermixed_args()
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")

    kernel.run("ip", "link", "set", "lo", "up")
    table = Table()
    bench = Bench(Programs(arguments.programs), table, arguments.short)
    for part in arguments.parts or [part for part in PARTS if not arguments.short or part not in LONG]:
        getattr(bench, part)()
    if arguments.check and table.grossly_missed:
        sys.exit(f"missed by more than a factor of {GROSS}: {'; '.join(table.grossly_missed)}")


if __name__ == "__main__":
    main()
