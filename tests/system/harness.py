"""What the system tests and the demo share: a private collectd, listeners whose
accept queues are known, and the kernel's own account of both.

Environment (set by ctest from CMake):
  BACKLOG_PLUGIN_DIR    the folder of backlog.so
  COLLECTD              the collectd binary
  COLLECTD_PLUGIN_DIR   the folder of collectd's own plugins
  COLLECTD_TYPESDB      collectd's types.db
  BACKLOG_SANITIZE      what backlog.so is built with, as -fsanitize takes it; may be empty
  BACKLOG_CXX           the compiler, asked for the sanitizers' libraries
"""

import collections
import contextlib
import ctypes
import ipaddress
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import unittest

SKIPPED = 77
HOSTNAME = "testhost"


# --- waiting ---------------------------------------------------------------

def wait_until(condition, timeout=10.0, what="the condition", pause=0.02):
    """The first true result of condition(); AssertionError after the timeout."""
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout} s in vain for {what}")
        time.sleep(pause)


# --- the kernel's account --------------------------------------------------

def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


SsListener = collections.namedtuple("SsListener", "family address port device v6only recv_q send_q")


def parse_ss(text):
    """The lines of `ss -lntH`; address is "0.0.0.0", "::" or a literal, device None if unbound.
    v6only is None where ss does not tell (an IPv6 address other than ::)."""
    listeners = []
    for line in text.splitlines():
        state, recv_q, send_q, local = line.split()[:4]
        if state != "LISTEN":
            continue
        host, port = local.rsplit(":", 1)
        host, _, device = host.partition("%")
        v6only = None
        if host == "*":
            family, address, v6only = socket.AF_INET6, "::", False
        elif host.startswith("["):
            family, address = socket.AF_INET6, host.strip("[]")
            if address == "::":
                v6only = True
        else:
            family, address = socket.AF_INET, host
        listeners.append(SsListener(family, address, int(port), device or None, v6only, int(recv_q), int(send_q)))
    return listeners


def ss():
    return parse_ss(run("ss", "-lntH"))


def parse_proc_counters(text):
    """/proc/net/netstat and /proc/net/snmp: pairs of lines, names and numbers -> {"TcpExt": {name: number}}."""
    groups = {}
    lines = text.splitlines()
    for names, numbers in zip(lines[::2], lines[1::2]):
        group, names = names.split(":", 1)
        groups[group] = dict(zip(names.split(), map(int, numbers.split(":", 1)[1].split())))
    return groups


def kernel_counters():
    """The TCP counters of the caller's net namespace by the kernel's own names."""
    counters = {}
    for file, group in (("netstat", "TcpExt"), ("snmp", "Tcp")):
        text = pathlib.Path("/proc/thread-self/net", file).read_text(encoding="ascii")
        counters.update(parse_proc_counters(text).get(group, {}))
    return counters


def sysctl_path(name):
    return pathlib.Path("/proc/sys", *name.split("."))


def read_sysctl(name):
    """The value as text, or None where the kernel does not have it."""
    try:
        return sysctl_path(name).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None


def write_sysctl(name, value):
    sysctl_path(name).write_text(str(value), encoding="ascii")


def have_ipv6():
    return os.path.exists("/proc/net/if_inet6")


# --- names, an independent version of the plugin's rule ---------------------

def tcp_name(family, address, port, device=None, v6only=None):
    """The name of a TCP listener in the plugin's own net namespace. v6only matters for :: only.
    The hash for awkward device names is left to the plugin's unit tests."""
    address = ipaddress.ip_address(address)
    prefix, link_local = "tcp", False
    if family == socket.AF_INET6:
        if address.ipv4_mapped:
            address = address.ipv4_mapped
        elif not address.is_unspecified or v6only:
            prefix = "tcp6"
            link_local = address.is_link_local
    text = "any" if address.is_unspecified else re.sub("[.:]", "-", str(address))
    if link_local and device:
        return f"{prefix}_{text}_{device.replace('.', '-')}_{port}"
    name = f"{prefix}_{text}_{port}"
    return f"{name}__dev_{device.replace('.', '-')}" if device else name


def unix_name(address):
    """Likewise of a Unix listener; awkward addresses, which have a hash, are left to the plugin's unit tests."""
    prefix, text = ("unix_abstract_", address[1:]) if address.startswith("\0") else ("unix_", address.lstrip("/"))
    return prefix + text.replace("/", "_").replace(".", "-").replace(":", "-")


def percent_used(length, limit):
    return min(100.0, 100.0 * length / (limit + 1))


# --- listeners and clients --------------------------------------------------

SO_BINDTODEVICE = 25
TCP_INFO_UNACKED = 24  # in struct tcp_info; of a listener: the accept queue's length


def candidate_ports():
    """Ports below the range that makes a name unstable, from a random start."""
    top = int(read_sysctl("net.ipv4.ip_local_port_range").split()[0])
    low = min(10000, top // 2)
    start = int.from_bytes(os.urandom(4), "big")
    return (low + (start + step) % (top - low) for step in range(top - low))


class Listener:
    """A listening TCP socket and the clients that wait in its accept queue."""

    def __init__(self, address="127.0.0.1", port=None, limit=16, v6only=None, device=None, reuse_port=False,
                 protocol=0):
        self.address = address
        self.device = device
        self.v6only = v6only
        self.family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.clients = []
        for candidate in [port] if port else candidate_ports():
            self.socket = socket.socket(self.family, socket.SOCK_STREAM, protocol)
            try:
                self._bind(candidate, reuse_port)
                self.socket.listen(limit)
                break
            except OSError:
                self.socket.close()
                if port:
                    raise
        self.port = self.socket.getsockname()[1]

    def _bind(self, port, reuse_port):
        if self.v6only is not None:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(self.v6only))
        if self.device:
            self.socket.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, self.device.encode())
        if reuse_port:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.socket.bind(self._sockaddr(self.address, port))

    def _sockaddr(self, address, port):
        if self.family == socket.AF_INET:
            return (address, port)
        scope = socket.if_nametoindex(self.device) if ipaddress.ip_address(address).is_link_local else 0
        return (address, port, 0, scope)

    @property
    def name(self):
        return tcp_name(self.family, self.address, self.port, self.device, self.v6only)

    def _tcp_info(self, offset):
        info = self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 64)
        return struct.unpack_from("=I", info, offset)[0]

    @property
    def length(self):
        return self._tcp_info(TCP_INFO_UNACKED)

    @property
    def limit(self):
        return self._tcp_info(TCP_INFO_UNACKED + 4)

    def listen(self, limit):
        self.socket.listen(limit)

    def connect(self, count=1, target=None):
        """Starts connections, and does not wait for them; those beyond the limit stay unanswered."""
        target = target or {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.address, self.address)
        for _ in range(count):
            client = socket.socket(self.family, socket.SOCK_STREAM)
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect(self._sockaddr(target, self.port))
            self.clients.append(client)

    def fill(self, length):
        """Connects clients until so many wait."""
        self.connect(length - self.length)
        wait_until(lambda: self.length == length, what=f"{length} connections waiting at {self.name}")
        return self

    def accept(self, count=1):
        for _ in range(count):
            self.socket.accept()[0].close()

    def drop_clients(self):
        for client in self.clients:
            client.close()
        self.clients.clear()

    def close(self):
        self.drop_clients()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class UnixListener:
    """A listening Unix socket and the clients that wait in its accept queue. A leading NUL makes
    the address an abstract name."""

    def __init__(self, address, limit=16, kind=socket.SOCK_STREAM):
        self.address = address
        self.kind = kind
        self.clients = []
        self.length = 0
        self.socket = socket.socket(socket.AF_UNIX, kind)
        self.socket.bind(address)
        self.socket.listen(limit)

    @property
    def name(self):
        return unix_name(self.address)

    def connect(self, count=1):
        """How many of them found room."""
        before = self.length
        for _ in range(count):
            client = socket.socket(socket.AF_UNIX, self.kind)
            client.setblocking(False)
            self.clients.append(client)
            with contextlib.suppress(BlockingIOError):
                client.connect(self.address)
                self.length += 1
        return self.length - before

    def accept(self, count=1):
        for _ in range(count):
            self.socket.accept()[0].close()
            self.length -= 1

    def close(self):
        for client in self.clients:
            client.close()
        self.socket.close()


class Fork:
    """A process that does work(ready) and is killed at the end. The test goes on when ready() is called."""

    def __init__(self, work):
        read_end, write_end = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                die_with_parent()
                work(lambda: os.write(write_end, b"."))
            except BaseException:  # pylint: disable=broad-except
                traceback.print_exc()
            finally:
                os._exit(1)
        os.close(write_end)
        with open(read_end, "rb", buffering=0) as ready:
            if not ready.read(1):
                self.close()
                raise AssertionError("a process of the test failed")

    def close(self):
        pid, self.pid = self.pid, None
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def raise_descriptor_limit():
    """Of this process, as far as it may; the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


# --- collectd ---------------------------------------------------------------

def _required(variable):
    value = os.environ.get(variable)
    if not value:
        raise unittest.SkipTest(f"{variable} is not set")
    if not os.path.exists(value):
        raise unittest.SkipTest(f"{variable}={value} does not exist")
    return value


def sanitizers():
    return [word for word in os.environ.get("BACKLOG_SANITIZE", "").split(",") if word]


def _sanitizer_preload():
    """libstdc++ too: without it the sanitizer finds no __cxa_throw to wrap in a C program."""
    names = {"address": "libasan.so", "undefined": "libubsan.so", "thread": "libtsan.so"}
    compiler = os.environ.get("BACKLOG_CXX", "g++")
    wanted = [names[word] for word in sanitizers() if word in names]
    return [run(compiler, f"-print-file-name={name}").strip() for name in wanted + ["libstdc++.so"] * bool(wanted)]


EXPENSIVE_SCAN = " in every interval"  # in the message of a scan of all connections that takes too long
PR_SET_PDEATHSIG = 1
PR_CAPBSET_DROP = 24
CAP_SYS_ADMIN = 21
PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option, *arguments):
    if _libc.prctl(option, *(ctypes.c_ulong(argument) for argument in arguments)) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def die_with_parent():
    """For the child between fork and exec: it is killed when the thread that forked ends."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


_CLONE_NEWNS = 0x00020000
_MS_REC, _MS_PRIVATE = 0x4000, 0x40000


def mount_private_proc(options):
    """For this process and those that it starts."""
    steps = [lambda: _libc.unshare(_CLONE_NEWNS),
             lambda: _libc.mount(b"none", b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None),
             lambda: _libc.mount(b"proc", b"/proc", b"proc", ctypes.c_ulong(0), options.encode())]
    for step in steps:
        if step() != 0:
            raise OSError(ctypes.get_errno(), "mount /proc")


class Collectd:
    """A collectd of the test's own: private folders, csv with raw values, plugin backlog.

    plugin_config is the text inside <Plugin backlog>, None for no such block. Used as a context
    manager it is started, and ended whatever happens.
    """

    def __init__(self, plugin_config=None, *, interval=0.25, plugins=(), config="", load_backlog=True,
                 daemonise=False, preload=(), environment=None, refuse_sock_diag=False, directory=None,
                 hostname=None, without_capabilities=(), proc_options=None):
        self.hostname = hostname or HOSTNAME  # which the demo sets
        self.binary = _required("COLLECTD")
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
        lines = [
            f'Hostname "{self.hostname}"', "FQDNLookup false", f"Interval {self.interval}",
            f'BaseDir "{self.directory}/base"', f'PIDFile "{self.pid_file}"',
            f'TypesDB "{_required("COLLECTD_TYPESDB")}"', f'PluginDir "{_required("COLLECTD_PLUGIN_DIR")}"',
            "LoadPlugin logfile",
            "<Plugin logfile>", "LogLevel info", f'File "{self.log_file}"', "Timestamp false",
            "PrintSeverity true", "</Plugin>",
            "LoadPlugin csv",
            "<Plugin csv>", f'DataDir "{self.directory}/csv"', "StoreRates false", "</Plugin>",
        ]
        lines += [f"LoadPlugin {plugin}" for plugin in plugins]
        if load_backlog:
            lines += [f'PluginDir "{_required("BACKLOG_PLUGIN_DIR")}"', "LoadPlugin backlog"]
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
            _prctl(PR_CAPBSET_DROP, capability)
        if self.refuse_sock_diag:
            _refuse_sock_diag()

    def _spawn(self, *options):
        with open(self.directory / "stderr", "ab") as stderr:
            return subprocess.Popen(
                [self.binary, "-C", self.config_file, *options], stdin=subprocess.DEVNULL, stdout=stderr,
                stderr=stderr, env=self._environment, preexec_fn=self._before_exec)

    def start(self):
        if not self.daemonise:
            self._process = self._spawn("-f")
            self.pid = self._process.pid
            return self
        _prctl(PR_SET_CHILD_SUBREAPER, 1)
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

    # what it says

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
        """What the plugin has logged, but for scans of all connections that a busy host makes expensive."""
        return [line for line in self.log().splitlines() if "backlog plugin: " in line and EXPENSIVE_SCAN not in line]

    def wait_for_log(self, pattern, timeout=15.0):
        return self.wait(lambda: re.search(pattern, self.log(), re.MULTILINE), timeout, f"/{pattern}/ in the log")

    def check_sanitizers(self):
        reports = [file.read_text(errors="replace") for file in self.directory.glob("sanitizer*")]
        reports += re.findall(r"^.*(?:runtime error:|Sanitizer:).*$", self.output(), re.MULTILINE)
        if any(reports):
            raise AssertionError("\n".join(reports))

    # what it stores

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
            raise AssertionError(f"{error}\nthe newest value is {last[0]}") from None

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

    # what it holds

    def descriptors(self):
        """{number: what it is} of the running process."""
        folder = pathlib.Path("/proc", str(self.pid), "fd")
        result = {}
        for entry in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError):
                result[int(entry)] = re.sub(r"\d{3,}", "N", os.readlink(folder / entry))
        return result


# --- a kernel without sock_diag ----------------------------------------------

_SYSCALL_SOCKET = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198), "riscv64": (0xC00000F3, 198)}
_NETLINK_SOCK_DIAG = 4


def can_refuse_sock_diag():
    return os.uname().machine in _SYSCALL_SOCKET


def _refuse_sock_diag():
    """A seccomp filter on this process: socket(AF_NETLINK, ..., NETLINK_SOCK_DIAG) -> EPROTONOSUPPORT."""
    architecture, number = _SYSCALL_SOCKET[os.uname().machine]
    load, equal, give = 0x20, 0x15, 0x06  # BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K
    allow, errno_of = 0x7FFF0000, 0x00050000
    program = [
        (load, 0, 0, 4), (equal, 0, 7, architecture),
        (load, 0, 0, 0), (equal, 0, 5, number),
        (load, 0, 0, 16), (equal, 0, 3, socket.AF_NETLINK),
        (load, 0, 0, 32), (equal, 0, 1, _NETLINK_SOCK_DIAG),
        (give, 0, 0, errno_of | 93),  # EPROTONOSUPPORT
        (give, 0, 0, allow),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in program))
    filter_ = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    _prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _prctl(PR_SET_SECCOMP, 2, ctypes.addressof(filter_), 0, 0)


# --- the tests' frame --------------------------------------------------------

class SystemTest(unittest.TestCase):
    """Closes what a test opened, in the reverse order."""

    def listener(self, *arguments, **options):
        listener = Listener(*arguments, **options)
        self.addCleanup(listener.close)
        return listener

    def collectd(self, *arguments, **options):
        """A running collectd; ended, and its sanitizers' reports looked at, after the test."""
        collectd = Collectd(*arguments, **options)
        self.addCleanup(collectd.__exit__, None, None, None)
        return collectd.start()

    def unix_listener(self, *arguments, **options):
        listener = UnixListener(*arguments, **options)
        self.addCleanup(listener.close)
        return listener

    def fork(self, work):
        process = Fork(work)
        self.addCleanup(process.close)
        return process

    def folder(self):
        folder = tempfile.TemporaryDirectory(prefix="collectd-backlog-")
        self.addCleanup(folder.cleanup)
        return folder.name

    def skip_in_a_unit(self):
        """Of what runs in a unit or a container this is shown as the owner, rather than the process."""
        text = pathlib.Path("/proc/self/cgroup").read_text(encoding="utf-8")
        if re.search(r"^(0:|\d+:name=systemd):.*(\.service|\.scope|[0-9a-f]{64})", text, re.MULTILINE):
            self.skipTest("the test runs in a unit or a container")

    def set_sysctl(self, name, value):
        self.addCleanup(write_sysctl, name, read_sysctl(name))
        write_sysctl(name, value)


LOCAL_PORT_RANGE = (50000, 60999)
# Of these, the ports that listeners with unstable names have and hardly a client gets: connect() takes even ones first
# where the range begins with one (__inet_hash_connect() in net/ipv4/inet_hashtables.c).
UNSTABLE_PORTS = range(LOCAL_PORT_RANGE[0] + 1, LOCAL_PORT_RANGE[1], 2)
_OUTER_NAMESPACE = "BACKLOG_OUTER_NET_NAMESPACE"


def _net_namespace():
    return os.readlink("/proc/self/ns/net")


def _skip(reason):
    print(f"SKIP: {reason}", flush=True)
    sys.exit(SKIPPED)


def _enter_namespace():
    """Starts this program again in a net namespace of its own; its end is the only cleanup."""
    if os.environ.get(_OUTER_NAMESPACE, _net_namespace()) == _net_namespace():
        os.environ[_OUTER_NAMESPACE] = _net_namespace()
        for options in ("-n", "-rn"):
            if subprocess.run(["unshare", options, "true"], capture_output=True, check=False).returncode == 0:
                os.execvp("unshare", ["unshare", options, sys.executable, *sys.argv])
        _skip("no permission to make a net namespace")
    run("ip", "link", "set", "lo", "up")
    write_sysctl("net.ipv4.ip_local_port_range", "{} {}".format(*LOCAL_PORT_RANGE))


def make_device(name):
    """A network device without traffic, or False where the kernel has no such type."""
    for kind in (["type", "dummy"], ["type", "veth", "peer", "name", f"{name}-peer"]):
        command = ["ip", "link", "add", name, *kind]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            run("ip", "link", "set", name, "up")
            return True
    return False


def main(namespace=True):
    """Runs the tests of the calling file; exit status 77 when none could run."""
    for program in ("unshare", "ip", "ss"):
        if not shutil.which(program):
            _skip(f"{program} is missing")
    try:
        for variable in ("COLLECTD", "COLLECTD_PLUGIN_DIR", "COLLECTD_TYPESDB", "BACKLOG_PLUGIN_DIR"):
            _required(variable)
    except unittest.SkipTest as error:
        _skip(error)
    if namespace:
        _enter_namespace()
    result = unittest.main(module="__main__", verbosity=2, exit=False).result
    sys.exit(exit_status(result))


def exit_status(result):
    """0, 1, or SKIPPED if nothing has run; says why what was skipped."""
    for reason in sorted({reason for _, reason in result.skipped}):
        print(f"SKIP: {reason}", flush=True)
    # A class that is skipped by its setUpClass has run no test; a test of which a part (subTest) is has run.
    tests = [test for test, _ in result.skipped
             if isinstance(test, unittest.TestCase) and not isinstance(test, unittest.case._SubTest)]
    ran = result.testsRun - len(tests)
    if result.wasSuccessful() and not ran and result.skipped:
        return SKIPPED
    return 0 if result.wasSuccessful() and ran else 1
