#!/usr/bin/env python3
"""Who waits at a listener in trouble: clients on this host by their process, others by address if wanted."""

import json
import os
import pathlib
import socket
import types

import system_test
from kernel import run, write_sysctl
from net_namespaces import Link, NetNamespace
from notifications import NotificationTest, reset_at_close
from processes import Program
from raw_clients import RawClients
from waiting import wait_until

INTERVAL = 1  # seconds
NEAR, FAR = "10.77.0.1", ("10.77.0.7", "10.77.0.8")
NEAR6, FAR6 = "fd77::1", "fd77::7"

# Connects so many clients from each of these addresses, "" for any, and from these ports on, 0 for any. It has none of the test's own sockets.
CLIENTS = """
import socket, sys, time
family, target, *counts = eval(sys.argv[1])
sockets = []
for source, count, *port in counts:
    for number in range(count):
        sockets.append(socket.socket(family))
        sockets[-1].settimeout(5)
        if source:
            sockets[-1].bind((source, port[0] + number if port else 0))
        sockets[-1].connect(target)
print("ready", flush=True)
for command in sys.stdin:
    for each in sockets:
        each.close()
    print("closed", flush=True)
time.sleep(1000)
"""


class Clients(Program):
    """A process with clients that wait."""

    def __init__(self, family, target, *counts, namespace=None):
        super().__init__(CLIENTS, int(family), target, *counts, namespace=namespace)

    @property
    def name(self):
        comm = pathlib.Path(f"/proc/{self.process.pid}/comm").read_text(encoding="ascii").strip()
        return f"{comm}[{self.process.pid}]"

    def end_sockets(self):
        self.say("close")
        self.wait_for("closed")


class WhoWaitsTest(NotificationTest):
    def setUp(self):
        self.skip_in_a_unit()
        self.table = pathlib.Path(self.folder(), "table")

    def clients(self, *arguments, **options):
        clients = Clients(*arguments, **options)
        self.addCleanup(clients.close)
        return clients

    def started_with(self, config, *listeners):
        return self.started(f'TableFile "{self.table}"\n{config}', *listeners, interval=INTERVAL)

    def rows(self):
        shown = json.loads(run(os.environ["BACKLOG_TABLE"], "--table", self.table, "--json"))
        return {row["name"]: row for row in shown["listeners"]}

    def wait_for_clients(self, collectd, listener, clients, counted):
        """A busy host has so many processes that the search for clients has to wait for some intervals."""
        shown = []

        def are_shown():
            shown.append(self.rows().get(listener.name, {}))
            return (shown[-1].get("clients"), shown[-1].get("clients_counted")) == (clients, counted)
        try:
            collectd.wait(are_shown, 30, f"clients of {listener.name}")
        except AssertionError as error:
            raise AssertionError(f"{error}\nwanted {clients}, {counted}\nthe last is {shown[-1]}") from None
        # None is ever shown with another name.
        names = {client["client"] for row in shown for client in row.get("clients", ())}
        self.assertLessEqual(names, {client["client"] for client in clients})

    def wait_for_remark(self, collectd, listener, remark):
        """Scans take turns on a busy host, and an interval without one knows no clients."""
        collectd.wait(lambda: self.rows()[listener.name]["message"].endswith(remark), 30, remark)

    def net_namespace(self, name):
        namespace = NetNamespace(f"{name}{os.getpid()}")
        self.addCleanup(namespace.close)
        return namespace

    def join(self, far, near=None):
        """Two namespaces, near with NEAR, far with FAR; None is the test's own."""
        self.addCleanup(Link(near, (NEAR, NEAR6), far, (*FAR, FAR6)).close)


class ClientsTest(WhoWaitsTest):
    def test_each_kind_of_listener(self):
        path = str(self.stable_folder() / "clients-sock")
        listeners = {
            "v4": self.listener(limit=31), "v6": self.listener("::1", limit=31), "dual": self.listener("::", limit=31),
            "path": self.unix_listener(path, limit=31),
            "abstract": self.unix_listener(f"\0clients-{os.getpid()}", limit=31)}
        collectd = self.started_with("".join(f'<Watch "{each.name}">\n</Watch>\n' for each in listeners.values()),
                                     *listeners.values())
        targets = {"v4": (socket.AF_INET, ("127.0.0.1", listeners["v4"].port)),
                   "v6": (socket.AF_INET6, ("::1", listeners["v6"].port)),
                   "dual": (socket.AF_INET, ("127.0.0.1", listeners["dual"].port)),
                   "path": (socket.AF_UNIX, path), "abstract": (socket.AF_UNIX, listeners["abstract"].address)}
        many = {kind: self.clients(*target, ("", 24)) for kind, target in targets.items()}
        few = {kind: self.clients(*target, ("", 8)) for kind, target in targets.items()}
        for kind, listener in listeners.items():
            with self.subTest(kind):
                self.wait_for_clients(collectd, listener, [{"client": many[kind].name, "count": 24},
                                                           {"client": few[kind].name, "count": 8}], 32)
                self.wait_for_remark(collectd, listener, f"; 24 of 32 waiting from {many[kind].name}")
        line = f"    waiting: 24 of 32 from {many['v4'].name}, 8 from {few['v4'].name}\n"
        collectd.wait(lambda: line in self.text(), what=line)

    def text(self):
        return run(os.environ["BACKLOG_TABLE"], "--table", self.table)

    def test_what_is_told_of_whom(self):
        """Of clients on another host and of one on this, with each setting."""
        far = self.net_namespace("far")
        self.join(far)
        listener = self.listener("0.0.0.0", limit=35)
        tables = {setting: pathlib.Path(self.folder(), "table") for setting in ("", "all", "false")}
        collectds = {setting: self.started(f'TableFile "{table}"\n' + (f"ReportClients {setting}" if setting else ""),
                                           listener, interval=INTERVAL) for setting, table in tables.items()}
        self.clients(socket.AF_INET, (NEAR, listener.port), (FAR[0], 20), (FAR[1], 4), namespace=far)
        here = self.clients(socket.AF_INET, (NEAR, listener.port), ("", 12))
        by_owner = {"client": here.name, "count": 12}
        expected = {"": ([by_owner], 36, f"; 12 of 36 waiting from {here.name}"),
                    "all": ([{"client": FAR[0], "count": 20}, {"client": NEAR, "owner": here.name, "count": 12},
                             {"client": FAR[1], "count": 4}], 36, f"; 20 of 36 waiting from {FAR[0]}"),
                    "false": (None, None, ", not known who set it: a restart may be enough")}
        for setting, (clients, counted, remark) in expected.items():
            with self.subTest(setting):
                self.table = tables[setting]
                if clients:
                    self.wait_for_clients(collectds[setting], listener, clients, counted)
                collectds[setting].wait(lambda: self.rows()[listener.name]["state"] == "high", what="trouble")
                self.wait_for_remark(collectds[setting], listener, remark)
                if setting == "all":
                    collectds[setting].wait(lambda: all(address in self.text() for address in (*FAR, NEAR)),
                                            what="the addresses")
                    continue
                for address in (*FAR, NEAR):
                    self.assertNotIn(address, self.text())
                self.assertEqual("clients" in self.rows()[listener.name], setting != "false")

    def test_clients_that_have_ended(self):
        """Those of Unix sockets and of TCP that closed, and those of TCP that have reset."""
        abstract = self.unix_listener(f"\0ended-{os.getpid()}", limit=31)
        closed, reset = self.listener(limit=31), self.listener(limit=31)
        collectd = self.started_with(f'<Watch "{abstract.name}">\n</Watch>', abstract, closed, reset)
        reset.fill(10)
        for client in reset.clients:
            reset_at_close(client)
        reset.drop_clients()
        staying = self.clients(socket.AF_INET, ("127.0.0.1", reset.port), ("", 22))
        for family, target in ((socket.AF_UNIX, abstract.address), (socket.AF_INET, ("127.0.0.1", closed.port))):
            self.clients(family, target, ("", 32)).end_sockets()
        for listener in (abstract, closed):
            self.wait_for_clients(collectd, listener, [{"client": "ended clients", "count": 32}], 32)
            self.wait_for_remark(collectd, listener, "; all clients have ended")
        self.wait_for_clients(collectd, reset, [{"client": staying.name, "count": 22}], 22)
        self.wait_for_remark(collectd, reset, f"; 22 of 22 visible from {staying.name}")

    def test_healthy_ones_and_floods_have_no_list(self):
        raw = RawClients()
        self.addCleanup(raw.close)
        self.set_sysctl("net.ipv4.tcp_syncookies", 1)
        flooded = self.listener("0.0.0.0", limit=16)
        mixed = [self.listener(limit=64), self.unix_listener(f"\0healthy-{os.getpid()}", limit=64)]
        collectd = self.started_with("ReportClients all", flooded, mixed[0])
        waiting = self.listener(limit=4)
        self.clients(socket.AF_INET, ("127.0.0.1", waiting.port), ("", 5))
        self.clients(socket.AF_INET, ("127.0.0.1", mixed[0].port), ("", 20))
        self.clients(socket.AF_UNIX, mixed[1].address, ("", 20))

        def rows_of_the_flood():
            raw.send_syns(flooded.port, 30)
            rows = self.rows()
            has_list = "clients" in rows.get(waiting.name, {})
            return rows if rows[flooded.name].get("cause") == "syn_flood" and has_list else None
        # Where a scan is dear, not each interval has both.
        rows = collectd.wait(rows_of_the_flood, 90, "a flood, and clients at the full queue")
        for listener in (flooded, *mixed):
            self.assertEqual(rows[listener.name]["state"], "ok")
            self.assertNotIn("clients", rows[listener.name])


class NamespacesTest(WhoWaitsTest):
    def collectd_for(self, config):
        """A collectd with a table of its own; returns it with this table."""
        table = pathlib.Path(self.folder(), "table")
        return self.collectd(f'TableFile "{table}"\n{config}', interval=INTERVAL), table

    def check_clients(self, *wanted):
        """Of each collectd, listener, clients and their number: they come, and stay."""
        def check():
            for (collectd, self.table), *shown in wanted:
                collectd.wait(self.table.exists, what="a table")
                self.wait_for_clients(collectd, *shown)
        check()
        wanted[-1][0][0].wait_for_intervals(3)
        check()

    def test_across_namespaces(self):
        """With the clients' namespace among those that collectd looks into, and without."""
        far = self.net_namespace("far")
        self.join(far)
        self.net_namespace("none")
        here, dual = self.listener("0.0.0.0", limit=31), self.listener("::", limit=31)
        with far.entered():
            there = self.listener("0.0.0.0", limit=31)
        seeing = self.collectd_for(f'NetNamespace "{far.name}"')
        blind = self.collectd_for('NetNamespace "/^none/"\nReportClients all')
        many = {here: self.clients(socket.AF_INET, (NEAR, here.port), (FAR[0], 24), namespace=far),
                dual: self.clients(socket.AF_INET6, (NEAR6, dual.port), (FAR6, 24), namespace=far),
                there: self.clients(socket.AF_INET, (FAR[0], there.port), (NEAR, 24))}
        few = {here: self.clients(socket.AF_INET, (NEAR, here.port), ("", 8)),
               dual: self.clients(socket.AF_INET, (NEAR, dual.port), (FAR[1], 8), namespace=far),
               there: self.clients(socket.AF_INET, (FAR[0], there.port), ("", 8), namespace=far)}
        in_far = types.SimpleNamespace(name=f"{there.name}__netns_{far.name}")
        shown = {here: here, dual: dual, there: in_far}
        self.check_clients(
            (blind, here, [{"client": FAR[0], "count": 24}, {"client": NEAR, "owner": few[here].name, "count": 8}], 32),
            *((seeing, shown[listener], [{"client": many[listener].name, "count": 24},
                                         {"client": few[listener].name, "count": 8}], 32) for listener in shown))
        for listener, row in shown.items():
            self.wait_for_remark(seeing[0], row, f"; 24 of 32 waiting from {many[listener].name}")
        many[here].end_sockets()
        seeing[0].wait(lambda: self.rows()[here.name].get("clients") == [{"client": "ended clients", "count": 24}, {
            "client": few[here].name, "count": 8}], 30, "the end of clients in another namespace")

    def test_one_address_in_two_namespaces(self):
        """With the right one among those that collectd looks into, and without; then it sees where the clients of the
        other one belong. Nobody is named."""
        far, twin_far, twin_near = (self.net_namespace(name) for name in ("far", "twin-far", "twin-near"))
        self.join(far)
        self.join(twin_far, twin_near)
        listener = self.listener("0.0.0.0", limit=14)
        with twin_near.entered():
            self.listener("0.0.0.0", port=listener.port, limit=31)
        target = socket.AF_INET, (NEAR, listener.port)
        for namespace in (far, twin_far):
            self.clients(*target, (FAR[0], 8, 40000), namespace=namespace)
        alone = self.clients(*target, (FAR[1], 4), namespace=far)
        near = self.clients(*target, ("", 3))
        doubting = self.collectd_for(f'NetNamespace "/far{os.getpid()}$/"')
        misled = self.collectd_for(f'NetNamespace "/^twin-.*{os.getpid()}$/"')
        named = [{"client": alone.name, "count": 4}, {"client": near.name, "count": 3}]
        self.check_clients((doubting, listener, named, 15), (misled, listener, named[1:], 15))

    def test_loopback_is_of_one_namespace(self):
        """The clients are gone for good, and in another namespace others have their addresses and no server."""
        twin = self.net_namespace("twin")
        self.set_sysctl("net.ipv4.tcp_fin_timeout", 1)
        listener = self.listener(limit=15)
        target = socket.AF_INET, ("127.0.0.1", listener.port)
        gone = ("127.0.0.3", 12, 40000)
        self.clients(*target, gone).end_sockets()
        staying = self.clients(*target, ("127.0.0.2", 4))
        with twin.entered():
            write_sysctl("net.ipv4.tcp_orphan_retries", 1)
            twins = self.listener(port=listener.port, limit=31)
        run("ip", "-n", twin.name, "address", "add", f"{gone[0]}/32", "dev", "lo")  # else only 127.0.0.1 is in its list
        self.clients(*target, gone, namespace=twin)
        run("ip", "-n", twin.name, "link", "set", "lo", "down")
        twins.accept(12)
        for command in ([], ["ip", "netns", "exec", twin.name]):
            wait_until(lambda inside=tuple(command): not run(*inside, "ss", "-Htan", "state", "fin-wait-1", "state",
                                                             "fin-wait-2"), what="the end of closed sockets")
        self.check_clients((self.collectd_for(f'NetNamespace "{twin.name}"'), listener,
                            [{"client": staying.name, "count": 4}], 16))


if __name__ == "__main__":
    system_test.main()
