#!/usr/bin/env python3
"""Incidents whose truth is found by playing them again with other limits: the limit that is told would have held
all, and is at most a tenth above the smallest that does; where no limit helps none is told; who waits is told, and
nobody else.

Environment, besides what collectd.py needs (set by ctest from CMake):
  BACKLOG_TABLE   the command
and, of whoever wants to see some of it:
  TRUTH           a pattern: only incidents with such a name
  TRUTH_CONFIG    further options of the plugin
"""

import concurrent.futures
import json
import os
import pathlib
import re
import sys
import time

sys.path.insert(1, str(pathlib.Path(__file__).resolve().parents[1] / "system"))

import system_test
from kernel import read_sysctl, run, write_sysctl
from known_truth import Flood, Incident, Loop, Play, Wave, holds, smallest_that_holds
from net_namespaces import NetNamespace
from notifications import STATE, NotificationTest

INTERVAL = 1  # seconds
LONG_INTERVAL = 5  # seconds
ENOUGH = r"; a limit of (\d+) would have held them"
CAUSE = r"; (burst|pause|slow_accept|skew|not_accepting|syn_flood|syn_queue_full): "
REQUEST = b"GET / HTTP/1.0\r\n\r\n"
SETTINGS = ("net.core.somaxconn", "net.ipv4.tcp_syn_linear_timeouts")  # that incidents change
PLAYERS = 3  # incidents that are played again at a time

FOUR_TENTHS = ((0, 0.4),)  # a pause

INCIDENTS = [
    Incident("burst at once", 16, 0.8, [Wave(0, 40)], FOUR_TENTHS, cause="burst"),
    Incident("burst in half a second", 16, 0.8, [Wave(0, 60, over=0.5)], ((0, 0.6),), cause="burst"),
    Incident("burst of 547 at backlog 511", 511, 0.8, [Wave(0, 547)], FOUR_TENTHS, cause="burst"),
    Incident("burst of 2000", 128, 1, [Wave(0, 2000)], ((0, 0.6),), cause="burst"),
    Incident("burst at backlog 0", 0, 0.6, [Wave(0, 7)], ((0, 0.3),), cause="burst"),
    Incident("burst at backlog 3", 3, 0.6, [Wave(0, 20)], ((0, 0.3),), cause="burst"),
    Incident("burst of seven at backlog 5", 5, 0.6, [Wave(0, 7)], ((0, 0.3),), cause="burst"),
    Incident("two bursts in an interval", 16, 0.9, [Wave(0, 40), Wave(0.4, 70)], ((0, 0.2), (0.4, 0.6)), cause="burst"),
    Incident("three bursts, 0.25 s apart", 16, 0.9, [Wave(0, 40), Wave(0.25, 40), Wave(0.5, 40)],
             ((0, 0.1), (0.25, 0.35), (0.5, 0.6)), cause="burst"),
    Incident("two bursts, when the first ones come again", 16, 2, [Wave(0, 60), Wave(1.0, 50)],
             ((0, 0.2), (0.95, 1.3)), cause="burst"),
    Incident("burst that is served slowly", 32, 1.5, [Wave(0, 150)], seconds=0.004, cause="burst"),
    Incident("arrivals at twice the speed of service", 16, 1, [Wave(0, 200, over=0.5)], seconds=0.004, cause="burst"),
    Incident("burst whose clients give up", 16, 1, [Wave(0, 80, over=0.3, leave=0.3)], ((0, 0.7),), cause="burst"),
    Incident("burst whose clients reset while they wait", 16, 1, [Wave(0, 80, over=0.3, leave=0.3, reset=True)],
             ((0, 0.7),), cause="burst"),
    Incident("stall of a busy server", 64, 2, [Wave(0, 800, over=2)], ((0.6, 0.9),), cause="burst"),
    Incident("burst, IPv6", 16, 0.8, [Wave(0, 40)], FOUR_TENTHS, cause="burst", address="::1"),
    Incident("burst, dual stack", 16, 0.8, [Wave(0, 40)], FOUR_TENTHS, cause="burst", address="::"),
    Incident("burst, MPTCP", 16, 0.8, [Wave(0, 40)], FOUR_TENTHS, cause="burst", protocol=262),
    Incident("burst in another net namespace", 16, 0.8, [Wave(0, 40)], FOUR_TENTHS, cause="burst", other_namespace=True),
    Incident("burst limited by somaxconn", 32, 0.8, [Wave(0, 90)], FOUR_TENTHS, cause="burst", somaxconn=32),
    Incident("burst at a group of four", 16, 0.8, [Wave(0, 300)], FOUR_TENTHS, cause="burst", members=4),
    Incident("pause of a group of three", 16, 2.4, [Wave(0, 150, over=1.5)], ((0, 1.8),), cause="pause", members=3),
    Incident("burst from 20 ms away", 16, 0.9, [Wave(0, 80)], ((0, 0.5),), cause="burst", address="0.0.0.0",
             one_way=0.01),
    Incident("burst of requests from 20 ms away", 16, 1.0, [Wave(0, 80, say=REQUEST)], ((0, 0.6),), cause="burst",
             address="0.0.0.0", one_way=0.01),
    Incident("requests from 20 ms away in 0.4 s", 32, 1.0, [Wave(0, 200, over=0.4, say=REQUEST)], ((0, 0.7),),
             cause="burst", address="0.0.0.0", one_way=0.01),
    Incident("burst of requests at a deferred accept", 16, 1.0, [Wave(0, 80, say=REQUEST)], ((0, 0.6),), cause="burst",
             deferred=True),
    Incident("pause of 1.6 s", 16, 2.2, [Wave(0, 50)], ((0, 1.6),), cause="pause"),
    Incident("pause of 1.8 s that 150 come into", 32, 2.4, [Wave(0, 150, over=1.5)], ((0, 1.8),), cause="pause"),
    Incident("pause of 3.4 s", 16, 4, [Wave(0, 50)], ((0, 3.4),), cause="pause"),
    Incident("pause of 2.8 s that 400 come into", 64, 3.4, [Wave(0, 400, over=2.5)], ((0, 2.8),), cause="pause"),
    Incident("pause of 3.4 s, SYNs again after 1, 2, 4 s", 16, 4, [Wave(0, 60, over=0.5)], ((0, 3.4),), cause="pause",
             linear_timeouts=0),
    Incident("pause of 3 s, requests from 20 ms away", 32, 3.6, [Wave(0, 90, over=2.0, say=REQUEST)], ((0, 3.0),),
             cause="pause", address="0.0.0.0", one_way=0.01),
    Incident("pause whose clients give up after 0.5 s", 16, 3.5, [Wave(0, 150, over=2.4, leave=0.5)], ((0, 2.6),),
             cause="pause"),
    Incident("batches each 2 s", 16, 6.5, [Wave(0, 180, over=6)], ((0, 1.95), (2, 3.95), (4, 5.95)), cause="pause"),
    Incident("batches each 1.7 s, clients that come back", 16, 7, [Loop(0, 40, patience=6)],
             ((0, 1.7), (1.75, 3.4), (3.45, 5.1), (5.15, 6.8)), cause="pause"),
    Incident("burst, then a pause", 16, 4, [Wave(0, 40), Wave(1.0, 60)], ((0, 0.3), (1.0, 3.2)), cause="pause"),
    Incident("too slow for its arrivals", 16, 6, [Wave(0, 120, over=6)], seconds=0.1, cause="slow_accept", helps=False),
    Incident("too slow for a closed loop", 8, 6, [Loop(0, 30, patience=0.5)], seconds=0.1, cause="slow_accept",
             helps=False),
    Incident("one stuck member of four", 16, 5, [Wave(0, 250, over=4)], cause="skew", members=4, stuck=2, helps=False),
    Incident("stopped for good", 16, 7, [Wave(0, 60, over=6)], ((0, 100),), cause="not_accepting", helps=False),
    Incident("SYN flood", 16, 3, [Flood(0, 900, 3)], address="0.0.0.0", helps=False),
    # The kernel counts nobody whom a Unix socket refuses (EAGAIN) or lets wait in connect(). With events those who
    # wait are seen when they find room, but never those who do not wait, so that a limit would be told below the truth:
    # tests/system/test_unix.py shows that they leave no trace.
    Incident("burst, Unix stream", 16, 0.8, [Wave(0, 60)], FOUR_TENTHS, cause="burst", address="@", tells=False),
    Incident("pause, Unix seqpacket", 16, 2, [Wave(0, 60)], ((0, 1.6),), cause="pause", address="@",
             kind=5, tells=False),
]


class Told:
    """What was told of an incident, and who was said to wait."""

    def __init__(self, messages, enough, clients, right_client):
        self.messages = [each.message for each in messages if each.severity != "OKAY"]
        limits = [int(limit) for each in self.messages for limit in re.findall(ENOUGH, each)]
        self.enough = max([*limits, *([enough] if enough else [])], default=None)
        self.causes = [cause for each in self.messages for cause in re.findall(CAUSE, each)]
        self.clients = clients
        self.right_client = right_client


def faults(incident, told, truth):
    """What is wrong with what was told, in words."""
    found = []
    if not (incident.helps and incident.tells):
        if told.enough is not None:
            found.append("no limit is to be told")
    elif told.enough is None:
        found.append("no limit is told")
    elif told.enough < truth:
        found.append("the limit that is told does not hold them")
    elif told.enough > max(1.1 * truth, truth + 1):
        found.append("the limit that is told is too high")
    if incident.cause and incident.cause not in told.causes:
        found.append(f"the cause is not {incident.cause}")
    wrong = set(told.causes) - {incident.cause, "burst"}
    if wrong:
        found.append(f"the cause is not {', '.join(sorted(wrong))}")
    others = set(told.clients) - {told.right_client, "ended clients"}
    if others:
        found.append(f"{', '.join(sorted(others))} did not wait")
    return found


def find_truth(incident, told):
    """(the truth, what is wrong)"""
    truth = None
    if incident.helps:
        truth = smallest_that_holds(incident, told.enough)
    elif incident.cause and holds(incident, 2 * max(1, incident.limit)):
        return None, ["twice the limit helps"]
    found = faults(incident, told, truth)
    if told.enough and truth and told.enough < truth and told.enough >= 0.97 * truth:
        # A busy host played it a little faster or slower. Twice more, then.
        if holds(incident, told.enough) and holds(incident, told.enough):
            found = faults(incident, told, told.enough)
    return truth, found


class TruthTest(NotificationTest):
    def start(self, interval):
        self.table = pathlib.Path(self.folder(), "table")
        self.namespace = NetNamespace(f"other{os.getpid()}")
        self.addCleanup(self.namespace.close)
        return self.started(f'TableFile "{self.table}"\nValues full\nNetNamespace "{self.namespace.name}"\n'
                            f"StalledAfter 5\nSamplerBudget 10\n{os.environ.get('TRUTH_CONFIG', '')}",
                            interval=interval)

    def row(self, name):
        shown = json.loads(run(os.environ["BACKLOG_TABLE"], "--table", self.table, "--json"))
        return next((row for row in shown["listeners"] if row["name"] == name), {})

    def play(self, incident):
        """(the play, the listener's name)"""
        if not incident.other_namespace:
            play = Play(incident)
            self.addCleanup(play.close)
            return play, play.name
        with self.namespace.entered():
            play = Play(incident)
        self.addCleanup(play.close)
        return play, f"{play.name}__netns_{self.namespace.name}"

    def begin(self, collectd, incident, go=True):
        """The same, after an interval in which collectd knew it."""
        play, name = self.play(incident)
        collectd.wait(lambda: "owner" in self.row(name), 20 + collectd.interval, f"the owner of {name}")
        if not incident.is_unix:
            collectd.wait(lambda: collectd.values(name, STATE), 20 + collectd.interval, f"the state of {name}")
        if go:
            collectd.wait_for_intervals(0)
            play.go()
        return play, name

    def observe(self, collectd, incident):
        settings = {name: value for name in SETTINGS if (value := read_sysctl(name)) is not None}
        play, name = self.begin(collectd, incident)
        try:
            clients = set()
            end = time.monotonic() + incident.length + 4.5 * INTERVAL
            while time.monotonic() < end:
                clients |= {each["client"] for each in self.row(name).get("clients", ())[:1]}
                time.sleep(0.1)
            return Told(self.of(collectd, name), self.row(name).get("enough"), clients, play.clients_name)
        finally:
            play.close()
            for setting, value in settings.items():
                write_sysctl(setting, value)

    def test_limits(self):
        self.skip_in_a_unit()
        collectd = self.start(INTERVAL)
        incidents = [each for each in INCIDENTS if re.search(os.environ.get("TRUTH", ""), each.name)]
        results = {}
        with concurrent.futures.ProcessPoolExecutor(PLAYERS) as pool:
            for incident in incidents:
                told = self.observe(collectd, incident)
                results[incident.name] = (told, pool.submit(find_truth, incident, told))
            results = {name: (told, future.result(), "") for name, (told, future) in results.items()}
        # A busy host plays no incident twice alike.
        for incident in incidents:
            if results[incident.name][1][1]:
                told = self.observe(collectd, incident)
                results[incident.name] = (told, find_truth(incident, told), ", the second time")
        print(f"\n{'incident':<45} {'limit':>5} {'truth':>6} {'told':>6}  {'causes':<18} verdict")
        for incident in incidents:
            told, (truth, found), remark = results[incident.name]
            shown_truth = truth if incident.helps else "none"
            causes = ", ".join(dict.fromkeys(told.causes)) or "none"
            print(f"{incident.name:<45} {incident.limit:>5} {shown_truth!s:>6} {told.enough or 'none'!s:>6}  "
                  f"{causes:<18} {'; '.join(found) or 'ok'}{remark}", flush=True)
        for incident in incidents:
            told, (_, found), _ = results[incident.name]
            with self.subTest(incident.name):
                self.assertEqual(found, [], told.messages)

    def test_who_waits_is_told_within_an_interval(self):
        """Of a longer one: the search for processes may take a hundredth of it."""
        self.skip_in_a_unit()
        collectd = self.start(LONG_INTERVAL)
        kinds = {"IPv4": {}, "IPv6": {"address": "::1"}, "dual stack": {"address": "::"}, "Unix": {"address": "@"},
                 "group": {"members": 4, "limit": 4}, "net namespace": {"other_namespace": True}}
        plays = []
        for name, options in kinds.items():
            incident = Incident(name, length=1000, clients=[Wave(0, 40)], pauses=((0, 1000),), **{"limit": 16, **options})
            plays.append((name, *self.begin(collectd, incident, go=False)))
        collectd.wait_for_intervals(0)
        for _, play, _ in plays:
            play.go()
        begin = time.monotonic()
        unknown = {name: (play.clients_name, listener) for name, play, listener in plays}
        while unknown and time.monotonic() < begin + 2 * LONG_INTERVAL:
            for name, (client, listener) in list(unknown.items()):
                if [each["client"] for each in self.row(listener).get("clients", ())] == [client]:
                    print(f"  {name}: {client} after {time.monotonic() - begin:.1f} s", flush=True)
                    del unknown[name]
            time.sleep(0.1)
        self.assertEqual(unknown, {})
        self.assertLess(time.monotonic() - begin, LONG_INTERVAL + 1.5)


if __name__ == "__main__":
    system_test.main()
