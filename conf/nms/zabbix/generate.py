#!/usr/bin/env python3
"""Writes the Zabbix templates from one description:

    generate.py [DIRECTORY]

DIRECTORY   default: the folder of this file

zabbix-6.0.yaml asks for each value by itself, which 6.0 joins into requests of up to 128; zabbix-7.0.yaml
walks the table once a poll, and takes all values from that. What is said of an alarm is what conf/alerts
says."""

import argparse
import hashlib
import importlib.util
import pathlib
import uuid

import yaml

HERE = pathlib.Path(__file__).resolve().parent
ROOT = "1.3.6.1.4.1.8072.9999.9999.4242.1"  # backlogMIB
MONITOR, LISTENERS, NAMESPACES = f"{ROOT}.1.1", f"{ROOT}.1.2.1", f"{ROOT}.1.3.1"
TEMPLATE = "Accept queues by SNMP"
GROUP = {"uuid": "846977d1dfed4968bc5f8bdb363285bc", "name": "Templates/Operating systems"}  # Zabbix's own
WALK = "backlog.walk"
STATES = {0: "ok", 1: "high", 2: "overflow", 3: "stalled", 4: "missing", 5: "gone"}
CAUSES = {0: "none", 1: "burst", 2: "slow accept", 3: "skew", 4: "SYN flood", 5: "SYN queue full", 6: "not accepting",
          7: "pause"}
STATUSES = {0: "no answer", 1: "fresh", 2: "stale", 3: "absent", 4: "refused", 5: "partial"}
NO_ANSWER, GONE = 0, 5
RATE = {"type": "CHANGE_PER_SECOND", "parameters": [""]}
THOUSANDTHS = {"type": "MULTIPLIER", "parameters": ["0.001"]}
WHEN_CHANGED = {"type": "DISCARD_UNCHANGED_HEARTBEAT", "parameters": ["1h"]}

MACROS = [
    ("{$BACKLOG.INTERVAL}", "1m", "Between two polls. One each five minutes misses no alarm."),
    ("{$BACKLOG.NODATA}", "5m", "After so long without an answer there is a problem; more than two polls."),
    ("{$BACKLOG.DROPS.MAX}", "5", "Drops a second of one listener over two polls that are a problem."),
    ("{$BACKLOG.NAME.MATCHES}", ".*", "Listeners to discover. With 2 000 of them: CacheSize=256M."),
    ("{$BACKLOG.NAME.NOT_MATCHES}", "CHANGE_IF_NEEDED", "Listeners to leave out."),
    ("{$BACKLOG.STABLE.MATCHES}", "^1$", "^[12]$: also those whose name is another one after the next start."),
    ("{$BACKLOG.NETNS.MATCHES}", ".*", "Net namespaces to discover, listeners and counters of them."),
    ("{$BACKLOG.NETNS.NOT_MATCHES}", "^[0-9a-f]{12,}$", "Net namespaces to leave out: containers by their ids."),
]
DISCOVERED = {"{#NAME}": 2, "{#OWNER}": 19, "{#ADDRTYPE}": 20, "{#PORT}": 22, "{#PATH}": 23, "{#NETNS}": 24, "{#STABLE}": 34,
              "{#EXPECTED}": 35}


def texts_of_alerts():
    """{name: what to do} of conf/alerts."""
    spec = importlib.util.spec_from_file_location("alerts", HERE.parents[1] / "alerts" / "generate.py")
    alerts = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(alerts)
    return {condition["name"]: condition["description"] for condition in alerts.conditions()}


TEXTS = texts_of_alerts()


def identity(*parts):
    """A UUID (version 4) of the name, the same in each run: Zabbix knows by it what an import changes."""
    digest = bytearray(hashlib.sha256("/".join(("collectd-backlog", *parts)).encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x40
    digest[8] = digest[8] & 0x3F | 0x80
    return uuid.UUID(bytes=bytes(digest)).hex


def tags(**pairs):
    """In the order in which Zabbix exports them, as all that is sorted here."""
    return [{"tag": name, "value": value} for name, value in sorted(pairs.items())]


def last(key, number=1):
    return f"last(/{TEMPLATE}/{key}" + (f",#{number})" if number > 1 else ")")


def trigger(name, expression, priority, scope, description, **more):
    return {"uuid": identity("trigger", name), "expression": expression, "name": name, "priority": priority,
            "description": description, **more, "tags": tags(scope=scope)}


class Version:
    """How values are asked for."""

    def __init__(self, number):
        self.number = number
        self.walks = number == "7.0"

    def source(self, oid, missing, steps):
        """Of an item: where from, and what is done with the value; missing: instead of what is not there, or None:
        nothing then, and the item is not unsupported because of it."""
        handler = ({"error_handler": "DISCARD_VALUE"} if missing is None
                   else {"error_handler": "CUSTOM_VALUE", "error_handler_params": str(missing)})
        if not self.walks:
            if missing is None:  # as this step has it by default, and Zabbix exports it
                handler = {}
            return {"type": "SNMP_AGENT", "snmp_oid": oid, "delay": "{$BACKLOG.INTERVAL}",
                    "preprocessing": [{"type": "CHECK_NOT_SUPPORTED", "parameters": [""], **handler}, *steps]}
        return {"type": "DEPENDENT", "master_item": {"key": WALK},
                "preprocessing": [{"type": "SNMP_WALK_VALUE", "parameters": [oid, "0"], **handler}, *steps]}

    def item(self, key, name, oid, *, kind="UNSIGNED", units="", values="", missing=None, steps=(), by_default=True,
             description="", **more):
        """kind: of the value; by_default: whether a prototype makes items without being asked to."""
        item = {"uuid": identity("item", key), "name": name, "key": key, **self.source(oid, missing, steps), "history": "7d"}
        if kind != "UNSIGNED":
            item["value_type"] = kind
        if kind in ("CHAR", "TEXT"):
            item["trends"] = "0"
        if units:
            item["units"] = units
        if values:
            item["valuemap"] = {"name": values}
        if not by_default:
            item["discover"] = "NO_DISCOVER"
        if description:
            item["description"] = description
        return {**item, "tags": tags(component="accept queues"), **more}

    def discovery(self, key, name, table, macros, prototypes, **more):
        rule = {"uuid": identity("discovery", key), "name": name, "key": key, "lifetime": "1d"}
        if self.walks:
            parameters = [text for macro, column in macros.items() for text in (macro, f"{table}.{column}", "0")]
            rule |= {"type": "DEPENDENT", "master_item": {"key": WALK},
                     "preprocessing": [{"type": "SNMP_WALK_TO_JSON", "parameters": parameters},
                                       {"type": "DISCARD_UNCHANGED_HEARTBEAT", "parameters": ["1h"]}]}
        else:
            pairs = ",".join(f"{macro},{table}.{column}" for macro, column in macros.items())
            rule |= {"type": "SNMP_AGENT", "snmp_oid": f"discovery[{pairs}]", "delay": "10m"}
        return {**rule, "item_prototypes": prototypes, **more}

    def walk(self, oids):
        return {"uuid": identity("item", WALK), "name": "Accept queues: walk", "type": "SNMP_AGENT",
                "snmp_oid": "walk[" + ",".join(oids) + "]", "key": WALK, "delay": "{$BACKLOG.INTERVAL}", "history": "0",
                "trends": "0", "value_type": "TEXT",
                # Without an answer all that comes of it is told so, instead of keeping its last value.
                "preprocessing": [{"type": "CHECK_NOT_SUPPORTED", "parameters": ["-1"], "error_handler": "CUSTOM_VALUE",
                                   "error_handler_params": "no answer"}],
                "tags": tags(component="accept queues")}


def conditions(*each):
    """A filter in which all hold: (macro, regular expression, whether it matches)."""
    return {"evaltype": "AND", "conditions": [
        {"macro": macro, "value": value, **({} if matches else {"operator": "NOT_MATCHES_REGEX"}), "formulaid": chr(65 + number)}
        for number, (macro, value, matches) in enumerate(sorted(each, key=lambda condition: condition[0]))]}


def host_items(version):
    def scalar(number, key, name, **more):
        return version.item(f"backlog.{key}", f"Accept queues: {name}", f"{MONITOR}.{number}.0", **more)
    status = last("backlog.status")
    return [
        scalar(1, "status", "status of the table", values="Backlog table status", missing=NO_ANSWER, triggers=[
            trigger("Accept queues: no answer", f"{status}={NO_ANSWER} or nodata(/{TEMPLATE}/backlog.status,{{$BACKLOG.NODATA}})=1",
                    "AVERAGE", "availability",
                    "Nothing answers for BACKLOG-MIB: snmpd or backlog-agentx is not at work, snmpd does not let the "
                    "subagent in, or the view of the community or user hides the MIB. See journalctl -u backlog-agentx."),
            trigger("Accept queues: the table of listeners is out of date", f"{status}>=2 and {status}<=4", "AVERAGE",
                    "availability", TEXTS["BacklogTableStale"], opdata="{ITEM.LASTVALUE1}"),
            trigger("Accept queues: some listeners could not be read", f"{status}=5", "INFO", "availability",
                    "They are not in the table. collectd's log says why.")]),
        scalar(3, "age", "age of the table", kind="FLOAT", units="s", steps=[THOUSANDTHS]),
        scalar(6, "listeners", "listeners"),
        scalar(7, "listeners.high", "listeners nearly full"),
        scalar(8, "listeners.overflow", "listeners that overflow"),
        scalar(9, "listeners.stalled", "listeners nobody accepts from"),
        scalar(10, "listeners.missing", "listeners missing"),
        scalar(11, "listeners.unreported", "listeners without a series in collectd"),
        scalar(12, "worst.name", "fullest listener", kind="CHAR", steps=[WHEN_CHANGED]),
        scalar(13, "worst.used", "use of the fullest", units="%"),
        scalar(14, "dropped", "segments dropped a second", kind="FLOAT", units="drops/s", steps=[RATE]),
    ]


def listener_prototypes(version):
    def column(number, key, name, **more):
        item = version.item(f"backlog.listener.{key}[{{#NAME}}]", f"{{#NAME}}: {name}", f"{LISTENERS}.{number}.{{#SNMPINDEX}}",
                            **more)
        return item | {"tags": tags(component="accept queues", listener="{#NAME}", owner="{#OWNER}", netns="{#NETNS}")}
    connections = {"units": "!conn"}  # no k, M; an axis of the graphs has no room for more
    seconds = {"kind": "FLOAT", "units": "s", "by_default": False}
    return [
        column(30, "state", "worst state of five minutes", values="Backlog state", missing=GONE,
               description="gone: there is no such listener any more, or the table is not fresh."),
        column(4, "used", "accept queue used", units="%"),
        column(6, "peak", "most connections waiting", **connections),
        column(7, "limit", "limit of the accept queue", **connections),
        column(10, "dropped", "segments dropped a second", kind="FLOAT", units="drops/s", steps=[RATE]),
        column(18, "message", "message", kind="TEXT", steps=[WHEN_CHANGED]),
        # What follows is made by those who set its Discover.
        column(3, "interval_state", "state of the last interval", values="Backlog state", missing=GONE, by_default=False),
        column(5, "length", "connections waiting", by_default=False, **connections),
        column(8, "mean", "mean of connections waiting", kind="FLOAT", steps=[THOUSANDTHS], by_default=False, **connections),
        column(12, "half_open", "half-open connections", by_default=False, **connections),
        column(13, "oldest_wait", "the oldest waits for", steps=[THOUSANDTHS], **seconds),
        column(40, "wait_p99", "99 of 100 were accepted within",
               steps=[{"type": "MULTIPLIER", "parameters": ["0.000001"]}], **seconds),
        column(15, "cause", "cause", values="Backlog cause", steps=[WHEN_CHANGED], by_default=False),
        column(19, "owner", "owner", kind="CHAR", steps=[WHEN_CHANGED], by_default=False),
    ]


def listener_triggers():
    state = last("backlog.listener.state[{#NAME}]")
    # The message is in the expression for {ITEM.LASTVALUE2} alone; a bare macro is cut to 20 characters.
    message = f"length({last('backlog.listener.message[{#NAME}]')})>=0"
    shown = {"opdata": '{{ITEM.LASTVALUE2}.regsub("(.*)", "\\1")}'}
    limit = "backlog.listener.limit[{#NAME}]"
    return [
        trigger("{#NAME}: the accept queue is nearly full", f"{state}=1 and {message}", "WARNING", "performance",
                TEXTS["BacklogNearlyFull"], **shown),
        trigger("{#NAME}: the accept queue overflows", f"{state}=2 and {message}", "AVERAGE", "performance",
                TEXTS["BacklogOverflow"], **shown),
        trigger("{#NAME}: nobody accepts connections", f"{state}=3 and {message}", "HIGH", "availability",
                TEXTS["BacklogStalled"], **shown),
        trigger("{#NAME}: an expected listener is absent", f"{state}=4 and {message}", "HIGH", "availability",
                TEXTS["BacklogMissing"], **shown),
    ], {
        "dropped": [trigger("{#NAME}: more than {$BACKLOG.DROPS.MAX} connection attempts a second are dropped",
                            f"min(/{TEMPLATE}/backlog.listener.dropped[{{#NAME}}],#2)>{{$BACKLOG.DROPS.MAX}}", "HIGH",
                            "performance", TEXTS["BacklogDrops"])],
        # A value comes when it has changed, or after an hour: then this ends, whether mended or not.
        "limit": [trigger("{#NAME}: the limit of the accept queue fell", f"{last(limit)}<{last(limit, 2)}", "WARNING",
                          "performance", TEXTS["BacklogLimitFell"].replace("half an hour", "an hour"))],
    }


def listener_rule(version):
    prototypes = listener_prototypes(version)
    of_several, of_one = listener_triggers()
    for item in prototypes:
        key = item["key"].removeprefix("backlog.listener.").removesuffix("[{#NAME}]")
        if key in of_one:
            item["trigger_prototypes"] = of_one[key]

    def line(key, colour, **more):
        return {**more, "color": colour, "item": {"host": TEMPLATE, "key": f"backlog.listener.{key}[{{#NAME}}]"}}
    graph = {"uuid": identity("graph", "queue"), "name": "{#NAME}: accept queue", "graph_items": [
        line("peak", "1A7C11"), line("limit", "F63100", sortorder="1", drawtype="DASHED_LINE")]}
    return version.discovery(
        "backlog.listener.discovery", "Listeners", LISTENERS, DISCOVERED, prototypes,
        filter=conditions(("{#NAME}", "{$BACKLOG.NAME.MATCHES}", True), ("{#NAME}", "{$BACKLOG.NAME.NOT_MATCHES}", False),
                          ("{#STABLE}", "{$BACKLOG.STABLE.MATCHES}", True), ("{#NETNS}", "{$BACKLOG.NETNS.MATCHES}", True),
                          ("{#NETNS}", "{$BACKLOG.NETNS.NOT_MATCHES}", False)),
        description="A row of backlogListenerTable. The index is made of the name, and stays.",
        trigger_prototypes=of_several, graph_prototypes=[graph],
        overrides=[{"name": "Unix listeners have no drops", "step": "1", "filter": conditions(("{#ADDRTYPE}", "^0$", True)),
                    "operations": [{"operationobject": "ITEM_PROTOTYPE", "operator": "LIKE", "value": "segments dropped",
                                    "discover": "NO_DISCOVER"}]}])


def namespace_rule(version):
    def column(number, key, name, **more):
        return version.item(f"backlog.netns.{key}[{{#NETNS}}]", f"Net namespace {{#NETNS}}: {name}",
                            f"{NAMESPACES}.{number}.{{#SNMPINDEX}}", **more)

    def rate(number, key, name):
        return column(number, key, name, kind="FLOAT", units="!1/s", steps=[RATE])
    return version.discovery(
        "backlog.netns.discovery", "Net namespaces", NAMESPACES, {"{#NETNS}": 2}, [
            column(3, "somaxconn", "somaxconn", steps=[WHEN_CHANGED]),
            rate(7, "unattributed", "drops of no listener a second"),
            rate(10, "overflows", "ListenOverflows a second"),
            rate(11, "drops", "ListenDrops a second"),
            rate(14, "cookies", "SYN cookies sent a second"),
        ],
        filter=conditions(("{#NETNS}", "{$BACKLOG.NETNS.MATCHES}", True), ("{#NETNS}", "{$BACKLOG.NETNS.NOT_MATCHES}", False)))


def trap_items():
    """From zabbix_traphandle, by numbers; a clear closes the problem of its listener alone."""
    def item(key, name, notifications, triggers):
        return {"uuid": identity("item", key), "name": f"Accept queues: {name}", "type": "SNMP_TRAP",
                "key": rf'snmptrap["9999\.4242\.1\.0\.[{notifications}]\s"]', "delay": "0", "history": "7d", "trends": "0",
                "value_type": "LOG", "logtimefmt": "hh:mm:ssyyyy/MM/dd", "tags": tags(component="accept queues"),
                "triggers": triggers}

    def found(notifications, number):
        return rf'find(/{TEMPLATE}/snmptrap["9999\.4242\.1\.0\.[{notifications}]\s"],,"like","4242.1.0.{number}")=1'

    def varbind(column):
        return rf'{{{{ITEM.VALUE}}.regsub("1\.1\.2\.1\.{column}\.[0-9]+ \"?([^\"\n]+)", "\1")}}'
    listener = trigger("Accept queues: trap of a listener", found("12", 1), "WARNING", "performance",
                       "The subagent says so itself, between two polls. The message names the cause and what to change.",
                       recovery_mode="RECOVERY_EXPRESSION", recovery_expression=found("12", 2), correlation_mode="TAG_VALUE",
                       correlation_tag="listener", event_name="Trap: " + varbind(18), type="MULTIPLE", manual_close="YES")
    listener["tags"] = tags(listener=varbind(2), scope="performance")
    table = trigger("Accept queues: trap of the table", found("34", 3), "AVERAGE", "availability", TEXTS["BacklogTableStale"],
                    recovery_mode="RECOVERY_EXPRESSION", recovery_expression=found("34", 4), manual_close="YES")
    return [item("trap.listener", "traps of listeners", "12", [listener]), item("trap.table", "traps of the table", "34", [table])]


def value_map(name, values):
    return {"uuid": identity("valuemap", name), "name": name,
            "mappings": [{"value": str(value), "newvalue": text} for value, text in values.items()]}


def oids_of(items):
    """Columns and scalars that the items take from the walk."""
    return [step["parameters"][0].removesuffix(".{#SNMPINDEX}").removesuffix(".0")
            for item in items for step in item["preprocessing"] if step["type"] == "SNMP_WALK_VALUE"]


def template(number):
    version = Version(number)
    items = host_items(version)
    rules = [listener_rule(version), namespace_rule(version)]
    if version.walks:
        prototypes = [item for rule in rules for item in rule["item_prototypes"]]
        columns = [f"{LISTENERS}.{column}" for column in DISCOVERED.values()] + [f"{NAMESPACES}.2"]
        items.insert(0, version.walk([MONITOR, *dict.fromkeys(sorted({*columns, *oids_of(prototypes)}, key=lambda oid: [
            int(part) for part in oid.split(".")]))]))
    text = ("Accept queues of listening sockets from BACKLOG-MIB (collectd-backlog, backlog-agentx). Items are made of "
            "listeners whose name stays; more of each by the Discover of its prototypes.")
    group = {"name": GROUP["name"]}
    return {"zabbix_export": {
        "version": number, **({} if version.walks else {"date": "2026-11-29T00:00:00Z"}),
        "template_groups" if version.walks else "groups": [GROUP],
        "templates": [{
            "uuid": identity("template"), "template": TEMPLATE, "name": TEMPLATE, "description": text, "groups": [group],
            "items": [*items, *trap_items()], "discovery_rules": rules,
            "tags": [{"tag": "class", "value": "os"}, {"tag": "target", "value": "linux"}],
            "macros": [{"macro": name, "value": value, "description": said} for name, value, said in sorted(MACROS)],
            "valuemaps": [value_map("Backlog state", STATES), value_map("Backlog cause", CAUSES),
                          value_map("Backlog table status", STATUSES)]}]}}


class Indented(yaml.SafeDumper):
    """Lists as deep as Zabbix writes them."""

    def increase_indent(self, flow=False, indentless=False):
        return super().increase_indent(flow, False)

    def ignore_aliases(self, data):
        return True


def files():
    """{name: text}"""
    return {f"zabbix-{number}.yaml": yaml.dump(template(number), Dumper=Indented, sort_keys=False, width=1000)
            for number in ("6.0", "7.0")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", nargs="?", type=pathlib.Path, default=HERE)
    for name, text in files().items():
        (parser.parse_args().directory / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
