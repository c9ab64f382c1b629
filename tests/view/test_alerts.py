#!/usr/bin/env python3
"""The alert rules: Prometheus' own, by promtool, fire when they must and at no other time; Grafana's
have the form that its provisioning takes; both are what the generator writes."""

import collections
import json
import pathlib
import subprocess
import tempfile
import unittest

import frame

RULES = frame.CONF / "alerts" / "prometheus.rules.yml"
LISTENER = "tcp_any_80"

# Values are promtool's, one in 10 s: 2x3 is four times 2, 0+6x2 is 0 6 12, _ is none.
# firing: {second: {(alert, listener or None)}}: all alerts of the host web1 that fire then.
Case = collections.namedtuple("Case", "what series firing")

HOST_ALIVE = ("count", "host", "listeners")
STATE = ("gauge", LISTENER, "state")
DROPPED = ("packets_total", LISTENER, "dropped")
USED = ("percent", LISTENER, "used")
LIMIT = ("queue_length", LISTENER, "limit")
COOKIES = ("protocol_counter_total", "kernel", "SyncookiesSent")

OVERFLOW, DROPS, STALLED, MISSING, NEARLY_FULL, LIMIT_FELL = (
    {(alert, LISTENER)} for alert in ("BacklogOverflow", "BacklogDrops", "BacklogStalled", "BacklogMissing",
                                      "BacklogNearlyFull", "BacklogLimitFell"))
SILENT, ABSENT = {("BacklogSilent", "host")}, {("BacklogAbsent", None)}


def never(*seconds):
    return {second: set() for second in seconds}


CASES = [
    Case("overflow for two minutes", {STATE: "0x5 2x13 0x40"},
         {**never(60, 165), 180: OVERFLOW, 195: OVERFLOW, **never(210, 240, 330)}),
    Case("overflow for two minutes minus an interval", {STATE: "0x5 2x11 0x40"}, never(60, 165, 180, 195, 210, 240)),
    Case("overflow with a clean interval between", {STATE: "2x8 0x1 2x8 0x40"}, never(120, 135, 180, 195)),
    Case("high is no overflow", {STATE: "1x60"}, never(120, 300, 600)),

    Case("six drops a second", {DROPPED: "0+60x30"}, {**never(60), 90: DROPS, 300: DROPS}),
    Case("five drops a second", {DROPPED: "0+50x60"}, never(60, 90, 120, 300, 600)),
    Case("many drops within 40 s", {DROPPED: "0x5 0+500x4 2000x40"}, never(75, 90, 105, 120, 135, 150, 165)),
    Case("a restart of collectd, a counter reset", {DROPPED: "100000x10 _x3 0x40"}, never(*range(90, 300, 15))),
    Case("drops over a counter reset", {DROPPED: "0+200x12 0+200x12"}, {120: DROPS, 150: DROPS, 210: DROPS}),
    Case("the host's sum does not alarm beside the listeners", {("packets_total", "host", "dropped"): "0+600x30"},
         never(120, 300)),

    Case("stalled for a minute", {STATE: "0x2 3x8 0x20"},
         {**never(30, 75), 90: STALLED, 105: STALLED, **never(135, 180)}),
    Case("stalled for a minute minus an interval", {STATE: "0x2 3x5 0x20"}, never(75, 90, 105, 120)),
    Case("missing", {STATE: "0x2 4x8 0x20"}, {**never(15), 30: MISSING, 90: MISSING, **never(135)}),

    Case("nearly full for 15 minutes", {USED: "81x100"}, {**never(885), 900: NEARLY_FULL, 990: NEARLY_FULL}),
    Case("80 % are not over 80 %", {USED: "80x100"}, never(900, 990)),
    Case("nearly full with one interval below", {USED: "95x80 40x1 95x60"}, never(900, 1200, 1400)),

    Case("the limit falls", {LIMIT: "4096x180 128x360"},
         {**never(1800, 1905), 1935: LIMIT_FELL, 3000: LIMIT_FELL, **never(5300)}),
    Case("the limit rises", {LIMIT: "128x180 4096x360"}, never(1800, 1950, 2400, 3600, 5300)),
    Case("a reload doubles the limit for a while", {LIMIT: "512x180 1024x30 512x180"}, never(*range(1800, 3600, 60))),
    Case("the limit is the same after a restart", {LIMIT: "512x60 _x6 512x60"}, never(600, 700, 900, 1200)),

    Case("a restart of collectd", {HOST_ALIVE: "5x30 _x5 5x60", STATE: "0x30 _x5 0x60"}, never(*range(300, 500, 15))),
    Case("a host falls silent", {HOST_ALIVE: "5x30 _x500", ("count", "host", "listeners", "web2"): "5x530"},
         {**never(330, 390), 420: SILENT, 1800: SILENT, 3870: SILENT, **never(4000)}),
    Case("a host goes away while it overflows",
         {HOST_ALIVE: "5x8 _x60", STATE: "2x8 _x60", ("count", "host", "listeners", "web2"): "5x100"},
         {**never(90, 120, 135, 150), 195: SILENT, 600: SILENT}),
    Case("a host goes away while it drops", {DROPPED: "0+500x4 _x60"}, never(60, 75, 90, 120)),
    Case("no host at all", {HOST_ALIVE: "_x30"}, {**never(45), 60: ABSENT, 300: ABSENT}),
    Case("SYN cookies", {COOKIES: "0+100000x60", STATE: "0x60"}, never(120, 300, 600)),
]


def series_name(kind, instance, type_instance, host="web1"):
    return f'collectd_backlog_{kind}{{backlog="{instance}",type="{type_instance}",instance="{host}",job="collectd"}}'


def promtool_test(case):
    series = {HOST_ALIVE: "5x600", **case.series}
    checks = []
    for second, firing in case.firing.items():
        # BacklogDrops and others keep the labels of their series; alert and listener are compared.
        samples = [{"labels": "{" + f'alertname="{alert}"' + (f',backlog="{listener}"' if listener else "") + "}",
                    "value": 1} for alert, listener in firing]
        checks.append({"expr": 'max by (alertname, backlog) (ALERTS{alertstate="firing"})',
                       "eval_time": f"{second}s", "exp_samples": samples})
    return {"name": case.what, "interval": "10s", "promql_expr_test": checks,
            "input_series": [{"series": series_name(*key), "values": values} for key, values in series.items()]}


def annotation_test(alert, series, second, labels, generator):
    """That the texts of one alert are filled in."""
    condition = next(each for each in generator.CONDITIONS if each["name"] == alert)
    said = {"subject": f"{LISTENER} on web1", "host": "web1"}
    return {"interval": "10s",
            "input_series": [{"series": series_name(*key), "values": values} for key, values in series.items()],
            "alert_rule_test": [{
                "eval_time": f"{second}s", "alertname": alert,
                "exp_alerts": [{"exp_labels": {"severity": condition["severity"], "instance": "web1",
                                               "job": "collectd", **labels},
                                "exp_annotations": {"summary": condition["summary"].format(**said),
                                                    "description": condition["description"]}}]}]}


class PrometheusRulesTest(unittest.TestCase):
    def promtool(self, tests):
        """promtool's exit status and what it says."""
        program = frame.find_program("promtool")
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder, "tests.yml")  # JSON is YAML
            file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "15s", "tests": tests}))
            done = subprocess.run([program, "test", "rules", str(file)], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def test_fire_when_they_must_and_at_no_other_time(self):
        self.assertGreater(len(CASES), 0)
        for case in CASES:
            with self.subTest(case.what):
                status, said = self.promtool([promtool_test(case)])
                self.assertEqual(status, 0, said)

    def test_every_rule_fires_in_some_case(self):
        fired = {alert for case in CASES for firing in case.firing.values() for alert, _ in firing}
        self.assertEqual(fired, {condition["name"] for condition in frame.load_generator("alerts").CONDITIONS})

    def test_texts_name_listener_and_host(self):
        generator = frame.load_generator("alerts")
        status, said = self.promtool([
            annotation_test("BacklogMissing", {STATE: "4x10"}, 60, {"backlog": LISTENER, "type": "state"}, generator),
            annotation_test("BacklogSilent", {HOST_ALIVE: "5x2 _x40"}, 300, {"backlog": "host", "type": "listeners"},
                            generator)])
        self.assertEqual(status, 0, said)

    def test_promtool_can_fail(self):
        status, said = self.promtool([promtool_test(Case("wrong", {STATE: "2x60"}, never(300)))])
        self.assertNotEqual(status, 0)
        self.assertIn("BacklogOverflow", said)

    def test_rules_are_valid(self):
        program = frame.find_program("promtool")
        done = subprocess.run([program, "check", "rules", str(RULES)], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)


class GrafanaRulesTest(unittest.TestCase):
    """By Grafana's provisioning of alert rules, apiVersion 1."""

    STATES = {"OK", "Alerting", "NoData", "KeepLast"}

    def rules(self, store):
        try:
            import yaml
        except ImportError:
            self.skipTest("python3-yaml is missing")
        text = (frame.CONF / "alerts" / f"grafana-{store}.yml").read_text(encoding="utf-8")
        document = yaml.safe_load(text)
        self.assertEqual(document["apiVersion"], 1)
        return [rule for group in document["groups"] for rule in group["rules"]]

    def check_rule(self, rule, store):
        self.assertRegex(rule["uid"], r"^[a-z-]{1,40}$")
        self.assertIn(rule["noDataState"], self.STATES)
        self.assertIn(rule["labels"]["severity"], {"page", "ticket"})
        # Grafana replaces $words in annotations by environment variables.
        self.assertNotIn("$", json.dumps(rule["annotations"]))
        known = []
        for query in rule["data"]:
            model = query["model"]
            self.assertEqual(model["refId"], query["refId"])
            if query["datasourceUid"] == "__expr__":
                used = [model["expression"]] if model["type"] != "math" else \
                    [word.lstrip("$") for word in model["expression"].split() if word.startswith("$")]
                self.assertLessEqual(set(used), set(known))
            else:
                self.assertEqual(query["datasourceUid"], store)
                self.assertGreater(query["relativeTimeRange"]["from"], 0)
            known.append(query["refId"])
        self.assertEqual(len(known), len(set(known)))
        self.assertEqual(rule["condition"], known[-1])

    def test_form(self):
        conditions = {each["name"] for each in frame.load_generator("alerts").CONDITIONS} - {"BacklogAbsent"}
        for store in ("graphite", "influxdb"):
            rules = self.rules(store)
            self.assertEqual({rule["title"] for rule in rules}, conditions)
            self.assertEqual(len({rule["uid"] for rule in rules}), len(rules))
            for rule in rules:
                with self.subTest(rule["uid"]):
                    self.check_rule(rule, store)


class GeneratedTest(unittest.TestCase):
    def test_files_are_as_generated(self):
        frame.check_generated(self, "alerts")


if __name__ == "__main__":
    frame.main()
