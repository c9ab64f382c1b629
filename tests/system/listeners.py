"""Listening sockets, and the clients that wait in their accept queues."""

import contextlib
import ipaddress
import os
import socket
import struct

from kernel import read_sysctl
from names import tcp_name, unix_name
from waiting import wait_until

SO_BINDTODEVICE = 25
TCP_INFO_UNACKED = 24  # in struct tcp_info; of a listener: the accept queue's length
LOCAL_PORT_RANGE = (50000, 60999)
# Of these, the ports that listeners with unstable names have and hardly a client gets: connect() takes even ones first
# where the range begins with one (__inet_hash_connect() in net/ipv4/inet_hashtables.c).
UNSTABLE_PORTS = range(LOCAL_PORT_RANGE[0] + 1, LOCAL_PORT_RANGE[1], 2)


def candidate_ports():
    """Ports below the range that makes a name unstable, from a random start."""
    top = int(read_sysctl("net.ipv4.ip_local_port_range").split()[0])
    low = min(10000, top // 2)
    start = int.from_bytes(os.urandom(4), "big")
    return (low + (start + step) % (top - low) for step in range(top - low))


class Listener:
    """A listening TCP socket and the clients that wait in its accept queue."""

    def __init__(self, address="127.0.0.1", port=None, limit=16, v6only=None, device=None, reuse_port=False,
                 protocol=0):
        self.address = address
        self.device = device
        self.v6only = v6only
        self.family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.clients = []
        for candidate in [port] if port else candidate_ports():
            self.socket = socket.socket(self.family, socket.SOCK_STREAM, protocol)
            try:
                self._bind(candidate, reuse_port)
                self.socket.listen(limit)
                break
            except OSError:
                self.socket.close()
                if port:
                    raise
        self.port = self.socket.getsockname()[1]

    def _bind(self, port, reuse_port):
        if self.v6only is not None:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(self.v6only))
        if self.device:
            self.socket.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, self.device.encode())
        if reuse_port:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.socket.bind(self._sockaddr(self.address, port))

    def _sockaddr(self, address, port):
        if self.family == socket.AF_INET:
            return (address, port)
        scope = socket.if_nametoindex(self.device) if ipaddress.ip_address(address).is_link_local else 0
        return (address, port, 0, scope)

    @property
    def name(self):
        return tcp_name(self.family, self.address, self.port, self.device, self.v6only)

    def _tcp_info(self, offset):
        info = self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 64)
        return struct.unpack_from("=I", info, offset)[0]

    @property
    def length(self):
        return self._tcp_info(TCP_INFO_UNACKED)

    @property
    def limit(self):
        return self._tcp_info(TCP_INFO_UNACKED + 4)

    def listen(self, limit):
        self.socket.listen(limit)

    def connect(self, count=1, target=None):
        """Starts connections, and does not wait for them; those beyond the limit stay unanswered."""
        target = target or {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.address, self.address)
        for _ in range(count):
            client = socket.socket(self.family, socket.SOCK_STREAM)
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect(self._sockaddr(target, self.port))
            self.clients.append(client)

    def fill(self, length):
        """Connects clients until so many wait."""
        self.connect(length - self.length)
        wait_until(lambda: self.length == length, what=f"{length} connections waiting at {self.name}")
        return self

    def accept(self, count=1):
        for _ in range(count):
            self.socket.accept()[0].close()

    def drop_clients(self):
        for client in self.clients:
            client.close()
        self.clients.clear()

    def close(self):
        self.drop_clients()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class UnixListener:
    """A listening Unix socket and the clients that wait in its accept queue. A leading NUL makes
    the address an abstract name."""

    def __init__(self, address, limit=16, kind=socket.SOCK_STREAM):
        self.address = address
        self.kind = kind
        self.clients = []
        self.length = 0
        self.socket = socket.socket(socket.AF_UNIX, kind)
        self.socket.bind(address)
        self.socket.listen(limit)

    @property
    def name(self):
        return unix_name(self.address)

    def connect(self, count=1):
        """How many of them found room."""
        before = self.length
        for _ in range(count):
            client = socket.socket(socket.AF_UNIX, self.kind)
            client.setblocking(False)
            self.clients.append(client)
            with contextlib.suppress(BlockingIOError):
                client.connect(self.address)
                self.length += 1
        return self.length - before

    def accept(self, count=1):
        for _ in range(count):
            self.socket.accept()[0].close()
            self.length -= 1

    def close(self):
        for client in self.clients:
            client.close()
        self.socket.close()
