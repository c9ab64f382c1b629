#!/usr/bin/env python3
"""Who waits at a listener in trouble: clients on this host by their process, others by address if wanted."""

import json
import os
import pathlib
import socket

import system_test
from kernel import run
from net_namespaces import NetNamespace
from notifications import NotificationTest, reset_at_close
from processes import Program
from raw_clients import RawClients

INTERVAL = 1  # seconds
NEAR, FAR = "10.77.0.1", ("10.77.0.7", "10.77.0.8")

# Connects so many clients from each of these addresses; "" for any. It has none of the test's own sockets.
CLIENTS = """
import socket, sys, time
family, target, *counts = eval(sys.argv[1])
sockets = []
for source, count in counts:
    for _ in range(count):
        sockets.append(socket.socket(family))
        sockets[-1].settimeout(5)
        if source:
            sockets[-1].bind((source, 0))
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


class ClientsTest(NotificationTest):
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
            shown.append(self.rows()[listener.name])
            return (shown[-1].get("clients"), shown[-1].get("clients_counted")) == (clients, counted)
        try:
            collectd.wait(are_shown, 30, f"clients of {listener.name}")
        except AssertionError as error:
            raise AssertionError(f"{error}\nwanted {clients}, {counted}\nthe last is {shown[-1]}") from None
        # None is ever shown with another name.
        names = {client["client"] for row in shown for client in row.get("clients", ())}
        self.assertLessEqual(names, {client["client"] for client in clients})

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
                self.assertTrue(self.message(listener).endswith(f"; 24 of 32 waiting from {many[kind].name}"),
                                self.message(listener))
        text = run(os.environ["BACKLOG_TABLE"], "--table", self.table)
        self.assertIn(f"    waiting: 24 of 32 from {many['v4'].name}, 8 from {few['v4'].name}\n", text)

    def message(self, listener):
        return self.rows()[listener.name]["message"]

    def test_what_is_told_of_whom(self):
        """Of clients on another host and of one on this, with each setting."""
        far = NetNamespace(f"far{os.getpid()}")
        self.addCleanup(far.close)
        run("ip", "link", "add", "near0", "type", "veth", "peer", "name", "far0", "netns", far.name)
        self.addCleanup(run, "ip", "link", "delete", "near0")
        run("ip", "address", "add", f"{NEAR}/24", "dev", "near0")
        run("ip", "link", "set", "near0", "up")
        for address in FAR:
            run("ip", "-n", far.name, "address", "add", f"{address}/24", "dev", "far0")
        run("ip", "-n", far.name, "link", "set", "far0", "up")
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
                self.assertTrue(self.message(listener).endswith(remark), self.message(listener))
                self.assertEqual("clients" in self.rows()[listener.name], setting != "false")
                text = run(os.environ["BACKLOG_TABLE"], "--table", self.table)
                for address in FAR + (NEAR,):
                    self.assertEqual(address in text, setting == "all", text)

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
            self.assertRegex(self.message(listener), "; all clients have ended$")
        self.wait_for_clients(collectd, reset, [{"client": staying.name, "count": 22}], 22)
        self.assertIn(f"; 22 of 22 visible from {staying.name}", self.message(reset))

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
        rows = collectd.wait(rows_of_the_flood, 30, "a flood, and clients at the full queue")
        for listener in (flooded, *mixed):
            self.assertEqual(rows[listener.name]["state"], "ok")
            self.assertNotIn("clients", rows[listener.name])


if __name__ == "__main__":
    system_test.main()
