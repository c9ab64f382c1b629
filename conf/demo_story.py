"""What happens in the demo: a queue that fills, overflows and is served again, and another one to which many
clients come at once, wait for a moment and are accepted."""

import collections
import itertools
import random
import threading
import time

from listeners import Listener  # which conf/demo.py has put on the path
from waiting import wait_until

LIMIT = 8
CLIENTS_AT_ONCE = 3
OVERFLOWING_ROUNDS = 3
HEALTHY_ROUNDS = 4  # OKAY comes after three intervals without an overflow
BURST_LIMIT = 128
BURST_SECONDS = 0.05
BURST_CLIENTS = (40, 100)  # below WarningPercent of the limit

STEPS = ("clients come", "full", "drops", "the fix", "all clear")
Deed = collections.namedtuple("Deed", "step text")  # step: index into STEPS
Burst = collections.namedtuple("Burst", "begin length")  # begin: the epoch at which all its clients wait


def clients(count):
    return f"{count} client{'' if count == 1 else 's'}"


def play(listener):
    """Fills the listener's queue, overflows it, then accepts all that comes, for ever; yields a Deed once it
    is done."""
    full = listener.limit + 1
    while True:
        yield Deed(0, "nobody has connected")
        while listener.length < full:
            count = min(CLIENTS_AT_ONCE, full - listener.length)
            listener.fill(listener.length + count)
            is_full = listener.length == full
            yield Deed(int(is_full), f"{clients(count)} connected, nobody calls accept()")
        for _ in range(OVERFLOWING_ROUNDS):
            listener.connect(CLIENTS_AT_ONCE)
            yield Deed(2, f"{clients(CLIENTS_AT_ONCE)} tried in vain")
        waiting = listener.length
        listener.drop_clients()
        listener.accept(waiting)
        wait_until(lambda: listener.length == 0, what="an empty queue")
        yield Deed(3, f"accept() is called again: {clients(waiting)} accepted")
        for _ in range(HEALTHY_ROUNDS):
            listener.fill(CLIENTS_AT_ONCE)
            listener.accept(CLIENTS_AT_ONCE)
            listener.drop_clients()
            yield Deed(4, f"{clients(CLIENTS_AT_ONCE)} accepted at once")


class Bursts:
    """A listener to which many clients come at once, one time a second at a random moment; all wait for 50 ms
    and are accepted."""

    def __init__(self):
        self.listener = Listener(limit=BURST_LIMIT)
        self.begun = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        for second in itertools.count(time.monotonic()):
            if self._ending.wait(max(0.0, second + random.uniform(0, 1 - 2 * BURST_SECONDS) - time.monotonic())):
                return
            length = random.randint(*BURST_CLIENTS)
            self.listener.fill(length)
            self.begun.append(Burst(time.time(), length))
            self._ending.wait(BURST_SECONDS)
            self.listener.accept(length)
            self.listener.drop_clients()

    def highest(self, begin, end):
        """Of the bursts that began between two epochs: the most clients."""
        return max((burst.length for burst in self.begun if begin <= burst.begin < end), default=0)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ending.set()
        self._thread.join()
        self.listener.close()
