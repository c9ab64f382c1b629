"""Pictures of accept queues without any server: from collectd's csv files to one RRD and one PNG
for each listener that was busy, by rrdtool."""

import collections
import pathlib
import re
import subprocess

WIDTH, HEIGHT = 760, 300  # pixels of the whole picture
MOST_PICTURES = 12
PEAK_COLOUR, WAITING_COLOUR, LIMIT_COLOUR, DROPS_COLOUR = "9ecae1", "08519c", "d62728", "ff7f0e"
UPDATES_AT_ONCE = 1000  # all of them are arguments of one command

Moment = collections.namedtuple("Moment", "time waiting peak limit drops")  # drops: per second, or None
Picture = collections.namedtuple("Picture", "listener rrd png")


def rrdtool(*arguments, cwd=None):
    try:
        subprocess.run(["rrdtool", *map(str, arguments)], check=True, capture_output=True, text=True, cwd=cwd)
    except subprocess.CalledProcessError as error:
        raise AssertionError(f"rrdtool {arguments[0]}: {error.stderr.strip()}") from None


def _read_series(folder, series):
    """{epoch: value}"""
    values = {}
    for file in folder.glob(f"{series}-[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"):
        for line in file.read_text(encoding="ascii").splitlines()[1:]:
            when, value = map(float, line.split(","))
            values[when] = value
    return values


def read_moments(folder, interval):
    """What collectd stored of the listener of this folder, oldest first; their times are whole
    intervals apart, since an RRD takes one value an interval."""
    waiting, peak, limit, dropped = (_read_series(folder, series) for series in (
        "queue_length-accept", "queue_length-accept_peak", "queue_length-limit", "packets-dropped"))
    times = sorted(waiting.keys() & peak.keys() & limit.keys())
    moments = {}
    for before, when in zip([None, *times], times):
        drops = None
        if before in dropped and when in dropped:
            drops = (dropped[when] - dropped[before]) / max(1, round((when - before) / interval)) / interval
        at = int(times[0]) + round((when - times[0]) / interval) * interval
        moments[at] = Moment(at, waiting[when], peak[when], limit[when], drops)
    return list(moments.values())


def write_rrd(moments, rrd, interval):
    sources = [f"DS:{name}:GAUGE:{2 * interval}:0:U" for name in Moment._fields[1:]]
    rows = (moments[-1].time - moments[0].time) // interval + 1
    rrdtool("create", rrd, "--start", moments[0].time - interval, "--step", interval, *sources,
            f"RRA:AVERAGE:0:1:{rows}", f"RRA:MAX:0:1:{rows}")
    updates = [":".join("U" if value is None else f"{value:g}" if name != "time" else str(value)
                        for name, value in moment._asdict().items()) for moment in moments]
    for first in range(0, len(updates), UPDATES_AT_ONCE):
        rrdtool("update", rrd, *updates[first:first + UPDATES_AT_ONCE])


def draw_picture(picture, moments, interval):
    shown = (("peak", "MAX", "AREA", PEAK_COLOUR, "most seen waiting"),
             ("waiting", "AVERAGE", "LINE2", WAITING_COLOUR, "waiting at the reading"),
             ("limit", "AVERAGE", "LINE2", LIMIT_COLOUR, "limit"),
             ("drops", "AVERAGE", "AREA", DROPS_COLOUR, "drops per second"))
    has_drops = any(moment.drops is not None for moment in moments)
    highest = max(max(moment.peak, moment.limit, moment.drops or 0) for moment in moments)
    values, legend = [], ["COMMENT:time of day\\c", f"COMMENT:{'':31}last    max\\l"]
    for name, consolidation, kind, colour, text in shown if has_drops else shown[:-1]:
        # A colon in the RRD's path would end the DEF, therefore rrdtool works in its folder.
        values += [f"DEF:{name}={picture.rrd.name}:{name}:{consolidation}",
                   f"VDEF:{name}_last={name},LAST", f"VDEF:{name}_max={name},MAXIMUM"]
        legend += [f"{kind}:{name}#{colour}:{text:24}", f"GPRINT:{name}_last:%6.0lf", f"GPRINT:{name}_max:%6.0lf\\l"]
    rrdtool("graph", picture.png, "--full-size-mode", "--width", WIDTH, "--height", HEIGHT,
            "--start", moments[0].time - interval, "--end", moments[-1].time,
            "--rigid", "--lower-limit", 0, "--upper-limit", f"{1.2 * highest:g}", "--left-axis-format", "%4.0lf",
            "--title", f"Accept queue of {picture.listener}", "--vertical-label", "connections, drops per second",
            *values, *legend, cwd=picture.rrd.parent)


def _busy(moments):
    return any(moment.peak > 0 or moment.drops for moment in moments)


def _fullest(moments):
    return max(moment.peak / (moment.limit + 1) for moment in moments)


def draw_pictures(host_folder, target, interval=1):
    """A Picture of each busy listener of collectd's csv folder of this host, fullest first.
    interval: collectd's, in whole seconds."""
    found = []
    for folder in pathlib.Path(host_folder).glob("backlog-*"):
        name = folder.name.removeprefix("backlog-")
        if re.match("(tcp|unix)", name) and not name.endswith("_unstable"):
            moments = read_moments(folder, interval)
            if len(moments) > 1 and _busy(moments):
                found.append((name, moments))
    found.sort(key=lambda each: (-_fullest(each[1]), each[0]))
    target = pathlib.Path(target).resolve()
    target.mkdir(parents=True, exist_ok=True)
    pictures = []
    for name, moments in found[:MOST_PICTURES]:
        picture = Picture(name, target / f"{name}.rrd", target / f"{name}.png")
        write_rrd(moments, picture.rrd, interval)
        draw_picture(picture, moments, interval)
        pictures.append(picture)
    return pictures
