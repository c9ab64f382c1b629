"""Real stores, private and on loopback, and collectd with the shipped snippets that feed them.

Each start_...() returns once the store answers; the object has its addresses, and close(). The
programs are those of STORES_ROOT (conf/packaging/packages.sh unpacks it), else the system's own.

Environment (set by ctest from CMake), beside that of tests/system/collectd.py:
  STORES_ROOT   the root below which the stores are unpacked; may be empty
  BACKLOG_CONF  the folder of the shipped configuration, conf/
"""

import configparser
import contextlib
import glob
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "system"))
import kernel  # noqa: E402
import system_test  # noqa: E402
from collectd import Collectd, HOSTNAME  # noqa: E402
from listeners import candidate_ports  # noqa: E402
from processes import die_with_parent  # noqa: E402
from waiting import wait_until  # noqa: E402

LOOPBACK = "127.0.0.1"
USER, PASSWORD = "collectd", "a password of your own"  # in the shipped snippets
START_TIMEOUT = 60
KCAT = ("kcat", "kafkacat")
PYTHON = "/usr/bin/python3"  # the one that the distribution's modules are built for


def _root():
    return pathlib.Path(os.environ.get("STORES_ROOT") or "/")


def program(*names):
    """The path of the first program there is; SkipTest if none is."""
    for name in names:
        path = _root() / "usr/bin" / name
        if path.exists():
            return str(path)
        if path := shutil.which(name):
            return path
    raise unittest.SkipTest(f"{' or '.join(names)} is missing (tests/run unpacks it)")


def library_environment():
    """Lets programs, and collectd's plugins, find the libraries below the stores' root."""
    root = _root()
    if root == pathlib.Path("/"):
        return {}
    folders = glob.glob(f"{root}/usr/lib/*-linux-gnu*") + glob.glob(f"{root}/lib/*-linux-gnu*")
    folders += filter(None, [os.environ.get("LD_LIBRARY_PATH")])
    return {"LD_LIBRARY_PATH": ":".join(folders), "FONTCONFIG_SYSROOT": str(root)}


def _python_environment(*folders):
    paths = [*folders, _root() / "usr/lib/python3/dist-packages"]
    return dict(library_environment(), PYTHONPATH=":".join(map(str, paths)), PYTHONDONTWRITEBYTECODE="1")


class Snippet(str):
    """The text of a file of conf/collectd/stores, with the name that it is copied by."""

    file = None


def snippet(file, substitutions=()):
    """conf/collectd/stores/FILE as shipped() gives it."""
    made = Snippet(shipped(f"collectd/stores/{file}", substitutions))
    made.file = file
    return made


def shipped(file, substitutions=()):
    """The text of a file of conf/ with texts of it replaced; each must be in it."""
    text = (pathlib.Path(os.environ["BACKLOG_CONF"]) / file).read_text(encoding="utf-8")
    for old, new in dict(substitutions).items():
        if old not in text:
            raise AssertionError(f"{file} has no {old}")
        text = text.replace(old, str(new))
    return text


_given_ports = set()


def free_port(*kinds):
    """A port of loopback that is free for all these kinds of sockets (TCP if none is given), and was not given
    before. It is none that a connection may get as its own, for that could be one to the very store that is
    down."""
    for port in candidate_ports():
        if port in _given_ports:
            continue
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for kind in kinds or (socket.SOCK_STREAM,):
                stack.enter_context(socket.socket(socket.AF_INET, kind)).bind((LOOPBACK, port))
            _given_ports.add(port)
            return port
    raise AssertionError("no port is free")


def set_up_network():
    """For setUpModule, in a net namespace of the test's own: write_prometheus does not listen where
    loopback has the only addresses."""
    kernel.run("ip", "address", "add", "192.0.2.1/32", "dev", "lo")  # RFC 5737


def accepts(port):
    with contextlib.suppress(OSError):
        socket.create_connection((LOOPBACK, port), 1).close()
        return True
    return False


def fetch(url, **query):
    """The body; AssertionError with what the server says if it is not content, thrice if it says 500: to
    graphite-web a file that carbon is just making is one that is broken."""
    if query:
        url += "?" + urllib.parse.urlencode(query, doseq=True)
    for attempts_left in (2, 1, 0):
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            if error.code != 500 or not attempts_left:
                text = re.sub(r"<[^>]*>|\s+", " ", error.read().decode(errors="replace"))
                raise AssertionError(f"{url}: {error}: {text[-1000:]}") from None
            time.sleep(0.3)


def _answers(url):
    with contextlib.suppress(OSError, http.client.HTTPException):
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status < 400
    return False


_DECODE_PICTURE = """
import sys, cairocffi
picture = cairocffi.ImageSurface.create_from_png(sys.stdin.buffer)
canvas = cairocffi.ImageSurface(cairocffi.FORMAT_RGB24, picture.get_width(), picture.get_height())
context = cairocffi.Context(canvas)
context.set_source_surface(picture)
context.paint()
sys.stdout.buffer.write(b"%d %d %d\\n" % (canvas.get_width(), canvas.get_height(), canvas.get_stride()))
sys.stdout.buffer.write(canvas.get_data())
"""


def pixels_of_colour(png, colour):
    """(height of the picture, [(x, y)] of the pixels of a colour such as "ff00ff")."""
    data = subprocess.run([PYTHON, "-c", _DECODE_PICTURE], input=png, check=True, capture_output=True,
                          env=dict(os.environ, **_python_environment())).stdout
    size, _, data = data.partition(b"\n")
    width, height, stride = map(int, size.split())
    wanted = int(colour, 16)
    rows = (struct.unpack_from(f"={width}I", data, y * stride) for y in range(height))
    return height, [(x, y) for y, row in enumerate(rows) for x, pixel in enumerate(row) if pixel & 0xFFFFFF == wanted]


class Store:
    """A program that runs in a folder of its own until close(); its output goes to a file there."""

    def __init__(self, name, directory=None):
        self.name = name
        self._temporary = directory is None
        self.directory = pathlib.Path(directory or tempfile.mkdtemp(prefix=f"collectd-backlog-{name}-"))
        self.directory.mkdir(parents=True, exist_ok=True)
        self._process = None

    def write(self, file, text, mode=0o644):
        path = self.directory / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return path

    def folder(self, name):
        path = self.directory / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def pid(self):
        return self._process.pid

    def output(self):
        with contextlib.suppress(FileNotFoundError):
            return (self.directory / "output").read_text(encoding="utf-8", errors="replace")
        return ""

    def start(self, command, ready, environment=None, stdin=subprocess.DEVNULL):
        with open(self.directory / "output", "ab") as output:
            self._process = subprocess.Popen(
                list(map(str, command)), stdin=stdin, stdout=output, stderr=output, cwd=self.directory,
                env=dict(os.environ, **(environment or library_environment())), preexec_fn=die_with_parent)

        def check():
            if self._process.poll() is not None:
                raise AssertionError(f"it ended with {self._process.returncode}")
            return ready()
        try:
            wait_until(check, START_TIMEOUT, f"{self.name} to answer", pause=0.05)
        except AssertionError as error:
            output = self.output()[-3000:]
            self.close()
            raise AssertionError(f"{self.name}: {error}\n--- it says ---\n{output}") from None
        return self

    def stop(self):
        """Ends the process; what it stored stays."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(3)
        except subprocess.TimeoutExpired:  # influxd and kcat often ignore SIGTERM
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()

    def close(self):
        self.stop()
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


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
        return _root() / "etc/carbon" / name

    def run(self):
        command = [PYTHON, program("carbon-cache"), f"--config={self.conf}/carbon.conf",
                   f"--pidfile={self.directory}/run/carbon.pid", "--nodaemon", "start"]
        return self.start(command, lambda: accepts(self.port) and accepts(self.query_port), _python_environment())

    def file(self, path):
        """The whisper file of a series a.b.c."""
        return self.whisper / (path.replace(".", "/") + ".wsp")

    def file_setting(self, path, setting):
        """What whisper-info says of the file, e.g. aggregationMethod."""
        command = [PYTHON, program("whisper-info"), self.file(path), setting]
        return subprocess.run(command, check=True, capture_output=True, text=True,
                              env=dict(os.environ, **_python_environment())).stdout.strip()


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
            root=f"{_root()}".rstrip("/") + "/", conf=carbon.conf, storage=self.folder("storage"),
            log=self.folder("log"), whisper=carbon.whisper, query_port=carbon.query_port))
        self._environment = dict(
            _python_environment(settings.parent), GRAPHITE_SETTINGS_MODULE=settings.stem,
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
        return self.start(command, lambda: _answers(f"{self.url}/version/"), self._environment)

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
        self.start([program("influxd"), "run", "-config", self._config], lambda: _answers(f"{self.url}/ping"))
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
        return self.start(command, lambda: _answers(f"{self.url}/-/ready"))

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


class RrdFiles:
    """The files that collectd writes with conf/collectd/stores/rrd.conf."""

    def __init__(self, directory, host=HOSTNAME):
        self.folder = pathlib.Path(directory)
        self.host = host
        self.snippet = snippet("rrd.conf", {'"/var/lib/collectd/rrd"': f'"{self.folder}"'})

    def path(self, instance, type_, type_instance):
        return self.folder / self.host / f"backlog-{instance}" / f"{type_}-{type_instance}.rrd"

    @staticmethod
    def tool(*command):
        return subprocess.run([program("rrdtool"), *map(str, command)], check=True, capture_output=True,
                              env=dict(os.environ, **library_environment())).stdout

    def latest(self, *series):
        """The value that was written last, or None; of a counter the counter."""
        path = self.path(*series)
        if not path.exists() or path.stat().st_size == 0:
            return None
        text = self.tool("lastupdate", path).decode().splitlines()[-1].partition(": ")[2]
        return float(text) if text and text != "U" else None

    def fetch(self, *series, consolidation="AVERAGE", start="-60s"):
        """(seconds of a row, [(epoch, value)] without gaps)."""
        text = self.tool("fetch", self.path(*series), consolidation, "--resolution", "1", "--start", start).decode()
        rows = [line.split(": ") for line in text.splitlines() if ": " in line]
        times = [int(when) for when, _ in rows]
        values = [(when, float(value)) for when, (_, value) in zip(times, rows) if "nan" not in value]
        return times[1] - times[0], values


KAFKA_TOPIC = "collectd"


class Kafka(Store):
    """librdkafka's own broker in memory, with the network protocol of a real one. port: for producers and
    consumers."""

    port = None

    def run(self):
        command = [program(*KCAT), "-P", "-b", "none", "-t", "none", "-X", "test.mock.num.brokers=1"]
        self.start(command, self._find_port, stdin=subprocess.PIPE)
        return self

    def _find_port(self):
        if found := re.search(rf"{re.escape(LOOPBACK)}:(\d+)", self.output()):
            self.port = int(found[1])
        return self.port and accepts(self.port)


class KafkaConsumer(Store):
    """Follows the topic of conf/collectd/stores/kafka.conf from its beginning."""

    def __init__(self, port, directory=None):
        super().__init__("kafka-consumer", directory)
        self._port = port
        self._offset = 0
        self._values = {}

    def run(self):
        command = [program(*KCAT), "-C", "-q", "-u", "-b", f"{LOOPBACK}:{self._port}", "-t", KAFKA_TOPIC,
                   "-o", "beginning"]
        return self.start(command, lambda: True)

    def _read_new(self):
        with open(self.directory / "output", "rb") as file:
            file.seek(self._offset)
            lines = file.read().splitlines(keepends=True)
        for line in lines:
            if not line.endswith(b"\n"):
                break
            self._offset += len(line)
            if line.startswith(b"[{"):
                for entry in json.loads(line):
                    self._values[tuple(entry[name] for name in (
                        "host", "plugin", "plugin_instance", "type", "type_instance"))] = entry["values"]

    def latest(self, instance, type_, type_instance, host=HOSTNAME):
        self._read_new()
        values = self._values.get((host, "backlog", instance, type_, type_instance))
        return values[0] if values else None


def start_kafka(directory=None):
    return Kafka("kafka", directory).run()


def start_kafka_consumer(port, directory=None):
    return KafkaConsumer(port, directory).run()


def kafka_snippet(port):
    """conf/collectd/stores/kafka.conf for a broker at this port."""
    return snippet("kafka.conf", {"kafka1.example.com:9092,kafka2.example.com:9092": f"{LOOPBACK}:{port}"})


def leaf_snippet(port):
    """conf/collectd/stores/leaf.conf for a central collectd at this port."""
    return snippet("leaf.conf", {'"collectd.example.com" "25826"': f'"{LOOPBACK}" "{port}"'})


def include_snippets(daemon, *snippets):
    """Has a Collectd that is not yet started include these as a system's includes
    /etc/collectd/collectd.conf.d: files with the shipped names, in their order."""
    folder = daemon.directory / "collectd.conf.d"
    folder.mkdir(exist_ok=True)
    for number, text in enumerate(snippets):
        file = folder / (getattr(text, "file", None) or f"snippet{number}.conf")
        if file.exists():
            raise AssertionError(f"{file.name} occurs twice")
        file.write_text(f"{text}\n", encoding="utf-8")
    with open(daemon.config_file, "a", encoding="utf-8") as config:
        config.write(f'<Include "{folder}">\n  Filter "*.conf"\n</Include>\n')
    return daemon


def start_central(port, *snippets, forward=False):
    """A collectd without the plugin that takes what leaves send to this port, and has these snippets."""
    central = Collectd(load_backlog=False, hostname="central", interval=1)
    users = central.directory / "auth_file"
    users.write_text(f"{USER}: {PASSWORD}\n", encoding="ascii")
    users.chmod(0o600)
    own = snippet("central.conf", {
        '"0.0.0.0" "25826"': f'"{LOOPBACK}" "{port}"', '"/etc/collectd/auth_file"': f'"{users}"',
        **({"#Forward true": "Forward true"} if forward else {})})
    return include_snippets(central, own, snippet("zz-central-queue.conf"), *snippets).start()


def collectd(*snippets, environment=None, **options):
    """A Collectd, not yet started, with the plugin and these snippets, at an interval of 1 s."""
    options.setdefault("interval", 1)
    environment = dict(library_environment(), **(environment or {}))
    own_plugins = f'PluginDir "{os.environ["COLLECTD_PLUGIN_DIR"]}"'
    daemon = Collectd(config=own_plugins, environment=environment, **options)
    return include_snippets(daemon, *snippets)


def main(*programs):
    """system_test.main() for tests of stores that have these programs, each a name or several of which one is enough."""
    try:
        for names in programs:
            program(*([names] if isinstance(names, str) else names))
    except unittest.SkipTest as reason:
        print(f"SKIP: {reason}", flush=True)
        sys.exit(system_test.SKIPPED)
    system_test.main()
