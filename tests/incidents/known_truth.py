"""Incidents that can be played again with another limit: what the server does, and when who comes.

A play has two processes, a server that listens and its clients, so that each has an owner of its own. Times are
seconds since the play began.
"""

import collections
import contextlib
import ctypes
import dataclasses
import fcntl
import itertools
import json
import os
import pathlib
import select
import socket
import struct
import threading
import time

from kernel import kernel_counters, run, write_sysctl
from listeners import candidate_ports
from names import tcp_name, unix_name
from net_namespaces import enter_new_namespace
from notifications import reset_at_close
from processes import Fork, die_with_parent, raise_descriptor_limit
from raw_clients import RawClients

AMPLE = 4096  # connections; net.core.somaxconn of a new namespace
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 1, 0x1000
SO_ATTACH_REUSEPORT_CBPF = 51
BPF_LOAD_BYTE, BPF_MODULO, BPF_RETURN = 0x30, 0x94, 0x16  # to the accumulator, by a constant, the accumulator
SKF_NET_OFF, IPV4_LAST_SOURCE_BYTE = 2**32 - 0x100000, 15
NEAR, FAR = "10.9.0.2", "10.9.0.1"  # the two ends of a distance


@dataclasses.dataclass
class Wave:
    """So many clients, evenly spread over a time. They stay, or leave so many seconds after they came."""
    at: float
    count: int
    over: float = 0
    leave: float | None = None
    reset: bool = False  # how they leave
    say: bytes = b""     # as soon as they are connected


@dataclasses.dataclass
class Loop:
    """So many clients; each comes again when it was served, or after so many seconds without an answer."""
    at: float
    count: int
    patience: float = 20


@dataclasses.dataclass
class Flood:
    """SYNs that nobody answers for."""
    at: float
    count: int
    over: float


@dataclasses.dataclass
class Incident:
    name: str
    limit: int
    length: float                         # of the play
    clients: list
    pauses: tuple = ()                    # (begin, end) of the times at which nobody is accepted; 0: from the start
    seconds: float = 0                    # that the server takes for each
    cause: str = ""                       # that is to be told
    helps: bool = True                    # a longer queue would have held them all
    tells: bool = True                    # the kernel lets it be known
    address: str = "127.0.0.1"            # or a Unix path: "@" stands for an abstract name
    kind: int = socket.SOCK_STREAM
    protocol: int = 0
    members: int = 1
    stuck: int | None = None              # the member that nobody accepts from
    one_way: float = 0                    # seconds to the clients
    deferred: bool = False                # TCP_DEFER_ACCEPT
    somaxconn: int | None = None          # that limits, instead of listen()
    linear_timeouts: int | None = None    # net.ipv4.tcp_syn_linear_timeouts
    other_namespace: bool = False

    @property
    def takes_turns(self):
        return self.members > 1 and self.stuck is None

    @property
    def is_unix(self):
        return self.address == "@"


def _open(incident, limit, port):
    if incident.is_unix:
        listener = socket.socket(socket.AF_UNIX, incident.kind)
        listener.bind(f"\0truth-{os.getpid()}")
        listener.listen(limit)
        return listener
    family = socket.AF_INET6 if ":" in incident.address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, incident.protocol)
    if incident.members > 1:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if incident.deferred:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 30)
    if incident.address == "::":
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind((incident.address, port))
    listener.listen(AMPLE if incident.somaxconn else limit)
    return listener


def _listen(incident, limit):
    for port in candidate_ports():
        with contextlib.suppress(OSError):
            first = _open(incident, limit, port)
            listeners = [first] + [_open(incident, limit, port) for _ in range(incident.members - 1)]
            if incident.takes_turns:
                _choose_by_address(listeners)
            return listeners
    raise AssertionError("no free port")


def _choose_by_address(listeners):
    """The last byte of a client's address gives its member. By the kernel's hash no play is like the one before."""
    steps = struct.pack("HBBIHBBIHBBI", *(BPF_LOAD_BYTE, 0, 0, SKF_NET_OFF + IPV4_LAST_SOURCE_BYTE),
                        *(BPF_MODULO, 0, 0, len(listeners)), *(BPF_RETURN, 0, 0, 0))
    buffer = ctypes.create_string_buffer(steps)
    listeners[0].setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF,
                            struct.pack("HL", len(steps) // 8, ctypes.addressof(buffer)))


def _serve(incident, listeners, begin):
    """Accepts whenever it does not pause, for ever."""
    accepting = [each for number, each in enumerate(listeners) if number != incident.stuck]
    for each in listeners:
        each.setblocking(False)
    pauses = collections.deque(sorted(incident.pauses))
    while True:
        now = time.monotonic() - begin
        while pauses and pauses[0][1] <= now:
            pauses.popleft()
        if pauses and pauses[0][0] <= max(0, now):
            time.sleep(pauses[0][1] - now)
            continue
        next_pause = pauses[0][0] - now if pauses else 1000
        for listener in select.select(accepting, [], [], max(0, next_pause))[0]:
            with contextlib.suppress(OSError):
                client = listener.accept()[0]
                if incident.seconds:
                    time.sleep(incident.seconds)
                client.close()


class _Clients:
    """What the clients' process does."""

    def __init__(self, incident, family, address, begin):
        self._incident, self._family, self._address, self._begin = incident, family, address, begin
        self._selector = select.epoll()
        self._loops = {}     # {descriptor: (socket, when it gives up)}
        self._talkers = {}   # {descriptor: (socket, what it says)}
        self._leaving = collections.deque()  # all stay as long as each other
        self._leave_at = collections.deque()
        self._staying = []
        self._blocked = []
        self._numbers = itertools.count()
        self.refused = 0     # of a Unix listener's clients

    def _now(self):
        return time.monotonic() - self._begin

    def _connect(self):
        client = socket.socket(self._family, self._incident.kind)
        client.setblocking(False)
        if self._incident.takes_turns:
            client.bind((f"127.0.0.{1 + next(self._numbers) % self._incident.members}", 0))
        try:
            client.connect(self._address)
        except BlockingIOError:
            if self._incident.is_unix:
                self.refused += 1
                thread = threading.Thread(target=self._connect_and_wait, daemon=True)
                thread.start()
        return client

    def _connect_and_wait(self):
        """As most clients of Unix sockets do."""
        client = socket.socket(self._family, self._incident.kind)
        self._blocked.append(client)
        with contextlib.suppress(OSError):
            client.connect(self._address)

    def _come(self, wave):
        client = self._connect()
        if wave.reset:
            reset_at_close(client)
        if wave.say:
            self._talkers[client.fileno()] = (client, wave.say)
            self._selector.register(client, select.EPOLLOUT | select.EPOLLONESHOT)
        (self._staying if wave.leave is None else self._leaving).append(client)
        if wave.leave is not None:
            self._leave_at.append(self._now() + wave.leave)

    def _loop(self, patience):
        client = self._connect()
        reset_at_close(client)
        self._loops[client.fileno()] = (client, self._now() + patience, patience)
        self._selector.register(client, select.EPOLLIN | select.EPOLLHUP)

    def _handle(self, timeout):
        for descriptor, _ in self._selector.poll(max(0, timeout)):
            if descriptor in self._talkers:
                client, words = self._talkers.pop(descriptor)
                with contextlib.suppress(OSError):
                    client.send(words)
            elif descriptor in self._loops:
                self._come_again(descriptor)
        now = self._now()
        for descriptor in [each for each, (_, due, _) in self._loops.items() if due <= now]:
            self._come_again(descriptor)
        while self._leave_at and self._leave_at[0] <= now:
            self._leave_at.popleft()
            self._leaving.popleft().close()

    def _come_again(self, descriptor):
        client, _, patience = self._loops.pop(descriptor)
        client.close()
        self._loop(patience)

    def play(self):
        raise_descriptor_limit()
        steps = []
        for each in self._incident.clients:
            spread = 0 if isinstance(each, Loop) else each.over
            steps += [(each.at + spread * number / each.count, number, each) for number in range(each.count)]
        steps = collections.deque(sorted(steps, key=lambda step: step[0]))
        raw = RawClients() if any(isinstance(each, Flood) for each in self._incident.clients) else None
        while self._now() < self._incident.length:
            next_step = steps[0][0] - self._now() if steps else self._incident.length - self._now()
            self._handle(min(next_step, 0.02 if self._loops or self._leaving else 1))
            while steps and steps[0][0] <= self._now():
                _, _, each = steps.popleft()
                if isinstance(each, Flood):
                    raw.send_syns(self._address[1], 1)
                elif isinstance(each, Loop):
                    self._loop(each.patience)
                else:
                    self._come(each)
        if raw:
            raw.close()


def _open_tunnel(name, address):
    tunnel = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tunnel, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    run("ip", "address", "add", f"{address}/30", "dev", name)
    run("ip", "link", "set", name, "up")
    return tunnel


def _relay(one, other, one_way):
    """Carries packets both ways, with a delay, for ever."""
    under_way = {one: collections.deque(), other: collections.deque()}  # by where they go
    to = {one: other, other: one}
    while True:
        now = time.monotonic()
        dues = [queue[0][0] for queue in under_way.values() if queue]
        readable = select.select(to, [], [], max(0, min(dues) - now) if dues else 1000)[0]
        now = time.monotonic()
        for tunnel in readable:
            with contextlib.suppress(BlockingIOError):
                while True:
                    under_way[to[tunnel]].append((now + one_way, os.read(tunnel, 2048)))
        for target, queue in under_way.items():
            while queue and queue[0][0] <= now:
                os.write(target, queue.popleft()[1])


class Play:
    """An incident in this net namespace. It begins with go()."""

    def __init__(self, incident, limit=None):
        self.incident = incident
        self._limit = incident.limit if limit is None else limit
        self._pipes = []
        self._processes = []
        self._before = None
        if incident.somaxconn:
            write_sysctl("net.core.somaxconn", incident.somaxconn if limit is None else limit)
        if incident.linear_timeouts is not None:
            write_sysctl("net.ipv4.tcp_syn_linear_timeouts", incident.linear_timeouts)
        try:
            self._server_go, self._from_server = self._fork(self._server)
            self.address = tuple(each) if isinstance(each := json.loads(self._line(self._from_server)), list) else each
            self._clients_go, self._from_clients = self._fork(self._clients)
            self._line(self._from_clients)
        except BaseException:
            self.close()
            raise

    @property
    def clients_name(self):
        """As messages have it."""
        pid = self._processes[1].pid
        return f"{pathlib.Path(f'/proc/{pid}/comm').read_text(encoding='utf-8').strip()}[{pid}]"

    @property
    def name(self):
        if self.incident.is_unix:
            return unix_name(self.address)
        family = socket.AF_INET6 if ":" in self.incident.address else socket.AF_INET
        return tcp_name(family, self.incident.address, self.address[1])

    def _fork(self, work):
        """(a file to write to it, a file of what it says)"""
        their_input, our_output = os.pipe()
        our_input, their_output = os.pipe()

        def body(ready):
            ready()
            with open(their_input, encoding="ascii") as commands, open(their_output, "w", encoding="ascii") as answers:
                work(commands, answers)
        self._processes.append(Fork(body))
        for each in (their_input, their_output):
            os.close(each)
        files = open(our_output, "w", encoding="ascii"), open(our_input, encoding="ascii")
        self._pipes += files
        return files

    @staticmethod
    def _line(file):
        line = file.readline()
        if not line:
            raise AssertionError("a process of a play failed")
        return line

    def _server(self, commands, answers):
        listeners = _listen(self.incident, self._limit)
        address = listeners[0].getsockname()
        print(json.dumps(address.decode() if isinstance(address, bytes) else list(address)), file=answers, flush=True)
        _serve(self.incident, listeners, float(self._line(commands)))

    def _target(self):
        if self.incident.is_unix:
            return socket.AF_UNIX, self.address
        port = self.address[1]
        if self.incident.one_way:
            return socket.AF_INET, (NEAR, port)
        if self.incident.address == "::1":
            return socket.AF_INET6, ("::1", port)
        return socket.AF_INET, ("127.0.0.1", port)

    def _clients(self, commands, answers):
        if self.incident.one_way:
            near = _open_tunnel(f"near{os.getpid()}", NEAR)
            enter_new_namespace()
            far = _open_tunnel("far", FAR)
            relay = os.fork()
            if relay == 0:
                die_with_parent()
                _relay(near, far, self.incident.one_way)
            os.close(near)
        print("ready", file=answers, flush=True)
        clients = _Clients(self.incident, *self._target(), float(self._line(commands)))
        clients.play()
        print(clients.refused, file=answers, flush=True)
        time.sleep(1000)

    def go(self):
        self._before = kernel_counters()["ListenOverflows"]
        begin = time.monotonic() + 0.02
        for file in (self._server_go, self._clients_go):
            print(begin, file=file, flush=True)

    def refused(self):
        """Waits for the end; how many clients, or tries of theirs, found no room."""
        of_unix = int(self._line(self._from_clients))
        return of_unix + kernel_counters()["ListenOverflows"] - self._before

    def close(self):
        for process in self._processes:
            process.close()
        for file in self._pipes:
            with contextlib.suppress(OSError):
                file.close()


def holds(incident, limit):
    """Whether nobody is refused where the limit is this, in a net namespace of its own."""
    read_end, write_end = os.pipe()

    def work(ready):
        enter_new_namespace()
        play = Play(incident, limit)
        ready()
        play.go()
        os.write(write_end, str(play.refused()).encode())
        play.close()
        os._exit(0)
    trial = Fork(work)
    os.close(write_end)
    try:
        with open(read_end, encoding="ascii") as answer:
            refused = answer.read()
    finally:
        trial.close()
    if not refused:
        raise AssertionError(f"{incident.name} with a limit of {limit} failed")
    return int(refused) == 0


def smallest_that_holds(incident, told):
    """The smallest limit; None where none holds. told: where to begin to look."""
    if not holds(incident, AMPLE):
        return None
    low, high = incident.limit, AMPLE  # the first does not hold, the second does
    guesses = [told or AMPLE, int((told or AMPLE) / 1.1)]
    while high - low > max(1, high // 200):
        guess = guesses.pop(0) if guesses else None
        limit = guess if guess and low < guess < high else (low + high) // 2
        if holds(incident, limit):
            high = limit
        else:
            low = limit
    return high
