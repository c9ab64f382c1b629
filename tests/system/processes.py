"""Processes of the test, and what they may do."""

import contextlib
import ctypes
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import traceback

PR_SET_PDEATHSIG = 1
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
PR_SET_CHILD_SUBREAPER = 36
CAP_SYS_ADMIN = 21
_CLONE_NEWNS = 0x00020000
_MS_REC, _MS_PRIVATE = 0x4000, 0x40000
_SYSCALL_SOCKET = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198), "riscv64": (0xC00000F3, 198)}
_NETLINK_SOCK_DIAG = 4
_libc = ctypes.CDLL(None, use_errno=True)


def prctl(option, *arguments):
    if _libc.prctl(option, *(ctypes.c_ulong(argument) for argument in arguments)) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def die_with_parent():
    """For the child between fork and exec: it is killed when the thread that forked ends."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def mount_private_proc(options):
    """For this process and those that it starts."""
    steps = [lambda: _libc.unshare(_CLONE_NEWNS),
             lambda: _libc.mount(b"none", b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None),
             lambda: _libc.mount(b"proc", b"/proc", b"proc", ctypes.c_ulong(0), options.encode())]
    for step in steps:
        if step() != 0:
            raise OSError(ctypes.get_errno(), "mount /proc")


def can_refuse_sock_diag():
    return os.uname().machine in _SYSCALL_SOCKET


def refuse_sock_diag():
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
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    prctl(PR_SET_SECCOMP, 2, ctypes.addressof(filter_), 0, 0)


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


class Program:
    """Python code in a process of its own that is killed at the end. arguments: its sys.argv[1], as Python writes them.
    It begins by saying ready."""

    def __init__(self, code, *arguments, namespace=None):
        command = [sys.executable, "-c", code, repr(arguments)]
        self.process = subprocess.Popen(["ip", "netns", "exec", namespace.name, *command] if namespace else command,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.wait_for("ready")

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def wait_for(self, answer):
        line = self.process.stdout.readline().strip()
        if line != answer:
            self.close()
            raise AssertionError(f"a program of the test says {line!r} instead of {answer!r}")

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def raise_descriptor_limit():
    """Of this process, as far as it may; the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
