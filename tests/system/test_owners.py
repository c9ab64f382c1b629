#!/usr/bin/env python3
"""Whose a listener is."""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys

import system_test
from notifications import NotificationTest
from waiting import wait_until

INTERVAL = 0.2
# It ends when its input does. Its argument is the number of the system call by which a thread ends.
WITHOUT_FIRST_THREAD = """
import ctypes, socket, subprocess, sys, threading
tcp = socket.create_server(("", 8080))
subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
unix = socket.socket(socket.AF_UNIX)
unix.bind("/run/service.sock")
unix.listen(5)
threading.Thread(target=sys.stdin.read).start()
ctypes.CDLL(None).syscall(int(sys.argv[1]), 0)
"""
# Where cgroup2 is, or systemd's hierarchy of version 1.
HIERARCHIES = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd")


class OwnersTest(NotificationTest):
    def setUp(self):
        self.file = os.path.join(self.folder(), "table")

    def started(self, config="", **options):
        return self.collectd(f'TableFile "{self.file}"\n{config}', interval=INTERVAL, **options)

    def rows(self):
        shown = subprocess.run([os.environ["BACKLOG_TABLE"], "--json", "--table", self.file], capture_output=True,
                               check=False)
        return json.loads(shown.stdout)["listeners"] if shown.returncode == 0 else []

    def owner(self, name):
        return next((row.get("owner") for row in self.rows() if row["name"] == name), None)

    def wait_for_owner(self, collectd, listener, wanted):
        collectd.wait(lambda: self.owner(listener.name) == wanted, what=f"{wanted} as the owner of {listener.name}")

    def abstract_listener(self, **options):
        return self.unix_listener(f"\0owners-{os.getpid()}-{self.id().rpartition('.')[2]}", **options)

    def service(self, name):
        """A process of this name, which has open what the test has open."""
        def work(ready):
            pathlib.Path("/proc/self/comm").write_bytes(os.fsencode(name))
            ready()
            signal.pause()
        return self.fork(work)

    def test_renamed_and_executed(self):
        self.skip_in_a_unit()
        listeners = self.listener(), self.abstract_listener()
        process = subprocess.Popen(["sh", "-c", "read -r line; exec sleep infinity"], stdin=subprocess.PIPE,
                                   pass_fds=[listener.socket.fileno() for listener in listeners])
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        for listener in listeners:
            listener.socket.close()
        collectd = self.started()
        for listener in listeners:
            self.wait_for_owner(collectd, listener, f"sh[{process.pid}]")
        process.stdin.close()
        for listener in listeners:
            self.wait_for_owner(collectd, listener, f"sleep[{process.pid}]")

    def test_first_thread_has_ended(self):
        """As after pthread_exit() in main(): only the other threads have descriptors and namespaces."""
        self.skip_in_a_unit()
        end_thread = {"x86_64": 60, "aarch64": 93}.get(os.uname().machine)  # exit()
        if end_thread is None:
            self.skipTest("the number of exit() is not known here")
        process = subprocess.Popen(["unshare", "-n", "-m", sys.executable, "-c", WITHOUT_FIRST_THREAD, str(end_thread)],
                                   stdin=subprocess.PIPE)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.addCleanup(process.stdin.close)
        stat = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/stat")
        wait_until(lambda: stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z",
                   what="the end of the first thread")
        threads = [task.name for task in stat.parent.parent.iterdir()]
        mounts = os.stat(f"/proc/{process.pid}/task/{max(threads, key=int)}/ns/mnt").st_ino
        collectd = self.started(config='NetNamespace "/./"')
        owner = f"python3[{process.pid}]"
        collectd.wait(lambda: {("tcp", owner), ("unix", owner)} <= {
            (row["name"].partition("_")[0], row.get("owner")) for row in self.rows()}, what=f"two listeners of {owner}")
        unix = next(row["name"] for row in self.rows() if row.get("owner") == owner and row["name"].startswith("unix"))
        self.assertIn(f"__in_{mounts}", unix)

    def test_activated_by_a_manager(self):
        """A manager listens first; the service that it starts when a client comes accepts."""
        self.skip_in_a_unit()
        listeners = self.listener(limit=4), self.abstract_listener(limit=4)
        self.service("systemd")
        collectd = self.started()
        for listener in listeners:  # the test itself lets go of them when the service has them
            self.wait_for_owner(collectd, listener, f"python3[{os.getpid()}]")
        service = self.service("app")
        for listener in listeners:
            listener.socket.close()
        for listener in listeners:
            self.wait_for_owner(collectd, listener, f"app[{service.pid}]")
        os.kill(service.pid, signal.SIGKILL)
        for listener in listeners:
            self.wait_for_owner(collectd, listener, "held by systemd")

    def test_unit_of_a_unix_listener(self):
        listener = self.abstract_listener()
        unit = f"backlog-test-{os.getpid()}.service"
        with self.put_into(unit):
            process = self.service("member")
        listener.socket.close()
        collectd = self.started()
        self.wait_for_owner(collectd, listener, unit)
        self.assertGreater(process.pid, 0)

    def test_odd_bytes_have_the_same_escapes_everywhere(self):
        self.skip_in_a_unit()
        listener = self.listener(limit=4)
        odd = self.unix_listener(f"\0odd\x01\\é-{os.getpid()}")
        service = self.service(os.fsdecode(b"a\\b\n\xff\xc3\xa9"))
        listener.socket.close()
        owner = rf"a\\b\x0a\xffé[{service.pid}]"
        listener.connect(8)
        collectd = self.started()
        self.wait_for_owner(collectd, listener, owner)
        told = self.wait_for(collectd, listener.name, "WARNING", "accept queue")
        self.assertIn(f"{listener.name} ({owner}): ", told.message)
        row = next(row for row in self.rows() if row["name"] == listener.name)
        self.assertIn(f"{listener.name} ({owner}): ", row["message"])
        self.assertIn(rf"@odd\x01\\é-{os.getpid()}", [row.get("path") for row in self.rows()])
        self.assertTrue(odd.name)

    @contextlib.contextmanager
    def put_into(self, unit):
        """What is forked meanwhile is in a cgroup of this name."""
        own = pathlib.Path("/proc/self/cgroup").read_text(encoding="utf-8")
        for hierarchy in HIERARCHIES:
            line = re.search(r"^\d+:name=systemd:(.*)$" if hierarchy.endswith("systemd") else r"^0::(.*)$", own,
                             re.MULTILINE)
            folder = pathlib.Path(hierarchy, unit)
            if line is None or not pathlib.Path(hierarchy, "cgroup.procs").exists():
                continue
            try:
                folder.mkdir()
                (folder / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")
            except OSError:
                continue
            self.addCleanup(folder.rmdir)
            try:
                yield
            finally:
                pathlib.Path(hierarchy + line[1], "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")
            return
        self.skipTest("no cgroup can be made")

    def test_without_tcp_diag(self):
        self.skip_in_a_unit()
        listener = self.abstract_listener()
        collectd = self.started(preload=[os.environ["STRANGE_SOCK_DIAG"]],
                                environment={"STRANGE_SOCK_DIAG_NO_TCP": "1"})
        self.wait_for_owner(collectd, listener, f"python3[{os.getpid()}]")


if __name__ == "__main__":
    system_test.main()
