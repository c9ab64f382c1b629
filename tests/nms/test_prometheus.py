#!/usr/bin/env python3
"""conf/nms/prometheus: the metrics of backlog-table in promtool, node_exporter and Prometheus, and the modules of
snmp_exporter in the exporter and Prometheus."""

import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import yaml

import nms_harness
import snmp_harness
import snmp_programs
from nms_harness import NMS, NmsTest, shipped, table_writer
from snmp_harness import SNMP_PORT, STAND_INS
from table_writer import listener
from waiting import wait_until

ROOT = os.environ.get("NMS_ROOT", "")
STORES = pathlib.Path(os.environ.get("STORES_ROOT") or "/")
EXPORTER_PORT, NODE_PORT, PROMETHEUS_PORT, FILE_PORT = 19116, 19100, 19090, 19103  # of the test's own net namespace
ALL = (table_writer.HAS_QUEUE | table_writer.HAS_DROPPED | table_writer.HAS_SYN_LENGTH | table_writer.HAS_OLDEST_WAIT |
       table_writer.HAS_RECENT | table_writer.HAS_RECENT_DROPPED | table_writer.HAS_ARRIVALS | table_writer.HAS_ACCEPTS |
       table_writer.HAS_WAIT_MEAN | table_writer.HAS_WAIT_QUANTILES | table_writer.HAS_ENOUGH | table_writer.HAS_OVERFLOW_KINDS |
       table_writer.HAS_WAIT_COUNTS | table_writer.IS_STABLE)
UNIX = dict(address=b"", port=0, has=table_writer.HAS_QUEUE | table_writer.IS_STABLE)
setUpModule = lambda: nms_harness.lay_over(ROOT)  # noqa: E731
sys.path.insert(0, str(NMS / "prometheus"))


def stores_program(name):
    path = STORES / "usr/bin" / name
    return path if path.exists() else name


def fetch(url):
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10) as answer:
            return answer.read().decode()
    except OSError:
        return None


def samples(text):
    """{series: value}"""
    return dict(line.rpartition(" ")[::2] for line in text.splitlines() if line and not line.startswith("#"))


class PrometheusTest(NmsTest):
    def metrics(self, *arguments, status=0):
        result = subprocess.run([os.environ["BACKLOG_TABLE"], "-f", self.table, "--openmetrics", *arguments],
                                capture_output=True, text=True, timeout=30, check=False)
        self.assertEqual(result.returncode, status, result.stderr)
        return result.stdout

    def lint(self, text):
        result = subprocess.run([stores_program("promtool"), "check", "metrics"], input=text, capture_output=True, text=True,
                                check=False)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))

    def start_prometheus(self, *jobs, **targets):
        """Real, with jobs of a shipped file; targets: {shipped: own}."""
        for job in jobs:
            job["scrape_interval"] = "1s"
        text = json.dumps({"global": {"scrape_timeout": "1s"}, "scrape_configs": jobs})
        for old, new in targets.items():
            self.assertIn(old, text)
            text = text.replace(old, new)
        (self.directory / "prometheus.yml").write_text(text)
        self.start(stores_program("prometheus"), f"--config.file={self.directory}/prometheus.yml",
                   f"--storage.tsdb.path={self.directory}/data", f"--web.listen-address=127.0.0.1:{PROMETHEUS_PORT}",
                   name="prometheus.log")

    def query(self, text):
        """[(labels, value)]"""
        answer = fetch(f"http://127.0.0.1:{PROMETHEUS_PORT}/api/v1/query?" + urllib.parse.urlencode({"query": text}))
        return [(row["metric"], row["value"][1]) for row in json.loads(answer)["data"]["result"]] if answer else []

    def serve(self, text):
        """The text by HTTP, as collectd serves its own."""
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_):
                pass
        server = HTTPServer(("127.0.0.1", FILE_PORT), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        self.addCleanup(server.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(server.shutdown)


class MetricsTest(PrometheusTest):
    def test_metrics_of_a_listener(self):
        self.publish(
            listener("tcp_any_80", has=ALL, owner="nginx.service", length=3, peak=40, limit=128, mean=1.5, used=31.0, full=2.5,
                     dropped=12, overflows=9, syn_overflows=5, ack_overflows=3, syn_length=4, oldest_wait=0.25, recent_peak=129, arrivals=50, accepts=40,
                     wait_mean=0.002, wait_p50=0.001, wait_p99=0.0305, wait_counts=range(12), wait_seconds=2.5, enough=300, state="high", alarm_state="overflow", members=2),
            interval=10, dropped=20)
        text = self.metrics()
        self.lint(text)
        found = samples(text)
        label = '{listener="tcp_any_80"}'
        for name, value in (("accept_queue_connections", "3"), ("accept_queue_peak_connections", "40"),
                            ("accept_queue_recent_peak_connections", "129"), ("accept_queue_limit_connections", "128"),
                            ("accept_queue_mean_connections", "1.5"), ("accept_queue_used_ratio", "0.31"),
                            ("accept_queue_full_ratio", "0.025"), ("accept_queue_enough_connections", "300"),
                            ("syn_queue_connections", "4"), ("listener_sockets", "2"), ("oldest_wait_seconds", "0.25"),
                            ("accept_wait_mean_seconds", "0.002"), ("accept_wait_p50_seconds", "0.001"),
                            ("accept_wait_p99_seconds", "0.0305"), ("arrivals_per_second", "5"), ("accepts_per_second", "4")):
            self.assertEqual(found[f"backlog_{name}{label}"], value, name)
        for series, value in (('backlog_drops_total{listener="tcp_any_80",reason="overflow"}', "9"),
                              ('backlog_drops_total{listener="tcp_any_80",reason="other"}', "3"),
                              ('backlog_overflows_total{listener="tcp_any_80",segment="syn"}', "5"),
                              ('backlog_accept_wait_seconds_bucket{listener="tcp_any_80",le="0.001"}', "0"),
                              ('backlog_accept_wait_seconds_bucket{listener="tcp_any_80",le="2.5"}', "7"),
                              ('backlog_accept_wait_seconds_bucket{listener="tcp_any_80",le="+Inf"}', "11"),
                              (f"backlog_accept_wait_seconds_sum{label}", "2.5"), (f"backlog_accept_wait_seconds_count{label}", "11"),
                              ('backlog_overflows_total{listener="tcp_any_80",segment="ack"}', "3"),
                              ('backlog_listener_info{listener="tcp_any_80",address="0.0.0.0",port="80",path="",'
                               'unit="nginx.service",netns="self"}', "1"),
                              ('backlog_listener_state{listener="tcp_any_80",state="high"}', "1"),
                              ('backlog_listener_state{listener="tcp_any_80",state="ok"}', "0"),
                              ('backlog_alarm_state{listener="tcp_any_80",state="overflow"}', "1"),
                              ('backlog_somaxconn_connections{netns="self"}', "4096"), ("backlog_host_drops_total", "20"),
                              ('backlog_kernel_events_total{netns="self",counter="ListenDrops"}', "0"),
                              ("backlog_up", "1"), ("backlog_listeners", "1"), ("backlog_table_interval_seconds", "10")):
            self.assertEqual(found[series], value, series)
        # Each has HELP and TYPE before its first sample, and a unit where its name ends in one.
        for name in {re.sub("_seconds_(bucket|sum|count)$", "_seconds", series.partition("{")[0]) for series in found}:
            self.assertRegex(text, rf"(?m)^# HELP {name} \S.*\n# TYPE {name} (gauge|counter|histogram)\n(# UNIT {name} \w+\n)?{name}(_bucket)?[ {{]")
            unit = name.rpartition("_")[2]
            if unit in ("connections", "seconds", "ratio", "sockets"):
                self.assertIn(f"# UNIT {name} {unit}\n", text)
        self.assertTrue(text.endswith("\n# EOF\n"))

    def test_what_is_not_known_is_absent(self):
        self.publish(listener("unix_a", path="/a", **UNIX), listener("tcp_any_1", has=table_writer.IS_STABLE, state="missing"))
        found = samples(self.metrics())
        self.assertIn('backlog_accept_queue_connections{listener="unix_a"}', found)
        self.assertEqual(found['backlog_listener_state{listener="tcp_any_1",state="missing"}'], "1")
        for name in ("backlog_drops_total", "backlog_overflows_total", "backlog_listener_waits_for", "backlog_oldest_wait_seconds",
                     "backlog_arrivals_per_second"):
            self.assertFalse([series for series in found if series.startswith(name)], name)
        self.assertFalse([series for series in found if "queue" in series and "tcp_any_1" in series])

    def test_who_waits_for_whom(self):
        self.publish(listener("tcp_any_80", has=ALL, state="stalled", waits_for=2), listener("unix_a", path="/a", **UNIX))
        text = self.metrics()
        self.lint(text)
        self.assertEqual({name: value for name, value in samples(text).items() if "waits_for" in name},
                         {'backlog_listener_waits_for{listener="tcp_any_80",other="unix_a"}': "1"})
        self.assertIn('waits_for{listener="tcp_any_80",other="unix_a"} 1', self.metrics("tcp_any_80"))

    def test_labels(self):
        """Nothing in them that is another with each start, and no text that would end them."""
        cases = (("php-fpm[16110]", "php-fpm"), ("[7]", "[7]"), ("a[b]", "a[b]"), ("web.service", "web.service"), ("", ""))
        for owner, unit in cases:
            self.publish(listener("tcp_any_80", has=ALL, owner=owner))
            self.assertIn(f'unit="{unit}"', self.metrics(), owner)
        # Escaped in the table: a quotation mark, a backslash, an umlaut, and what is no character.
        self.publish(listener("unix_a", path=r'/a"b\\c\xc3\xa4\x0a', **UNIX))
        text = self.metrics()
        self.assertIn(r'path="/a\"b\\\\cä\\x0a"', text)
        self.lint(text)
        self.publish(listener("tcp6_any_80", has=ALL, address=bytes(15) + b"\1"))
        self.assertIn('address="::1"', self.metrics())

    def test_listeners_without_a_lasting_name(self):
        self.publish(listener("tcp_any_80", has=ALL), listener("tcp_any_40000", has=ALL & ~table_writer.IS_STABLE))
        self.assertNotIn("40000", self.metrics())
        self.assertIn("backlog_listeners 2\n", self.metrics())
        self.assertIn('{listener="tcp_any_40000"}', self.metrics("tcp_any_40000"))

    def test_no_table_and_a_stale_one(self):
        text = self.metrics(status=1)
        self.assertEqual(samples(text), {"backlog_up": "0"})
        self.lint(text)
        interval = min(10, table_writer.boot_ns() / 5e9)
        self.publish(listener("tcp_any_80", has=ALL), interval=interval, age=4 * interval)
        text = self.metrics()
        self.lint(text)
        self.assertEqual([series for series in samples(text) if "{" in series], [])
        self.assertIn("backlog_up 0\n", text)

    def test_textfile_collector(self):
        """What the unit of conf/nms writes, fetched by Prometheus from node_exporter."""
        def waits(count):
            self.publish(listener("tcp_any_80", has=ALL, peak=40, dropped=12, overflows=12,
                                  wait_counts=[0] * 5 + [2] + [2 + count] * 6), listener("unix_a", path=r"/\xc3\xa4", **UNIX))
        waits(4)
        folder = self.directory / "textfiles"
        folder.mkdir()
        unit = shipped("prometheus/backlog-textfile.service", {
            "/var/lib/prometheus/node-exporter": folder, "backlog-table --": f"{os.environ['BACKLOG_TABLE']} -f {self.table} --"})
        command = re.search(r"^ExecStart=/bin/sh -c '(.*)'$", unit, re.MULTILINE)[1]
        subprocess.run(["/bin/sh", "-c", command], check=True)
        self.assertEqual([file.name for file in folder.iterdir()], ["backlog.prom"])
        self.start("prometheus-node-exporter", "--collector.disable-defaults", "--collector.textfile",
                   f"--collector.textfile.directory={folder}", f"--web.listen-address=127.0.0.1:{NODE_PORT}", name="node.log")
        jobs = yaml.safe_load(shipped("prometheus/prometheus.yml"))["scrape_configs"]
        self.start_prometheus(*(job for job in jobs if job["job_name"] == "node"),
                              **{"web1.example.com:9100": f"127.0.0.1:{NODE_PORT}"})
        wait_until(lambda: self.query("backlog_up"), 30, "the metrics")
        self.assertEqual(self.query("node_textfile_scrape_error")[0][1], "0")
        (labels, value), = self.query('backlog_accept_queue_peak_connections{listener="tcp_any_80"}')
        self.assertEqual((labels["job"], value), ("node", "40"))
        self.assertEqual(self.query('sum(backlog_drops_total{reason="overflow"})')[0][1], "12")
        (labels, value), = self.query("histogram_quantile(0.5, backlog_accept_wait_seconds_bucket)")
        self.assertEqual((labels["listener"], value), ("tcp_any_80", "0.625"))
        (panel,) = (panel for panel in json.loads(
            (NMS.parent / "dashboards/grafana-prometheus-listener.json").read_text())["panels"] if panel["type"] == "heatmap")
        text = panel["targets"][0]["expr"].replace("$__rate_interval", "1m").replace("$listener", "tcp_any_80").replace(
            "$host", "127[.]0[.]0[.]1")
        waits(70)
        subprocess.run(["/bin/sh", "-c", command], check=True)

        def rises():
            return {labels["le"]: float(value) for labels, value in self.query(text) if float(value) > 0}
        found = wait_until(rises, 30, "waits by length")
        self.assertEqual(len(found), 6)  # from the bucket on that has 66 more
        self.assertIn("+Inf", found)
        metadata = json.loads(fetch(f"http://127.0.0.1:{PROMETHEUS_PORT}/api/v1/metadata?metric=backlog_drops_total"))
        self.assertEqual(metadata["data"]["backlog_drops_total"][0]["type"], "counter")

    def test_labels_of_write_prometheus(self):
        """By the relabelling of conf/collectd/stores/prometheus."""
        names = {"tcp_any_80": ("any", "80", None), "tcp6_any_443": ("any", "443", None),
                 "tcp_127-0-0-1_8001": ("127.0.0.1", "8001", None), "tcp6_2001-db8--1_443": ("2001-db8--1", "443", None),
                 "tcp6_fe80--1_eth0_8080": ("fe80--1_eth0", "8080", None), "tcp_any_80__dev_eth0": ("any", "80", None),
                 "tcp_10-0-0-1_80__netns_blue-2": ("10.0.0.1", "80", "blue-2"), "unix_run_a__netns_red": (None, None, "red"),
                 "https": (None, None, None), "tcp_unstable": (None, None, None), "host": (None, None, None)}
        self.serve("".join(f'collectd_backlog_gauge{{backlog="{name}",type="state",instance="web1"}} 1\n' for name in names))
        path = NMS.parent / "collectd/stores/prometheus/prometheus.yml"
        self.start_prometheus(*yaml.safe_load(path.read_text())["scrape_configs"],
                              **{"web1.example.com:9103": f"127.0.0.1:{FILE_PORT}"})
        rows = wait_until(lambda: self.query("collectd_backlog_gauge"), 30, "the metrics")
        self.assertEqual({row["backlog"]: (row.get("address"), row.get("port"), row.get("netns")) for row, _ in rows}, names)
        self.assertEqual({row["instance"] for row, _ in rows}, {"web1"})


class SnmpExporterTest(PrometheusTest, snmp_harness.SnmpTest):
    def setUp(self):
        snmp_harness.SnmpTest.setUp(self)
        self.directory.chmod(0o755)
        self.table = self.table_file

    def test_the_modules_are_the_generators(self):
        import generate
        mibs = ":".join(map(str, [os.environ["BACKLOG_MIBS"], STAND_INS, "/usr/share/snmp/mibs"]))
        os.environ["LD_LIBRARY_PATH"] = snmp_programs.library_path()
        self.addCleanup(os.environ.pop, "LD_LIBRARY_PATH")
        for name, text in generate.files(snmp_programs.program("prometheus-snmp-generator"), mibs).items():
            self.assertEqual(shipped(f"prometheus/{name}"), text, f"{name}: run conf/nms/prometheus/generate.py")

    def test_both_generations_say_the_same(self):
        old, new = (yaml.safe_load(shipped(f"prometheus/snmp-{version}.yml")) for version in ("0.22", "0.23"))
        self.assertEqual({"version", "auth"}, old["backlog"].keys() - new["modules"]["backlog"].keys())
        for key, value in new["modules"]["backlog"].items():
            self.assertEqual(old["backlog"][key], value)
        self.assertEqual(new["auths"], {"public_v2": {"version": 2, "community": "public"}})

    def test_in_prometheus(self):
        self.publish(listener("tcp_any_80", has=ALL, used=75.0, dropped=12, state="overflow", owner="php-fpm[16110]", mean=1.5),
                     listener("unix_a", path="/a", owner="web.service", **UNIX), interval=600)
        self.start_snmpd()
        self.start_subagent()
        self.start(snmp_programs.program("prometheus-snmp-exporter"), f"--config.file={NMS}/prometheus/snmp-0.22.yml",
                   f"--web.listen-address=127.0.0.1:{EXPORTER_PORT}", name="exporter.log")
        jobs = yaml.safe_load(shipped("prometheus/prometheus.yml"))["scrape_configs"]
        self.start_prometheus(*(job for job in jobs if job["job_name"] == "snmp-backlog"),
                              **{"web1.example.com": f"127.0.0.1:{SNMP_PORT}", "127.0.0.1:9116": f"127.0.0.1:{EXPORTER_PORT}"})
        rows = wait_until(lambda: self.query("backlogListenerState == 1"), 30, "the states")
        self.assertEqual({(row["backlogListenerName"], row["backlogListenerState"]) for row, _ in rows},
                         {("tcp_any_80", "overflow"), ("unix_a", "ok")})
        self.assertEqual({(row["backlogListenerName"], row["backlogListenerOwner"]) for row, _ in self.query("backlogListenerOwner")},
                         {("tcp_any_80", "php-fpm"), ("unix_a", "web.service")})
        self.assertEqual(self.query("backlogTableStatus")[0][1], "1")
        self.assertEqual([(row["backlogListenerName"], value) for row, value in self.query("backlogListenerDropped")],
                         [("tcp_any_80", "12")])


if __name__ == "__main__":
    nms_harness.main(ROOT, "bin/prometheus-node-exporter")
