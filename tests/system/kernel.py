"""The kernel's own account of listeners, counters, settings and devices."""

import collections
import os
import pathlib
import socket
import subprocess


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


def make_device(name):
    """A network device without traffic, or False where the kernel has no such type."""
    for kind in (["type", "dummy"], ["type", "veth", "peer", "name", f"{name}-peer"]):
        command = ["ip", "link", "add", name, *kind]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            run("ip", "link", "set", name, "up")
            return True
    return False
