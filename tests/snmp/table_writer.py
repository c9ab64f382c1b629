"""Writes table files as include/backlog/table.h describes them; a second, independent account of
the layout, and a way to write what the plugin never would."""

import os
import struct
import time
import zlib

HEADER = struct.Struct("=8s6I5qQ2d2IB7x")
NAMESPACE = struct.Struct("=104s2I4q2Qq15Q")
LISTENER = struct.Struct("=104s128s256s256s128s104s16s4I7Qq23Q9dH9BxI")
assert (HEADER.size, NAMESPACE.size, LISTENER.size) == (112, 288, 1344)

STATES = ("ok", "high", "overflow", "stalled", "missing")
CAUSES = ("none", "burst", "slow_accept", "skew", "syn_flood", "syn_queue_full", "not_accepting", "pause")
SEVERITIES = ("okay", "warning", "failure")
IS_COMPLETE, HAS_PERIOD, HAS_HOST, HAS_HOST_DROPPED = 1, 2, 4, 8
HAS_QUEUE, HAS_DROPPED, HAS_SYN_LENGTH, HAS_OLDEST_WAIT = 1, 2, 4, 8
HAS_RECENT, HAS_RECENT_DROPPED, HAS_ARRIVALS, HAS_ACCEPTS, HAS_WAIT_MEAN, HAS_WAIT_QUANTILES = 16, 32, 64, 128, 256, 512
HAS_PEAK_BOUND, HAS_ENOUGH, IS_EXPECTED, IS_STABLE, HAS_DAY_PEAK, HAS_OVERFLOW_KINDS, HAS_WAIT_COUNTS = 1024, 2048, 4096, 8192, 16384, 32768, 65536


def boot_ns():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def name_index(name):
    return zlib.crc32(name.encode()) & 0x7FFFFFFF or 1


def listener(name, *, owner="", path="", message="", address=bytes(4), scope=0, namespace=0, has=HAS_QUEUE | HAS_DROPPED,
             members=1, length=0, peak=0, limit=128, dropped=0, overflows=0, syn_length=0, counted_since_ns=0, mean=0.0,
             used=0.0, full=0.0, oldest_wait=0.0, port=80, state="ok", cause="none", limit_source=1, severity="okay",
             clients="", address_name="", recent_peak=0, recent_dropped=0, recent_overflows=0, arrivals=0, accepts=0, peak_bound=0,
             day_peak=0, enough=0, peak_capacity=None, recent_peak_capacity=None,
             recent_used=0.0, wait_mean=0.0, wait_p50=0.0, wait_p99=0.0, alarm_state="ok", alarm_cause="none",
             recent_state="ok", recent_severity="okay", syn_overflows=0, ack_overflows=0, waits_for=0,
             wait_counts=(0,) * 12, wait_seconds=0.0):
    """waits_for: position of another in the order of the names, plus one."""
    address_type = {0: 0, 4: 1, 16: 2}[len(address)]
    fitting = limit + (max(members, 1) if address else 1)
    texts = [text.encode() for text in (name, owner, path, message, clients, address_name)]
    return LISTENER.pack(*texts, address, scope, namespace, has, members, length, peak,
                         fitting if peak_capacity is None else peak_capacity, limit, dropped, overflows,
                         syn_length, counted_since_ns, recent_peak,
                         fitting if recent_peak_capacity is None else recent_peak_capacity, recent_dropped, recent_overflows, arrivals, accepts, peak_bound,
                         day_peak, enough, syn_overflows, ack_overflows, *wait_counts, mean, used, full, oldest_wait, recent_used,
                         wait_mean, wait_p50, wait_p99, wait_seconds, port,
                         STATES.index(state), CAUSES.index(cause), limit_source, SEVERITIES.index(severity),
                         STATES.index(alarm_state), CAUSES.index(alarm_cause), STATES.index(recent_state),
                         SEVERITIES.index(recent_severity), address_type, waits_for)


def namespace(name="self", *, somaxconn=4096, counters=(0,) * 15, has=0x3F, has_counter=0x7FFF):
    return NAMESPACE.pack(name.encode(), has, has_counter, somaxconn, 1024, 1, 0, 0, 0, 0, *counters)


def table(listeners=(), *, namespaces=None, interval=10.0, age=0.0, dropped=0, magic=b"BACKLOG\n", version=2,
          complete=True, has=HAS_PERIOD | HAS_HOST | HAS_HOST_DROPPED):
    """The bytes of a table; listeners: records made by listener(). No table is older than the system's start."""
    taken_at_boot_ns = boot_ns() - int(age * 1e9)
    if taken_at_boot_ns < 0:
        raise ValueError(f"a table {age} s old, and the system has been up for less")
    namespaces = [namespace()] if namespaces is None else namespaces
    records = sorted(listeners)  # they begin with their names, padded with NULs
    header = HEADER.pack(magic, version, HEADER.size, NAMESPACE.size, LISTENER.size, len(namespaces), len(records),
                         time.time_ns() - int(age * 1e9), taken_at_boot_ns, int(interval * 1e9),
                         int(interval * 1e9), 0, dropped, 0.025, 0.1, 0, has | (IS_COMPLETE if complete else 0), 0)
    return header + b"".join(namespaces) + b"".join(records)


def longest_interval():
    """In seconds: the end of an alarm is believed when three intervals have passed since the start of the system."""
    return min(600.0, boot_ns() / 4e9)


def publish(path, data):
    """Puts the bytes in the place of the file, as the plugin does."""
    temporary = f"{path}.new"
    with open(temporary, "wb") as file:
        file.write(data)
    os.rename(temporary, path)
