#!/usr/bin/env python3
"""Every query of the dashboards and alert rules, against real stores that hold what the plugin saw of
known queues."""

import contextlib
import json
import os
import pathlib
import threading
import time
import unittest
import urllib.parse
import urllib.request

import stores_harness as stores
from carbon import graphite_snippet, start_carbon, start_graphite_web
from influxdb import influxdb_snippet, start_influxdb
from prometheus import prometheus_snippet, start_prometheus
from store import fetch, free_port
from collectd import HOSTNAME
from listeners import Listener
from names import percent_used
from waiting import wait_until
from view_queries import View, alert_rules

setUpModule = stores.set_up_network  # pylint: disable=invalid-name

STORES = ("graphite", "influxdb", "prometheus")
FULL_LIMIT, BUSY_LIMIT, BUSY_LENGTH, IDLE_LIMIT, LOWERED_LIMIT = 8, 128, 100, 16, 4
TOP = 20
CROWD_LIMIT, CROWD_LENGTHS = 99, range(1, TOP + 3)  # more listeners than the tables show; used is the length
# With a budget that events never exceed, whatever else runs: without them some series end.
PLUGIN_CONFIG = """
  Listener "/./"
  Values full
  WarningPercent 60
  SamplerBudget 50
  StalledAfter {stalled_after}
  MissingAfter 1
  <Watch "tcp_127-0-0-1_1">
    Expected true
  </Watch>
"""
MISSING = "tcp_127-0-0-1_1"
# Values that Grafana inserts for one host, for all, and for two of several.
HOSTS = {"graphite": (HOSTNAME, "*", f"{{{HOSTNAME},web1}}"), "influxdb": (HOSTNAME, ".*", f"({HOSTNAME}|web1)"),
         "prometheus": (HOSTNAME, ".*", f"({HOSTNAME}|web1)")}
POINTS = 4  # of 10 s, in Graphite


def conf(*parts):
    return pathlib.Path(os.environ["BACKLOG_CONF"], *parts)


def dashboard(store, page):
    return json.loads(conf("dashboards", f"grafana-{store}-{page}.json").read_text(encoding="utf-8"))


def rules_by_name(file):
    return {rule.get("alert") or rule["title"]: rule for rule, _ in alert_rules(file)}


class Refused:
    """Clients that come to a full listener and leave before they would try again, until close()."""

    def __init__(self, listener, clients, pause):
        self._listener, self._clients, self._pause = listener, clients, pause
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        waiting = len(self._listener.clients)
        while not self._ending.wait(self._pause):
            self._listener.connect(self._clients)
            for client in self._listener.clients[waiting:-self._clients]:
                client.close()
            del self._listener.clients[waiting:-self._clients]

    def close(self):
        self._ending.set()
        self._thread.join()


class DashboardsTest(unittest.TestCase):
    """One scene for all: a listener that overflows, one that does so less, one three quarters full, a
    crowd with short queues, one idle, one missing."""

    @classmethod
    def setUpClass(cls):
        alert_rules("prometheus.rules.yml")  # SkipTest if it cannot be read
        with contextlib.ExitStack() as stack:
            carbon = stack.enter_context(start_carbon())
            cls.web = stack.enter_context(start_graphite_web(carbon))
            cls.influxdb = stack.enter_context(start_influxdb())
            port = free_port()
            cls.prometheus = stack.enter_context(start_prometheus(
                port, rules=[conf("alerts", "prometheus.rules.yml")]))
            cls.full = stack.enter_context(Listener(limit=FULL_LIMIT)).fill(FULL_LIMIT + 1)
            cls.busy = stack.enter_context(Listener(limit=BUSY_LIMIT)).fill(BUSY_LENGTH)
            cls.idle = stack.enter_context(Listener(limit=IDLE_LIMIT))
            cls.less_full = stack.enter_context(Listener(limit=FULL_LIMIT)).fill(FULL_LIMIT + 1)
            cls.crowd = [stack.enter_context(Listener(limit=CROWD_LIMIT)).fill(length) for length in CROWD_LENGTHS]
            for listener, clients, pause in ((cls.full, 2, 0.1), (cls.less_full, 1, 0.5)):
                stack.enter_context(contextlib.closing(Refused(listener, clients, pause)))
            cls.snippets = [graphite_snippet(carbon.port), influxdb_snippet(cls.influxdb.collectd_port),
                            prometheus_snippet(port)]
            cls.collectd = cls.start_collectd(stalled_after=86400)
            stack.callback(lambda: cls.collectd.close())  # the newest
            cls.view = View(cls.web, cls.influxdb, cls.prometheus)
            # Prometheus looks at the ends of minutes for the hours above 70 %, the first of them after this.
            for listener in (cls.full, cls.less_full, cls.busy):
                cls.collectd.wait(lambda name=listener.name: cls.prometheus.latest(
                    "collectd_backlog_percent", backlog=name, type="used"), 60, "use of each in Prometheus")
            begin = time.time()
            cls.wait_for_points(cls.full.name)
            cls.collectd.wait(lambda: time.time() // 60 > begin // 60, 70, "the next minute")
            cls.addClassCleanup(stack.pop_all().close)

    @classmethod
    def start_collectd(cls, stalled_after):
        return stores.collectd(
            *cls.snippets, plugin_config=PLUGIN_CONFIG.format(stalled_after=stalled_after)).start()

    @classmethod
    def wait_for_points(cls, listener):
        """In Graphite, whose step of 10 s is the longest, and in the others, whose delay is about 2 s."""
        path = f"collectd.{HOSTNAME}.backlog.{listener}.packets.dropped"
        cls.collectd.wait(lambda: len(cls.web.render(path, since="-10min").get(path, [])) >= POINTS, 90,
                          f"{POINTS} values of {path} in Graphite")
        for latest in (lambda: cls.influxdb.latest(listener, "packets", "dropped"),
                       lambda: cls.prometheus.latest("collectd_backlog_packets_total", backlog=listener)):
            cls.collectd.wait(latest, 30, "drops in every store")

    def targets(self, store, page):
        for panel in dashboard(store, page)["panels"]:
            for target in panel["targets"]:
                yield panel, target

    # Waits: nobody is accepted here. Connections: some kernels have no events. Hosts by state, of InfluxDB: where no
    # host ever was in a state there is no row.
    def may_be_empty(self, store, panel, target):
        if panel["type"] == "heatmap":  # of another exporter: nms.prometheus
            return True
        if panel["title"].startswith("Waits"):
            return not any(self.collectd.values(self.full.name, f"duration-wait_{what}") for what in ("mean", "p50", "p99"))
        if panel["title"].startswith("Connections"):
            return not self.collectd.values(self.full.name, "connections-arrived")
        if store != "influxdb" or panel["title"] != "Hosts by state":
            return False
        values = self.collectd.values("host", f"count-{target['alias']}")
        return target["alias"] != "all" and not any(value for _, value in values)

    def test_1_every_panel_has_data(self):
        asked = 0
        for store in STORES:
            for page in ("fleet", "listener", "sampler"):
                for host in [HOSTNAME] if page == "listener" else HOSTS[store]:
                    for panel, target in self.targets(store, page):
                        with self.subTest(store=store, page=page, panel=panel["title"], target=target["refId"]):
                            answers = self.view.panel_target(store, target, host, self.full.name)
                            asked += 1
                            if not self.may_be_empty(store, panel, target):
                                self.assertTrue(answers, target)
                            if page == "listener":
                                self.assertLessEqual(len(answers), 1)
        self.assertGreater(asked, 100)

    def test_2_variables_offer_hosts_and_listeners(self):
        for store in STORES:
            hosts, listeners = (variable for variable in dashboard(store, "listener")["templating"]["list"]
                                if variable["type"] == "query")
            with self.subTest(store=store):
                self.assertEqual(self.view.variable(store, hosts, ""), {HOSTNAME})
                offered = self.view.variable(store, listeners, HOSTNAME)
                self.assertLessEqual({self.full.name, self.busy.name, self.idle.name}, offered)
                self.assertFalse({"host", "kernel", "sampler"} & offered)

    def figures(self, store, panel_title, listener):
        """The newest figure of each target of a panel of the listener's page, in its order."""
        figures = []
        for panel, target in self.targets(store, "listener"):
            if panel["title"] == panel_title:
                (answer,) = self.view.panel_target(store, target, HOSTNAME, listener.name)
                figures.append(answer.points[-1][1])
        return figures

    def test_3_listener_page_shows_known_queues(self):
        for store in STORES:
            for listener, length, limit, state in ((self.full, FULL_LIMIT + 1, FULL_LIMIT, 2),
                                                   (self.busy, BUSY_LENGTH, BUSY_LIMIT, 1),
                                                   (self.idle, 0, IDLE_LIMIT, 0)):
                with self.subTest(store=store, length=length):
                    peak, mean, newest, full = self.figures(store, "Accept queue", listener)
                    self.assertEqual((peak, newest, full), (length, length, limit + 1))
                    self.assertAlmostEqual(mean, length, places=3)
                    (used,) = self.figures(store, "Used", listener)
                    self.assertAlmostEqual(used, percent_used(length, limit), places=3)
                    self.assertEqual(self.figures(store, "Limit", listener), [limit, 0])
                    self.assertEqual(self.figures(store, "State", listener), [state])
                    (drops,) = self.figures(store, "Drops per second", listener)
                    self.assertEqual(drops > 0, listener is self.full)

    def test_5_graphite_web_shows_those_that_stand_out(self):
        """Of all listeners: in this scene those with a known peak, and the worst states."""
        graphs = {parameters["title"]: parameters["target"] for _, parameters, _ in json.loads(
            conf("dashboards", "graphite-web.json").read_text(encoding="utf-8"))["graphs"]}

        def names(title):
            (target,) = graphs[title]
            return [dict(answer.labels)["name"].split(".")[3]
                    for answer in self.view.panel_target("graphite", {"target": target}, "")]
        waiting = [self.busy.name, *(listener.name for listener in reversed(self.crowd))]
        self.assertEqual(len(names("Most seen waiting: top 20")), TOP)
        self.assertEqual(names("Most seen waiting: top 20")[:5], waiting[:5])
        self.assertEqual(names("Mean waiting (Values full): top 20")[:5], waiting[:5])
        (states,) = [title for title in graphs if title.startswith("States: 0 ok, 1 high, 2 overflow")]
        self.assertEqual(set(names(states)) - {"host"}, {self.full.name, self.less_full.name, self.busy.name, MISSING})

    def rows(self, store, title):
        """{listener: figure} of a table of the fleet's page, in the order that its panel gives it."""
        for panel, target in self.targets(store, "fleet"):
            if panel["title"] == title:
                answers = self.view.panel_target(store, target, HOSTNAME)
                rows = [(self.listener_of(store, answer), answer.points) for answer in answers]
                # In Graphite a row is what the panel makes of a whole series.
                reducers = [step["options"]["reducers"] for step in panel["transformations"] if step["id"] == "reduce"]
                reduce = {"mean": lambda points: sum(value for _, value in points) / len(points),
                          "max": lambda points: max(value for _, value in points)}[reducers[0][0]] \
                    if reducers else lambda points: points[-1][1]
                rows = [(listener, reduce(points)) for listener, points in rows]
                (order,) = [step["options"]["sort"] for step in panel["transformations"] if step["id"] == "sortBy"]
                self.assertEqual([each["desc"] for each in order], [True])
                return dict(sorted(rows, key=lambda row: row[1], reverse=True))
        raise AssertionError(title)

    def listener_of(self, store, answer):
        labels = dict(answer.labels)
        return {"graphite": lambda: labels["name"].split(".")[3], "influxdb": lambda: labels["instance"],
                "prometheus": lambda: labels["backlog"]}[store]()

    def test_4_fleet_page_ranks_listeners(self):
        for store in STORES:
            with self.subTest(store=store):
                drops = self.rows(store, "Top 20 by drops")
                self.assertEqual(list(drops), [self.full.name, self.less_full.name])
                used = self.rows(store, "Top 20 by use")
                self.assertEqual(used.pop(self.full.name), 100)
                self.assertEqual(used.pop(self.less_full.name), 100)
                wanted = [self.busy.name, *(listener.name for listener in reversed(self.crowd))][:TOP - 2]
                self.assertEqual(list(used), wanted)
                self.assertAlmostEqual(used[self.busy.name], percent_used(BUSY_LENGTH, BUSY_LIMIT), places=3)
                hours = self.rows(store, "Top 20 by hours above 70 %")
                self.assertEqual(hours.keys(), {self.full.name, self.less_full.name, self.busy.name})
                for hours_above in hours.values():
                    self.assertGreater(hours_above, 0)
                    self.assertLess(hours_above, 0.2)

    def test_5_graphite_web_takes_its_dashboard_and_draws_it(self):
        state = conf("dashboards", "graphite-web.json").read_text(encoding="utf-8")
        request = urllib.request.Request(f"{self.web.url}/dashboard/save/collectd-backlog",
                                         urllib.parse.urlencode({"state": state}).encode())
        with urllib.request.urlopen(request, timeout=20) as answer:
            self.assertEqual(json.load(answer), {"success": True})
        loaded = json.loads(fetch(f"{self.web.url}/dashboard/load/collectd-backlog"))["state"]
        self.assertEqual(loaded, json.loads(state))
        self.assertGreater(len(loaded["graphs"]), 5)
        titles = " ".join(parameters["title"] for _, parameters, _ in loaded["graphs"])
        for shown in ("Top 20 by drops", "Top 20 by use", "Hosts by state", "hours above", "waiting", "Mean", "Limits",
                      "Changes of the limit", "States", "SYN queues", "Overload", "CPU of the sampler"):
            self.assertIn(shown, titles)
        for _, parameters, url in loaded["graphs"]:
            with self.subTest(parameters["title"]):
                answers = [answer for target in parameters["target"]
                           for answer in self.view.panel_target("graphite", {"target": target}, "")]
                self.assertTrue(answers)
                self.assertEqual(fetch(self.web.url + url)[:8], b"\x89PNG\r\n\x1a\n")

    def firing(self, store):
        """{alert: names of the listeners or hosts for which its condition holds now}."""
        firing = {}
        if store == "prometheus":
            for name, rule in rules_by_name("prometheus.rules.yml").items():
                firing[name] = {labels.get("backlog") for labels in self.view.prometheus_condition(rule["expr"])}
        else:
            for name, rule in rules_by_name(f"grafana-{store}.yml").items():
                found = self.view.grafana_condition(store, rule)
                firing[name] = {labels["name"].split(".")[3] if store == "graphite" else labels.get("instance", "host")
                                for labels in found}
        return {name: found for name, found in firing.items() if found}

    def test_6_alert_conditions_hold_where_they_must(self):
        self.idle.listen(LOWERED_LIMIT)
        both = {self.full.name, self.less_full.name}
        wanted = {"BacklogOverflow": both, "BacklogDrops": {self.full.name},
                  "BacklogMissing": {MISSING}, "BacklogNearlyFull": both,
                  "BacklogLimitFell": {self.idle.name}}
        for store in STORES:
            with self.subTest(store=store):
                last = [None]

                def as_wanted(store=store, last=last):
                    last[0] = self.firing(store)
                    return last[0] == wanted
                try:
                    self.collectd.wait(as_wanted, 40, "the alerts")
                except AssertionError:
                    self.assertEqual(last[0], wanted)

    def test_7_prometheus_evaluates_its_rules(self):
        def groups():
            return json.loads(fetch(f"{self.prometheus.url}/api/v1/rules"))["data"]["groups"]
        wait_until(lambda: all(rule["health"] != "unknown" for group in groups() for rule in group["rules"]), 90,
                   "an evaluation of all rules", pause=0.5)
        rules = {rule["name"]: rule for group in groups() for rule in group["rules"]}
        self.assertEqual(rules.keys(), rules_by_name("prometheus.rules.yml").keys())
        self.assertEqual({rule["health"] for rule in rules.values()}, {"ok"})
        (alert,) = rules["BacklogMissing"]["alerts"]
        self.assertEqual(alert["state"], "firing")
        self.assertEqual(alert["annotations"]["summary"], f"{MISSING} on {HOSTNAME}: an expected listener is absent")

    def test_8_a_stalled_listener_is_noticed(self):
        """Those of which nobody takes a connection, for which a longer StalledAfter hid it until now."""
        self.collectd.stop()
        self.collectd.close()
        type(self).collectd = self.start_collectd(stalled_after=2)
        wanted = {self.busy.name, *(listener.name for listener in self.crowd)}
        for store in STORES:
            with self.subTest(store=store):
                self.collectd.wait(lambda store=store: wanted <= self.firing(store).get("BacklogStalled", set()), 60,
                                   f"BacklogStalled of {store}")
                self.assertNotIn(self.idle.name, self.firing(store)["BacklogStalled"])

    def test_9_silence_is_noticed(self):
        self.collectd.stop()
        alone = {"BacklogSilent": {"host"}, "BacklogAbsent": {None}}  # once Prometheus has missed all its series

        def is_noticed(store):
            firing = self.firing(store)
            return firing == alone if store == "prometheus" else "BacklogSilent" in firing
        for store in reversed(STORES):  # in the order of the time that it takes
            with self.subTest(store=store):
                wait_until(lambda store=store: is_noticed(store), 150, f"BacklogSilent of {store}", pause=1)


if __name__ == "__main__":
    stores.main("carbon-cache", "influxd", "prometheus")
