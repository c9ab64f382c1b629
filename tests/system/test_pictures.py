#!/usr/bin/env python3
"""The pictures that conf/demo draws at its end: their size, and that they show what collectd stored."""

import collections
import pathlib
import re
import shutil
import struct
import sys
import unittest
import zlib

import system_test
from collectd import HOSTNAME
from kernel import run
from system_test import SystemTest

CONF = pathlib.Path(__file__).resolve().parent.parent.parent / "conf"
sys.path.insert(0, str(CONF))
import demo_pictures  # noqa: E402 (found by the path above)

SERIES = ("queue_length-accept", "queue_length-accept_peak", "queue_length-limit")


def decode_png(path):
    """(width, height, {colour as rrggbb: pixels}) of a PNG with 8 bits a channel, as rrdtool writes it."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n", path
    chunks, at = {}, 8
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        chunks[kind] = chunks.get(kind, b"") + data[at + 8:at + 8 + size]
        at += 12 + size
    width, height, depth, colour_type = struct.unpack_from(">IIBB", chunks[b"IHDR"])
    channels = {2: 3, 6: 4}[colour_type]
    assert depth == 8, depth
    raw, stride = zlib.decompress(chunks[b"IDAT"]), width * channels
    above, colours = bytearray(stride), collections.Counter()
    for line in range(height):
        filter_type, *row = raw[line * (stride + 1):(line + 1) * (stride + 1)]
        for index, byte in enumerate(row):
            left = row[index - channels] if index >= channels else 0
            corner = above[index - channels] if index >= channels else 0
            row[index] = (byte + _predicted(filter_type, left, above[index], corner)) % 256
        above = row
        colours.update(bytes(row[pixel:pixel + 3]).hex() for pixel in range(0, stride, channels))
    return width, height, colours


def _predicted(filter_type, left, above, corner):
    if filter_type < 4:
        return (0, left, above, (left + above) // 2)[filter_type]
    estimate = left + above - corner
    return min((left, above, corner), key=lambda value: abs(estimate - value))


def rrd_rows(path):
    """{epoch: [waiting, peak, limit, drops]} of all that the RRD holds, None for unknown."""
    first = int(run("rrdtool", "first", str(path))) - 1
    last = int(run("rrdtool", "last", str(path)))
    lines = run("rrdtool", "fetch", str(path), "AVERAGE", "-s", str(first), "-e", str(last)).splitlines()
    assert lines[0].split() == ["waiting", "peak", "limit", "drops"], lines[0]
    rows = {}
    for line in lines[2:]:
        when, *values = line.split()
        rows[int(when.rstrip(":"))] = [None if "nan" in value else float(value) for value in values]
    return {when: row for when, row in rows.items() if row[0] is not None}


@unittest.skipUnless(shutil.which("rrdtool"), "rrdtool is missing")
class PicturesTest(SystemTest):
    def pictures(self, collectd):
        host_folder = collectd.directory / "csv" / HOSTNAME
        return {picture.listener: picture
                for picture in demo_pictures.draw_pictures(host_folder, self.folder(), interval=1)}

    def test_rrd_and_picture_hold_what_was_dispatched(self):
        idle, busy, full = self.listener(limit=4), self.listener(limit=20).fill(7), self.listener(limit=3).fill(4)
        collectd = self.collectd('Listener "/^tcp_/"', interval=1)
        collectd.wait_for_value(full.name, "packets-dropped", 0)
        full.connect(2)
        collectd.wait_for_value(full.name, "packets-dropped", lambda drops: drops >= 2)
        busy.listen(30)
        collectd.wait_for_value(busy.name, "queue_length-limit", 30)
        collectd.wait_for_intervals(1)
        collectd.stop()

        pictures = self.pictures(collectd)
        self.assertEqual(list(pictures), [full.name, busy.name], f"fullest first, without {idle.name}")
        for name, picture in pictures.items():
            stored = collectd.rows(*((name, series) for series in SERIES))
            self.assertEqual([row[:3] for row in rrd_rows(picture.rrd).values()], list(stored.values()))
            width, height, colours = decode_png(picture.png)
            self.assertEqual((width, height), (demo_pictures.WIDTH, demo_pictures.HEIGHT))
            self.assertLessEqual({demo_pictures.PEAK_COLOUR, demo_pictures.WAITING_COLOUR,
                                  demo_pictures.LIMIT_COLOUR}, colours.keys())
        drops = [row[3] for row in rrd_rows(pictures[full.name].rrd).values()]
        self.assertIsNone(drops[0])
        self.assertEqual(sum(drops[1:]), collectd.latest(full.name, "packets-dropped"))

    def test_bars_stand_where_drops_were(self):
        pixels = []
        for drops in ([0] * 20, [0] * 10 + [4] * 5 + [0] * 5, [0] * 10 + [4] * 10):
            moments = [demo_pictures.Moment(1000000000 + second, 4, 4, 3, each) for second, each in enumerate(drops)]
            folder = pathlib.Path(self.folder())
            picture = demo_pictures.Picture("tcp_any_80", folder / "a.rrd", folder / "a.png")
            demo_pictures.write_rrd(moments, picture.rrd, 1)
            demo_pictures.draw_picture(picture, moments, 1)
            pixels.append(decode_png(picture.png)[2][demo_pictures.DROPS_COLOUR])
        in_legend, five, ten = pixels
        self.assertGreater(five, in_legend + 1000)
        self.assertAlmostEqual((ten - in_legend) / (five - in_legend), 2, delta=0.2)


if __name__ == "__main__":
    system_test.main()
