"""Real stores, private and on loopback, and collectd with the shipped snippets that feed them.

Each start_...() returns once the store answers; the object has its addresses, and close().

Environment (set by ctest from CMake), beside that of tests/system/collectd.py:
  STORES_ROOT   the root below which the stores are unpacked; may be empty
  BACKLOG_CONF  the folder of the shipped configuration, conf/
"""

import os
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "system"))
import kernel  # noqa: E402
import system_test  # noqa: E402
from collectd import Collectd  # noqa: E402
from snippets import snippet  # noqa: E402
from store import LOOPBACK, PASSWORD, USER  # noqa: E402
from store_programs import library_environment, program  # noqa: E402


def set_up_network():
    """For setUpModule, in a net namespace of the test's own: write_prometheus does not listen where
    loopback has the only addresses."""
    kernel.run("ip", "address", "add", "192.0.2.1/32", "dev", "lo")  # RFC 5737


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
