"""Kafka: a broker in memory and a consumer."""

import json
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "system"))
from collectd import HOSTNAME  # noqa: E402
from snippets import snippet  # noqa: E402
from store import LOOPBACK, Store, accepts  # noqa: E402
from store_programs import program  # noqa: E402

KCAT = ("kcat", "kafkacat")

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
