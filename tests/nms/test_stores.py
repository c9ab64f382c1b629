#!/usr/bin/env python3
"""collectd with the snippets for stores that are not those of tests/stores: VictoriaMetrics, and whatever takes what
write_http writes, as an OpenTelemetry collector does."""

import json
import os
import pathlib
import sys
import threading
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import nms_harness
from collectd import Collectd, HOSTNAME
from nms_harness import NmsTest
from waiting import wait_until

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "stores"))
import stores_harness as stores  # noqa: E402

ROOT = os.environ.get("NMS_ROOT", "")
LINE_PORT, QUERY_PORT, COLLECTOR_PORT = 12003, 18428, 18081  # of the test's own net namespace
setUpModule = lambda: nms_harness.lay_over(ROOT)  # noqa: E731


class StoresTest(NmsTest):
    def start_collectd(self, snippet):
        """With a listener in whose queue three wait; its name."""
        waiting = self.listener(limit=9).fill(3)
        collectd = Collectd(f'Listener "{waiting.name}"\nValues full', interval=0.5,
                            config=f'PluginDir "{os.environ["COLLECTD_PLUGIN_DIR"]}"', environment=stores.library_environment())
        stores.include_snippets(collectd, snippet)
        self.addCleanup(collectd.__exit__, None, None, None)
        collectd.start()
        return waiting.name

    def test_victoriametrics(self):
        self.start("victoria-metrics", f"-storageDataPath={self.directory}/data", f"-httpListenAddr=127.0.0.1:{QUERY_PORT}",
                   f"-graphiteListenAddr=127.0.0.1:{LINE_PORT}", "-search.latencyOffset=1ms", name="victoria.log")

        def query(text):
            url = f"http://127.0.0.1:{QUERY_PORT}/api/v1/query?" + urllib.parse.urlencode({"query": text})
            try:
                with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10) as answer:
                    return json.load(answer)["data"]["result"]
            except OSError:
                return []
        wait_until(lambda: query("vector(1)"), 30, "VictoriaMetrics")
        name = self.start_collectd(stores.snippet("victoriametrics.conf", {
            '"victoria.example.com"': f'"{stores.LOOPBACK}"', 'Port "2003"': f'Port "{LINE_PORT}"'}))
        series = f'{{__name__="collectd.backlog.queue_length",plugin_instance="{name}",host="{HOSTNAME}",type_instance="{{}}"}}'
        for value, wanted in (("accept", "3"), ("accept_peak", "3"), ("limit", "9")):
            wait_until(lambda text=series.replace("{}", value), said=wanted: [row["value"][1] for row in query(text)] == [said], 30,
                       value)

    def test_opentelemetry(self):
        """What the receiver collectd reads: a list of value lists, as collectd's JSON format has them."""
        received = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                received.append((self.headers["Content-Type"], self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass
        server = HTTPServer(("127.0.0.1", COLLECTOR_PORT), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        self.addCleanup(server.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(server.shutdown)
        name = self.start_collectd(stores.snippet("opentelemetry.conf", {
            "http://otel.example.com:8081": f"http://127.0.0.1:{COLLECTOR_PORT}", "FlushInterval 10": "FlushInterval 1"}))

        def found():
            return [values for kind, body in received for values in json.loads(body)
                    if values["plugin"] == "backlog" and values["plugin_instance"] == name and
                    values["type_instance"] == "accept_peak" and kind == "application/json"]
        values = wait_until(found, 30, "the values")[0]
        self.assertEqual((values["values"], values["dstypes"], values["dsnames"], values["type"], values["host"]),
                         ([3], ["gauge"], ["value"], "queue_length", HOSTNAME))
        self.assertEqual(values["interval"], 0.5)


if __name__ == "__main__":
    nms_harness.main(ROOT, "bin/victoria-metrics")
