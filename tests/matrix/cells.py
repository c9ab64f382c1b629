"""The cells of the matrix: which kernel with which user land, and what runs there."""

import dataclasses

BY_HASHDANCE = "events: peaks by inet_csk_complete_hashdance, TCP only, waits by inet_csk_accept"
BY_TRACEPOINT = "events: peaks by sk_data_ready, drops by kfree_skb, waits by inet_csk_accept"
# The loader of the programs needs Linux 5.14.
NO_EVENTS = "no events: inet_csk_complete_hashdance: load a BPF program: Argument list too long"

# The core of tests/system: what a kernel can make wrong. The rest is of the plugin's own making.
CORE = ("alarms", "capabilities", "churn", "config", "degraded", "drops", "events", "kernel_claims", "listeners",
        "namespaces", "owners", "syn_queue", "unix_places")
IPV4 = ("degraded", "kernel_claims", "listeners", "syn_queue")
SMALL = ("kernel_claims", "listeners")
KERNEL = ("drops", "events", "kernel_claims", "listeners")


@dataclasses.dataclass(frozen=True)
class Kernel:
    suite: str  # in which apt finds it
    package: str


@dataclasses.dataclass(frozen=True)
class Cell:
    about: str
    kernel: Kernel
    user_land: str  # a Debian suite
    events: str  # what the plugin says of them
    ctest: str = ""  # a regex of the names in ctest that run
    guest: tuple = ()  # programs of guest/ that run before
    systemd: bool = False
    command_line: str = ""
    memory: int = 2048  # MiB


def system(*names):
    return rf"^system\.({'|'.join(names)})$"


CORE_TESTS = rf"^unit/|{system(*CORE)}"
DEBIAN_11 = Kernel("bullseye", "linux-image-amd64")
DEBIAN_12 = Kernel("bookworm", "linux-image-amd64")
BACKPORT = Kernel("bookworm-backports", "linux-image-amd64")
DEBIAN_13 = Kernel("trixie", "linux-image-amd64")

CELLS = {
    "debian12-6.1": Cell("Debian 12, its own Linux 6.1", DEBIAN_12, "bookworm", BY_HASHDANCE, CORE_TESTS,
                         ("modules.py",)),
    "debian12-6.12": Cell("Debian 12, Linux 6.12 of bookworm-backports", BACKPORT, "bookworm", BY_TRACEPOINT,
                          system(*KERNEL), ("modules.py",)),
    "debian13-6.12": Cell("Debian 13, its own Linux 6.12; built on Debian 12", DEBIAN_13, "trixie", BY_TRACEPOINT,
                          system(*KERNEL), ("modules.py",)),
    "debian12-5.10": Cell("Debian 12 with Linux 5.10 of Debian 11", DEBIAN_11, "bookworm", NO_EVENTS, system(*SMALL),
                          ("modules.py",)),
    "no-ipv6-6.1": Cell("Debian 12, Linux 6.1 without IPv6", DEBIAN_12, "bookworm", BY_HASHDANCE, system(*IPV4),
                        command_line="ipv6.disable=1"),
    "no-diag-6.1": Cell("Debian 12, Linux 6.1 without tcp_diag and unix_diag", DEBIAN_12, "bookworm", BY_HASHDANCE,
                        guest=("no_modules.py",), command_line="module_blacklist=tcp_diag,unix_diag"),
    "systemd12-6.1": Cell("Debian 12, Linux 6.1, systemd, from the packages", DEBIAN_12, "bookworm", BY_HASHDANCE,
                          guest=("installed.py",), systemd=True),
    "systemd13-6.12": Cell("Debian 13, Linux 6.12, systemd, from the packages of Debian 12", DEBIAN_13, "trixie",
                           BY_TRACEPOINT, guest=("installed.py",), systemd=True),
}

# What an emulated processor is too slow for, as the report names it, and why.
TOO_SLOW = {
    "system.events: test_no_room":
        "16 434 listeners have to get a client within two intervals of 2 s, before the plugin forgets the first",
    "system.many_namespaces: test_a_hundred_within_the_budget":
        "a hundred namespaces in 1 % of a CPU: one reading in ten takes up to 1.1 % of an emulated one",
}
