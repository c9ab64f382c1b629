#!/usr/bin/env python3
"""The packages on a system with systemd, collectd and snmpd as Debian ships them: installed by the steps of the
README, with services of its own to look at, and removed again.

Environment:
  PACKAGES          the folder of the packages
  EXPECTED_EVENTS   what the plugin says of its BPF programs here
"""

import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import time
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(SOURCE / "tests/system"))
from waiting import wait_until  # pylint: disable=wrong-import-position

README = (SOURCE / "README.md").read_text(encoding="utf-8")
UNITS = pathlib.Path("/etc/systemd/system")
SNIPPET = pathlib.Path("/etc/collectd/collectd.conf.d/backlog.conf")
SNMPD_CONF = pathlib.Path("/etc/snmp/snmpd.conf")
SNMPD_SNIPPET = pathlib.Path("/etc/snmp/snmpd.conf.d/backlog.conf")
PORT, LIMIT, SOCKET_PORT = 8080, 8, 8081
SLOW = 120  # seconds, for what an emulated processor does

# Listens and accepts nobody, also at a path.
SERVER = f"""
import signal, socket
tcp = socket.create_server(("", {PORT}), backlog={LIMIT}, family=socket.AF_INET6, dualstack_ipv6=True)
unix = socket.socket(socket.AF_UNIX)
unix.bind("/run/matrix-web.sock")
unix.listen({LIMIT})
signal.pause()
"""



def try_to_run(*command):
    done = subprocess.run([str(word) for word in command], check=False, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


def run(*command):
    status, said = try_to_run(*command)
    if status != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: exit status {status}\n{said}")
    return said


def journal(unit):
    return run("journalctl", "--no-pager", "-o", "cat", "-u", unit)


def table():
    """The rows by name, of a table that collectd has just written."""
    status, text = try_to_run("backlog-table", "--json")
    return {row["name"]: row for row in json.loads(text)["listeners"]} if status == 0 else {}


def packages(*names):
    return [next(pathlib.Path(os.environ["PACKAGES"]).glob(f"{name}_*.deb")) for name in names]


def readme_block(after):
    """The indented lines that follow a line of the README."""
    block = re.search(r"\n\n((?: {7}.*\n)+)", README[README.index(after):])[1]
    return "".join(line[7:] + "\n" for line in block.splitlines())


class InstalledTest(unittest.TestCase):
    """Its tests go on where the one before has ended."""

    @classmethod
    def setUpClass(cls):
        wait_until(lambda: try_to_run("systemctl", "is-active", "collectd", "snmpd")[0] == 0, SLOW, "Debian's services")
        server = pathlib.Path("/usr/local/lib/matrix-web.py")
        server.write_text(SERVER, encoding="ascii")
        (UNITS / "matrix-web.service").write_text(f"[Service]\nExecStart=/usr/bin/python3 {server}\n", encoding="ascii")
        (UNITS / "matrix-idle.socket").write_text(f"[Socket]\nListenStream={SOCKET_PORT}\n", encoding="ascii")
        (UNITS / "matrix-idle.service").write_text("[Service]\nExecStart=/bin/sleep infinity\n", encoding="ascii")
        run("systemctl", "daemon-reload")
        run("systemctl", "start", "matrix-web.service", "matrix-idle.socket")

    def wait_for_row(self, name, condition=lambda row: True):
        """Until the table has such a row; returns it."""
        last = [None]

        def check():
            last[0] = table().get(name)
            return last[0] is not None and condition(last[0])
        try:
            wait_until(check, SLOW, name, pause=0.5)
        except AssertionError as error:
            raise AssertionError(f"{error}\nthe row: {last[0]}\n{journal('collectd')[-3000:]}") from None
        return last[0]

    def test_1_install(self):
        said = run("dpkg", "-i", *packages("collectd-backlog", "backlog-agentx", "backlog-mibs"))
        self.assertNotRegex(said, "(?i)warning|error")
        SNIPPET.write_text(SNIPPET.read_text(encoding="utf-8").replace("Interval 10", "Interval 2"), encoding="utf-8")
        run("systemctl", "restart", "collectd")
        self.wait_for_row(f"tcp_any_{PORT}")
        said = wait_until(lambda: re.search("backlog plugin: (?:no )?events: .*", journal("collectd")), SLOW, "events")
        self.assertEqual(said[0], f"backlog plugin: {os.environ['EXPECTED_EVENTS']}")

    def test_2_owners_are_units(self):
        for name in (f"tcp_any_{PORT}", "unix_run_matrix-web-sock"):
            self.wait_for_row(name, lambda row: row.get("owner") == "matrix-web.service")
        self.wait_for_row(f"tcp_any_{SOCKET_PORT}", lambda row: row.get("owner") == "matrix-idle.socket")

    def test_3_an_overflow_alarms(self):
        clients = []
        for _ in range(LIMIT + 6):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", PORT))
            clients.append(client)
        row = self.wait_for_row(f"tcp_any_{PORT}", lambda row: row["state"] != "ok")
        self.assertEqual((row["state"], row["limit"], row["peak"]), ("overflow", LIMIT, LIMIT + 1))
        self.assertGreaterEqual(row["dropped"], 5)
        status, said = try_to_run("/usr/lib/nagios/plugins/check_backlog")
        self.assertIn(status, (1, 2), said)
        self.assertIn(f"tcp_any_{PORT}", said)
        for client in clients:
            client.close()

    def test_4_the_subagent_in_its_sandbox(self):
        old, new = re.search("change Debian's `(.*?)` to `(.*?)`", README).groups()
        text, changed = re.subn(rf"(?m)^{r' +'.join(map(re.escape, old.split()))}$", new,
                                SNMPD_CONF.read_text(encoding="utf-8"))
        self.assertEqual(changed, 1, f"{old} in {SNMPD_CONF}")
        SNMPD_CONF.write_text(text, encoding="utf-8")
        SNMPD_SNIPPET.parent.mkdir(exist_ok=True)
        snippet = readme_block("In `/etc/snmp/snmpd.conf.d/backlog.conf`").replace("10.0.0.0/8", "127.0.0.1")
        SNMPD_SNIPPET.write_text(snippet, encoding="utf-8")
        status, said = try_to_run("systemctl", "restart", "snmpd")
        self.assertEqual(status, 0, said + journal("snmpd"))
        run("systemctl", "enable", "--now", "backlog-agentx")
        root = re.search(r"view backlog included (\S+)", snippet)[1]
        reader = ("-v2c", "-c", "accept-queues")

        def listeners():
            status, said = try_to_run("snmpget", *reader, "-Oqv", "127.0.0.1", f"{root}.1.1.1.6.0")
            return status == 0 and said.strip().isdigit() and int(said)
        try:
            wait_until(listeners, SLOW, "the subagent", pause=1)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{journal('backlog-agentx')}\n{journal('snmpd')}") from None
        wait_until(lambda: listeners() == len(table()), SLOW, "as many listeners as the table has", pause=1)
        self.assertIn(f'"tcp_any_{PORT}"', run("snmpwalk", *reader, "127.0.0.1", root))
        self.assertEqual(run("systemctl", "show", "-p", "NRestarts", "--value", "backlog-agentx").strip(), "0")

    def test_5_nothing_has_failed(self):
        self.assertEqual(run("systemctl", "--failed", "--plain", "--no-legend").strip(), "")
        complaints = [line for line in journal("collectd").splitlines()
                      if "backlog plugin: " in line and not re.search("(no )?events: | in every interval", line)
                      and "Notification" not in line]
        self.assertEqual(complaints, [])
        restarted = time.monotonic()
        run("systemctl", "restart", "collectd")
        self.assertLess(time.monotonic() - restarted, SLOW)
        self.assertNotIn("left behind", journal("collectd"))
        self.wait_for_row(f"tcp_any_{PORT}")

    def test_6_purge(self):
        run("dpkg", "--purge", "backlog-agentx", "backlog-mibs", "collectd-backlog")
        run("systemctl", "restart", "collectd")
        wait_until(lambda: try_to_run("systemctl", "is-active", "collectd")[0] == 0, SLOW, "collectd")
        self.assertFalse(SNIPPET.exists())
        self.assertFalse(pathlib.Path("/usr/lib/collectd/backlog.so").exists())
        self.assertEqual(try_to_run("systemctl", "is-enabled", "backlog-agentx")[0] != 0, True)


if __name__ == "__main__":
    unittest.main(verbosity=2)
