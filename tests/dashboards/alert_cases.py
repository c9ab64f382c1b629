"""What the alerts are for and when they fire: the same in every store that has them."""

import collections

LISTENER = "tcp_any_80"

EVERYWHERE, PROMETHEUS = ("prometheus", "graphite", "influxdb"), ("prometheus",)
Alert = collections.namedtuple("Alert", "severity lasting stores")
ALERTS = {
    "BacklogOverflow": Alert("ticket", "2m", EVERYWHERE),
    "BacklogDrops": Alert("page", "1m", EVERYWHERE),
    "BacklogStalled": Alert("page", "1m", EVERYWHERE),
    "BacklogMissing": Alert("page", "0s", EVERYWHERE),
    "BacklogNearlyFull": Alert("ticket", "15m", EVERYWHERE),
    "BacklogLimitFell": Alert("ticket", "2m", EVERYWHERE),
    "BacklogSilent": Alert("page", "1m", EVERYWHERE),
    # In Grafana BacklogSilent, by its noDataState.
    "BacklogAbsent": Alert("page", "1m", PROMETHEUS),
    # Of snmp_exporter.
    "BacklogTableStale": Alert("page", "1m", PROMETHEUS),
}

# Values are promtool's, one in 10 s: 2x3 is four times 2, 0+6x2 is 0 6 12, _ is none.
# firing: {second: {(alert, listener or None)}}: all alerts of the host web1 that fire then.
Case = collections.namedtuple("Case", "what series firing")

HOST_ALIVE = ("count", "host", "listeners")
STATE = ("gauge", LISTENER, "state")
DROPPED = ("packets_total", LISTENER, "dropped")
USED = ("percent", LISTENER, "used")
LIMIT = ("queue_length", LISTENER, "limit")
SNMP = "snmp"  # a metric of snmp_exporter
TABLE_STATUS = (SNMP, None, "backlogTableStatus")
FRESH, STALE, TABLE_ABSENT, REFUSED, PARTIAL = 1, 2, 3, 4, 5
COOKIES = ("protocol_counter_total", "kernel", "SyncookiesSent")

OVERFLOW, DROPS, STALLED, MISSING, NEARLY_FULL, LIMIT_FELL = (
    {(alert, LISTENER)} for alert in ("BacklogOverflow", "BacklogDrops", "BacklogStalled", "BacklogMissing",
                                      "BacklogNearlyFull", "BacklogLimitFell"))
SILENT, ABSENT, TABLE_STALE = {("BacklogSilent", "host")}, {("BacklogAbsent", None)}, {("BacklogTableStale", None)}


def never(*seconds):
    return {second: set() for second in seconds}


CASES = [
    Case("overflow for two minutes", {STATE: "0x5 2x13 0x40"},
         {**never(60, 165), 180: OVERFLOW, 195: OVERFLOW, **never(240, 330)}),
    Case("overflow for 80 s", {STATE: "0x5 2x7 0x40"}, never(*range(60, 300, 15))),
    Case("overflow with two clean intervals between", {STATE: "2x8 0x1 2x8 0x40"},
         {**never(105), 120: OVERFLOW, 195: OVERFLOW, **never(240)}),
    Case("overflow with five clean intervals between", {STATE: "2x8 0x4 2x8 0x40"}, never(*range(0, 300, 15))),
    Case("overflow in every other interval", {STATE: " ".join("20" * 30)},
         {**never(105), 120: OVERFLOW, 135: OVERFLOW, 300: OVERFLOW, 585: OVERFLOW}),
    Case("high is no overflow", {STATE: "1x60"}, never(120, 300, 600)),

    Case("six drops a second", {DROPPED: "0+60x30"}, {**never(60), 90: DROPS, 300: DROPS}),
    Case("five drops a second", {DROPPED: "0+50x60"}, never(60, 90, 120, 300, 600)),
    Case("many drops within 40 s", {DROPPED: "0x5 0+500x4 2000x40"}, never(75, 90, 105, 120, 135, 150, 165)),
    Case("fifty drops a second for 20 s", {DROPPED: "0x5 0+500x2 1000x40"}, never(*range(60, 240, 15))),
    Case("twenty drops a second in every other interval",
         {DROPPED: " ".join(str(200 * (interval // 2)) for interval in range(60))},
         {**never(45), 120: DROPS, 300: DROPS, 585: DROPS}),
    Case("a restart of collectd, a counter reset", {DROPPED: "100000x10 _x3 0x40"}, never(*range(90, 300, 15))),
    Case("drops over a counter reset", {DROPPED: "0+200x12 0+200x12"}, {120: DROPS, 150: DROPS, 210: DROPS}),
    Case("the host's sum does not alarm beside the listeners", {("packets_total", "host", "dropped"): "0+600x30"},
         never(120, 300)),

    Case("stalled for a minute", {STATE: "0x2 3x8 0x20"},
         {**never(30, 75), 90: STALLED, 105: STALLED, **never(165, 180)}),
    Case("stalled for 20 s", {STATE: "0x2 3x1 0x20"}, never(*range(30, 180, 15))),
    Case("missing", {STATE: "0x2 4x8 0x20"}, {**never(15), 30: MISSING, 90: MISSING, **never(135)}),

    Case("nearly full for 15 minutes", {USED: "81x100"}, {**never(885), 900: NEARLY_FULL, 990: NEARLY_FULL}),
    Case("80 % are not over 80 %", {USED: "80x100"}, never(900, 990)),
    Case("nearly full with one interval below", {USED: "95x80 40x1 95x60"}, never(900, 1200, 1400)),

    Case("the limit falls", {LIMIT: "4096x180 128x360"},
         {**never(1800, 1905), 1935: LIMIT_FELL, 3000: LIMIT_FELL, **never(5300)}),
    Case("the sum of the limits of short-lived listeners falls",
         {("queue_length", "tcp_unstable", "limit"): "4096x180 3968x360"}, never(1800, 1935, 3000)),
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
    Case("the table for SNMP is stale for a minute", {TABLE_STATUS: f"{FRESH}x5 {STALE}x13 {FRESH}x40"},
         {**never(60, 105), 120: TABLE_STALE, 195: TABLE_STALE, **never(210, 300)}),
    Case("the table for SNMP is stale during a restart", {TABLE_STATUS: f"{FRESH}x5 {STALE}x5 {FRESH}x40"},
         never(*range(60, 240, 15))),
    Case("the table for SNMP is absent", {TABLE_STATUS: f"{TABLE_ABSENT}x40"}, {**never(45), 60: TABLE_STALE}),
    Case("the table for SNMP is refused", {TABLE_STATUS: f"{REFUSED}x40"}, {**never(45), 60: TABLE_STALE}),
    Case("the table for SNMP is not served any more", {TABLE_STATUS: f"{FRESH}x5 _x500"},
         {**never(345, 405), 420: TABLE_STALE, 3600: TABLE_STALE, **never(3720)}),
    Case("the table for SNMP is partial", {TABLE_STATUS: f"{PARTIAL}x40"}, never(60, 300)),

    Case("SYN cookies", {COOKIES: "0+100000x60", STATE: "0x60"}, never(120, 300, 600)),
]

# The same of the rules for an interval of a minute: Prometheus' alone.
MINUTE_CASES = [
    Case("overflow", {STATE: "2x20"}, {**never(225), 240: OVERFLOW, 900: OVERFLOW}),
    Case("overflow in one interval", {STATE: "0x5 2 0x20"}, never(*range(300, 900, 15))),
    Case("six drops a second", {DROPPED: "0+360x20"}, {**never(240), 480: DROPS, 900: DROPS}),
    Case("many drops in one interval", {DROPPED: "0x5 3000x20"}, never(*range(300, 900, 15))),
    Case("nearly full for 15 minutes", {USED: "81x30"}, {**never(885), 900: NEARLY_FULL}),
    Case("a host falls silent", {HOST_ALIVE: "5x10 _x80", ("count", "host", "listeners", "web2"): "5x90"},
         {**never(600, 825), 870: SILENT, 3600: SILENT}),
    Case("a healthy hour", {STATE: "0x60", LIMIT: "128x60", DROPPED: "7x60"}, never(*range(0, 3600, 60))),
]
