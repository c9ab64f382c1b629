#!/usr/bin/env python3
"""Unix listeners are the files that their paths lead to, wherever they were bound."""

import contextlib
import ctypes
import itertools
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile

import system_test
from names import unix_name
from notifications import MISSING, OK, STATE, NotificationTest

INTERVAL = 0.2
_CLONE_NEWNS = 0x00020000
_MS_REC, _MS_PRIVATE = 0x4000, 0x40000

_libc = ctypes.CDLL(None, use_errno=True)


def mount_private(folder):
    """Gives this process a folder of its own."""
    if (_libc.unshare(_CLONE_NEWNS) != 0
            or _libc.mount(b"none", b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None) != 0
            or _libc.mount(b"none", str(folder).encode(), b"tmpfs", ctypes.c_ulong(0), None) != 0):
        raise OSError(ctypes.get_errno(), "no mount namespace")


def listen_at(path, limit=8):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(limit)
    return listener


def connect_to(path, count):
    """Clients that wait."""
    clients = [socket.socket(socket.AF_UNIX) for _ in range(count)]
    for client in clients:
        client.connect(str(path))
    return clients


class UnixPlacesTest(NotificationTest):
    def setUp(self):
        # One without an id in its name.
        for number in itertools.count():
            self.path = pathlib.Path(tempfile.gettempdir(), f"places-{os.getpid()}-{number}")
            with contextlib.suppress(FileExistsError):
                self.path.mkdir()
                break
        self.addCleanup(shutil.rmtree, self.path)
        self.file = os.path.join(self.folder(), "table")

    def running(self, config, **options):
        return self.collectd(f'TableFile "{self.file}"\n{config}', interval=INTERVAL, **options)

    def rows(self):
        """{name: row} of the listeners below the test's folder."""
        shown = subprocess.run([os.environ["BACKLOG_TABLE"], "--json", "--table", self.file], capture_output=True,
                               check=False)
        rows = json.loads(shown.stdout)["listeners"] if shown.returncode == 0 else []
        return {row["name"]: row for row in rows if self.path.name in row["name"] or row["name"] == "watched"}

    def own_name(self, file):
        return unix_name(str(self.path / file))

    def haproxy(self, path):
        """Binds under another name at each start."""
        def work(ready):
            temporary = f"{path}.{os.getpid()}.tmp"
            listener = listen_at(temporary)
            os.rename(temporary, path)
            clients = connect_to(path, 3)
            ready()
            signal.pause()
            del listener, clients
        return self.fork(work)

    def test_renamed_into_place(self):
        watched, other = self.path / "watched.sock", self.path / "other.sock"
        collectd = self.running(f'<Watch "{watched}">\nName "watched"\nExpected true\n</Watch>')
        for start in range(1, 4):
            processes = [self.haproxy(path) for path in (watched, other)]
            before = len(collectd.values("watched", STATE))
            collectd.wait(lambda: self.rows().keys() == {"watched", self.own_name("other.sock")}
                          and all(row.get("length") == 3 for row in self.rows().values()), what=f"start {start}")
            collectd.wait(lambda: len(collectd.values("watched", STATE)) > before + 1,  # pylint: disable=W0640
                          what=f"values of start {start}")
            for process in processes:
                os.kill(process.pid, signal.SIGKILL)
        self.assertEqual({each for each in collectd.instances() if "sock" in each or each == "watched"},
                         {"watched", self.own_name("other.sock")})
        self.assertEqual([each for each in self.notifications(collectd) if "missing" in each.message], [])

    def test_bound_by_a_relative_path(self):
        path = self.path / "app.sock"

        def service(ready):
            os.chdir(path.parent)
            listener = listen_at(path.name)
            clients = connect_to(path, 3)
            ready()
            os.chdir("/")
            signal.pause()
            del listener, clients
        self.fork(service)
        collectd = self.running(f'MissingAfter 1\n<Watch "{path}">\nName "watched"\nExpected true\n</Watch>')
        self.wait_for_state(collectd, "watched", OK)
        collectd.wait(lambda: self.rows().get("watched", {}).get("length") == 3, what="the queue")
        collectd.wait_for_intervals(2 / INTERVAL)
        self.assertEqual(self.notifications(collectd), [])
        self.assertEqual(self.rows()["watched"]["limit_source"], "unknown")  # set before collectd started
        path.unlink()
        self.wait_for(collectd, "watched", "FAILURE", "missing, its file is gone and no client can connect")

    def test_one_path_in_several_mount_namespaces(self):
        path = self.path / "app.sock"
        opened = []  # by the test

        def service(limit, clients):
            def work(ready):
                for each in opened:
                    each.close()
                mount_private(self.path)
                listener = listen_at(path, limit)
                waiting = connect_to(path, clients)
                ready()
                signal.pause()
                del listener, waiting
            return work
        try:
            subprocess.run(["true"], check=True, preexec_fn=lambda: mount_private(self.path))
        except subprocess.SubprocessError:
            self.skipTest("no mount namespace can be made")
        self.fork(service(50, 3))
        own = listen_at(path, 100)
        self.addCleanup(own.close)
        opened += [own, *connect_to(path, 1)]
        collectd = self.running("")

        def found():
            return sorted((row["limit"], row["length"], row["members"]) for row in self.rows().values())
        collectd.wait(lambda: found() == [(50, 3, 1), (100, 1, 1)], what="two listeners")
        collectd.wait_for_intervals(3)
        self.fork(service(10, 11))  # full
        collectd.wait(lambda: found() == [(10, 11, 1), (50, 3, 1), (100, 1, 1)], what="three listeners")
        rows = self.rows()
        plain = self.own_name("app.sock")
        self.assertEqual(rows[plain]["limit"], 100)
        for name in rows.keys() - {plain}:
            self.assertRegex(name, rf"^{plain}__in_")
        full = next(name for name, row in rows.items() if row["limit"] == 10)
        self.wait_for(collectd, full, "WARNING", "accept queue full")
        for each in opened:
            each.close()
        path.unlink()
        collectd.wait(lambda: found() == [(10, 11, 1), (50, 3, 1)], what="the two others alone")

    def test_file_that_is_gone(self):
        path = self.path / "app.sock"
        old = listen_at(path)
        self.addCleanup(old.close)
        collectd = self.running(f'MissingAfter 1\n<Watch "{path}">\nName "watched"\nExpected true\n</Watch>')
        self.wait_for_state(collectd, "watched", OK)
        path.unlink()
        self.wait_for(collectd, "watched", "FAILURE", "missing, its file is gone and no client can connect, for .* s: "
                                                      "restart it")
        self.wait_for_state(collectd, "watched", MISSING)
        new = listen_at(path, limit=99)
        self.addCleanup(new.close)
        self.wait_for_okay(collectd, "watched")
        row = self.rows()["watched"]
        self.assertEqual((row["limit"], row["members"]), (99, 2))

    def test_dead_mount(self):
        """Whoever looks at a path there waits for good: that is nobody who samples."""
        path = self.path / "dead.sock"
        unix = listen_at(path)
        self.addCleanup(unix.close)
        path.unlink()
        again = listen_at(path)
        self.addCleanup(again.close)
        clients = connect_to(path, 2)
        tcp = self.listener(limit=8)
        collectd = self.running("Values full", preload=[os.environ["STRANGE_SOCK_DIAG"]],
                                environment={"STRANGE_SOCK_DIAG_DEAD_MOUNT": str(path)})
        collectd.wait_for_value(tcp.name, "queue_length-accept", 0)
        tcp.fill(5)
        collectd.wait_for_value(tcp.name, "queue_length-accept", 5)
        # It is where it was bound, as far as anybody knows.
        collectd.wait(lambda: self.rows().get(self.own_name("dead.sock"), {}).get("length") == 2, what="the listener")
        for client in clients:
            client.close()


if __name__ == "__main__":
    system_test.main()
