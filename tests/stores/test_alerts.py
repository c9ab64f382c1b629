#!/usr/bin/env python3
"""The alert rules of Grafana decide as those of Prometheus: the cases that promtool is asked in
tests/dashboards/test_alerts.py as series of the past in real stores, each case a host of its own, and the
rules evaluated over that time as Grafana does."""

import collections
import contextlib
import pathlib
import re
import socket
import sys
import time
import unittest
import urllib.request

import stores_harness as stores
from carbon import start_carbon, start_graphite_web
from influxdb import INFLUXDB_DATABASE, start_influxdb
from store import LOOPBACK
from waiting import wait_until
from view_queries import View, alert_rules

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "dashboards"))
from alert_cases import ABSENT, ALERTS, CASES, HOST_ALIVE, SNMP  # noqa: E402

INTERVAL = 10  # collectd's, seconds
EVALUATION = 15  # seconds; promtool's in the other test, of all rules
LONG = 7200  # seconds; no case is longer
WHISPER_TIMEOUT = 60
COUNTERS = ("packets", "protocol_counter")


def values_of(text):
    """promtool's notation: [value or None]."""
    values = []
    for word in text.split():
        start, step, times = re.fullmatch(r"(_|\d+)(?:\+(\d+))?(?:x(\d+))?", word).groups()
        if start == "_":
            values += [None] * int(times or 1)
        else:
            values += [int(start) + int(step or 0) * index for index in range(int(times or 0) + 1)]
    return values


def rates_of(values):
    """What write_graphite sends of a counter: none for a first value, and none for a smaller one."""
    pairs = zip([None, *values], values)
    return [None if None in pair or pair[1] < pair[0] else (pair[1] - pair[0]) / INTERVAL for pair in pairs]


def seconds(text):
    return {"s": 1, "m": 60}[text[-1]] * int(text[:-1])


class Host:
    """A case's host web1, or another of the case. series: {(type, instance, type instance): values}."""

    def __init__(self, name, case):
        self.name, self.case, self.series = name, case, {}

    def graphite_lines(self, begin):
        for (kind, instance, type_instance), values in self.series.items():
            path = f"collectd.{self.name}.backlog.{instance}.{kind}.{type_instance}"
            for index, value in enumerate(rates_of(values) if kind in COUNTERS else values):
                if value is not None:
                    yield f"{path} {value} {begin + INTERVAL * index}\n"

    def influxdb_lines(self, begin):
        for (kind, instance, type_instance), values in self.series.items():
            tags = f"host={self.name},instance={instance},type={kind},type_instance={type_instance}"
            for index, value in enumerate(values):
                if value is not None:
                    yield f"backlog_value,{tags} value={value}.0 {begin + INTERVAL * index}\n"


def hosts_of_cases():
    hosts = []
    for number, case in enumerate(CASES):
        if ABSENT in case.firing.values():  # no series at all: noDataState, and all are in one store here
            continue
        by_name = {}
        for (kind, instance, type_instance, *host), values in {HOST_ALIVE: "5x600", **case.series}.items():
            name = f"case{number}-{host[0] if host else 'web1'}"
            if kind != SNMP:
                series = (kind.removesuffix("_total"), instance, type_instance)
                by_name.setdefault(name, Host(name, case)).series[series] = values_of(values)
        hosts += by_name.values()
    return hosts


class Evaluator:
    """Grafana's: a condition that holds is pending, and fires when it has held without a gap for so long."""

    def __init__(self, rule):
        self.rule = rule
        self.lasting = seconds(rule["for"])
        self._since = {}

    def firing(self, second, holding):
        """The label sets that fire, when the condition holds for these at this second."""
        self._since = {labels: self._since.get(labels, second) for labels in holding}
        return [labels for labels, since in self._since.items() if second - since >= self.lasting]


class AlertsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.hosts = hosts_of_cases()
        cls.by_name = {host.name: host for host in cls.hosts}
        cls.begin = (int(time.time()) - LONG) // 60 * 60
        with contextlib.ExitStack() as stack:
            cls.carbon = stack.enter_context(start_carbon())
            cls.web = stack.enter_context(start_graphite_web(cls.carbon))
            cls.influxdb = stack.enter_context(start_influxdb())
            cls.write()
            cls.addClassCleanup(stack.pop_all().close)

    @classmethod
    def write(cls):
        with socket.create_connection((LOOPBACK, cls.carbon.port)) as connection:
            for host in cls.hosts:
                connection.sendall("".join(host.graphite_lines(cls.begin)).encode())
        for host in cls.hosts:
            address = f"{cls.influxdb.url}/write?db={INFLUXDB_DATABASE}&precision=s"
            lines = "".join(host.influxdb_lines(cls.begin)).encode()
            urllib.request.urlopen(urllib.request.Request(address, lines), timeout=20).close()
        sent = {host.name: collections.Counter(line.split()[0] for line in host.graphite_lines(cls.begin))
                for host in cls.hosts}

        def all_there():
            return all({path: len(points) for path, points in cls.web.render(
                f"collectd.{name}.backlog.*.*.*", since=f"-{LONG + 600}s").items()} == counts
                       for name, counts in sent.items())
        wait_until(all_there, WHISPER_TIMEOUT, "all values in Graphite")
        cls.carbon.stop()  # what it holds it writes; graphite-web does not see what is on the way to a file
        wait_until(all_there, WHISPER_TIMEOUT, "all values in whisper's files")

    def host_of(self, store, labels):
        labels = dict(labels)
        return self.by_name[labels["name"].split(".")[1] if store == "graphite" else labels["host"]]

    @staticmethod
    def listener_of(store, labels):
        labels = dict(labels)
        return labels["name"].split(".")[3] if store == "graphite" else labels.get("instance", "host")

    def check(self, store):
        view = View(self.web, self.influxdb, None)
        evaluators = [Evaluator(rule) for rule, _ in alert_rules(f"grafana-{store}.yml")]
        of_store = {name for name, alert in ALERTS.items() if store in alert.stores}
        self.assertEqual({evaluator.rule["title"] for evaluator in evaluators}, of_store)
        last = max(second for host in self.hosts for second in host.case.firing)
        fired, wrong = set(), []
        for second in range(0, last + 1, EVALUATION):
            view.travel_to(self.begin + second)
            firing = collections.defaultdict(set)
            for evaluator in evaluators:
                holding = [frozenset(labels.items()) for labels in view.grafana_condition(store, evaluator.rule)]
                for labels in evaluator.firing(second, holding):
                    firing[self.host_of(store, labels).case.what].add(
                        (evaluator.rule["title"], self.listener_of(store, labels)))
            for case in {host.case.what: host.case for host in self.hosts}.values():
                wanted = {alert for alert in case.firing.get(second, ()) if alert[0] in of_store}
                fired |= wanted & firing[case.what]
                if second in case.firing and firing[case.what] != wanted:
                    wrong.append(f"{case.what}, after {second} s: {firing[case.what]}, not {wanted}")
        self.assertEqual(wrong, [])
        self.assertEqual({alert for alert, _ in fired}, of_store)

    def test_graphite_decides_like_prometheus(self):
        self.check("graphite")

    def test_influxdb_decides_like_prometheus(self):
        self.check("influxdb")


if __name__ == "__main__":
    stores.main("carbon-cache", "influxd")
