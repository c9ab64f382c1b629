"""Prometheus."""

import json
import pathlib

from snippets import shipped, snippet
from store import LOOPBACK, Store, answers, fetch, free_port
from store_programs import program


class Prometheus(Store):
    """url: queries. Fetches from a collectd with prometheus_snippet(scraped_port), each second."""

    def __init__(self, scraped_port, directory=None, port=None, rules=()):
        super().__init__("prometheus", directory)
        self.port = port or free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        config = shipped("collectd/stores/prometheus/prometheus.yml", {
            "web1.example.com:9103": f"{LOOPBACK}:{scraped_port}", "scrape_interval: 10s": "scrape_interval: 1s"})
        if rules:
            config += "global:\n  evaluation_interval: 1s\nrule_files:\n"
            config += "".join(f"  - {pathlib.Path(file).resolve()}\n" for file in rules)
        self._config = self.write("prometheus.yml", config)

    def run(self):
        command = [program("prometheus"), f"--config.file={self._config}", f"--storage.tsdb.path={self.folder('data')}",
                   f"--web.listen-address={LOOPBACK}:{self.port}", "--log.level=warn"]
        return self.start(command, lambda: answers(f"{self.url}/-/ready"))

    def query(self, expression):
        """[{"metric": labels, "value": [epoch, text]}]."""
        return json.loads(fetch(f"{self.url}/api/v1/query", query=expression))["data"]["result"]

    def latest(self, metric, **labels):
        """The newest value of one series, or None."""
        found = self.query(metric + "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}")
        if len(found) > 1:
            raise AssertionError(f"{metric} {labels}: {found}")
        return float(found[0]["value"][1]) if found else None


def start_prometheus(scraped_port, directory=None, port=None, rules=()):
    return Prometheus(scraped_port, directory, port, rules).run()


def prometheus_snippet(port):
    """conf/collectd/stores/prometheus.conf with values to be fetched at this port."""
    return snippet("prometheus.conf", {'Port "9103"': f'Port "{port}"'})
