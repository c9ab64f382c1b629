#!/usr/bin/env python3
"""Writes the dashboards of Grafana for every store, and one of graphite-web, from one description:

    conf/dashboards/generate.py [DIRECTORY]     default: the folder of this file

Names of series are those of write_prometheus, of write_graphite with Prefix "collectd." and
SeparateInstances true, and of InfluxDB's collectd listener with parse-multivalue-plugin = "split"."""

import collections
import json
import pathlib
import sys
import urllib.parse

STORES = ("graphite", "influxdb", "prometheus")
SCHEMA_VERSION = 39  # of Grafana 10 and 11; later ones migrate it
MINIMUM_INTERVAL = "10s"  # collectd's: a shorter step would draw holes
HOURS_ABOVE_PERCENT = 70
TOP = 20
STATES = (("ok", "green"), ("high", "yellow"), ("overflow", "orange"), ("stalled", "red"), ("missing", "purple"))
GREEN = [{"color": "green", "value": None}]
USED_THRESHOLDS = [*GREEN, {"color": "orange", "value": HOURS_ABOVE_PERCENT}, {"color": "red", "value": 100}]

# One line: a text for each store and its legend.
Query = collections.namedtuple("Query", "graphite influxdb prometheus legend")
Panel = collections.namedtuple("Panel", "title type width unit queries description options")


def panel(title, *queries, kind="timeseries", width=12, unit="short", description="", **options):
    return Panel(title, kind, width, unit, queries, description, options)


COUNTERS = ("packets", "protocol_counter", "connections")
HOST_INFLUXDB = '"host" =~ /^$host$/'


class Series:
    """A value of the plugin on the chosen hosts. instance: of the plugin; $listener is the chosen one and
    "*" all listeners (for Graphite the rest is filtered out by legend and value)."""

    def __init__(self, kind, name, instance):
        self.kind, self.name, self.instance = kind, name, instance

    @property
    def graphite(self):
        path = f"collectd.$host.backlog.{self.instance}.{self.kind}.{self.name}"
        return f'exclude({path}, "backlog\\.host\\.")' if self.instance == "*" and self.kind in COUNTERS else path

    @property
    def prometheus(self):
        suffix = "_total" if self.kind in COUNTERS else "_seconds" if self.kind == "duration" else ""
        labels = f'type="{self.name}",instance=~"$host"'
        if self.instance == "$listener":
            labels += ',backlog=~"$listener"'
        elif self.instance != "*":
            labels += f',backlog="{self.instance}"'
        elif self.kind in COUNTERS:
            labels += ',backlog!="host"'
        return f"collectd_backlog_{self.kind}{suffix}{{{labels}}}"

    @property
    def influxdb(self):
        """FROM ... WHERE ..."""
        measurement = "backlog_seconds" if self.kind == "duration" else "backlog_value"
        condition = f"\"type\" = '{self.kind}' AND \"type_instance\" = '{self.name}' AND {HOST_INFLUXDB}"
        if self.instance == "$listener":
            condition += ' AND "instance" =~ /^$listener$/'
        elif self.instance != "*":
            condition += f" AND \"instance\" = '{self.instance}'"
        elif self.kind in COUNTERS:
            condition += " AND \"instance\" != 'host'"
        return f'FROM "{measurement}" WHERE {condition} AND $timeFilter'


def every_interval(what, series, tags="", fill="null"):
    tags = f", {tags}" if tags else ""
    return f"SELECT {what} {series.influxdb} GROUP BY time($__interval){tags} fill({fill})"


def alias(expression, legend):
    return f"alias({expression}, {json.dumps(legend)})"


def most(kind, name, legend, instance="$listener"):
    """The highest value of each step, so that no peak is lost at any zoom."""
    series = Series(kind, name, instance)
    return Query(alias(f'consolidateBy({series.graphite}, "max")', legend),
                 every_interval('max("value")', series),
                 f"max_over_time({series.prometheus}[$__rate_interval])", legend)


def newest(kind, name, legend, instance="$listener", plus=0):
    series = Series(kind, name, instance)
    graphite = f"offset({series.graphite}, {plus})" if plus else series.graphite
    more = f" + {plus}" if plus else ""
    return Query(alias(f'consolidateBy({graphite}, "last")', legend),
                 every_interval(f'last("value"){more}', series), f"{series.prometheus}{more}", legend)


def mean(kind, name, legend, instance="$listener"):
    series = Series(kind, name, instance)
    return Query(alias(series.graphite, legend), every_interval('mean("value")', series),
                 f"avg_over_time({series.prometheus}[$__rate_interval])", legend)


def rate(kind, name, legend, instance="$listener"):
    """Of a counter, a second. In Graphite it is one already (StoreRates true)."""
    series = Series(kind, name, instance)
    return Query(alias(series.graphite, legend),
                 every_interval('non_negative_derivative(last("value"), 1s)', series),
                 f"rate({series.prometheus}[$__rate_interval])", legend)


def of_each_host(kind, name, how="last"):
    series = Series(kind, name, "host" if kind == "count" else "sampler")
    over_time = {"last": "last_over_time", "max": "max_over_time", "mean": "avg_over_time"}[how]
    consolidate = {"last": "last", "max": "max", "mean": "average"}[how]
    return Query(f'aliasByNode(consolidateBy({series.graphite}, "{consolidate}"), 1)',
                 every_interval(f'{how}("value")', series, '"host"'),
                 f"{over_time}({series.prometheus}[$__rate_interval])", "{host}")


def rate_of_each_host(kind, name, instance):
    series = Series(kind, name, instance)
    return Query(f"aliasByNode({series.graphite}, 1)",
                 every_interval('non_negative_derivative(last("value"), 1s)', series, '"host"'),
                 f"rate({series.prometheus}[$__rate_interval])", "{host}")


def values_of_each_host():
    series = Series("count", "listeners", "host")
    return Query(f'aliasByNode(summarize(isNonNull({series.graphite}), "1min", "sum"), 1)',
                 f'SELECT count("value") {series.influxdb} GROUP BY time(1m), "host" fill(0)',
                 f"count_over_time({series.prometheus}[1m])", "{host}")


def limit_change():
    series = Series("queue_length", "limit", "$listener")
    return Query(alias(f'derivative(consolidateBy({series.graphite}, "last"))', "change"),
                 f'SELECT difference(last("value")) {series.influxdb} GROUP BY time($__interval) fill(previous)',
                 f"{series.prometheus} - ({series.prometheus} offset $__interval)", "change")


def counts_of_waits():
    """Of backlog-table --openmetrics by node_exporter, whose instance is the host's name, or more of it, and a port."""
    buckets = 'backlog_accept_wait_seconds_bucket{listener=~"$listener",instance=~"$host([.:].*)?"}'
    return Query("", "", f"sum by (le) (increase({buckets}[$__rate_interval]))", "{le}")


def drops_of_all_hosts():
    series = Series("packets", "dropped", "host")
    inner = every_interval('non_negative_derivative(last("value"), 1s) AS "drops"', series, '"host"')
    return Query(alias(f"sumSeries({series.graphite})", "all hosts"),
                 f'SELECT sum("drops") FROM ({inner}) WHERE $timeFilter GROUP BY time($__interval) fill(null)',
                 f"sum(rate({series.prometheus}[$__rate_interval]))", "all hosts")


def fullest_of_all_hosts():
    series = Series("percent", "worst", "host")
    return Query(alias(f'consolidateBy(maxSeries({series.graphite}), "max")', "all hosts"),
                 every_interval('max("value")', series),
                 f"max(max_over_time({series.prometheus}[$__rate_interval]))", "all hosts")


def hosts_with(count, legend):
    """How many hosts have at least one listener that is counted there."""
    series = Series("count", count, "host")
    inner = every_interval('max("value") AS "most"', series, '"host"', fill="none")
    return Query(alias(f"sumSeries(isNonNull(removeBelowValue({series.graphite}, 1)))", legend),
                 f'SELECT count("most") FROM ({inner}) WHERE "most" > 0 AND $timeFilter '
                 "GROUP BY time($__interval) fill(0)",
                 f"count({series.prometheus} > 0) or vector(0)", legend)


def top(graphite, reducer, influxdb, column, prometheus):
    """The TOP listeners of those above 0. influxdb: a query that gives one figure, "figure", for each host
    and instance; prometheus: likewise by instance and backlog."""
    return Query(f'aliasByNode(highest(maximumAbove({graphite}, 0), {TOP}, "{reducer}"), 1, 3)',
                 f'SELECT top("figure", {TOP}) AS "{column}", "host", "instance" FROM ({influxdb}) WHERE "figure" > 0',
                 f"topk({TOP}, {prometheus} > 0)", "{host} {listener}")


def top_by_drops():
    series = Series("packets", "dropped", "*")
    drops = every_interval('non_negative_derivative(last("value"), 1s) AS "drops"', series, '"host", "instance"')
    return top(series.graphite, "average",
               f'SELECT mean("drops") AS "figure" FROM ({drops}) WHERE $timeFilter GROUP BY "host", "instance"',
               "drops per second", f"sum by (instance, backlog) (rate({series.prometheus}[$__range]))")


def top_by_used():
    series = Series("percent", "used", "*")
    return top(f'consolidateBy({series.graphite}, "max")', "max",
               f'SELECT max("value") AS "figure" {series.influxdb} GROUP BY "host", "instance"',
               "used", f"max by (instance, backlog) (max_over_time({series.prometheus}[$__range]))")


def top_by_hours_above():
    """Minutes in which more was used at least once, as hours."""
    series = Series("percent", "used", "*")
    above = f'isNonNull(removeBelowValue(summarize({series.graphite}, "1min", "max"), {HOURS_ABOVE_PERCENT}.001))'
    minutes = f'SELECT max("value") AS "used" {series.influxdb} GROUP BY time(1m), "host", "instance"'
    minute = f"max by (instance, backlog) (max_over_time({series.prometheus}[1m]))"
    return top(f"integral(scale({above}, 0.0166667))", "max",
               f'SELECT count("used") / 60.0 AS "figure" FROM ({minutes}) WHERE "used" > {HOURS_ABOVE_PERCENT} '
               'AND $timeFilter GROUP BY "host", "instance"',
               "hours", f"count_over_time(({minute} > {HOURS_ABOVE_PERCENT})[$__range:1m]) / 60")


PAGES = {
    "fleet": ("Accept queues of all hosts", (
        panel(f"Top {TOP} by drops", top_by_drops(), kind="table", unit="cps",
              column="drops per second", reducer="mean",
              description="Mean number of segments a second that the kernel dropped for a listener, over the time "
                          "shown."),
        panel(f"Top {TOP} by use", top_by_used(), kind="table", unit="percent", column="used",
              reducer="max",
              description="The highest share of an accept queue that was used, over the time shown."),
        panel("Hosts by state", hosts_with("listeners", "all"), *(hosts_with(state, state) for state, _ in STATES[1:]),
              colors=dict(STATES), description="Hosts with at least one listener in that state."),
        panel(f"Top {TOP} by hours above {HOURS_ABOVE_PERCENT} %", top_by_hours_above(), kind="table", unit="h",
              column="hours", reducer="max",
              description=f"Minutes of the time shown in which more than {HOURS_ABOVE_PERCENT} % of the queue was "
                          "used once, as hours."),
        panel("Drops per second", drops_of_all_hosts(), unit="cps"),
        panel("Fullest accept queue", fullest_of_all_hosts(), unit="percent", thresholds=USED_THRESHOLDS),
    )),
    "listener": ("Accept queue of a listener", (
        panel("Accept queue", most("queue_length", "accept_peak", "peak"),
              mean("queue_length", "accept_mean", "mean (Values full)"),
              newest("queue_length", "accept", "at the end of the interval"),
              newest("queue_length", "limit", "full (limit + 1)", plus=1), width=24,
              colors={"full (limit + 1)": "red"},
              description="Connections that wait for accept(). At limit + 1 the queue is full, and the kernel drops."),
        panel("Connections per second (Values full, with events)", rate("connections", "arrived", "arrived"),
              rate("connections", "accepted", "accepted"), unit="cps",
              description="Those that came into the queue, and those that the application took out of it. Where more "
                          "arrive for long, the queue fills, and no limit is large enough."),
        panel("Waits (Values full, with events)", most("duration", "wait_mean", "mean"), most("duration", "wait_p50", "median"),
              most("duration", "wait_p99", "99 %"), unit="s",
              description="How long those had waited in the queue whom the application accepted; clients wait so much "
                          "longer. Median and 99 % are upper bounds, where they are known."),
        panel("Used", most("percent", "used", "used"), unit="percent", thresholds=USED_THRESHOLDS),
        panel("Drops per second", rate("packets", "dropped", "dropped"), unit="cps",
              description="Segments, not connections: a client that tries again counts again."),
        panel("State", most("gauge", "state", "state"), kind="state-timeline", width=24),
        panel("SYN queue and its overload", newest("queue_length", "syn", "half-open (Values full)"),
              newest("queue_length", "syn", "half-open of the host", instance="kernel"),
              *(rate("protocol_counter", name, f"{name} per second", instance="kernel")
                for name in ("TCPReqQFullDrop", "TCPReqQFullDoCookies", "SyncookiesSent")), width=24,
              right_axis="/ per second$/", description="The counters are those of the whole host."),
        panel("Limit", newest("queue_length", "limit", "limit"), limit_change(), step=True,
              description="A change is a call of listen(): a restart, a reload, or SO_REUSEPORT members that come "
                          "or go."),
        panel("Full, and the oldest wait (Values full)", mean("percent", "full", "time full, %"),
              most("duration", "oldest_wait", "oldest wait, s"), right_axis="/^oldest/"),
        panel("Drops of the host", rate("protocol_counter", "ListenOverflows", "ListenOverflows", instance="kernel"),
              rate("protocol_counter", "ListenDrops", "ListenDrops", instance="kernel"),
              rate("packets", "dropped_unattributed", "given to no listener", instance="kernel"), unit="cps", width=24),
        panel("Waits by length (backlog-table --openmetrics)", counts_of_waits(), kind="heatmap", unit="s", width=24,
              stores=("prometheus",),
              description="How many of those whom the application accepted had waited at most that long. Prometheus has "
                          "it of node_exporter's textfile collector: conf/nms/prometheus."),
    )),
    "sampler": ("Health of the plugin backlog", (
        panel("Values received per minute", values_of_each_host(),
              description="At collectd's interval of 10 s there are 6. With fewer the plugin, collectd or the way to "
                          "the store loses some."),
        panel("Time between samples", of_each_host("duration", "period", "mean"), unit="s",
              description="None while it sleeps, with events. 0.025 s at rest, less while a queue fills; more where SamplerBudget stretches it, and then "
                          "short bursts are missed."),
        panel("Events", of_each_host("gauge", "events"),
              description="What the kernel tells by itself: 0 nothing, 1 peaks and arrivals, 2 drops too, 3 waits too. "
                          "With 2 and more the plugin sleeps while nothing happens."),
        panel("CPU of the sampler", of_each_host("percent", "cpu", "mean"), unit="percent",
              description="Of one CPU, events included; SamplerBudget bounds it."),
        panel("Listeners", of_each_host("count", "listeners")),
        panel("Listeners without series", of_each_host("count", "unreported"),
              description="Because of MaxListeners."),
        panel("Drops given to no listener", rate_of_each_host("packets", "dropped_unattributed", "kernel"),
              unit="cps"),
    )),
}

VARIABLES = {
    "graphite": {"host": "collectd.*", "listener": "collectd.$host.backlog.*"},
    "influxdb": {
        "host": 'SHOW TAG VALUES FROM "backlog_value" WITH KEY = "host"',
        "listener": 'SHOW TAG VALUES FROM "backlog_value" WITH KEY = "instance" WHERE "host" =~ /^$host$/ '
                    "AND \"type\" = 'percent' AND \"type_instance\" = 'used'"},
    "prometheus": {
        "host": 'label_values(collectd_backlog_count{backlog="host",type="listeners"}, instance)',
        "listener": 'label_values(collectd_backlog_percent{type="used",instance=~"$host"}, backlog)'},
}
# Graphite's folders hold instances that are no listeners, too.
LISTENERS_ONLY = "/^(?!host$|kernel|sampler$)/"
ALL_VALUE = {"graphite": "*", "influxdb": ".*", "prometheus": ".*"}
LEGEND_WORDS = {
    "graphite": {},  # aliasByNode
    "influxdb": {"host": "$tag_host", "listener": "$tag_instance"},
    "prometheus": {"host": "{{instance}}", "listener": "{{backlog}}", "le": "{{le}}"},
}


UNSET = {"text": "", "value": ""}

def datasource(store):
    return {"type": store, "uid": "${datasource}"}


def target(store, kind, query, number):
    common = {"refId": chr(ord("A") + number), "datasource": datasource(store)}
    text = getattr(query, store)
    if store == "graphite":
        return {**common, "target": text}
    legend = query.legend.format(**LEGEND_WORDS[store])
    if store == "influxdb":
        return {**common, "rawQuery": True, "query": text, "alias": legend,
                "resultFormat": "table" if kind == "table" else "time_series"}
    shape = {"table": {"instant": True, "range": False, "format": "table"},
             "heatmap": {"range": True, "format": "heatmap"}}.get(kind, {"range": True})
    return {**common, "expr": text, "legendFormat": legend, **shape}


def override(name, *properties, regex=False):
    return {"matcher": {"id": "byRegexp" if regex else "byName", "options": name},
            "properties": [{"id": key, "value": value} for key, value in properties]}


def field_config(each):
    custom, overrides = {}, []
    if each.type == "heatmap":  # the unit is the axis's
        return {"defaults": {"custom": {"scaleDistribution": {"type": "linear"}}}, "overrides": []}
    defaults = {"unit": each.unit, "min": 0, "thresholds": {
        "mode": "absolute", "steps": each.options.get("thresholds", GREEN)}}
    if each.type == "timeseries":
        custom = {"lineWidth": 1, "fillOpacity": 10, "showPoints": "never",
                  "lineInterpolation": "stepAfter" if each.options.get("step") else "linear"}
        if each.options.get("step"):
            del defaults["min"]
        if "thresholds" in each.options:
            custom["thresholdsStyle"] = {"mode": "line"}
        overrides = [override(name, ("color", {"mode": "fixed", "fixedColor": color}))
                     for name, color in each.options.get("colors", {}).items()]
        if "right_axis" in each.options:
            overrides.append(override(each.options["right_axis"], ("custom.axisPlacement", "right"), regex=True))
    elif each.type == "state-timeline":
        custom = {"fillOpacity": 80, "lineWidth": 0}
        defaults["mappings"] = [{"type": "value", "options": {
            str(number): {"text": name, "color": color, "index": number}
            for number, (name, color) in enumerate(STATES)}}]
    else:
        custom = {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False}
    return {"defaults": {**defaults, "custom": custom}, "overrides": overrides}


def panel_options(each):
    if each.type == "timeseries":
        return {"legend": {"displayMode": "table", "placement": "bottom", "showLegend": True,
                           "calcs": ["lastNotNull", "max"]}, "tooltip": {"mode": "multi", "sort": "desc"}}
    if each.type == "state-timeline":
        return {"showValue": "auto", "mergeValues": True, "rowHeight": 0.8,
                "tooltip": {"mode": "single", "sort": "none"},
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}}
    if each.type == "heatmap":
        return {"calculate": False, "cellGap": 1, "showValue": "never", "yAxis": {"unit": each.unit},
                "cellValues": {"unit": "short"}, "rowsFrame": {"layout": "le"}, "filterValues": {"le": 1e-9},
                "color": {"mode": "scheme", "scheme": "Oranges", "scale": "exponential", "exponent": 0.5, "fill": "orange",
                          "reverse": False, "steps": 64},
                "exemplars": {"color": "orange"}, "legend": {"show": True},
                "tooltip": {"mode": "single", "yHistogram": False}}
    return {"showHeader": True, "cellHeight": "sm", "frameIndex": 0}


def transformations(store, each):
    """Tables: one row for each listener, the highest first; the last column is named by the panel."""
    if each.type != "table":
        return []
    column = each.options["column"]
    if store == "graphite":
        reducer = each.options["reducer"]
        value = {"mean": "Mean", "max": "Max"}[reducer]
        steps = [{"id": "reduce", "options": {"mode": "seriesToRows", "reducers": [reducer]}}]
        names = {"Field": "listener", value: column}
    else:
        host, listener, value = {"prometheus": ("instance", "backlog", "Value"),
                                 "influxdb": ("host", "instance", column)}[store]
        steps = []
        names = {host: "host", listener: "listener", value: column}
    return [*steps,
            {"id": "sortBy", "options": {"sort": [{"field": value, "desc": True}]}},
            {"id": "organize", "options": {
                "excludeByName": {"Time": True}, "indexByName": {name: index for index, name in enumerate(names)},
                "renameByName": {name: new for name, new in names.items() if name != new}}}]


def grafana_panel(store, each, number, position):
    made = {"id": number, "type": each.type, "title": each.title, "description": each.description,
            "datasource": datasource(store), "gridPos": position, "interval": MINIMUM_INTERVAL,
            "targets": [target(store, each.type, query, index) for index, query in enumerate(each.queries)],
            "fieldConfig": field_config(each), "options": panel_options(each),
            "transformations": transformations(store, each)}
    return {key: value for key, value in made.items() if value not in ("", [])}


def positions(panels):
    """Rows of 24 units, from left to right."""
    x = y = 0
    for each in panels:
        height = 5 if each.type == "state-timeline" else 9
        if x + each.width > 24:
            x, y = 0, y + 9
        yield {"h": height, "w": each.width, "x": x, "y": y}
        x += each.width
        if x == 24:
            x, y = 0, y + height


def variable(store, name, several):
    made = {"name": name, "label": name.capitalize(), "type": "query", "datasource": datasource(store),
            "query": VARIABLES[store][name], "refresh": 2, "sort": 1, "includeAll": several, "multi": several,
            "hide": 0, "skipUrlSync": False, "options": [], "current": UNSET}
    if several:
        made.update(allValue=ALL_VALUE[store], current={"text": ["All"], "value": ["$__all"]})
    if store == "graphite" and name == "listener":
        made["regex"] = LISTENERS_ONLY
    return made


def grafana_dashboard(store, page):
    title, panels = PAGES[page]
    panels = [each for each in panels if store in each.options.get("stores", STORES)]
    one_listener = page == "listener"
    variables = [{"name": "datasource", "label": "Data source", "type": "datasource", "query": store, "refresh": 1,
                  "includeAll": False, "multi": False, "hide": 0, "skipUrlSync": False, "options": [],
                  "current": UNSET},
                 variable(store, "host", several=not one_listener)]
    if one_listener:
        variables.append(variable(store, "listener", several=False))
    return {
        "uid": f"backlog-{page}-{store}", "title": f"{title} ({store})", "tags": ["collectd", "backlog"],
        "schemaVersion": SCHEMA_VERSION, "editable": True, "graphTooltip": 1, "timezone": "browser",
        "refresh": "30s", "time": {"from": "now-6h" if page != "listener" else "now-1h", "to": "now"},
        "templating": {"list": variables}, "annotations": {"list": []},
        "links": [{"title": "accept queues", "type": "dashboards", "tags": ["backlog"], "asDropdown": True,
                   "includeVars": True, "keepTime": True, "targetBlank": False, "icon": "external link",
                   "tooltip": "", "url": ""}],
        "panels": [grafana_panel(store, each, number, position) for number, (each, position) in
                   enumerate(zip(panels, positions(panels)), start=1)]}


GRAPH_WIDTH, GRAPH_HEIGHT = 600, 300
UNIT_TITLES = {"short": "", "cps": "per second", "percent": "%", "h": "hours", "s": "seconds"}


def top_of_all(series, reducer, legend):
    return f'aliasByNode(highest({series}, {TOP}, "{reducer}"), {legend})'


def graphite_web_graphs():
    """(title, unit, lowest y, targets). graphite-web has no variables: of the pages of all hosts the panels, of
    the listener's page the listeners that stand out."""
    for page in ("fleet", "sampler"):
        for each in PAGES[page][1]:
            targets = [query.graphite.replace("$host", "*") for query in each.queries]
            yield each.title, UNIT_TITLES[each.unit], 0, targets
    all_listeners = "collectd.*.backlog.*"
    peak, limit = (f'consolidateBy({all_listeners}.queue_length.{name}, "max")' for name in ("accept_peak", "limit"))
    overload = "collectd.*.backlog.kernel.protocol_counter.{TCPReqQFullDrop,TCPReqQFullDoCookies,SyncookiesSent}"
    for title, unit, low, series, reducer, legend in (
            ("Most seen waiting", "connections", 0, f"maximumAbove({peak}, 0)", "max", "1, 3"),
            ("Mean waiting (Values full)", "connections", 0,
             f"maximumAbove({all_listeners}.queue_length.accept_mean, 0)", "average", "1, 3"),
            ("Limits", "connections", 0, f"maximumAbove({limit}, 0)", "max", "1, 3"),
            ("Changes of the limit", "connections", None,
             f'derivative(consolidateBy({all_listeners}.queue_length.limit, "last"))', "range", "1, 3"),
            ("States: " + ", ".join(f"{number} {name}" for number, (name, _) in enumerate(STATES)), "", 0,
             f'maximumAbove(consolidateBy({all_listeners}.gauge.state, "max"), 0)', "max", "1, 3"),
            ("SYN queues (Values full) and those of hosts", "connections", 0,
             f'consolidateBy({all_listeners}.queue_length.syn, "max")', "max", "1, 3"),
            ("Overload of SYN queues", "per second", 0, overload, "max", "1, 5")):
        yield f"{title}: top {TOP}", unit, low, [top_of_all(series, reducer, legend)]


def graphite_web_dashboard():
    size = {"width": GRAPH_WIDTH, "height": GRAPH_HEIGHT}
    shown_time = {"from": "-6hours", "until": "now"}
    graphs = []
    for title, unit, low, targets in graphite_web_graphs():
        parameters = {"target": targets, "title": title, "vtitle": unit, "lineMode": "staircase"}
        if low is not None:
            parameters["yMin"] = low
        url = urllib.parse.urlencode({**shown_time, **size, **parameters}, doseq=True)
        graphs.append([urllib.parse.urlencode({"target": targets}, doseq=True), parameters, f"/render?{url}"])
    return {"name": "collectd-backlog",
            "timeConfig": {"type": "relative", "relativeStartQuantity": "6", "relativeStartUnits": "hours",
                           "relativeUntilQuantity": "", "relativeUntilUnits": "now",
                           "startDate": "2020-01-01T00:00:00", "startTime": "9:00 AM",
                           "endDate": "2020-01-01T00:00:00", "endTime": "5:00 PM"},
            "refreshConfig": {"enabled": True, "interval": 60000}, "graphSize": size,
            "defaultGraphParams": {**shown_time, **size}, "graphs": graphs}


def files():
    """{name: text}"""
    contents = {f"grafana-{store}-{page}.json": grafana_dashboard(store, page) for store in STORES for page in PAGES}
    contents["graphite-web.json"] = graphite_web_dashboard()
    return {name: json.dumps(content, indent=1, ensure_ascii=False) + "\n" for name, content in contents.items()}


def main():
    directory = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent
    for name, text in files().items():
        (directory / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
