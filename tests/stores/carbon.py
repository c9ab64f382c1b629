"""Graphite: carbon-cache and graphite-web."""

import configparser
import json
import os
import socket
import subprocess

from snippets import shipped, snippet
from store import LOOPBACK, Store, accepts, answers, fetch, free_port
from store_programs import PYTHON, program, python_environment, stores_root


class Carbon(Store):
    """port: the line protocol, TCP and UDP; query_port: for graphite-web; whisper: the files.
    retentions: instead of the shipped ones."""

    def __init__(self, directory=None, port=None, retentions=None):
        super().__init__("carbon", directory)
        self._retentions = {"retentions = 10s:6h,60s:7d,1h:1y": f"retentions = {retentions}"} if retentions else {}
        self.port = port or free_port(socket.SOCK_STREAM, socket.SOCK_DGRAM)
        self.query_port = free_port()
        self.conf, self.storage, self.whisper = self.folder("conf"), self.folder("storage"), self.folder("whisper")
        self._write_config(free_port())

    def _write_config(self, pickle_port):
        """The distribution's files with the shipped additions, where these say that they belong."""
        config = configparser.ConfigParser(strict=False, interpolation=None, comment_prefixes=("#",))
        config.optionxform = str
        config.read(self._distributed("carbon.conf"), encoding="utf-8")
        config.read_string(shipped("collectd/stores/carbon/carbon.conf"))
        cache = config["cache"]
        cache.update(
            STORAGE_DIR=f"{self.storage}/", LOCAL_DATA_DIR=f"{self.whisper}/", CONF_DIR=f"{self.conf}/",
            LOG_DIR=f"{self.folder('log')}/", PID_DIR=f"{self.folder('run')}/", USER="",
            LINE_RECEIVER_INTERFACE=LOOPBACK, LINE_RECEIVER_PORT=str(self.port), UDP_RECEIVER_INTERFACE=LOOPBACK,
            UDP_RECEIVER_PORT=str(self.port), PICKLE_RECEIVER_INTERFACE=LOOPBACK, PICKLE_RECEIVER_PORT=str(pickle_port),
            CACHE_QUERY_INTERFACE=LOOPBACK, CACHE_QUERY_PORT=str(self.query_port), ENABLE_TAGS="False")
        with open(self.conf / "carbon.conf", "w", encoding="utf-8") as file:
            config.write(file)
        for name in ("storage-schemas.conf", "storage-aggregation.conf"):
            distributed = self._distributed(name)
            rest = distributed.read_text(encoding="utf-8") if distributed.exists() else ""
            changes = self._retentions if name == "storage-schemas.conf" else {}
            (self.conf / name).write_text(shipped(f"collectd/stores/carbon/{name}", changes) + "\n" + rest, encoding="utf-8")

    @staticmethod
    def _distributed(name):
        return stores_root() / "etc/carbon" / name

    def run(self):
        command = [PYTHON, program("carbon-cache"), f"--config={self.conf}/carbon.conf",
                   f"--pidfile={self.directory}/run/carbon.pid", "--nodaemon", "start"]
        return self.start(command, lambda: accepts(self.port) and accepts(self.query_port), python_environment())

    def file(self, path):
        """The whisper file of a series a.b.c."""
        return self.whisper / (path.replace(".", "/") + ".wsp")

    def file_setting(self, path, setting):
        """What whisper-info says of the file, e.g. aggregationMethod."""
        command = [PYTHON, program("whisper-info"), self.file(path), setting]
        return subprocess.run(command, check=True, capture_output=True, text=True,
                              env=dict(os.environ, **python_environment())).stdout.strip()


_GRAPHITE_WEB_SETTINGS = """\
SECRET_KEY = "of a test"
ALLOWED_HOSTS = ["*"]
TIME_ZONE = "UTC"
LOG_ROTATION = False
DEFAULT_CACHE_DURATION = 0
DEFAULT_CACHE_POLICY = []
GRAPHITE_ROOT = "{root}usr/share/graphite-web"
STATIC_ROOT = "{root}usr/share/graphite-web/static"
CONF_DIR = "{conf}"
STORAGE_DIR = "{storage}"
LOG_DIR = "{log}"
INDEX_FILE = "{storage}/index"
WHISPER_DIR = "{whisper}"
STANDARD_DIRS = [WHISPER_DIR]
CARBONLINK_HOSTS = ["127.0.0.1:{query_port}"]
DATABASES = {{"default": {{"NAME": "{storage}/graphite.db", "ENGINE": "django.db.backends.sqlite3"}}}}
"""


class GraphiteWeb(Store):
    """url: render and find."""

    def __init__(self, carbon, directory=None, port=None):
        super().__init__("graphite-web", directory)
        self.port = port or free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        settings = self.write("settings/backlog_graphite_settings.py", _GRAPHITE_WEB_SETTINGS.format(
            root=f"{stores_root()}".rstrip("/") + "/", conf=carbon.conf, storage=self.folder("storage"),
            log=self.folder("log"), whisper=carbon.whisper, query_port=carbon.query_port))
        self._environment = dict(
            python_environment(settings.parent), GRAPHITE_SETTINGS_MODULE=settings.stem,
            DJANGO_SETTINGS_MODULE="graphite.settings", XDG_CACHE_HOME=str(self.folder("cache")))

    def run(self):
        migrate = [PYTHON, "-m", "django", "migrate", "--run-syncdb"]
        made = subprocess.run(migrate, capture_output=True, text=True, check=False, cwd=self.directory,
                              env=dict(os.environ, **self._environment))
        if made.returncode != 0:
            self.close()
            raise AssertionError(f"graphite-web has no database:\n{made.stdout}{made.stderr}")
        command = [PYTHON, "-m", "gunicorn", "--bind", f"{LOOPBACK}:{self.port}", "--threads", "4",
                   "--worker-tmp-dir", self.directory, "graphite.wsgi:application"]
        return self.start(command, lambda: answers(f"{self.url}/version/"), self._environment)

    def render(self, *targets, since="-60s"):
        """{name of a series: [(epoch, value)] without gaps}."""
        answer = json.loads(fetch(f"{self.url}/render", target=targets, format="json", **{"from": since}))
        return {series["target"]: [(when, value) for value, when in series["datapoints"] if value is not None]
                for series in answer}

    def latest(self, path):
        """The newest value of one series, or None."""
        points = self.render(path).get(path)
        return points[-1][1] if points else None

    def find(self, pattern):
        """The names of the nodes."""
        return sorted(node["text"] for node in json.loads(fetch(f"{self.url}/metrics/find", query=pattern)))

    def picture(self, target, **options):
        """A PNG."""
        return fetch(f"{self.url}/render", target=target, format="png", **options)


def start_carbon(directory=None, port=None, retentions=None):
    return Carbon(directory, port, retentions).run()


def start_graphite_web(carbon, directory=None, port=None):
    return GraphiteWeb(carbon, directory, port).run()


def graphite_snippet(carbon_port):
    """conf/collectd/stores/graphite.conf for a carbon at this port."""
    return snippet("graphite.conf", {
        '"carbon.example.com"': f'"{LOOPBACK}"', 'Port "2003"': f'Port "{carbon_port}"'})
