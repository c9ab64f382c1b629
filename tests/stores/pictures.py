"""Colours in the pictures that a store draws."""

import os
import struct
import subprocess

from store_programs import PYTHON, python_environment


_DECODE_PICTURE = """
import sys, cairocffi
picture = cairocffi.ImageSurface.create_from_png(sys.stdin.buffer)
canvas = cairocffi.ImageSurface(cairocffi.FORMAT_RGB24, picture.get_width(), picture.get_height())
context = cairocffi.Context(canvas)
context.set_source_surface(picture)
context.paint()
sys.stdout.buffer.write(b"%d %d %d\\n" % (canvas.get_width(), canvas.get_height(), canvas.get_stride()))
sys.stdout.buffer.write(canvas.get_data())
"""


def pixels_of_colour(png, colour):
    """(height of the picture, [(x, y)] of the pixels of a colour such as "ff00ff")."""
    data = subprocess.run([PYTHON, "-c", _DECODE_PICTURE], input=png, check=True, capture_output=True,
                          env=dict(os.environ, **python_environment())).stdout
    size, _, data = data.partition(b"\n")
    width, height, stride = map(int, size.split())
    wanted = int(colour, 16)
    rows = (struct.unpack_from(f"={width}I", data, y * stride) for y in range(height))
    return height, [(x, y) for y, row in enumerate(rows) for x, pixel in enumerate(row) if pixel & 0xFFFFFF == wanted]
