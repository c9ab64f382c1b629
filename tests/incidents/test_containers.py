#!/usr/bin/env python3
"""Listeners in containers of the real docker and podman: their names and owners, and the series of a Watch.

Environment, besides what collectd.py needs (set by ctest from CMake):
  SERVERS_ROOT    the root below which docker and podman are unpacked; may be empty
  BACKLOG_TABLE   the command
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tarfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(1, str(SOURCE / "tests/system"))

import system_test
from net_namespaces import make_private_run
from processes import die_with_parent
from system_test import SystemTest
from waiting import wait_until

ROOT = pathlib.Path(os.environ.get("SERVERS_ROOT") or "/")
SHORT_ID = 12  # digits, as `docker ps` shows them
SERVE = ("/bin/busybox", "httpd", "-f", "-p", "0.0.0.0:80")
PAUSE = ("/bin/busybox", "sleep", "3600")


def setUpModule():
    """docker puts the files of its net namespaces into /run."""
    busybox = ROOT / "bin/busybox"
    for program in ("usr/sbin/dockerd", "usr/bin/docker", "usr/bin/podman", "bin/busybox"):
        if not (ROOT / program).exists():
            system_test.skip(f"{program.rpartition('/')[2]} is missing")
    if subprocess.run([busybox, "true"], check=False).returncode != 0 or os.geteuid() != 0:
        system_test.skip("needs root")
    make_private_run()
    os.environ["PATH"] = f"{ROOT}/usr/sbin:{ROOT}/usr/bin:{os.environ['PATH']}"
    os.environ["LD_LIBRARY_PATH"] = ":".join(map(str, sorted(ROOT.glob("usr/lib/*-linux-gnu*"))))


class Runtime:
    """Starts containers, and takes them away again, the newest first: others may share its net namespace."""

    def __init__(self, word, *options):
        self.word = word
        self._command = [word, *map(str, options)]
        self._started = []

    def _run(self, *arguments, check=True):
        done = subprocess.run([*self._command, *arguments], capture_output=True, text=True, check=False, timeout=60)
        if check and done.returncode != 0:
            raise AssertionError(f"{self.word} {arguments}: {done.stderr}")
        return done

    def start(self, *command, network="none"):
        limits = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")  # as any test may set them
        container = self._run("run", "-d", *limits, "--network", network, "--security-opt", "seccomp=unconfined",
                              *self._image, *command).stdout.strip()
        self._started.append(container)
        return container

    def restart(self, container):
        self._run("restart", "-t", "0", container)

    def pid_of(self, container):
        return int(self._run("inspect", "-f", "{{.State.Pid}}", container).stdout)

    def close(self):
        while self._started:
            container = self._started.pop()
            self._run("kill", container, check=False)
            self._run("rm", "-f", container)


class Docker(Runtime):
    """A daemon without a network of its own."""

    _image = ("image:1",)

    def __init__(self, folder):
        socket = f"unix://{folder}/socket"
        super().__init__("docker", "-H", socket)
        with open(folder / "log", "wb") as log:
            self._daemon = subprocess.Popen(
                ["dockerd", "-H", socket, "--data-root", folder / "data", "--pidfile", folder / "pid", "--bridge=none",
                 "--iptables=false", "--ip6tables=false", "--storage-driver=vfs"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent)
        try:
            wait_until(lambda: self._run("info", check=False).returncode == 0, 60, "dockerd")
            with tarfile.open(folder / "root.tar", "w") as image:
                image.add(ROOT / "bin/busybox", "bin/busybox")
            self._run("import", str(folder / "root.tar"), "image:1")
        except BaseException:
            print((folder / "log").read_text(errors="replace")[-2000:])
            self.close()
            raise

    def close(self):
        super().close()
        self._daemon.send_signal(signal.SIGTERM)
        self._daemon.wait(30)


class Podman(Runtime):
    def __init__(self, folder):
        super().__init__("podman", "--root", folder / "data", "--runroot", folder / "run", "--cgroup-manager", "cgroupfs",
                         "--runtime", ROOT / "usr/sbin/runc", "--conmon", ROOT / "usr/bin/conmon")
        self._storage = folder / "data/overlay"
        self._image = ("--rootfs", str(folder / "root"))
        (folder / "root/bin").mkdir(parents=True)
        shutil.copy(ROOT / "bin/busybox", folder / "root/bin/busybox")

    def close(self):
        super().close()
        subprocess.run(["umount", self._storage], check=False, capture_output=True)  # podman leaves it mounted


class ContainerTest(SystemTest):
    def runtime(self, make):
        runtime = make(pathlib.Path(self.folder()))
        self.addCleanup(runtime.close)
        return runtime

    def names_of_a_container(self, make):
        runtime = self.runtime(make)
        first = runtime.start(*SERVE)
        name = f"tcp_any_80__netns_{first[:SHORT_ID]}"
        table = pathlib.Path(self.folder(), "table")
        collectd = self.collectd(f'NetNamespace "/./"\nTableFile "{table}"\n<Watch "/^tcp_any_80__netns_/">\n</Watch>',
                                 interval=0.5)
        collectd.wait_for_value(name, "queue_length-accept", 0)
        self.wait_for_owner(collectd, table, name, f"{runtime.word} {first[:SHORT_ID]}")
        # The series goes on when the container begins again, in another net namespace.
        before = runtime.pid_of(first)
        runtime.restart(first)
        wait_until(lambda: runtime.pid_of(first) not in (0, before), 30, "the container")
        since = len(collectd.values(name, "queue_length-accept"))
        collectd.wait(lambda: len(collectd.values(name, "queue_length-accept")) > since + 3, what="values after a restart")
        # Two containers in one net namespace: its name is that of the older, and the owner is who listens.
        pause = runtime.start(*PAUSE)
        serving = runtime.start(*SERVE, network=f"container:{pause}")
        shared = f"tcp_any_80__netns_{pause[:SHORT_ID]}"
        collectd.wait_for_value(shared, "queue_length-accept", 0)
        self.wait_for_owner(collectd, table, shared, f"{runtime.word} {serving[:SHORT_ID]}")
        # Under no other name meanwhile, such as that of the runtime's file or of its inode.
        self.assertEqual({instance for instance in collectd.instances() if instance.startswith("tcp_any_80__")}, {name, shared})

    def wait_for_owner(self, collectd, table, name, owner):
        def owners():
            done = subprocess.run([os.environ["BACKLOG_TABLE"], "-f", table, name], capture_output=True, text=True, check=False)
            return owner in done.stdout
        collectd.wait(owners, what=f"owner {owner} of {name}")

    def test_docker(self):
        self.names_of_a_container(Docker)

    def test_podman(self):
        self.names_of_a_container(Podman)


if __name__ == "__main__":
    system_test.main()
