"""A store that a test runs, and the ports and questions of all of them."""

import contextlib
import http.client
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
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "system"))
from listeners import candidate_ports  # noqa: E402
from processes import die_with_parent  # noqa: E402
from waiting import wait_until  # noqa: E402
from store_programs import library_environment  # noqa: E402

LOOPBACK = "127.0.0.1"
USER, PASSWORD = "collectd", "a password of your own"  # in the shipped snippets
START_TIMEOUT = 60


_given_ports = set()


def free_port(*kinds):
    """A port of loopback that is free for all these kinds of sockets (TCP if none is given), and was not given
    before. It is none that a connection may get as its own, for that could be one to the very store that is
    down."""
    for port in candidate_ports():
        if port in _given_ports:
            continue
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for kind in kinds or (socket.SOCK_STREAM,):
                stack.enter_context(socket.socket(socket.AF_INET, kind)).bind((LOOPBACK, port))
            _given_ports.add(port)
            return port
    raise AssertionError("no port is free")


def accepts(port):
    with contextlib.suppress(OSError):
        socket.create_connection((LOOPBACK, port), 1).close()
        return True
    return False


def fetch(url, **query):
    """The body; AssertionError with what the server says if it is not content, thrice if it says 500: to
    graphite-web a file that carbon is just making is one that is broken."""
    if query:
        url += "?" + urllib.parse.urlencode(query, doseq=True)
    for attempts_left in (2, 1, 0):
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            if error.code != 500 or not attempts_left:
                text = re.sub(r"<[^>]*>|\s+", " ", error.read().decode(errors="replace"))
                raise AssertionError(f"{url}: {error}: {text[-1000:]}") from None
            time.sleep(0.3)


def answers(url):
    with contextlib.suppress(OSError, http.client.HTTPException):
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status < 400
    return False


class Store:
    """A program that runs in a folder of its own until close(); its output goes to a file there."""

    def __init__(self, name, directory=None):
        self.name = name
        self._temporary = directory is None
        self.directory = pathlib.Path(directory or tempfile.mkdtemp(prefix=f"collectd-backlog-{name}-"))
        self.directory.mkdir(parents=True, exist_ok=True)
        self._process = None

    def write(self, file, text, mode=0o644):
        path = self.directory / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return path

    def folder(self, name):
        path = self.directory / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def pid(self):
        return self._process.pid

    def output(self):
        with contextlib.suppress(FileNotFoundError):
            return (self.directory / "output").read_text(encoding="utf-8", errors="replace")
        return ""

    def start(self, command, ready, environment=None, stdin=subprocess.DEVNULL):
        with open(self.directory / "output", "ab") as output:
            self._process = subprocess.Popen(
                list(map(str, command)), stdin=stdin, stdout=output, stderr=output, cwd=self.directory,
                env=dict(os.environ, **(environment or library_environment())), preexec_fn=die_with_parent)

        def check():
            if self._process.poll() is not None:
                raise AssertionError(f"it ended with {self._process.returncode}")
            return ready()
        try:
            wait_until(check, START_TIMEOUT, f"{self.name} to answer", pause=0.05)
        except AssertionError as error:
            output = self.output()[-3000:]
            self.close()
            raise AssertionError(f"{self.name}: {error}\n--- it says ---\n{output}") from None
        return self

    def stop(self):
        """Ends the process; what it stored stays."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(3)
        except subprocess.TimeoutExpired:  # influxd and kcat often ignore SIGTERM
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()

    def close(self):
        self.stop()
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
