"""The frame of every system test: a net namespace of its own, cleanups, and the exit status."""

import itertools
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from collectd import Collectd, required
from kernel import read_sysctl, run, write_sysctl
from listeners import LOCAL_PORT_RANGE, Listener, UnixListener
from processes import Fork

SKIPPED = 77
_OUTER_NAMESPACE = "BACKLOG_OUTER_NET_NAMESPACE"


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

    def stable_folder(self):
        """A folder whose path is plain in a listener's name: without an id and without a hash."""
        for number in itertools.count():
            folder = pathlib.Path(tempfile.gettempdir(), f"listeners-{os.getpid()}-{number}")
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            self.addCleanup(shutil.rmtree, folder)
            return folder

    def skip_in_a_unit(self):
        """Of what runs in a unit or a container this is shown as the owner, rather than the process."""
        text = pathlib.Path("/proc/self/cgroup").read_text(encoding="utf-8")
        if re.search(r"^(0:|\d+:name=systemd):.*(\.service|\.scope|[0-9a-f]{64})", text, re.MULTILINE):
            self.skipTest("the test runs in a unit or a container")

    def set_sysctl(self, name, value):
        self.addCleanup(write_sysctl, name, read_sysctl(name))
        write_sysctl(name, value)


def _net_namespace():
    return os.readlink("/proc/self/ns/net")


def skip(reason):
    print(f"SKIP: {reason}", flush=True)
    sys.exit(SKIPPED)


def _enter_namespace():
    """Starts this program again in a net namespace of its own; its end is the only cleanup."""
    if os.environ.get(_OUTER_NAMESPACE, _net_namespace()) == _net_namespace():
        os.environ[_OUTER_NAMESPACE] = _net_namespace()
        for options in ("-n", "-rn"):
            if subprocess.run(["unshare", options, "true"], capture_output=True, check=False).returncode == 0:
                os.execvp("unshare", ["unshare", options, sys.executable, *sys.argv])
        skip("no permission to make a net namespace")
    run("ip", "link", "set", "lo", "up")
    write_sysctl("net.ipv4.ip_local_port_range", "{} {}".format(*LOCAL_PORT_RANGE))


def main(namespace=True):
    """Runs the tests of the calling file; exit status 77 when none could run."""
    for program in ("unshare", "ip", "ss"):
        if not shutil.which(program):
            skip(f"{program} is missing")
    try:
        for variable in ("COLLECTD", "COLLECTD_PLUGIN_DIR", "COLLECTD_TYPESDB", "BACKLOG_PLUGIN_DIR"):
            required(variable)
    except unittest.SkipTest as error:
        skip(error)
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
