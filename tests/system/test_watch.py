#!/usr/bin/env python3
"""What the entries of Listener and <Watch> mean: names, addresses as people write them, Unix paths, names that another
<Watch> gives; what is expected and was never there; what is watched though Listener does not select it."""

import os
import subprocess

import system_test
from collectd import Collectd
from listeners import candidate_ports
from names import unix_name
from system_test import SystemTest
from net_namespaces import NetNamespace

INTERVAL = 0.25
STATE, MISSING = "gauge-state", 4


def watch(entry, *options):
    return "\n".join([f'<Watch "{entry}">', *options, "</Watch>", ""])


class WatchTest(SystemTest):
    def test_expected_ones_that_were_never_there_are_missing(self):
        folder = self.stable_folder()
        there = self.unix_listener(f"{folder}/there.sock")
        own = self.listener()
        port = next(candidate_ports())
        entries = {f"{folder}/never.sock": unix_name(f"{folder}/never.sock"), "@never": "unix_abstract_never",
                   f"127.0.0.9:{port}": f"tcp_127-0-0-9_{port}", f"[::9]:{port}": f"tcp6_--9_{port}"}
        present = [f"{folder}/there.sock", f"127.0.0.1:{own.port}"]
        config = "MissingAfter 1\n" + "".join(watch(entry, "Expected true") for entry in [*entries, *present])
        collectd = self.collectd(config, interval=INTERVAL)
        for name in entries.values():
            collectd.wait_for_value(name, STATE, MISSING)
        collectd.wait_for_value("host", "count-missing", len(entries))
        self.assertEqual({value for _, value in collectd.values(own.name, STATE)}, {0})
        self.assertEqual({value for _, value in collectd.values(there.name, STATE)}, {0})
        for entry in entries:
            collectd.wait_for_log(f'<Watch "{entry}"> has matched no listener so far'.replace("[", "\\["))
        self.assertEqual(len([line for line in collectd.messages() if "has matched no listener" in line]), len(entries))
        there.close()
        os.unlink(there.address)
        collectd.wait_for_value(there.name, STATE, MISSING)

    def test_what_is_watched_is_selected(self):
        watched, selected, other = self.listener(), self.listener(), self.listener()
        for filters in (f'Listener "{selected.name}"', f'Listener "127.0.0.1:{selected.port}"',
                        f'Listener "{watched.name}"\nListener "{other.name}"\nIgnoreSelected true'):
            with self.subTest(filters=filters):
                config = f"MissingAfter 1\n{filters}\n" + watch(watched.name, "Expected true")
                with Collectd(config, interval=INTERVAL) as collectd:
                    collectd.wait_for_value(watched.name, STATE, 0)
                    collectd.wait(lambda collectd=collectd: selected.name in collectd.listeners(), what="the selected one")
                    collectd.wait_for_intervals(2 + int(1 / INTERVAL))
                    self.assertEqual(collectd.listeners(), {watched.name, selected.name})
                    self.assertEqual({value for _, value in collectd.values("host", "count-missing")}, {0})

    def test_a_watch_selects_the_net_namespace(self):
        blue = NetNamespace(f"blue-{os.getpid()}")
        self.addCleanup(blue.close)
        with blue.entered():
            listener, other = self.listener(), self.listener()
        name, other_name = f"{listener.name}__netns_{blue.name}", f"{other.name}__netns_{blue.name}"
        collectd = self.collectd(watch(name, "Expected true"), interval=INTERVAL)
        collectd.wait_for_value(name, STATE, 0)
        collectd.wait(lambda: other_name in collectd.listeners(), what="all of the namespace")

    def test_a_watch_by_the_name_that_another_gives(self):
        listener = self.listener()
        config = "MissingAfter 1\n" + watch("web", "Expected true") + watch(f"0.0.0.0:{listener.port}") + \
            watch(f"127.0.0.1:{listener.port}", 'Name "web"')
        collectd = self.collectd(config, interval=INTERVAL)
        collectd.wait_for_value("web", STATE, 0)
        collectd.wait_for_intervals(2 + int(1 / INTERVAL))
        values = collectd.values("web", STATE)
        self.assertEqual({value for _, value in values}, {0})
        self.assertEqual(len({time for time, _ in values}), len(values), "two values in one interval")
        listener.close()
        collectd.wait_for_value("web", STATE, MISSING)

    def test_a_listener_with_a_given_name_is_found_by_that_of_its_address(self):
        listener = self.listener()
        table = os.path.join(self.folder(), "table")
        collectd = self.collectd(f'TableFile "{table}"\n' + watch(listener.name, 'Name "web"'), interval=INTERVAL)
        collectd.wait_for_value("web", STATE, 0)
        for name in ("web", listener.name):
            command = [os.environ["BACKLOG_TABLE"], "--table", table, name]
            collectd.wait(lambda command=command: b"web" in subprocess.run(command, capture_output=True, check=False).stdout,
                          what=f"{name} in the table")

    def test_a_given_name_that_is_anothers_own(self):
        folder = self.stable_folder()
        own = self.unix_listener(f"{folder}/own.sock")
        listener = self.listener()
        collectd = self.collectd(watch(listener.name, f'Name "{own.name}"') + watch(own.address), interval=INTERVAL)
        collectd.wait_for_value(listener.name, STATE, 0)
        collectd.wait_for_value(own.name, STATE, 0)
        collectd.wait_for_log(f"the name {own.name}: another listener has it by its address")
        self.assertEqual(len(collectd.messages()), 1, collectd.messages())


class LocalPortsTest(SystemTest):
    def test_reserved_ports_have_series(self):
        """The local port range that tuning guides have, in which services listen."""
        services = [self.listener() for _ in range(4)]
        self.set_sysctl("net.ipv4.ip_local_port_range", "1024 65535")
        collectd = self.collectd(interval=INTERVAL)
        collectd.wait_for_value("tcp_unstable", "queue_length-limit", sum(service.limit for service in services))
        collectd.wait_for_log("net.ipv4.ip_local_port_range")
        self.assertEqual(collectd.listeners(), set())
        self.set_sysctl("net.ipv4.ip_local_reserved_ports", ",".join(str(service.port) for service in services))
        collectd.wait(lambda: collectd.listeners() == {service.name for service in services}, what="a series for each")
        self.assertEqual(len([line for line in collectd.messages() if "port_range" in line]), 1)


if __name__ == "__main__":
    system_test.main()
