#!/usr/bin/env python3
"""The alert rules: Prometheus' own, by promtool, fire when they must and at no other time; Grafana's
have the form that its provisioning takes; both are what the generator writes."""

import json
import pathlib
import subprocess
import tempfile
import unittest

import frame
from alert_cases import ALERTS, CASES, Case, HOST_ALIVE, LISTENER, MINUTE_CASES, SNMP, STATE, never

RULES = frame.CONF / "alerts" / "prometheus.rules.yml"


def series_name(kind, instance, type_instance, host="web1"):
    if kind == SNMP:
        return f'{type_instance}{{instance="{host}",job="snmp"}}'
    return f'collectd_backlog_{kind}{{backlog="{instance}",type="{type_instance}",instance="{host}",job="collectd"}}'


def promtool_test(case, interval="10s"):
    series = {HOST_ALIVE: "5x600", **case.series}
    checks = []
    for second, firing in case.firing.items():
        # BacklogDrops and others keep the labels of their series; alert and listener are compared.
        samples = [{"labels": "{" + f'alertname="{alert}"' + (f',backlog="{listener}"' if listener else "") + "}",
                    "value": 1} for alert, listener in firing]
        checks.append({"expr": 'max by (alertname, backlog) (ALERTS{alertstate="firing"})',
                       "eval_time": f"{second}s", "exp_samples": samples})
    return {"name": case.what, "interval": interval, "promql_expr_test": checks,
            "input_series": [{"series": series_name(*key), "values": values} for key, values in series.items()]}


def annotation_test(alert, series, second, labels, generator):
    """That the texts of one alert are filled in."""
    condition = next(each for each in generator.conditions() if each["name"] == alert)
    said = {"subject": f"{LISTENER} on web1", "host": "web1"}
    return {"interval": "10s",
            "input_series": [{"series": series_name(*key), "values": values} for key, values in series.items()],
            "alert_rule_test": [{
                "eval_time": f"{second}s", "alertname": alert,
                "exp_alerts": [{"exp_labels": {"severity": ALERTS[alert].severity, "instance": "web1",
                                               "job": "collectd", **labels},
                                "exp_annotations": {"summary": condition["summary"].format(**said),
                                                    "description": condition["description"]}}]}]}


class PrometheusRulesTest(unittest.TestCase):
    def promtool(self, tests, rules=RULES):
        """promtool's exit status and what it says."""
        program = frame.find_program("promtool")
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder, "tests.yml")  # JSON is YAML
            file.write_text(json.dumps({"rule_files": [str(rules)], "evaluation_interval": "15s", "tests": tests}))
            done = subprocess.run([program, "test", "rules", str(file)], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def test_fire_when_they_must_and_at_no_other_time(self):
        self.assertGreater(len(CASES), 0)
        for case in CASES:
            with self.subTest(case.what):
                status, said = self.promtool([promtool_test(case)])
                self.assertEqual(status, 0, said)

    def test_rules_for_another_interval(self):
        with tempfile.TemporaryDirectory() as folder:
            made = subprocess.run([frame.CONF / "alerts" / "generate.py", "--interval", "60", folder],
                                  capture_output=True, text=True, check=False)
            self.assertEqual(made.returncode, 0, made.stderr)
            for case in MINUTE_CASES:
                with self.subTest(case.what):
                    status, said = self.promtool([promtool_test(case, "60s")],
                                                 pathlib.Path(folder, "prometheus.rules.yml"))
                    self.assertEqual(status, 0, said)

    def test_an_interval_that_is_none(self):
        for interval in ("0", "-1", "1.5", "ten"):
            refused = subprocess.run([frame.CONF / "alerts" / "generate.py", f"--interval={interval}", "/nowhere"],
                                     capture_output=True, text=True, check=False)
            self.assertEqual(refused.returncode, 2)
            self.assertIn(f"--interval: {interval} is not allowed; allowed is a whole number", refused.stderr)

    def test_every_rule_fires_in_some_case(self):
        fired = {alert for case in CASES for firing in case.firing.values() for alert, _ in firing}
        self.assertEqual(fired, ALERTS.keys())

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


def rules_of(file):
    """[rule] of a file of conf/alerts, all groups."""
    try:
        import yaml
    except ImportError:
        raise unittest.SkipTest("python3-yaml is missing") from None
    document = yaml.safe_load((frame.CONF / "alerts" / file).read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


class AllRulesTest(unittest.TestCase):
    """What a user counts on, whatever the store: who is called, and after how long."""

    def test_severity_and_time(self):
        for store in ("prometheus", "graphite", "influxdb"):
            file = "prometheus.rules.yml" if store == "prometheus" else f"grafana-{store}.yml"
            wanted = {name: (alert.severity, alert.lasting) for name, alert in ALERTS.items() if store in alert.stores}
            rules = rules_of(file)
            with self.subTest(file):
                self.assertEqual({rule.get("alert") or rule["title"]:
                                  (rule["labels"]["severity"], rule.get("for", "0s")) for rule in rules}, wanted)
                self.assertEqual(len(rules), len(wanted))

    def test_none_on_cookies(self):
        for file in ("prometheus.rules.yml", "grafana-graphite.yml", "grafana-influxdb.yml"):
            for rule in rules_of(file):
                self.assertNotIn("ookie", str(rule.get("expr") or rule["data"]))


class GrafanaRulesTest(unittest.TestCase):
    """By Grafana's provisioning of alert rules, apiVersion 1."""

    STATES = {"OK", "Alerting", "NoData", "KeepLast"}

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
        for store in ("graphite", "influxdb"):
            text = (frame.CONF / "alerts" / f"grafana-{store}.yml").read_text(encoding="utf-8")
            self.assertIn("\napiVersion: 1\n", text)
            rules = rules_of(f"grafana-{store}.yml")
            self.assertEqual(len({rule["uid"] for rule in rules}), len(rules))
            for rule in rules:
                with self.subTest(rule["uid"]):
                    self.check_rule(rule, store)


class GeneratedTest(unittest.TestCase):
    def test_files_are_as_generated(self):
        frame.check_generated(self, "alerts")


if __name__ == "__main__":
    frame.main()
