"""Net namespaces beside the test's own. They have files in a /run/netns that only this program and its
children see."""

import contextlib
import ctypes
import os
import pathlib
import unittest

from kernel import run

_CLONE_NEWNS, _CLONE_NEWNET = 0x00020000, 0x40000000
_MS_REC, _MS_PRIVATE = 0x4000, 0x40000
_FOLDER = "/run/netns"

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result, what):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def make_private_run():
    """Gives this process a /run of its own, once."""
    if os.environ.get("BACKLOG_PRIVATE_RUN") == str(os.getpid()):
        return
    _check(_libc.unshare(_CLONE_NEWNS), "unshare")
    _check(_libc.mount(b"none", b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None), "mount /")
    _check(_libc.mount(b"tmpfs", b"/run", b"tmpfs", ctypes.c_ulong(0), None), "mount /run")
    os.environ["BACKLOG_PRIVATE_RUN"] = str(os.getpid())


def enter_new_namespace():
    """Takes this process into one without a file, for good."""
    _check(_libc.unshare(_CLONE_NEWNET), "unshare")
    run("ip", "link", "set", "lo", "up")


class NetNamespace:
    """One with a file, as `ip netns add` makes it."""

    def __init__(self, name):
        try:
            make_private_run()
        except OSError as error:
            raise unittest.SkipTest(f"no net namespaces with files: {error}") from None
        self.name = name
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "set", "lo", "up")

    @property
    def path(self):
        return pathlib.Path(_FOLDER, self.name)

    @contextlib.contextmanager
    def entered(self):
        """The calling thread is in it; a socket made meanwhile stays in it."""
        with open("/proc/thread-self/ns/net", "rb") as own:
            with open(self.path, "rb") as other:
                _check(_libc.setns(other.fileno(), _CLONE_NEWNET), "setns")
            try:
                yield
            finally:
                _check(_libc.setns(own.fileno(), _CLONE_NEWNET), "setns")

    def close(self):
        """Takes its file away; it ends when nobody else holds it."""
        if self.path.exists():
            run("ip", "netns", "delete", self.name)


class Link:
    """Joins two net namespaces, each with these addresses; None is the caller's own."""

    def __init__(self, near, near_addresses, far, far_addresses):
        self.device = "near0"
        self.near = self._ip(near)
        run(*self.near, "link", "add", self.device, "type", "veth", "peer", "name", "far0", "netns", far.name)
        for command, device, addresses in ((self.near, self.device, near_addresses), (self._ip(far), "far0", far_addresses)):
            for address in addresses:
                plain = ("64", "nodad") if ":" in address else ("24",)
                run(*command, "address", "add", f"{address}/{plain[0]}", "dev", device, *plain[1:])
            run(*command, "link", "set", device, "up")

    @staticmethod
    def _ip(namespace):
        return ["ip"] + (["-n", namespace.name] if namespace else [])

    def close(self):
        run(*self.near, "link", "delete", self.device)
