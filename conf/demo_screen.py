"""What the demo shows: one screen on a terminal, a short log in a pipe, and a summary at the end. Only texts are
made here, from a View."""

import dataclasses
import textwrap
import time

from demo_story import BURST_SECONDS, STEPS, clients

LEAST_COLUMNS, LEAST_ROWS = 40, 16
BOLD, RED, PLAIN = "\x1b[1m", "\x1b[31m", "\x1b[0m"
HOME, CLEAR_LINE, CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
BAR_CELLS = 9
SAMPLE_INTERVAL = 0.025  # seconds, the default
WITHIN_INTERVAL = 1.1  # a longer period is the budget's doing
MOST_SUMMED_ALARMS = 3  # of one round of the story


@dataclasses.dataclass
class Row:
    """A listener, as the plugin's table has it."""
    name: str
    owner: str
    length: int
    limit: int
    peak: int
    used: float


@dataclasses.dataclass
class Alarm:
    time: float  # epoch
    severity: str
    message: str


@dataclasses.dataclass
class BurstCount:
    """Of how many bursts, and of how many of their clients, each way to look saw something."""
    bursts: int = 0
    polled: int = 0
    seen: int = 0
    clients: int = 0
    clients_polled: int = 0
    clients_seen: int = 0

    def add(self, length, polled, peak):
        if length == 0:
            return
        self.bursts, self.clients = self.bursts + 1, self.clients + length
        self.polled, self.clients_polled = self.polled + (polled > 0), self.clients_polled + min(polled, length)
        self.seen, self.clients_seen = self.seen + (peak > 0), self.clients_seen + min(peak, length)


@dataclasses.dataclass
class View:
    """All that has been seen up to now."""
    elapsed: float = 0
    rows: list = dataclasses.field(default_factory=list)  # fullest first
    own: str = ""  # the name of the listener that overflows
    bursting: str = ""  # and of the one with bursts
    dropped: int = 0  # of the own listener, by the plugin
    kernel_dropped: int = 0  # in this network namespace, by the kernel, as long
    deed: object = None  # a demo_story.Deed
    alarms: list = dataclasses.field(default_factory=list)
    last_burst: tuple = (0, 0, 0)  # clients, seen by polling, by the plugin
    burst_count: BurstCount = dataclasses.field(default_factory=BurstCount)
    period: float = 0  # seconds between samples; 0: not known
    cpu_percent: float = 0
    budget_percent: float = 0
    events: str = "off"  # what the kernel tells by itself, as in the table

    def row(self, name):
        return next((row for row in self.rows if row.name == name), None)


def duration(seconds):
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def time_of_day(epoch):
    return time.strftime("%H:%M:%S", time.localtime(epoch))


def bar(row, cells=BAR_CELLS):
    filled = min(cells, -(-cells * row.length // (row.limit + 1)))
    return "[" + "#" * filled + "." * (cells - filled) + "]"


def owner_of(row, view):
    return "this demo" if row.name in (view.own, view.bursting) else row.owner or "-"


def table_lines(view, most):
    shown = view.rows[:most]
    name = max([len("LISTENER"), *(len(row.name) for row in shown)])
    owner = max([len("OWNER"), *(len(owner_of(row, view)) for row in shown)])
    lines = [f"  {'LISTENER':{name}}  {'OWNER':{owner}}  WAITING   PEAK  LIMIT   USED"]
    lines += [f"  {row.name:{name}}  {owner_of(row, view):{owner}}  {row.length:7} {row.peak:6} {row.limit:6}  "
              f"{row.used:3.0f} %" for row in shown]
    if len(view.rows) > len(shown):
        lines.append(f"  ... and {len(view.rows) - len(shown)} more")
    return lines


def queue_line(view):
    row = view.row(view.own)
    if row is None:
        return f"{view.own} is not in the table yet"
    return f"{bar(row)} {row.length} of {row.limit + 1} waiting, {view.dropped} dropped"


def alarm_text(alarm):
    """The message has the listener's name and owner first, which the screen shows anyway."""
    return f"{time_of_day(alarm.time)} {alarm.severity}: {alarm.message.partition(': ')[2] or alarm.message}"


def burst_line(view):
    length, polled, peak = view.last_burst
    if length == 0:
        return "no burst in this second"
    return f"{clients(length)} just now: a look each second saw {polled}, the plugin saw {peak}"


def burst_total(count):
    return f"of {count.bursts} bursts: a look each second saw {count.polled}, the plugin saw {count.seen}"


def sampler_line(view):
    if view.events != "off":
        return (f"The kernel tells the plugin of each connection (Events), for {view.cpu_percent:.2f} % of one CPU "
                f"(SamplerBudget {view.budget_percent:g}).")
    if not view.period:
        return f"The plugin may take {view.budget_percent:g} % of one CPU for sampling (SamplerBudget)."
    return (f"The plugin looks every {1000 * view.period:.0f} ms, with {view.cpu_percent:.2f} % of one CPU "
            f"(SamplerBudget {view.budget_percent:g}).")


def wrapped(text, columns, most, indent="  "):
    lines = textwrap.wrap(text, columns, initial_indent=indent, subsequent_indent=indent + "  ")
    return lines[:most]


def screen_lines(view, columns, rows):
    """[(text, whether it is a heading, whether it is red)], within the size."""
    columns, rows = max(columns, LEAST_COLUMNS), max(rows, LEAST_ROWS)
    own_row = view.row(view.own)
    steps = " > ".join(f"[{step}]" if view.deed and index == view.deed.step else step for index, step in enumerate(STEPS))
    story = [("A queue overflows, and is served again", True, False),
             (f"  {queue_line(view)}", False, own_row is not None and own_row.length > own_row.limit),
             (f"  {steps}", False, False),
             (f"  {view.deed.text if view.deed else ''}", False, False)]
    latest = view.alarms[-1] if view.alarms else None
    alarm = wrapped(f"notification {alarm_text(latest)}", columns, 3) if latest else ["  no notification yet"]
    story += [(line, False, latest is not None and latest.severity != "OKAY") for line in alarm]
    story += [("", False, False)] * (1 + 3 - len(alarm))  # so that nothing below moves
    bursts = [(f"Bursts of {1000 * BURST_SECONDS:.0f} ms, which a look each second misses", True, False),
              (f"  {burst_line(view)}", False, False), (f"  {burst_total(view.burst_count)}", False, False),
              ("", False, False)]
    foot = [(line, False, False) for line in wrapped(sampler_line(view), columns, 2, "")]
    head = [(f"collectd-backlog in a collectd of its own, {duration(view.elapsed)}; Ctrl-C ends it", True, False),
            ("", False, False), ("What listens on this host, fullest first", True, False)]
    room = rows - 1 - len(head) - len(story) - len(bursts) - len(foot)
    table = table_lines(view, max(2, room - 3))
    lines = head + [(line, False, False) for line in table] + [("", False, False)] + story + bursts + foot
    return [(text[:columns], heading, red) for text, heading, red in lines[:rows - 1]]


def screen(view, columns, rows, colours=True):
    """What draws it over the last one."""
    lines = []
    for text, heading, red in screen_lines(view, columns, rows):
        style = (BOLD if heading else RED if red else "") if colours else ""
        lines.append(f"{style}{text}{PLAIN if style else ''}{CLEAR_LINE}\r\n")
    return HOME + "".join(lines) + CLEAR_BELOW


class Log:
    """A line where something has changed."""

    def __init__(self):
        self._deed = None
        self._alarms = 0
        self._listed = False

    def lines(self, view):
        """Those that are due since the last call."""
        lines = []
        if not self._listed and view.rows:
            self._listed = True
            lines += ["What listens on this host:", *table_lines(view, 10)]
        if view.deed and view.deed != self._deed and view.row(view.own):
            self._deed = view.deed
            lines.append(f"{duration(view.elapsed)}  {view.own} {queue_line(view)}; {view.deed.text}")
        lines += [f"{duration(view.elapsed)}  notification {alarm.severity}: {alarm.message}"
                  for alarm in view.alarms[self._alarms:]]
        self._alarms = len(view.alarms)
        return lines


def missed_text(view):
    """Why some bursts were not seen."""
    text = f"{view.burst_count.bursts - view.burst_count.seen} of the bursts fell between two looks: "
    if view.events != "off":
        return text + "they came before the plugin's first read."
    if view.period < WITHIN_INTERVAL * SAMPLE_INTERVAL:
        return text + "this machine was busy, and the plugin came late to its CPU."
    cost = view.cpu_percent / 100 * view.period * 1e6
    return text + f"each takes {cost:.0f} us of CPU here, and a larger SamplerBudget allows more of them."


def summary_lines(view):
    """What there was to see."""
    lines = ["What you have seen"]
    if view.dropped:
        lines.append(f"  {view.own} overflowed: the plugin counted {view.dropped} dropped segments, the kernel "
                     f"{view.kernel_dropped} on the whole host.")
    for alarm in view.alarms[:MOST_SUMMED_ALARMS]:
        lines.append(f"  {alarm_text(alarm)}")
    if len(view.alarms) > MOST_SUMMED_ALARMS:
        lines.append(f"  ... and {len(view.alarms) - MOST_SUMMED_ALARMS} more notifications")
    count = view.burst_count
    if count.bursts:
        polled, seen = (round(100 * each / count.clients) for each in (count.clients_polled, count.clients_seen))
        lines.append(f"  Of {count.bursts} bursts of {1000 * BURST_SECONDS:.0f} ms a look each second saw {count.polled}, "
                     f"with {polled} % of their clients; the plugin saw {count.seen}, with {seen} %.")
    if view.period or view.events != "off":
        lines.append("  " + sampler_line(view))
        if count.seen < count.bursts:
            lines.append("  " + missed_text(view))
    return lines
