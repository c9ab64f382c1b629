"""Asks stores what the dashboards and alert rules ask, with Grafana's variables put in as Grafana
does, and condenses alert queries as its expressions do."""

import ast
import collections
import json
import operator
import os
import pathlib
import re
import time
import unittest

from influxdb import INFLUXDB_DATABASE
from store import fetch

SECONDS = 600  # the time that a dashboard shows
INTERVAL, RATE_INTERVAL = "10s", "40s"  # $__rate_interval is four times the scrape interval

# labels: frozenset of pairs; points: [(epoch, value)] without gaps, oldest first.
Answer = collections.namedtuple("Answer", "labels points")


def alert_rules(name):
    """[(rule, interval of its group)] of a file of conf/alerts."""
    try:
        import yaml
    except ImportError:
        raise unittest.SkipTest("python3-yaml is missing") from None
    document = yaml.safe_load(pathlib.Path(os.environ["BACKLOG_CONF"], "alerts", name).read_text(encoding="utf-8"))
    return [(rule, group["interval"]) for group in document["groups"] for rule in group["rules"]]


class View:
    """The stores by the names that the files have for them; those that are None are not asked."""

    def __init__(self, graphite_web, influxdb, prometheus):
        self._ask = {"graphite": self._ask_graphite, "influxdb": self._ask_influxdb,
                     "prometheus": self._ask_prometheus}
        stores = {"graphite": graphite_web, "influxdb": influxdb, "prometheus": prometheus}
        self._urls = {name: store.url for name, store in stores.items() if store}
        self._now = time.time
        self._asked = None  # {(store, text, seconds): answers} of a time that is over

    def travel_to(self, when):
        """Asks as at that time, epoch, from now on."""
        self._now = lambda: when
        self._asked = {}

    def _ask_graphite(self, text, seconds=SECONDS):
        answer = json.loads(fetch(f"{self._urls['graphite']}/render", target=text, format="json",
                                  **{"from": int(self._now()) - seconds, "until": int(self._now())}))
        return [Answer(frozenset((key, str(value)) for key, value in series["tags"].items()),
                       [(when, value) for value, when in series["datapoints"] if value is not None])
                for series in answer]

    def _ask_influxdb(self, text, seconds=SECONDS):
        now = int(1000 * self._now())
        text = text.replace("$timeFilter", f"time >= {now - 1000 * seconds}ms and time <= {now}ms")
        text = text.replace("$__interval", INTERVAL)
        (result,) = json.loads(fetch(f"{self._urls['influxdb']}/query", db=INFLUXDB_DATABASE, q=text,
                                     epoch="s"))["results"]
        if "error" in result:
            raise AssertionError(f"{text}: {result['error']}")
        answers = []
        for series in result.get("series", []):
            rows = [dict(zip(series["columns"], row)) for row in series["values"]]
            value = series["columns"][1]
            for labels, group in _group(rows, [*series["columns"][2:]]):
                points = [(row["time"], row[value]) for row in group if row[value] is not None]
                answers.append(Answer(labels | frozenset(series.get("tags", {}).items()), points))
        return answers

    def _ask_prometheus(self, text, seconds=SECONDS, instant=False):
        text = (text.replace("$__rate_interval", RATE_INTERVAL).replace("$__interval", INTERVAL)
                .replace("$__range", f"{seconds}s"))
        now = self._now()
        if instant:
            url, times = "query", {"time": now}
        else:
            url, times = "query_range", {"start": now - seconds, "end": now, "step": 5}
        data = json.loads(fetch(f"{self._urls['prometheus']}/api/v1/{url}", query=text, **times))["data"]
        return [Answer(frozenset(series["metric"].items()),
                       [(when, float(value)) for when, value in series.get("values", [series.get("value")])])
                for series in data["result"]]

    def panel_target(self, store, target, host, listener=""):
        """The Answers that have points to one target of a panel."""
        text = target[{"graphite": "target", "influxdb": "query", "prometheus": "expr"}[store]]
        text = text.replace("$host", host).replace("$listener", listener)
        options = {"instant": True} if target.get("instant") else {}
        return [answer for answer in self._ask[store](text, **options) if answer.points]

    def variable(self, store, variable, host):
        """The texts that a variable offers."""
        query = variable["query"].replace("$host", host)
        if store == "graphite":
            values = {node["text"] for node in json.loads(fetch(f"{self._urls[store]}/metrics/find", query=query))}
        elif store == "influxdb":
            (result,) = json.loads(fetch(f"{self._urls[store]}/query", db=INFLUXDB_DATABASE, q=query))["results"]
            values = {value for series in result["series"] for _, value in series["values"]}
        else:
            series, label = re.fullmatch(r"label_values\((.*), (\w+)\)", query).groups()
            values = set(json.loads(fetch(f"{self._urls[store]}/api/v1/label/{label}/values",
                                          **{"match[]": series}))["data"])
        pattern = re.compile(variable.get("regex", "//").strip("/"))
        return {value for value in values if pattern.search(value)}

    def prometheus_condition(self, expression):
        """The label sets for which a rule's expression holds now."""
        return [dict(answer.labels) for answer in self._ask_prometheus(expression, instant=True)]

    def _answers(self, store, text, seconds):
        if self._asked is None:
            return self._ask[store](text, seconds)
        if (store, text, seconds) not in self._asked:
            self._asked[store, text, seconds] = self._ask[store](text, seconds)
        return self._asked[store, text, seconds]

    def grafana_condition(self, store, rule):
        """The label sets for which the condition of a provisioned rule holds now."""
        values = {}
        for query in rule["data"]:
            model, ref = query["model"], query["refId"]
            if query["datasourceUid"] != "__expr__":
                seconds = query["relativeTimeRange"]["from"]
                answers = self._answers(store, model["target" if store == "graphite" else "query"], seconds)
                labels = [answer.labels for answer in answers]
                if len(set(labels)) != len(labels):
                    raise AssertionError(f"{rule['uid']}: two series with the same labels: {labels}")
                values[ref] = {answer.labels: [value for _, value in answer.points] for answer in answers}
            elif model["type"] == "reduce":
                values[ref] = {labels: REDUCERS[model["reducer"]](points)
                               for labels, points in values[model["expression"]].items() if points}
            elif model["type"] == "threshold":
                (condition,) = model["conditions"]
                holds = EVALUATORS[condition["evaluator"]["type"]]
                values[ref] = {labels: holds(value, *condition["evaluator"]["params"])
                               for labels, value in values[model["expression"]].items()}
            else:
                values[ref] = _math(model["expression"], values)
        return [dict(labels) for labels, holds in values[rule["condition"]].items() if holds]


def _group(rows, columns):
    groups = collections.OrderedDict()
    for row in rows:
        groups.setdefault(frozenset((column, row[column]) for column in columns), []).append(row)
    return groups.items()


REDUCERS = {"last": lambda values: values[-1], "max": max, "mean": lambda values: sum(values) / len(values),
            "sum": sum}
EVALUATORS = {"gt": operator.gt, "lt": operator.lt, "within_range": lambda value, low, high: low < value < high}
_COMPARISONS = {ast.Lt: operator.lt, ast.Gt: operator.gt, ast.Eq: operator.eq}


def _math(expression, values):
    """$A < $B and the like: series are joined where the labels of one are among those of the other."""
    names = re.findall(r"\$(\w+)", expression)
    tree = ast.parse(re.sub(r"\$(\w+)", r"\1", expression).replace("&&", " and "), mode="eval").body
    first, *others = dict.fromkeys(names)
    result = {}
    for labels, value in values[first].items():
        row = {first: value}
        for other in others:
            matching = [each for key, each in values[other].items() if key <= labels or labels <= key]
            if len(matching) == 1:
                row[other] = matching[0]
        if len(row) == 1 + len(others):
            result[labels] = _evaluate(tree, row)
    return result


def _evaluate(node, row):
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
        return all(_evaluate(each, row) for each in node.values)
    if isinstance(node, ast.Compare):
        return _COMPARISONS[type(node.ops[0])](_evaluate(node.left, row), _evaluate(node.comparators[0], row))
    return row[node.id] if isinstance(node, ast.Name) else node.value
