#!/usr/bin/env python3
"""Servers that wait for each other: the one that all wait for is the FAILURE, and the others name it."""

import json
import os
import pathlib
import socket

import system_test
from kernel import run
from listeners import candidate_ports
from names import tcp_name, unix_name
from net_namespaces import Link, NetNamespace
from notifications import NotificationTest
from processes import Program

INTERVAL = 2  # seconds
STALLED_AFTER = 6  # seconds; longer than it takes a busy host to find who waits for whom

# Listens; each worker takes a client and answers it when it has an answer of the next server.
SERVER = """
import socket, sys, threading, time
family, address, limit, workers, following = eval(sys.argv[1])
listener = socket.socket(family)
listener.bind(address)
listener.listen(limit)
print("ready", flush=True)
sys.stdin.readline()
def work():
    while True:
        client = listener.accept()[0]
        if following:
            next_family, next_address = following
            with socket.socket(next_family) as server:
                server.connect(next_address)
                server.recv(1)
        client.sendall(b".")
        client.close()
for _ in range(workers):
    threading.Thread(target=work).start()
time.sleep(1000)
"""

# Connects so many clients, which wait; it has none of the test's own sockets.
CLIENTS = """
import socket, sys, time
family, address, count = eval(sys.argv[1])
sockets = [socket.socket(family) for _ in range(count)]
for each in sockets:
    each.setblocking(False)
    try:
        each.connect(address)
    except BlockingIOError:
        pass
print("ready", flush=True)
time.sleep(1000)
"""


class Server(Program):
    """Accepts from go() on."""

    def __init__(self, family, address, *, limit=16, workers=0, following=None, namespace=None):
        self.target = (int(family), address)
        self.name = unix_name(address) if family == socket.AF_UNIX else tcp_name(family, *address[:2])
        self.name += f"__netns_{namespace.name}" if namespace else ""
        super().__init__(SERVER, int(family), address, limit, workers, following, namespace=namespace)

    def go(self):
        self.say("go")


class ChainsTest(NotificationTest):
    ports = candidate_ports()

    def server(self, *arguments, **options):
        server = Server(*arguments, **options)
        self.addCleanup(server.close)
        return server

    def tcp_server(self, **options):
        return self.server(socket.AF_INET, ("127.0.0.1", next(self.ports)), **options)

    def clients(self, server, count):
        clients = Program(CLIENTS, *server.target, count)
        self.addCleanup(clients.close)

    def started_with(self, *servers):
        self.table = pathlib.Path(self.folder(), "table")
        watches = "".join(f'<Watch "{server.name}">\n</Watch>\n' for server in servers)
        return self.started(f'StalledAfter {STALLED_AFTER}\nTableFile "{self.table}"\n{watches}', *servers,
                            interval=INTERVAL)

    def rows(self):
        shown = json.loads(run(os.environ["BACKLOG_TABLE"], "--table", self.table, "--json"))
        return {row["name"]: row for row in shown["listeners"]}

    def waits(self):
        return {name: row["waits_for"] for name, row in self.rows().items() if "waits_for" in row}

    def severities(self, *servers):
        rows = self.rows()
        return [rows[server.name]["severity"] for server in servers]

    def test_three_servers(self):
        """The last accepts nobody. The workers of the first are more than those of the second."""
        last = self.server(socket.AF_INET6, ("::1", next(self.ports)))
        middle = self.server(socket.AF_UNIX, f"\0chain-{os.getpid()}", workers=3, following=last.target)
        first = self.tcp_server(workers=6, following=middle.target)
        collectd = self.started_with(first, middle, last)
        for server in (middle, first):
            server.go()
        self.clients(first, 40)
        collectd.wait(lambda: self.waits() == {first.name: middle.name, middle.name: last.name}, 40, "the chain")
        collectd.wait(lambda: self.severities(first, middle, last) == ["warning", "warning", "failure"], 20,
                      "the severities")
        for server, following in ((first, middle), (middle, last)):
            row = self.rows()[server.name]
            self.assertRegex(row["message"], f"(: it|;) waits for {following.name}(, look there first|$)")
        collectd.wait_for_intervals(2)
        told = self.notifications(collectd)
        self.assertEqual({each.name for each in told if each.severity == "FAILURE"}, {last.name}, told)
        # Those of one interval: the root first.
        names = [each.name for each in told]
        self.assertLess(names.index(last.name), names.index(middle.name))

    def test_across_net_namespaces(self):
        """There and back."""
        inner = NetNamespace(f"inner{os.getpid()}")
        self.addCleanup(inner.close)
        outside, inside = "10.77.0.1", "10.77.0.7"
        self.addCleanup(Link(None, [outside], inner, [inside]).close)
        last = self.server(socket.AF_INET, (outside, next(self.ports)))
        middle = self.server(socket.AF_INET, (inside, next(self.ports)), workers=3, following=last.target,
                             namespace=inner)
        first = self.tcp_server(workers=6, following=middle.target)
        collectd = self.started_with(first, middle, last)
        for server in (middle, first):
            server.go()
        self.clients(first, 40)
        collectd.wait(lambda: self.waits() == {first.name: middle.name, middle.name: last.name}, 40, "the chain")
        collectd.wait(lambda: self.severities(first, middle, last) == ["warning", "warning", "failure"], 20,
                      "the severities")

    def test_unrelated_troubles(self):
        """Ten at once, and all of one program: no two of them have to do with each other."""
        servers = [self.tcp_server(limit=8) for _ in range(5)]
        servers += [self.server(socket.AF_UNIX, f"\0lone-{os.getpid()}-{number}", limit=8) for number in range(5)]
        collectd = self.started_with(*servers)
        for server in servers:
            self.clients(server, 9)
        collectd.wait(lambda: all("clients" in row for row in self.rows().values()), 40, "their clients")
        collectd.wait(lambda: set(self.severities(*servers)) == {"failure"}, 40, "ten failures")
        self.assertEqual(self.waits(), {})
        self.assertNotIn("waits for", " ".join(each.message for each in self.notifications(collectd)))

    def test_a_circle(self):
        """Each waits for the other: both are named, and none is the root."""
        targets = [(int(socket.AF_INET), ("127.0.0.1", next(self.ports))) for _ in range(2)]
        one = self.server(*targets[0], workers=6, following=targets[1])
        other = self.server(*targets[1], workers=3, following=targets[0])
        collectd = self.started_with(one, other)
        self.clients(one, 12)  # before those of the other
        for server in (other, one):
            server.go()
        collectd.wait(lambda: self.waits() == {one.name: other.name, other.name: one.name}, 40, "the circle")
        collectd.wait(lambda: self.severities(one, other) == ["failure", "failure"], 20, "the severities")


if __name__ == "__main__":
    system_test.main()
