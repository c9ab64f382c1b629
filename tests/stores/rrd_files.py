"""RRD files."""

import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "system"))
from collectd import HOSTNAME  # noqa: E402
from snippets import snippet  # noqa: E402
from store_programs import library_environment, program  # noqa: E402


class RrdFiles:
    """The files that collectd writes with conf/collectd/stores/rrd.conf."""

    def __init__(self, directory, host=HOSTNAME):
        self.folder = pathlib.Path(directory)
        self.host = host
        self.snippet = snippet("rrd.conf", {'"/var/lib/collectd/rrd"': f'"{self.folder}"'})

    def path(self, instance, type_, type_instance):
        return self.folder / self.host / f"backlog-{instance}" / f"{type_}-{type_instance}.rrd"

    @staticmethod
    def tool(*command):
        return subprocess.run([program("rrdtool"), *map(str, command)], check=True, capture_output=True,
                              env=dict(os.environ, **library_environment())).stdout

    def latest(self, *series):
        """The value that was written last, or None; of a counter the counter."""
        path = self.path(*series)
        if not path.exists() or path.stat().st_size == 0:
            return None
        text = self.tool("lastupdate", path).decode().splitlines()[-1].partition(": ")[2]
        return float(text) if text and text != "U" else None

    def fetch(self, *series, consolidation="AVERAGE", start="-60s"):
        """(seconds of a row, [(epoch, value)] without gaps)."""
        text = self.tool("fetch", self.path(*series), consolidation, "--resolution", "1", "--start", start).decode()
        rows = [line.split(": ") for line in text.splitlines() if ": " in line]
        times = [int(when) for when, _ in rows]
        values = [(when, float(value)) for when, (_, value) in zip(times, rows) if "nan" not in value]
        return times[1] - times[0], values
