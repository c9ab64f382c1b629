#!/usr/bin/env python3
"""Writes the alert rules of all stores from one list of conditions:

    generate.py [--interval SECONDS] [DIRECTORY]

SECONDS     collectd's Interval; default: 10
DIRECTORY   default: the folder of this file

prometheus.rules.yml is for Prometheus itself; grafana-graphite.yml and grafana-influxdb.yml are
provisioning files for Grafana's alerting. Names of series are those of write_prometheus, of
write_graphite with Prefix "collectd." and SeparateInstances true, and of InfluxDB's collectd
listener with parse-multivalue-plugin = "split"."""

import argparse
import json
import pathlib

INTERVAL_SECONDS = 10  # collectd's
EVALUATION = "15s"
GRAFANA_FOLDER = "collectd-backlog"
DATASOURCE_UID = {"graphite": "graphite", "influxdb": "influxdb"}

# Of collectd's intervals. A range as short as this keeps a host that went away from alarming on its
# last values for the five minutes that Prometheus would hand them out.
FRESH_INTERVALS = 3
# Graphite and GROUP BY time() know steps only, of which the last may have no value yet.
FRESH_STEPS = FRESH_INTERVALS + 1
STATE = 'collectd_backlog_gauge{type="state"}'
# A sum over short-lived listeners, of which each that ends takes its share of the limit along.
LIMIT = 'collectd_backlog_queue_length{type="limit",backlog!~".*_unstable"}'
SIGN_OF_LIFE = 'collectd_backlog_count{backlog="host",type="listeners"}'

SUBJECT = {
    "prometheus": "{{ $labels.backlog }} on {{ $labels.instance }}",
    "graphite": "{{ .Labels.name }}",
    "influxdb": "{{ .Labels.instance }} on {{ .Labels.host }}",
}
HOST = {"prometheus": "{{ $labels.instance }}", "graphite": "{{ .Labels.name }}", "influxdb": "{{ .Labels.host }}"}


def graphite_series(instance, kind, name):
    return f"collectd.*.backlog.{instance}.{kind}.{name}"


def influxdb_select(what, kind, name, tags='"host", "instance"', every="", condition="", fill=""):
    group = f"time({every}), {tags}" if every else tags
    return (f'SELECT {what} FROM "backlog_value" WHERE "type" = \'{kind}\' AND "type_instance" = \'{name}\''
            f"{condition} AND $timeFilter GROUP BY {group}{fill}")


def query(ref, text, seconds, reducer="last"):
    """A query over the last seconds, and how the values of each series become one."""
    return {"ref": ref, "text": text, "seconds": seconds, "reducer": reducer}


LISTENERS_OF_INFLUXDB = " AND \"instance\" != 'host'"
STABLE_OF_INFLUXDB = ' AND "instance" !~ /_unstable$/'


def duration(seconds, minute="m", second="s"):
    return f"{seconds // 60}{minute}" if seconds % 60 == 0 else f"{seconds}{second}"


def spoken(seconds):
    return duration(seconds, " minutes", " seconds")


def conditions(interval=INTERVAL_SECONDS):
    """Each: what Prometheus asks; for the others the queries and a condition over the reduced values,
    either (evaluator, bounds) of A or an expression; how long it must hold; how often it is asked, if that
    is costly; what is said. interval: collectd's, seconds."""
    fresh_seconds, step_seconds = FRESH_INTERVALS * interval, FRESH_STEPS * interval
    fresh = f"{fresh_seconds}s"
    stable_limit = f'exclude({graphite_series("*", "queue_length", "limit")}, "_unstable\\.")'

    def lasting(minutes):
        """In seconds: longer than what happened in a single interval is seen."""
        return max(60 * minutes, step_seconds)

    def state(number, worst=False):
        """Of the newest value; or of the worst within three intervals, since a queue that overflows again
        and again is in order between the bursts."""
        return {
            "prometheus": f"{'max' if worst else 'last'}_over_time({STATE}[{fresh}]) == {number}",
            "graphite": [query("A", graphite_series("*", "gauge", "state"), step_seconds, "max" if worst else "last")],
            "influxdb": [query("A", influxdb_select(f'{"max" if worst else "last"}("value")', "gauge", "state"),
                               fresh_seconds)],
            "condition": ("within_range", [number - 0.5, number + 0.5]),
        }
    return [
        {
            "name": "BacklogOverflow", "severity": "ticket", "for": lasting(2), **state(2, worst=True),
            "summary": "{subject}: the accept queue overflows for " + spoken(lasting(2)),
            "description": "Clients wait for seconds or give up. The notification and the listener's page tell the "
                           "cause. burst: raise the backlog of the application's listen(), or net.core.somaxconn if "
                           "the limit is that, and restart the service. pause: find what keeps the application from "
                           "accept(), or raise the backlog so that the queue holds who comes meanwhile. slow_accept: "
                           "give the application more workers or less to do; a longer queue only adds waiting.",
        },
        {
            "name": "BacklogDrops", "severity": "page", "for": lasting(1),
            "prometheus": f'rate(collectd_backlog_packets_total{{type="dropped",backlog!="host"}}[{fresh}]) > 5',
            "graphite": [query("A", f'exclude({graphite_series("*", "packets", "dropped")}, "backlog\\.host\\.")',
                               fresh_seconds, "mean")],
            "influxdb": [query("A", influxdb_select('non_negative_derivative(last("value"), 1s)', "packets",
                                                    "dropped", every=f"{interval}s", condition=LISTENERS_OF_INFLUXDB),
                               fresh_seconds, "mean")],
            "condition": ("gt", [5]),
            "summary": "{subject}: more than 5 connection attempts a second are dropped",
            "description": "Users are refused now. Look at the listener's page: with the queue at its limit take load "
                           "away or add workers, and see BacklogOverflow; with the queue not full look at the SYN "
                           "queue, at security modules and at memory.",
        },
        {
            "name": "BacklogStalled", "severity": "page", "for": lasting(1), **state(3, worst=True),
            "summary": "{subject}: nobody accepts connections",
            "description": "Connections wait and the queue does not shrink: the application hangs, or a process that "
                           "holds the socket never calls accept(). Take a stack trace, then restart the service.",
        },
        {
            "name": "BacklogMissing", "severity": "page", **state(4),
            "summary": "{subject}: an expected listener is absent",
            "description": "Nobody listens there for MissingAfter. Start the service and see why it ended; if it was "
                           "taken out on purpose, take Expected out of its Watch block.",
        },
        {
            "name": "BacklogNearlyFull", "severity": "ticket", "for": lasting(15),
            "prometheus": f'last_over_time(collectd_backlog_percent{{type="used"}}[{fresh}]) > 80',
            "graphite": [query("A", graphite_series("*", "percent", "used"), step_seconds)],
            "influxdb": [query("A", influxdb_select('last("value")', "percent", "used"), fresh_seconds)],
            "condition": ("gt", [80]),
            "summary": "{subject}: more than 80 % of the accept queue was used in every interval of " + spoken(lasting(15)),
            "description": "The next burst will be dropped. Add workers, or raise the limit while waiting is short.",
        },
        {
            "name": "BacklogLimitFell", "severity": "ticket", "for": lasting(2), "interval": "1m",
            # The median bears a reload, during which old and new workers of SO_REUSEPORT listen together.
            "prometheus": f"last_over_time({LIMIT}[{fresh}]) < quantile_over_time(0.5, {LIMIT}[1h])",
            "graphite": [query("A", stable_limit, step_seconds),
                         query("B", f'movingMedian({stable_limit}, "1h")', step_seconds)],
            "influxdb": [query("A", influxdb_select('last("value")', "queue_length", "limit",
                                                    condition=STABLE_OF_INFLUXDB), fresh_seconds),
                         query("B", influxdb_select('median("value")', "queue_length", "limit",
                                                    condition=STABLE_OF_INFLUXDB), 3600)],
            "condition": "$A < $B",
            "summary": "{subject}: the limit of the accept queue fell",
            "description": "It is lower than in most of the last hour. The service was restarted with a smaller "
                           "backlog or under a smaller net.core.somaxconn, or has lost SO_REUSEPORT members. The "
                           "alert ends after half an hour, whether mended or not.",
        },
        {
            "name": "BacklogSilent", "severity": "page", "for": 60, "no_data": "Alerting",
            "prometheus": f"present_over_time({SIGN_OF_LIFE}[1h])\n  unless present_over_time({SIGN_OF_LIFE}[{fresh}])",
            "graphite": [query("A", f'isNonNull({graphite_series("host", "count", "listeners")})', step_seconds, "sum"),
                         query("B", f'isNonNull({graphite_series("host", "count", "listeners")})', 3600, "sum")],
            # Of the hour, since a host without values would have no row.
            "influxdb": [query("A", influxdb_select(f'moving_average(count("value"), {FRESH_STEPS})', "count",
                                                    "listeners", tags='"host"', every=f"{interval}s",
                                                    condition=" AND \"instance\" = 'host'", fill=" fill(0)"), 3600)],
            "condition": {"graphite": "$A == 0 && $B > 0", "influxdb": ("lt", [0.1])},
            "summary": "{host}: no values of the plugin backlog",
            "description": "There were some within the last hour, and there are none for three intervals: collectd, "
                           "the plugin or the way to the store has stopped. See collectd's log on the host. A host "
                           "that was taken out of service is forgotten after an hour.",
        },
        {
            "name": "BacklogAbsent", "severity": "page", "for": 60,
            "prometheus": f"absent(present_over_time({SIGN_OF_LIFE}[{fresh}]))",
            "summary": "no host sends values of the plugin backlog",
            "description": "Look at the way to the store: write_prometheus of collectd, and Prometheus' targets.",
        },
        {
            "name": "BacklogTableStale", "severity": "page", "for": 60,
            # By snmp_exporter: neither fresh(1) nor partial(5), thus stale, absent or refused; or not there any more.
            "prometheus": "backlogTableStatus != 1 != 5\n"
                          "  or (present_over_time(backlogTableStatus[1h]) unless present_over_time(backlogTableStatus[5m]))",
            "summary": "{host}: the table of listeners that SNMP serves is out of date",
            "description": "It is older than three intervals (backlogTableStatus 2; its age in milliseconds is "
                           "backlogTableAge), absent (3), refused (4), or SNMP has not served it for five minutes. "
                           "While it is, there are no listeners by SNMP. See whether collectd, backlog-agentx and "
                           "snmpd run, and their logs on the host.",
        },
    ]


def annotations(condition, store):
    words = {"subject": SUBJECT[store], "host": HOST[store]}
    return {"summary": condition["summary"].format(**words), "description": condition["description"]}


def groups_of(rules):
    """[(suffix of a name, interval, rules)] of (condition, rule)s, in the order in which they come."""
    intervals = list(dict.fromkeys(condition.get("interval", EVALUATION) for condition, _ in rules))
    return [("" if interval == EVALUATION else f"-{interval}", interval,
             [rule for condition, rule in rules if condition.get("interval", EVALUATION) == interval])
            for interval in intervals]


def prometheus_rules(interval):
    rules = []
    for condition in conditions(interval):
        rule = {"alert": condition["name"], "expr": condition["prometheus"]}
        if "for" in condition:
            rule["for"] = duration(condition["for"])
        rules.append((condition, {**rule, "labels": {"severity": condition["severity"]},
                                  "annotations": annotations(condition, "prometheus")}))
    return {"groups": [{"name": f"backlog{suffix}", "interval": interval, "rules": group}
                       for suffix, interval, group in groups_of(rules)]}


def grafana_model(store, each):
    if store == "graphite":
        return {"refId": each["ref"], "target": each["text"]}
    return {"refId": each["ref"], "rawQuery": True, "resultFormat": "time_series", "query": each["text"]}


def grafana_expression(ref, **model):
    return {"refId": ref, "datasourceUid": "__expr__", "model": {"refId": ref, **model}}


def grafana_data(store, condition):
    """Queries A, B; reduced RA, RB; the condition C over these."""
    data = []
    for each in condition[store]:
        data.append({"refId": each["ref"], "relativeTimeRange": {"from": each["seconds"], "to": 0},
                     "datasourceUid": DATASOURCE_UID[store], "model": grafana_model(store, each)})
    for each in condition[store]:
        data.append(grafana_expression(f"R{each['ref']}", type="reduce", expression=each["ref"],
                                       reducer=each["reducer"], settings={"mode": "dropNN"}))
    holds = condition["condition"]
    if isinstance(holds, dict):
        holds = holds[store]
    if isinstance(holds, str):
        expression = holds.replace("$", "$R")
        return [*data, grafana_expression("C", type="math", expression=expression)]
    evaluator, bounds = holds
    return [*data, grafana_expression("C", type="threshold", expression="RA",
                                      conditions=[{"evaluator": {"type": evaluator, "params": bounds}}])]


def grafana_rule(store, condition):
    return {"uid": f"backlog-{store}-{condition['name'].removeprefix('Backlog').lower()}",
            "title": condition["name"], "condition": "C", "data": grafana_data(store, condition),
            "for": duration(condition["for"]) if "for" in condition else "0s", "noDataState": condition.get("no_data", "OK"),
            "execErrState": "Error", "labels": {"severity": condition["severity"]},
            "annotations": annotations(condition, store)}


def grafana_rules(store, interval):
    rules = [(condition, grafana_rule(store, condition)) for condition in conditions(interval) if store in condition]
    return {"apiVersion": 1, "groups": [
        {"orgId": 1, "name": f"backlog-{store}{suffix}", "folder": GRAFANA_FOLDER, "interval": interval, "rules": group}
        for suffix, interval, group in groups_of(rules)]}


def yaml_lines(value, indent=0):
    """Block style; texts are double-quoted as in JSON, or literal blocks if they have lines or quotes."""
    space = " " * indent
    pairs = value.items() if isinstance(value, dict) else ((None, item) for item in value)
    for key, item in pairs:
        prefix = f"{space}-" if key is None else f"{space}{key}:"
        if isinstance(item, str) and ("\n" in item or "\"" in item):
            yield f"{prefix} |-"
            yield from (f"{space}  {line}" for line in item.splitlines())
        elif key is None and isinstance(item, dict):
            first, *rest = yaml_lines(item, indent + 2)
            yield f"{prefix} {first.lstrip()}"
            yield from rest
        elif isinstance(item, (dict, list)) and not all(isinstance(each, (int, float)) for each in item):
            yield prefix
            yield from yaml_lines(item, indent + 2)
        else:
            yield f"{prefix} {json.dumps(item, ensure_ascii=False)}"


def files(interval=INTERVAL_SECONDS):
    """{name: text}"""
    made_for = f"Made for collectd's interval of {interval} s; for another: generate.py --interval SECONDS DIRECTORY"

    def grafana_head(store, kind):
        return (f"For Grafana: provisioning/alerting. The data source of the type {kind} has the uid\n"
                f'"{DATASOURCE_UID[store]}"; edit datasourceUid if yours has another.')
    contents = {
        "prometheus.rules.yml": (
            f"For Prometheus: rule_files. The scrape_interval is {interval} s at most.", prometheus_rules(interval)),
        "grafana-graphite.yml": (grafana_head("graphite", "Graphite"), grafana_rules("graphite", interval)),
        "grafana-influxdb.yml": (grafana_head("influxdb", "InfluxDB (InfluxQL)"), grafana_rules("influxdb", interval)),
    }
    written_by = "# Written by generate.py."
    return {name: "\n".join([written_by, *(f"# {line}" for line in [*head.splitlines(), made_for]),
                             *yaml_lines(value), ""])
            for name, (head, value) in contents.items()}


def interval_of(text):
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text} is not allowed; allowed is a whole number of seconds above 0")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interval", type=interval_of, default=INTERVAL_SECONDS, metavar="SECONDS")
    parser.add_argument("directory", type=pathlib.Path, nargs="?", default=pathlib.Path(__file__).resolve().parent,
                        metavar="DIRECTORY")
    arguments = parser.parse_args()
    for name, text in files(arguments.interval).items():
        (arguments.directory / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
