"""Listeners that come and go, none twice: containers, workers, tests of others."""

import contextlib
import itertools
import mmap
import pathlib
import socket
import struct
import time
import uuid

from listeners import LOCAL_PORT_RANGE

BATCH, PAUSE = 12, 0.01  # 1 200 a second less what opening and closing takes
_PORTS = (2000, LOCAL_PORT_RANGE[0])  # with stable and unstable names


class Churn:
    """The work of a process that opens and closes them for ever. folder: of Unix listeners; None: TCP only."""

    def __init__(self, folder=None):
        self._folder = folder
        self._count = mmap.mmap(-1, 8)

    @property
    def churned(self):
        """So many have come and gone."""
        return struct.unpack("Q", self._count)[0]

    def work(self, ready):
        makers = [self._tcp_listeners()] + [self._unix_listeners()] * (self._folder is not None)
        ready()
        while True:
            batch = [next(maker) for maker in itertools.islice(itertools.cycle(makers), BATCH)]
            time.sleep(PAUSE)
            for listener in batch:
                listener.close()
            self._count[:] = struct.pack("Q", self.churned + len(batch))

    @staticmethod
    def _tcp_listeners():
        """On one address of 127.0.0.0/8 after the other."""
        for number in itertools.count(3 * 2 ** 16):
            address = str(socket.inet_ntoa(struct.pack("!I", 0x7F000000 + number)))
            with contextlib.suppress(OSError):
                yield socket.create_server((address, _PORTS[number % 2]), backlog=number % 5)

    def _unix_listeners(self):
        """With stable names and those of containers in turn."""
        for number in itertools.count():
            path = pathlib.Path(self._folder, str(uuid.uuid4()) if number % 2 else f"service-{number}")
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(path))
                listener.listen(number % 5)
                path.unlink()
                yield listener
