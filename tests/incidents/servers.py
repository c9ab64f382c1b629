"""Real servers as Debian's packages have them, unpacked below SERVERS_ROOT (conf/packaging/packages.sh unpacks
them) or installed, each with a configuration of the test's own, and the clients that they serve.

A server is a group of processes that ends with the test. They listen on the loopback of the test's net namespace.
"""

import contextlib
import os
import pathlib
import signal
import socket
import struct
import subprocess
import threading
import unittest

from kernel import run, ss
from listeners import candidate_ports
from names import tcp_name, unix_name
from processes import die_with_parent
from waiting import wait_until

NOBODY = 65534
SO_ACCEPTCON = 1 << 16  # flag of a listening socket in /proc/net/unix


def _root():
    return pathlib.Path(os.environ.get("SERVERS_ROOT") or "/")


def program(pattern, *folders):
    """The path of the program of this name, which may be a pattern; skips the test where there is none."""
    for root in (_root(), pathlib.Path("/")):
        for folder in folders or ("usr/sbin", "usr/bin"):
            for path in sorted(root.glob(f"{folder}/{pattern}")):
                return str(path)
    raise unittest.SkipTest(f"{pattern} is missing")


def _environment():
    environment = dict(os.environ)
    if _root() != pathlib.Path("/"):
        environment["LD_LIBRARY_PATH"] = ":".join(str(path) for path in sorted(_root().glob("usr/lib/*-linux-gnu*")))
        environment["PYTHONPATH"] = str(_root() / "usr/lib/python3/dist-packages")
    return environment


def free_port():
    """One that nobody has now and that is outside the range of ephemeral ports."""
    for port in candidate_ports():
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")


class Server:
    """One that listens at an address: a port of 127.0.0.1, or a path."""

    def __init__(self, folder, address, command):
        self.folder = pathlib.Path(folder)
        self.address = address
        self.command = [str(part) for part in command]
        self.process = None

    @property
    def name(self):
        if isinstance(self.address, int):
            return tcp_name(socket.AF_INET, "127.0.0.1", self.address)
        return unix_name(self.address)

    def start(self):
        with open(self.folder / "output", "ab") as output:
            self.process = subprocess.Popen(
                self.command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=_environment(),
                preexec_fn=die_with_parent, start_new_session=True)
        wait_until(self._is_listening, 10, f"{self.command[0]} to listen at {self.address}")
        return self

    def _is_listening(self):
        """Nobody connects to find out: who did would wait in the queue."""
        if self.process.poll() is not None:
            raise AssertionError(f"{self.command} ended with {self.process.returncode}: {self.output()}")
        if isinstance(self.address, int):
            return any(each.port == self.address for each in ss())
        listening = f"{SO_ACCEPTCON:08X}"
        lines = map(str.split, pathlib.Path("/proc/thread-self/net/unix").read_text(encoding="utf-8").splitlines())
        return any(line[3] == listening and line[-1] == self.address for line in lines)

    def output(self):
        return (self.folder / "output").read_text(encoding="utf-8", errors="replace")[-2000:]

    def connect(self, timeout=None):
        if isinstance(self.address, int):
            client, address = socket.socket(), ("127.0.0.1", self.address)
        else:
            client, address = socket.socket(socket.AF_UNIX), self.address
        try:
            client.settimeout(timeout)
            client.connect(address)
        except OSError:
            client.close()
            raise
        return client

    def pids(self):
        """Of all its processes, the first one first."""
        return [self.process.pid, *self.workers()]

    def workers(self):
        """The pids of its children."""
        text = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="ascii")
        return [int(pid) for pid in text.split()]

    def _is_stopped(self):
        """Threads stop one after the other."""
        states = [stat.read_text(encoding="ascii").rpartition(")")[2].split()[0]
                  for pid in self.pids() for stat in pathlib.Path(f"/proc/{pid}/task").glob("*/stat")]
        return set(states) == {"T"}

    @contextlib.contextmanager
    def paused(self):
        """All its processes are stopped."""
        os.killpg(self.process.pid, signal.SIGSTOP)
        try:
            wait_until(self._is_stopped, what="the server's stop", pause=0.001)
            yield
        finally:
            os.killpg(self.process.pid, signal.SIGCONT)

    def close(self):
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        self.process = None


def _written(folder, name, text):
    path = pathlib.Path(folder, name)
    path.write_text(text, encoding="utf-8")
    return path


def redis(folder, backlog=511):
    port = free_port()
    return Server(folder, port, [
        program("redis-server"), "--port", port, "--bind", "127.0.0.1", "--tcp-backlog", backlog, "--save", "",
        "--enable-debug-command", "yes", "--dir", folder])


def memcached(folder, backlog=1024, port=None):
    port = port or free_port()
    return Server(folder, port, [program("memcached"), "-u", "root", "-l", "127.0.0.1", "-p", port, "-U", "0", "-t", "2",
                                 "-b", backlog])


def nginx(folder, backlog=511, workers=1, reuse_port=False, most_connections=256, location='return 200 "hello";'):
    """location: what it does with a request; see behind()."""
    port = free_port()
    configuration = _written(folder, "nginx.conf", f"""
user root;
worker_processes {workers};
daemon off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections {most_connections}; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} backlog={backlog}{" reuseport" if reuse_port else ""};
    location / {{ {location} }}
  }}
}}
""")
    return Server(folder, port, [program("nginx"), "-p", folder, "-c", configuration])


def behind(server):
    """What nginx does in front of a server."""
    if isinstance(server.address, int):
        return f"proxy_pass http://127.0.0.1:{server.address};"
    return (f"fastcgi_pass unix:{server.address}; fastcgi_param SCRIPT_FILENAME {server.folder}/page.php; "
            "fastcgi_param REQUEST_METHOD GET; fastcgi_param QUERY_STRING $arg_t;")


def apache(folder, backlog=511):
    port = free_port()
    modules = _root() / "usr/lib/apache2/modules"
    configuration = _written(folder, "apache.conf", f"""
ServerName localhost
ServerRoot {folder}
DefaultRuntimeDir {folder}
PidFile {folder}/apache.pid
ErrorLog {folder}/error.log
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
Listen 127.0.0.1:{port}
ListenBackLog {backlog}
AcceptFilter http none
StartServers 1
ServerLimit 1
ThreadsPerChild 25
MaxRequestWorkers 25
DocumentRoot {folder}
""")
    return Server(folder, port, [program("apache2"), "-f", configuration, "-D", "FOREGROUND"])


def gunicorn(folder, backlog=64, workers=1, seconds=0.05, redis_port=None):
    """One whose every answer takes so long, and that of this redis, if there is one."""
    port = free_port()
    _written(folder, "application.py", f"""
import socket
import time

def application(environ, start_response):
    time.sleep({seconds})
    if {redis_port}:
        with socket.create_connection(("127.0.0.1", {redis_port})) as client:
            client.sendall(b"PING\\r\\n")
            client.recv(100)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]
""")
    return Server(folder, port, [program("gunicorn"), "--bind", f"127.0.0.1:{port}", "--workers", workers, "--backlog",
                                 backlog, "--worker-tmp-dir", folder, "application:application"])


def php_fpm(folder, backlog=16, children=1, redis_port=None):
    """At a Unix path; page(seconds) asks it. It asks that redis, if there is one."""
    path = f"{folder}/fpm.sock"
    ask = f"""
$redis = stream_socket_client("tcp://127.0.0.1:{redis_port}");
fwrite($redis, "PING\\r\\n");
fread($redis, 100);
""" if redis_port else ""
    _written(folder, "page.php", f'<?php usleep((int) $_SERVER["QUERY_STRING"]); {ask} echo "done";\n')
    configuration = _written(folder, "fpm.conf", f"""
[global]
daemonize = no
error_log = /dev/stderr
pid = {folder}/fpm.pid
[www]
user = root
group = root
listen = {path}
listen.backlog = {backlog}
pm = static
pm.max_children = {children}
""")
    return Server(folder, path, [program("php-fpm*"), "-R", "-n", "-y", configuration])


def haproxy(folder, target, backlog=16, most_connections=4):
    """Before a target's port, with at most so many clients at a time."""
    port = free_port()
    configuration = _written(folder, "haproxy.cfg", f"""
global
  maxconn 100
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend front
  bind 127.0.0.1:{port}
  maxconn {most_connections}
  backlog {backlog}
  default_backend back
backend back
  server one 127.0.0.1:{target}
""")
    return Server(folder, port, [program("haproxy"), "-db", "-f", configuration])


def node(folder, backlog=16):
    """A request of /N keeps its event loop busy for N milliseconds."""
    port = free_port()
    script = _written(folder, "server.js", f"""
require('http').createServer((request, response) => {{
  const end = Date.now() + (parseInt(request.url.slice(1)) || 0);
  while (Date.now() < end) {{}}
  response.end('ok');
}}).listen({{host: '127.0.0.1', port: {port}, backlog: {backlog}}});
""")
    return Server(folder, port, [program("node"), script])


class PostgreSQL(Server):
    """Its children are sessions of their own, and end when it does. None of them accepts."""

    def workers(self):
        return []


def postgresql(folder):
    """It runs as nobody, since it refuses to be root's."""
    port = free_port()
    data = pathlib.Path(folder, "data")
    data.mkdir()
    for path in (pathlib.Path(folder), data):
        os.chown(path, NOBODY, NOBODY)
    as_nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    run(*as_nobody, program("initdb", "usr/lib/postgresql/*/bin"), "-D", data, "--no-sync", "-A", "trust")
    return PostgreSQL(folder, port, [
        *as_nobody, program("postgres", "usr/lib/postgresql/*/bin"), "-D", data, "-p", port, "-h", "127.0.0.1",
        "-c", "unix_socket_directories=", "-c", "max_connections=8"])


def _answer(client, request):
    """All that the server says until it closes, or until it has answered PING."""
    client.sendall(request)
    answer = b""
    while True:
        part = client.recv(4096)
        answer += part
        if not part or answer.endswith(b"PONG\r\n") or answer.startswith(b"VERSION"):
            return answer


def get(path="/"):
    return lambda client: _answer(client, f"GET {path} HTTP/1.0\r\nHost: x\r\n\r\n".encode())


def ping(client):
    return _answer(client, b"PING\r\n")


def version(client):
    """Of memcached."""
    return _answer(client, b"version\r\n")


def page(folder, seconds):
    """Of PHP, which takes so long, by FastCGI."""
    def record(kind, content=b""):
        return struct.pack(">BBHHBx", 1, kind, 1, len(content), 0) + content

    parameters = b""
    for name, value in (("SCRIPT_FILENAME", f"{folder}/page.php"), ("REQUEST_METHOD", "GET"),
                        ("QUERY_STRING", str(int(seconds * 1e6)))):
        parameters += struct.pack("BB", len(name), len(value)) + f"{name}{value}".encode()
    request = record(1, struct.pack(">HB5x", 1, 0)) + record(4, parameters) + record(4) + record(5)
    return lambda client: _answer(client, request)


class Clients:
    """So many threads, each of which connects, asks, is answered, and does so again: a closed loop.
    In seconds: `hold` is between answer and close, `pause` between two connections, `timeout` how long one waits."""

    def __init__(self, server, ask, count, hold=0, pause=0, timeout=20):
        self._server, self._ask, self._hold, self._pause, self._timeout = server, ask, hold, pause, timeout
        self._end = threading.Event()
        self.answered = 0
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _work(self):
        while not self._end.is_set():
            with contextlib.suppress(OSError), self._server.connect(self._timeout) as client:
                if self._ask(client):
                    self.answered += 1
                self._end.wait(self._hold)
            self._end.wait(self._pause or 0.0005)

    def close(self):
        self._end.set()
        for thread in self._threads:
            thread.join(30)


def connections(server, count):
    """So many that are begun and not waited for; those beyond the limit stay unanswered."""
    clients = []
    for _ in range(count):
        client = socket.socket()
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            client.connect(("127.0.0.1", server.address))
        clients.append(client)
    return clients


def wait_for_waiting(server, count):
    def waiting():
        return sum(each.recv_q for each in ss() if each.port == server.address)
    wait_until(lambda: waiting() >= count, 5, f"{count} connections waiting at {server.name}")
