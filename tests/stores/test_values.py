"""Known queues on their way into the stores, by the shipped snippets and a real collectd."""

import time
import unittest

import stores_harness as stores
from harness import HOSTNAME, SystemTest, main, wait_until

setUpModule = stores.set_up_network  # pylint: disable=invalid-name


class EveryStore(SystemTest):

    def store(self, store):
        self.addCleanup(store.close)
        return store

    def test_values_reach_every_store(self):
        carbon = self.store(stores.start_carbon())
        web = self.store(stores.start_graphite_web(carbon))
        influxdb = self.store(stores.start_influxdb())
        port = stores.free_port()
        prometheus = self.store(stores.start_prometheus(port))
        listener = self.listener(limit=128).fill(37)
        collectd = stores.collectd(
            stores.graphite_snippet(carbon.port), stores.influxdb_snippet(influxdb.collectd_port),
            stores.prometheus_snippet(port))
        with collectd:
            for read in (
                    lambda: web.latest(f"collectd.{HOSTNAME}.backlog.{listener.name}.queue_length.accept"),
                    lambda: influxdb.latest(listener.name, "queue_length", "accept"),
                    lambda: prometheus.latest("collectd_backlog_queue_length", backlog=listener.name, type="accept")):
                collectd.wait(lambda: read() == 37, 30, "the value")


if __name__ == "__main__":
    main()
