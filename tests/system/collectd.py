"""A collectd of the test's own: private folders, and what it logs, stores and holds.

Environment (set by ctest from CMake):
  BACKLOG_PLUGIN_DIR    the folder of backlog.so
  COLLECTD              the collectd binary
  COLLECTD_PLUGIN_DIR   the folder of collectd's own plugins
  COLLECTD_TYPESDB      collectd's types.db
  BACKLOG_SANITIZE      what backlog.so is built with, as -fsanitize takes it; may be empty
  BACKLOG_CXX           the compiler, asked for the sanitizers' libraries
and, of whoever wants to see the same without BPF programs:
  BACKLOG_EVENTS        off: as if each configuration said so that says nothing of Events
"""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from kernel import run
from processes import (PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, die_with_parent, mount_private_proc, prctl,
                       refuse_sock_diag)
from waiting import wait_until

HOSTNAME = "testhost"
EXPENSIVE_SCAN = " in every interval"  # in the message of a scan of all connections that takes too long


def required(variable):
    value = os.environ.get(variable)
    if not value:
        raise unittest.SkipTest(f"{variable} is not set")
    if not os.path.exists(value):
        raise unittest.SkipTest(f"{variable}={value} does not exist")
    return value


def events_wanted():
    return os.environ.get("BACKLOG_EVENTS") != "off"


def sanitizers():
    return [word for word in os.environ.get("BACKLOG_SANITIZE", "").split(",") if word]


def _sanitizer_preload():
    """libstdc++ too: without it the sanitizer finds no __cxa_throw to wrap in a C program."""
    names = {"address": "libasan.so", "undefined": "libubsan.so", "thread": "libtsan.so"}
    compiler = os.environ.get("BACKLOG_CXX", "g++")
    wanted = [names[word] for word in sanitizers() if word in names]
    return [run(compiler, f"-print-file-name={name}").strip() for name in wanted + ["libstdc++.so"] * bool(wanted)]


class Collectd:
    """A collectd of the test's own: private folders, csv with raw values, plugin backlog.

    plugin_config is the text inside <Plugin backlog>, None for no such block. Used as a context
    manager it is started, and ended whatever happens.
    """

    def __init__(self, plugin_config=None, *, interval=0.25, plugins=(), config="", load_backlog=True,
                 daemonise=False, preload=(), environment=None, refuse_sock_diag=False, directory=None,
                 hostname=None, without_capabilities=(), proc_options=None):
        self.hostname = hostname or HOSTNAME  # which the demo sets
        self.binary = required("COLLECTD")
        self.interval = interval
        self.daemonise = daemonise
        self.refuse_sock_diag = refuse_sock_diag
        self.without_capabilities = without_capabilities
        self.proc_options = proc_options  # of a /proc of its own
        self._temporary = directory is None
        self.directory = pathlib.Path(directory or tempfile.mkdtemp(prefix="collectd-backlog-"))
        for folder in ("base", "csv"):
            (self.directory / folder).mkdir(parents=True, exist_ok=True)
        self.pid = None
        self.status = None
        self._process = None
        self._environment = dict(os.environ, **(environment or {}))
        self._prepare_preload(preload)
        self._write_config(plugin_config, plugins, config, load_backlog)

    def _prepare_preload(self, preload):
        libraries = _sanitizer_preload() + list(preload)
        if libraries:
            self._environment["LD_PRELOAD"] = ":".join(libraries)
        if sanitizers():
            # collectd leaks at its exit; the reports go to files, for a daemon has no stderr.
            log_path = f"log_path={self.directory}/sanitizer"
            self._environment["ASAN_OPTIONS"] = f"detect_leaks=0:{log_path}"
            self._environment["UBSAN_OPTIONS"] = f"print_stacktrace=1:{log_path}"
            self._environment["TSAN_OPTIONS"] = log_path

    def _write_config(self, plugin_config, plugins, config, load_backlog):
        # One write thread: the csv plugin of collectd makes a file anew, and loses a value, if two threads have the
        # first two values of a series at the same moment.
        lines = [
            "WriteThreads 1", f'Hostname "{self.hostname}"', "FQDNLookup false", f"Interval {self.interval}",
            f'BaseDir "{self.directory}/base"', f'PIDFile "{self.pid_file}"',
            f'TypesDB "{required("COLLECTD_TYPESDB")}"', f'PluginDir "{required("COLLECTD_PLUGIN_DIR")}"',
            "LoadPlugin logfile",
            "<Plugin logfile>", "LogLevel info", f'File "{self.log_file}"', "Timestamp false",
            "PrintSeverity true", "</Plugin>",
            "LoadPlugin csv",
            "<Plugin csv>", f'DataDir "{self.directory}/csv"', "StoreRates false", "</Plugin>",
        ]
        lines += [f"LoadPlugin {plugin}" for plugin in plugins]
        if load_backlog:
            lines += [f'PluginDir "{required("BACKLOG_PLUGIN_DIR")}"', "LoadPlugin backlog"]
        if load_backlog and not events_wanted() and "Events" not in (plugin_config or ""):
            plugin_config = (plugin_config or "") + "\nEvents off"
        if plugin_config is not None:
            lines += ["<Plugin backlog>", plugin_config, "</Plugin>"]
        self.config_file.write_text("\n".join(lines + [config, ""]), encoding="utf-8")

    @property
    def config_file(self):
        return self.directory / "collectd.conf"

    @property
    def pid_file(self):
        return self.directory / "collectd.pid"

    @property
    def log_file(self):
        return self.directory / "collectd.log"

    def _before_exec(self):
        die_with_parent()
        if self.proc_options:
            mount_private_proc(self.proc_options)
        for capability in self.without_capabilities:
            prctl(PR_CAPBSET_DROP, capability)
        if self.refuse_sock_diag:
            refuse_sock_diag()

    def _spawn(self, *options):
        # With MEMCHECK it runs under valgrind, whose report goes where those of sanitizers do.
        memcheck = ["valgrind", "--quiet", f"--log-file={self.directory}/sanitizer.%p"]
        with open(self.directory / "stderr", "ab") as stderr:
            return subprocess.Popen(
                [*(memcheck if os.environ.get("MEMCHECK") else []), self.binary, "-C", self.config_file, *options], stdin=subprocess.DEVNULL, stdout=stderr,
                stderr=stderr, env=self._environment, preexec_fn=self._before_exec)

    def start(self):
        if not self.daemonise:
            self._process = self._spawn("-f")
            self.pid = self._process.pid
            return self
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        launcher = self._spawn()
        if launcher.wait(30) != 0:
            raise AssertionError(f"collectd did not start:\n{self.output()}")
        self.pid = wait_until(self._read_pid, what="collectd's PID file")
        return self

    def _read_pid(self):
        with contextlib.suppress(FileNotFoundError, ValueError):
            return int(self.pid_file.read_text(encoding="ascii"))
        return None

    def run_to_exit(self, *options, timeout=30):
        """The exit status of a collectd that ends by itself."""
        self._process = self._spawn(*options)
        self.pid = self._process.pid
        self._wait_exit(timeout)
        return self.status

    def running(self):
        """Whether the process is there; reaps it if it ended."""
        if self.pid is None or self.status is not None:
            return False
        if self._process:
            self.status = self._process.poll()
        else:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is None

    def _wait_exit(self, timeout):
        wait_until(lambda: not self.running(), timeout, "collectd's end", pause=0.005)

    def stop(self, timeout=10):
        """Ends it by SIGTERM; the seconds that took."""
        start = time.monotonic()
        os.kill(self.pid, signal.SIGTERM)
        self._wait_exit(timeout)
        return time.monotonic() - start

    def close(self):
        if self.running():
            os.kill(self.pid, signal.SIGTERM)
            with contextlib.suppress(AssertionError):
                self._wait_exit(5)
        if self.running():
            os.kill(self.pid, signal.SIGKILL)
            self._wait_exit(5)
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.check_sanitizers()
        finally:
            self.close()

    def log(self):
        with contextlib.suppress(FileNotFoundError):
            return self.log_file.read_text(encoding="utf-8", errors="replace")
        return ""

    def output(self):
        """The log and what was printed, before a log plugin was there or by a sanitizer."""
        return self.log() + (self.directory / "stderr").read_text(encoding="utf-8", errors="replace")

    def wait(self, condition, timeout=15.0, what="the condition"):
        """wait_until() that also ends when collectd does, and shows its log."""
        def check():
            if not self.running():
                raise AssertionError(f"collectd ended with {self.status}")
            return condition()
        try:
            return wait_until(check, timeout, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n--- collectd says ---\n{self.output()[-4000:]}") from None

    def messages(self):
        """What the plugin has logged, but for scans of all connections that a busy host makes expensive, and for
        what it says at the start of events."""
        return [line for line in self.log().splitlines()
                if "backlog plugin: " in line and EXPENSIVE_SCAN not in line and not re.search("(no )?events: ", line)]

    def wait_for_log(self, pattern, timeout=15.0):
        return self.wait(lambda: re.search(pattern, self.log(), re.MULTILINE), timeout, f"/{pattern}/ in the log")

    def check_sanitizers(self):
        # A line of valgrind that begins with -- tells of valgrind itself.
        reports = [re.sub(r"^--\d+-- .*\n", "", file.read_text(errors="replace"), flags=re.MULTILINE)
                   for file in self.directory.glob("sanitizer*")]
        reports += re.findall(r"^.*(?:runtime error:|Sanitizer:).*$", self.output(), re.MULTILINE)
        if any(reports):
            raise AssertionError("\n".join(reports))

    def instances(self):
        """The plugin instances of backlog that have a series, e.g. tcp_any_80."""
        host = self.directory / "csv" / self.hostname
        return {folder.name.removeprefix("backlog-") for folder in host.glob("backlog-*")}

    def listeners(self):
        """The instances that are TCP listeners of their own."""
        return {name for name in self.instances() if name.startswith("tcp") and name != "tcp_unstable"}

    def unix_listeners(self):
        """The instances that are Unix listeners of their own."""
        return {name for name in self.instances() if name.startswith("unix") and name != "unix_unstable"}

    def series_names(self, instance):
        return {re.sub(r"-\d{4}-\d\d-\d\d$", "", file.name) for file in self._folder(instance).glob("*")}

    def _folder(self, instance):
        return self.directory / "csv" / self.hostname / f"backlog-{instance}"

    def values(self, instance, series):
        """[(epoch, value)] in the order of time; series is type-instance, e.g. queue_length-accept.
        collectd's write threads may store values of one series out of order."""
        values = []
        for file in self._folder(instance).glob(f"{series}-[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"):
            for line in file.read_text(encoding="ascii").splitlines(keepends=True)[1:]:
                if line.endswith("\n"):
                    when, value = line.split(",")
                    values.append((float(when), float(value)))
        return sorted(values)

    def rows(self, *series):
        """{epoch: [value of each (instance, series)]} for the times at which all have one; all
        values of one interval have the same time."""
        columns = [dict(self.values(*each)) for each in series]
        times = set(columns[0]).intersection(*columns[1:])
        return {when: [column[when] for column in columns] for when in sorted(times)}

    def latest(self, instance, series):
        """The newest value, or None."""
        values = self.values(instance, series)
        return values[-1][1] if values else None

    def wait_for_value(self, instance, series, wanted, timeout=15.0):
        """Until the newest value is the wanted one (a predicate or a number)."""
        matches = wanted if callable(wanted) else lambda value: value == wanted
        last = [None]

        def check():
            last[0] = self.latest(instance, series)
            return last[0] is not None and matches(last[0])
        try:
            self.wait(check, timeout, f"{instance}/{series} = {wanted}")
        except AssertionError as error:
            raise AssertionError(f"{error}\nthe newest value is {last[0]}; there are series of "
                                 f"{sorted(self.instances())}") from None

    def wait_for_intervals(self, count, instance="kernel", series="gauge-somaxconn"):
        """Until so many values were stored that were read wholly after now. The first may be of a
        harvest that had begun before, therefore it does not count."""
        start = time.time()
        self.wait(lambda: sum(when > start for when, _ in self.values(instance, series)) > count,
                  10 + 3 * count * self.interval, f"{count} values of {instance}/{series}")

    def wait_for_samples(self):
        """Until the sampler has looked at the TCP listeners after now; with ReportUnix false, since
        it wakes up for Unix listeners, too."""
        tasks = pathlib.Path("/proc", str(self.pid), "task")
        sampler = next(task for task in tasks.iterdir() if (task / "comm").read_text().strip() == "backlog sampler")

        def wake_ups():
            return int((sampler / "schedstat").read_text(encoding="ascii").split()[2])
        # A sample may be under way now, and one may take two turns on a busy CPU.
        enough = wake_ups() + 3
        self.wait(lambda: wake_ups() >= enough, what="samples")

    def descriptors(self):
        """{number: what it is} of the running process."""
        folder = pathlib.Path("/proc", str(self.pid), "fd")
        result = {}
        for entry in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError):
                result[int(entry)] = re.sub(r"\d{3,}", "N", os.readlink(folder / entry))
        return result

    def resident_kb(self):
        status = pathlib.Path("/proc", str(self.pid), "status").read_text(encoding="ascii", errors="replace")
        return int(re.search(r"^VmRSS:\s*(\d+)", status, re.MULTILINE)[1])
