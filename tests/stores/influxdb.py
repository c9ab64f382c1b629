"""InfluxDB 1.x."""

import json
import os
import pathlib
import socket
import sys
import urllib.parse
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "system"))
from collectd import HOSTNAME  # noqa: E402
from snippets import shipped, snippet  # noqa: E402
from store import LOOPBACK, PASSWORD, Store, USER, answers, fetch, free_port  # noqa: E402
from store_programs import program  # noqa: E402

INFLUXDB_DATABASE, INFLUXDB_ENCRYPTED_DATABASE = "collectd", "collectd_encrypted"

_INFLUXDB_CONFIG = """\
reporting-disabled = true
bind-address = "127.0.0.1:{rpc_port}"
[meta]
  dir = "{directory}/meta"
[data]
  dir = "{directory}/data"
  wal-dir = "{directory}/wal"
  query-log-enabled = false
[monitor]
  store-enabled = false
[subscriber]
  enabled = false
[http]
  bind-address = "127.0.0.1:{http_port}"
  log-enabled = false
{collectd}
"""


class InfluxDb(Store):
    """http_port and url: queries; collectd_port: plain packets; encrypted_port: encrypted ones, into a
    database of their own, INFLUXDB_ENCRYPTED_DATABASE."""

    def __init__(self, directory=None, http_port=None, read_buffer=None):
        super().__init__("influxdb", directory)
        self.http_port = http_port or free_port()
        self.url = f"http://{LOOPBACK}:{self.http_port}"
        self.collectd_port, self.encrypted_port = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_DGRAM)
        typesdb = os.environ["COLLECTD_TYPESDB"]
        users = self.write("auth_file", f"{USER}: {PASSWORD}\n", mode=0o600)
        changes = {} if read_buffer is None else {"read-buffer = 26214400": f"read-buffer = {read_buffer}"}
        collectd = shipped("collectd/stores/influxdb/plain.conf", {
            **changes, '":25826"': f'"{LOOPBACK}:{self.collectd_port}"',
            '"/usr/share/collectd/types.db"': f'"{typesdb}"'})
        collectd += shipped("collectd/stores/influxdb/encrypted.conf", {
            '":25827"': f'"{LOOPBACK}:{self.encrypted_port}"', '"/usr/share/collectd/types.db"': f'"{typesdb}"',
            '"/etc/influxdb/collectd_auth_file"': f'"{users}"',
            'database = "collectd"': f'database = "{INFLUXDB_ENCRYPTED_DATABASE}"'})
        self._config = self.write("influxdb.conf", _INFLUXDB_CONFIG.format(
            directory=self.directory, rpc_port=free_port(), http_port=self.http_port, collectd=collectd))

    def run(self):
        self.start([program("influxd"), "run", "-config", self._config], lambda: answers(f"{self.url}/ping"))
        self.execute(shipped("collectd/stores/influxdb/database.influxql"))
        return self

    def execute(self, statement):
        """A statement that changes something."""
        request = urllib.request.Request(f"{self.url}/query", urllib.parse.urlencode({"q": statement}).encode())
        with urllib.request.urlopen(request, timeout=10) as answer:
            return self._series(json.load(answer))

    @staticmethod
    def _series(answer):
        (result,) = answer["results"]
        if "error" in result:
            raise AssertionError(f"influxd: {result['error']}")
        return result.get("series", [])

    def query(self, statement, database=INFLUXDB_DATABASE):
        """The series of the answer as InfluxDB gives them: [{"tags", "columns", "values"}]."""
        return self._series(json.loads(fetch(f"{self.url}/query", db=database, q=statement)))

    def latest(self, instance, type_, type_instance, host=HOSTNAME, database=INFLUXDB_DATABASE):
        """The newest value of one series, or None."""
        series = self.query(
            f"""SELECT last("value") FROM "backlog_value" WHERE "host" = '{host}' AND "instance" = '{instance}' """
            f"""AND "type" = '{type_}' AND "type_instance" = '{type_instance}'""", database)
        return series[0]["values"][0][1] if series else None


def start_influxdb(directory=None, http_port=None, read_buffer=None):
    """read_buffer: instead of the shipped one of plain packets."""
    return InfluxDb(directory, http_port, read_buffer).run()


def influxdb_snippet(port):
    """conf/collectd/stores/influxdb.conf for an influxd that takes plain packets at this port."""
    return snippet("influxdb.conf", {'"influxdb.example.com" "25826"': f'"{LOOPBACK}" "{port}"'})


def influxdb_encrypted_snippet(port):
    """conf/collectd/stores/influxdb-encrypted.conf, likewise."""
    return snippet("influxdb-encrypted.conf", {'"influxdb.example.com" "25827"': f'"{LOOPBACK}" "{port}"'})
