#!/usr/bin/env python3
"""conf/nms/zabbix in a real Zabbix 6.0: server, frontend and database of the test's own, in its net namespace. It
imports the template by the API, discovers the listeners of an snmpd with the subagent, and raises and resolves.
PICTURES: a folder for pictures of its pages, by chromium."""

import glob
import gzip
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time
import urllib.request

import nms_harness
import snmp_harness
from nms_harness import IDS, NMS, STRANGER, shipped, table_writer
from snmp_harness import SNMP_PORT, TRAP_PORT, SnmpTest
from table_writer import listener
from waiting import wait_until

ROOT = os.environ.get("ZABBIX_ROOT", "")
PICTURES = os.environ.get("PICTURES", "")
DATABASE_PORT, WEB_PORT, SERVER_PORT = 15432, 18080, 10151  # of the test's own net namespace
FRONTEND = f"""<?php
$DB['TYPE'] = 'POSTGRESQL'; $DB['SERVER'] = '127.0.0.1'; $DB['PORT'] = '{DATABASE_PORT}'; $DB['DATABASE'] = 'zabbix';
$DB['USER'] = '{STRANGER}'; $DB['PASSWORD'] = ''; $DB['SCHEMA'] = ''; $DB['ENCRYPTION'] = false; $DB['DOUBLE_IEEE754'] = true;
$ZBX_SERVER = '127.0.0.1'; $ZBX_SERVER_PORT = '{SERVER_PORT}'; $ZBX_SERVER_NAME = ''; $IMAGE_FORMAT_DEFAULT = 'png';
"""
SERVER = f"""
ListenPort={SERVER_PORT}
ListenIP=127.0.0.1
LogType=file
LogFile={{folder}}/server.log
LogFileSize=0
PidFile={{folder}}/server.pid
SocketDir={{folder}}
DBHost=127.0.0.1
DBPort={DATABASE_PORT}
DBName=zabbix
DBUser={STRANGER}
StartPollers=3
StartPingers=0
StartDiscoverers=0
StartHTTPPollers=0
StartSNMPTrapper=1
SNMPTrapperFile={{folder}}/traps
CacheUpdateFrequency=1
Timeout=3
AllowRoot=1
User={STRANGER}
"""
POLL = 3  # seconds
LISTENERS = ".1.3.6.1.4.1.8072.9999.9999.4242.1.1.2"  # their table
LISTENER = "backlog.listener.{}[{}]"
ALL = table_writer.HAS_QUEUE | table_writer.HAS_DROPPED | table_writer.HAS_RECENT | table_writer.IS_STABLE
UNIX = dict(address=b"", port=0, has=ALL & ~table_writer.HAS_DROPPED)
EXECUTE_NOW = 6
setUpModule = lambda: nms_harness.lay_over(ROOT, {"zabbix/zabbix.conf.php": FRONTEND})  # noqa: E731


def changes(compared):
    """What an import would change, of configuration.importcompare; the order of fields, which it minds, is none."""
    if isinstance(compared, list):
        return [change for part in compared for change in changes(part)]
    if not isinstance(compared, dict):
        return []
    found = [compared] if compared.get("before") != compared.get("after") else []
    found += [compared[kind] for kind in ("added", "removed") if kind in compared]
    return found + [change for key, part in compared.items() if key not in ("before", "after", "added", "removed")
                    for change in changes(part)]


class Zabbix:
    """The server's API."""

    def __init__(self):
        self.token = None
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def call(self, method, **parameters):
        return self.call_with(method, parameters)

    def call_with(self, method, parameters):
        request = {"jsonrpc": "2.0", "method": method, "params": parameters, "id": 1}
        if self.token:
            request["auth"] = self.token
        with self.opener.open(urllib.request.Request(f"http://127.0.0.1:{WEB_PORT}/api_jsonrpc.php", json.dumps(request).encode(),
                                                     {"Content-Type": "application/json-rpc"}), timeout=60) as answer:
            result = json.load(answer)
        if "error" in result:
            raise AssertionError(f"{method}: {result['error']}")
        return result["result"]

    def login(self):
        try:
            self.token = self.call("user.login", username="Admin", password="zabbix")
        except OSError:
            return False
        return True


class ZabbixServerTest(SnmpTest):
    def setUp(self):
        super().setUp()
        for folder in (self.directory, self.table_file.parent):
            folder.chmod(0o755)
        self.zabbix = Zabbix()
        self.state = self.directory / "zabbix"
        self.state.mkdir()
        os.chown(self.state, IDS[STRANGER], IDS[STRANGER])
        self.start_database()
        self.start_frontend()
        self.start_server()

    def as_stranger(self, *arguments):
        """PostgreSQL does not run as root."""
        return ["setpriv", f"--reuid={IDS[STRANGER]}", f"--regid={IDS[STRANGER]}", "--clear-groups",
                *(str(argument) for argument in arguments)]

    def start_database(self):
        programs = pathlib.Path(max(glob.glob("/usr/lib/postgresql/*/bin")))
        data = self.state / "database"
        subprocess.run(self.as_stranger(programs / "initdb", "-D", data, "-A", "trust", "-U", STRANGER, "-E", "UTF8", "--locale=C",
                                        "--no-sync"), check=True, capture_output=True, cwd="/")
        self._process(self.as_stranger(programs / "postgres", "-D", data, "-h", "127.0.0.1", "-p", DATABASE_PORT, "-k", self.state,
                                       "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"),
                      "database.log", dict(os.environ))
        psql = [programs / "psql", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(DATABASE_PORT), "-U", STRANGER]
        wait_until(lambda: subprocess.run([*psql, "-c", "select 1", "postgres"], capture_output=True, check=False).returncode == 0,
                   60, "the database")
        subprocess.run([*psql, "-c", "create database zabbix", "postgres"], check=True, capture_output=True)
        for name in ("schema", "images", "data"):
            file = pathlib.Path("/usr/share/zabbix-server-pgsql", f"{name}.sql.gz")
            subprocess.run([*psql, "zabbix"], input=gzip.decompress(file.read_bytes()), check=True, capture_output=True)

    def start_frontend(self):
        settings = self.directory / "php"
        settings.mkdir()
        files = {pathlib.Path(file).stem for file in glob.glob("/usr/lib/php/2*/*.so")} - {"opcache"}
        first = ["pdo", "xml", "dom"]  # what others need
        (settings / "extensions.ini").write_text("".join(
            f"extension={name}\n" for name in [*(name for name in first if name in files), *sorted(files - set(first))]))
        frontend = self._process(["php8.2", "-S", f"127.0.0.1:{WEB_PORT}", "-t", "/usr/share/zabbix"], "frontend.log",
                                 dict(os.environ, PHP_INI_SCAN_DIR=str(settings), LOCPATH=str(self.english()),
                                      PHP_CLI_SERVER_WORKERS="2"))
        self.addCleanup(self.end_workers, frontend)
        wait_until(self.zabbix.login, 60, "the frontend")

    @staticmethod
    def end_workers(frontend):
        """PHP itself ends without them."""
        for pid in pathlib.Path(f"/proc/{frontend.pid}/task/{frontend.pid}/children").read_text(encoding="ascii").split():
            os.kill(int(pid), signal.SIGKILL)

    def english(self):
        """A folder with a locale of that name, without which each page has a warning."""
        folder = self.directory / "locale"
        shutil.copytree("/usr/lib/locale/C.utf8", folder / "en_US.utf8")
        return folder

    def start_server(self):
        config = self.directory / "zabbix_server.conf"
        config.write_text(SERVER.format(folder=self.state))
        traps = self.state / "traps"
        traps.touch()
        self._process(["/usr/sbin/zabbix_server", "-f", "-c", config], "server.out", dict(os.environ, LD_LIBRARY_PATH=""))
        log = self.state / "server.log"
        wait_until(lambda: log.exists() and "server #0 started" in log.read_text(), 60, "the server")

    def import_template(self, method="configuration.import"):
        rules = {"createMissing": True, "updateExisting": True}
        return self.zabbix.call(method, format="yaml", source=shipped("zabbix/zabbix-6.0.yaml"), rules={
            "groups": {"createMissing": True, "updateExisting": True}, "templates": rules,
            "valueMaps": rules | {"deleteMissing": True},
            **{name: rules | {"deleteMissing": True} for name in ("items", "triggers", "graphs", "discoveryRules")}})

    def make_host(self, **details):
        self.assertTrue(self.import_template())
        # What Zabbix has made of it, it would not change again.
        self.assertEqual(changes(self.import_template("configuration.importcompare")), [])
        template, = self.zabbix.call("template.get", filter={"host": ["Accept queues by SNMP"]})
        group = self.zabbix.call("hostgroup.create", name="hosts")["groupids"][0]
        self.host = self.zabbix.call(
            "host.create", host="web1", groups=[{"groupid": group}], templates=[{"templateid": template["templateid"]}],
            interfaces=[{"type": 2, "main": 1, "useip": 1, "ip": "127.0.0.1", "dns": "", "port": str(SNMP_PORT), "details": details}],
            macros=[{"macro": "{$BACKLOG.INTERVAL}", "value": f"{POLL}s"}, {"macro": "{$BACKLOG.NODATA}", "value": "30s"}])["hostids"][0]

    def discover(self):
        rules = self.zabbix.call("discoveryrule.get", hostids=self.host)
        self.zabbix.call_with("task.create", [{"type": EXECUTE_NOW, "request": {"itemid": rule["itemid"]}} for rule in rules])

    def items(self):
        """{key: item}"""
        return {item["key_"]: item for item in self.zabbix.call("item.get", hostids=self.host, output="extend")}

    def value(self, key):
        item = self.items().get(key)
        return item and item["lastvalue"]

    def wait_for(self, key, value, seconds=60):
        """The seconds that it took."""
        begin = time.monotonic()
        wait_until(lambda: self.value(key) == value, seconds, f"{key} = {value}, and not {self.value(key)}")
        return time.monotonic() - begin

    def problems(self):
        """{name: what is shown beside it}"""
        return {problem["name"]: problem["opdata"] for problem in self.zabbix.call(
            "problem.get", hostids=self.host, output=["name", "opdata"])}

    def wait_for_problem(self, name, there=True, seconds=60):
        begin = time.monotonic()
        wait_until(lambda: (name in self.problems()) == there, seconds, f"{name} {'to begin' if there else 'to end'}")
        return time.monotonic() - begin

    def unsupported(self):
        return {key: item["error"] for key, item in self.items().items() if item["state"] != "0"}

    def take_pictures(self, folder):
        """As a guest who may see all; a browser without a terminal has no session."""
        guest, = self.zabbix.call("user.get", filter={"username": ["guest"]})
        role, = self.zabbix.call("role.get", filter={"name": ["Super admin role"]})
        group = self.zabbix.call("usergroup.create", name="all")["usrgrpids"][0]
        self.zabbix.call("user.update", userid=guest["userid"], roleid=role["roleid"], usrgrps=[{"usrgrpid": group}])
        graph, = (graph for graph in self.zabbix.call("graph.get", hostids=self.host, output=["name"])
                  if "tcp_any_80:" in graph["name"])
        host = f"hostids%5B%5D={self.host}&filter_set=1"
        pages = {"latest": "action=latest.view&name=tcp_any_80:", "problems": "action=problem.view&show_opdata=1"}
        for name, page in pages.items():
            subprocess.run(["chromium", "--headless", "--no-sandbox", "--hide-scrollbars", "--virtual-time-budget=8000",
                            f"--user-data-dir={self.directory}/chromium", "--window-size=1500,940",
                            f"--screenshot={pathlib.Path(folder, f'zabbix-{name}.png').resolve()}",
                            f"http://127.0.0.1:{WEB_PORT}/zabbix.php?hostids%5B%5D={self.host}&filter_set=1&{page}"],
                           check=True, capture_output=True, timeout=120)
        with self.zabbix.opener.open(f"http://127.0.0.1:{WEB_PORT}/chart2.php?graphid={graph['graphid']}&from=now-1m&to=now"
                                     "&width=900&height=200&profileIdx=web.charts.filter", timeout=60) as picture:
            pathlib.Path(folder, "zabbix-graph.png").write_bytes(picture.read())

    LONG = "tcp_any_8443__" + 86 * "x"
    OTHERS = [f"tcp_any_{port}" for port in range(8000, 8010)]

    def publish_host(self, *more, without=(), **options):
        names = [name for name in (*self.OTHERS, self.LONG) if name not in without]
        self.publish([*(listener(name, has=ALL, owner="app.service") for name in names),
                      listener("unix_run_a", path="/run/a", owner="php-fpm[77]", **UNIX),
                      listener("tcp_any_40000", has=ALL & ~table_writer.IS_STABLE), *more], interval=600, **options)

    @staticmethod
    def web(state="ok", message="", **more):
        severity = "warning" if state == "overflow" else "okay"
        return listener("tcp_any_80", has=ALL, owner="nginx.service", peak=129 if state == "overflow" else 40, used=31.0,
                        recent_peak=129, recent_state=state, recent_severity=severity, state=state, alarm_state=state,
                        severity=severity, message=message, **more)

    def test_life_of_a_host(self):
        self.publish_host(self.web())
        self.start_snmpd("view half included .1.3.6.1.4.1.8072\n"
                         f"view half excluded {LISTENERS}\nrocommunity half 127.0.0.1 -V half")
        subagent = self.start_subagent()
        self.make_host(version=2, community="public", bulk=1)
        wait_until(lambda: self.value("backlog.status") == "1", 60, "the first poll")
        self.discover()
        self.wait_for(LISTENER.format("peak", "tcp_any_80"), "40")

        # What is discovered, and no more than is asked for.
        items = self.items()
        found = {key for key in items if "[tcp_any_80]" in key}
        self.assertEqual(found, {LISTENER.format(key, "tcp_any_80") for key in
                                 ("state", "used", "peak", "limit", "dropped", "message")})
        self.assertIn(LISTENER.format("peak", self.LONG), items)
        self.assertIn(LISTENER.format("state", "unix_run_a"), items)
        self.assertNotIn(LISTENER.format("dropped", "unix_run_a"), items)
        self.assertEqual([key for key in items if "40000" in key], [])
        self.wait_for("backlog.netns.somaxconn[self]", "4096")
        self.assertEqual(self.unsupported(), {})

        # An overflow, within two polls.
        message = "tcp_any_80 (nginx.service): accept queue overflow, peak 129 of 129, 34 drops in 10 s; burst"
        self.publish_host(self.web("overflow", message, dropped=34, overflows=34))
        problem = "tcp_any_80: the accept queue overflows"
        self.assertLess(self.wait_for_problem(problem), 2 * POLL + 3)
        wait_until(lambda: self.problems()[problem] == message, 20, "the message beside the problem")
        if PICTURES:
            self.take_pictures(PICTURES)
        self.publish_host(self.web())
        self.assertLess(self.wait_for_problem(problem, there=False), 2 * POLL + 3)

        # Stalled, and the service stops: its problem ends, and it is gone.
        self.publish_host(self.web("stalled", "tcp_any_80: nobody accepts"))
        self.wait_for_problem("tcp_any_80: nobody accepts connections")
        self.publish_host()
        self.wait_for(LISTENER.format("state", "tcp_any_80"), "5")
        self.wait_for_problem("tcp_any_80: nobody accepts connections", there=False)
        self.assertEqual(self.unsupported(), {})
        self.publish_host(self.web())
        self.wait_for(LISTENER.format("state", "tcp_any_80"), "0")

        # The table is stale: one problem, and not one of each listener.
        stale = "Accept queues: the table of listeners is out of date"
        interval = min(10, table_writer.boot_ns() / 5e9)
        self.publish([self.web()], interval=interval, age=4 * interval)
        self.wait_for_problem(stale)
        self.wait_for("backlog.status", "2")
        self.wait_for(LISTENER.format("state", "tcp_any_8000"), "5")
        self.assertEqual(self.unsupported(), {})
        self.assertEqual(list(self.problems()), [stale])
        self.publish_host(self.web())
        self.wait_for_problem(stale, there=False)

        # The subagent is gone.
        subagent.stop()
        self.wait_for_problem("Accept queues: no answer")
        self.start_subagent(name="again.log")
        self.wait_for_problem("Accept queues: no answer", there=False)
        self.assertEqual(self.unsupported(), {})

        # A view of the community hides the listeners: they are gone, and the rest is there.
        interface, = self.zabbix.call("hostinterface.get", hostids=self.host, output=["interfaceid"])
        self.zabbix.call("hostinterface.update", **interface, details=dict(version=2, community="half", bulk=1))
        self.wait_for(LISTENER.format("state", "tcp_any_80"), "5")
        self.wait_for("backlog.status", "1")
        self.assertEqual(self.unsupported(), {})
        self.assertEqual(self.problems(), {})
        self.zabbix.call("hostinterface.update", **interface, details=dict(version=2, community="public", bulk=1))
        self.wait_for(LISTENER.format("state", "tcp_any_80"), "0")

        self.check_cost_of_a_poll()

    def check_cost_of_a_poll(self):
        """200 listeners: at most 20 requests and 0.2 s of snmpd's CPU time."""
        self.publish([listener(f"tcp_any_{port}", has=ALL) for port in range(9000, 9200)], interval=600)
        self.discover()
        last = LISTENER.format("peak", "tcp_any_9199")
        wait_until(lambda: self.value(last) == "0" and self.items()[last]["lastclock"] != "0", 60, "200 listeners")
        # Those of before are polled as well, until they are forgotten: here at once.
        self.zabbix.call_with("item.delete", [item["itemid"] for key, item in self.items().items()
                                              if key.endswith(tuple(f"[{name}]" for name in (
                                                  "tcp_any_80", "unix_run_a", self.LONG, *self.OTHERS)))])
        time.sleep(2 * POLL)

        def packets():
            return int(self.ask("snmpget", "-Oqv", "1.3.6.1.2.1.11.1.0").split()[0])
        polls = 5
        begin, packets_before, cpu_before = time.monotonic(), packets(), self.snmpd.cpu_seconds()
        time.sleep(polls * POLL)
        polls = (time.monotonic() - begin) / POLL
        requests, cpu = (packets() - packets_before - 1) / polls, (self.snmpd.cpu_seconds() - cpu_before) / polls
        print(f"200 listeners: {requests:.1f} requests, {1000 * cpu:.0f} ms of snmpd a poll", flush=True)
        self.assertLessEqual(requests, 20)
        self.assertLessEqual(cpu, 0.2)

    def test_traps(self):
        """By the shipped handler; a clear closes the problem of its listener alone. SNMPv3 between server and snmpd."""
        self.publish_host(self.web())
        config = self.directory / "snmptrapd.conf"
        handler = NMS / "zabbix/zabbix_traphandle"
        lines = [line.removeprefix("#   ") for line in handler.read_text().splitlines() if line.startswith("#   ")]
        self.assertEqual([line.split()[0] for line in lines], ["authCommunity", "outputOption", "traphandle"])
        config.write_text("\n".join(lines).replace("/usr/local/bin/zabbix_traphandle /var/lib/zabbix/traps",
                                                   f"{handler} {self.state}/traps") + "\n")
        self.trapd = self._process([snmp_harness.program("snmptrapd"), "-f", "-Lo", "-C", "-c", config,
                                    f"udp:127.0.0.1:{TRAP_PORT}"], "snmptrapd.log")
        self.start_snmpd(f"trap2sink 127.0.0.1:{TRAP_PORT} public\n"
                         "createUser zabbix SHA authpassword AES privpassword\nrouser zabbix priv\n")
        self.start_subagent()
        self.make_host(version=3, securityname="zabbix", securitylevel=2, authpassphrase="authpassword",
                       privpassphrase="privpassword", authprotocol=1, privprotocol=1, bulk=1)
        wait_until(lambda: self.value("backlog.status") == "1", 60, "the first poll, by SNMPv3")
        time.sleep(3)  # until the server's cache has the trap items

        other = listener("tcp_any_443", has=ALL, state="overflow", severity="warning", alarm_state="overflow",
                         message="tcp_any_443: in words")
        self.publish_host(self.web("overflow", "tcp_any_80: in words"), other)
        wait_until(lambda: {"Trap: tcp_any_80: in words", "Trap: tcp_any_443: in words"} <= self.problems().keys(), 60,
                   "both problems")

        def cleared():
            self.publish_host(self.web(), other)
            return "Trap: tcp_any_80: in words" not in self.problems()
        wait_until(cleared, 60, "the end of one")
        self.assertIn("Trap: tcp_any_443: in words", self.problems())


if __name__ == "__main__":
    nms_harness.main(ROOT, "sbin/zabbix_server", "share/zabbix")
