#!/usr/bin/env python3
"""The packages in a bare system: installed, upgraded, removed and purged, with the real dpkg and the
real collectd.

Environment (set by run, which also makes the namespaces that this runs in):
  PACKAGES   the folder of the packages
  BASE       a bare system with all that the packages depend on
  SCRATCH    a folder for copies of it
"""

import contextlib
import hashlib
import os
import pathlib
import re
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
import unittest

PACKAGES = pathlib.Path(os.environ["PACKAGES"])
BASE = pathlib.Path(os.environ["BASE"])
SCRATCH = pathlib.Path(os.environ["SCRATCH"])

SNIPPET = "etc/collectd/collectd.conf.d/backlog.conf"
EDIT = "\n<Plugin backlog>\n  WarningPercent 70\n</Plugin>\n"
# dpkg's own records, logs, caches, and the copies and the lock that adduser leaves.
NOT_OURS = ("proc", "sys", "dev", "var/lib/dpkg", "var/log", "var/cache", "etc/group-", "etc/gshadow-", "run/adduser")


def run(*command, **options):
    result = subprocess.run(command, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            stdin=subprocess.DEVNULL, **options)
    if result.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: status {result.returncode}\n{result.stdout}")
    return result.stdout


def packages():
    """{name: file}"""
    return {file.name.split("_")[0]: file for file in sorted(PACKAGES.glob("*.deb"))}


def field(package, name):
    return run("dpkg-deb", "-f", package, name).strip()


def wait_until(condition, what, timeout=30):
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout} s in vain for {what}")
        time.sleep(0.05)


def next_version(package, folder):
    """The package again with a higher version, and another snippet if it has one."""
    tree = pathlib.Path(folder, package.stem)
    run("dpkg-deb", "-R", package, tree)
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^Version: (.*)-", r"Version: \1.1-", control.read_text()))
    if (tree / SNIPPET).exists():
        (tree / SNIPPET).write_text((tree / SNIPPET).read_text() + "# The next version.\n")
        files = [line.split("  ", 1)[1] for line in (tree / "DEBIAN/md5sums").read_text().splitlines()]
        (tree / "DEBIAN/md5sums").write_text("".join(
            f"{hashlib.md5((tree / file).read_bytes()).hexdigest()}  {file}\n" for file in files))
    result = pathlib.Path(folder, f"{package.stem}.next.deb")
    run("dpkg-deb", "-b", "--root-owner-group", tree, result)
    return result


def changes(before, after):
    return {path: (before.get(path), after.get(path)) for path in before.keys() | after.keys()
            if before.get(path) != after.get(path)}


class System:
    """A copy of the bare system."""

    def __init__(self, test):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="packages-system.", dir=SCRATCH))
        test.addCleanup(shutil.rmtree, self.root)
        run("cp", "-a", "--reflink=auto", f"{BASE}/.", self.root)
        run("mount", "-t", "proc", "proc", self.root / "proc")
        test.addCleanup(run, "umount", "-l", self.root / "proc")
        self.test = test

    def command(self, *command):
        return ("chroot", self.root, "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8",
                "DEBIAN_FRONTEND=noninteractive", *command)

    def run(self, *command):
        return run(*self.command(*command))

    def fails(self, *command):
        return subprocess.run(self.command(*command), check=False, stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0

    def path(self, name):
        return self.root / str(name).lstrip("/")

    def install(self, *files):
        """An operator who is not asked keeps what is there, as with unattended upgrades."""
        folder = self.path("tmp")
        for file in files:
            shutil.copy(file, folder)
        output = self.run("dpkg", "--force-confdef", "--force-confold", "-i", *(f"/tmp/{file.name}" for file in files))
        for file in files:
            (folder / file.name).unlink()
        return output

    def remove(self, *names):
        return self.run("dpkg", "--remove", *names)

    def purge(self, *names):
        return self.run("dpkg", "--purge", *names)

    def files(self):
        """{path: what can be told of it} of all that packages may leave behind."""
        found = {}
        for folder, folders, names in os.walk(self.root):
            inside = os.path.relpath(folder, self.root)
            folders[:] = [name for name in folders if os.path.normpath(os.path.join(inside, name)) not in NOT_OURS]
            for name in folders + names:
                path = os.path.normpath(os.path.join(inside, name))
                status = os.lstat(os.path.join(folder, name))
                content = ""
                if stat.S_ISLNK(status.st_mode):
                    content = os.readlink(os.path.join(folder, name))
                elif stat.S_ISREG(status.st_mode) and path.startswith("etc/"):
                    content = pathlib.Path(folder, name).read_bytes()
                if path not in NOT_OURS:
                    found[path] = (stat.filemode(status.st_mode), status.st_uid, status.st_gid, content)
        return found

    def config(self, more=""):
        """What collectd-core's user writes: it includes the folder of the snippet, as the package collectd does."""
        folder = self.path("tmp/collectd")
        folder.mkdir(exist_ok=True)
        (folder / "collectd.conf").write_text(f"""
Hostname "here"
BaseDir "/tmp/collectd"
PIDFile "/tmp/collectd/pid"
LoadPlugin logfile
<Plugin logfile>
  File "/tmp/collectd/log"
</Plugin>
LoadPlugin csv
<Plugin csv>
  DataDir "/tmp/collectd/csv"
  StoreRates false
</Plugin>
<Include "/etc/collectd/collectd.conf.d">
  Filter "*.conf"
</Include>
{more}""")
        return "/tmp/collectd/collectd.conf"

    @contextlib.contextmanager
    def collectd(self, config):
        process = subprocess.Popen(self.command("collectd", "-f", "-C", config), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)
            shutil.rmtree(self.path("tmp/collectd"))

    def pretend_systemd(self):
        """The scripts of packages ask for /run/systemd/system; this systemctl only writes down what it is asked."""
        self.path("run/systemd/system").mkdir(parents=True)
        log = self.path("tmp/systemctl.log")
        log.touch()
        systemctl = self.path("usr/local/bin/systemctl")
        systemctl.write_text('#!/bin/sh\necho "$*" >>/tmp/systemctl.log\n')
        systemctl.chmod(0o755)
        self.path("usr/bin/systemctl").symlink_to("/usr/local/bin/systemctl")

        def asked():
            lines = log.read_text().splitlines()
            log.write_text("")
            return lines
        return asked


@contextlib.contextmanager
def listener(waiting):
    """With so many connections that nobody accepts."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=8))
        for _ in range(waiting):
            stack.enter_context(socket.create_connection(server.getsockname()))
        yield f"tcp_127-0-0-1_{server.getsockname()[1]}"


class PluginTest(unittest.TestCase):
    def setUp(self):
        self.package = packages()["collectd-backlog"]
        self.system = System(self)

    def last_value(self, name, value):
        """As the csv plugin writes it."""
        for file in self.system.path("tmp/collectd/csv/here").glob(f"backlog-{name}/{value}-20*"):
            lines = file.read_text().splitlines()
            if len(lines) > 1:
                return float(lines[-1].split(",")[1])
        return None

    def check_reading(self, with_table=False):
        """Twice: once with -T, whose status tells, and once for a value, and the table one interval later."""
        with listener(waiting=3) as name:
            config = self.system.config(f'<Plugin backlog>\n<Watch "{name}">\n</Watch>\n</Plugin>\n')
            self.system.run("collectd", "-T", "-C", config)
            with self.system.collectd(config):
                wait_until(lambda: self.last_value(name, "queue_length-accept") == 3, "three waiting connections")
                if with_table:
                    wait_until(self.system.path("run/collectd-backlog/table").exists, "the table")
                    self.assertIn(name, self.system.run("backlog-table"))
                    self.assertIn(name, self.system.run("/usr/lib/nagios/plugins/check_backlog", "-n", name))

    def check_without_plugin(self):
        self.system.run("collectd", "-T", "-C", self.system.config("LoadPlugin cpu\n"))
        shutil.rmtree(self.system.path("tmp/collectd"))

    def test_life(self):
        system = self.system
        before = system.files()
        system.install(self.package)
        self.assertTrue(system.path("usr/lib/collectd/backlog.so").is_file())
        self.assertTrue(system.path("run/collectd-backlog").is_dir())
        usage = subprocess.run(system.command("/usr/lib/nagios/plugins/check_backlog", "-h"), check=False, text=True,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.assertEqual(usage.returncode, 3)
        self.assertIn("usage: check_backlog", usage.stdout)
        self.assertEqual(system.run("dpkg", "--verify", "collectd-backlog"), "")
        self.check_reading(with_table=True)

        # The operator's changes survive an upgrade,
        shipped = system.path(SNIPPET).read_text()
        system.path(SNIPPET).write_text(shipped + EDIT)
        system.install(next_version(self.package, self.scratch()))
        self.assertEqual(system.path(SNIPPET).read_text(), shipped + EDIT)
        self.assertIn("The next version.", system.path(SNIPPET + ".dpkg-dist").read_text())
        system.path(SNIPPET + ".dpkg-dist").unlink()
        self.check_reading()

        # a removal, after which collectd can still be started,
        system.remove("collectd-backlog")
        left = set(system.files()) - set(before)
        self.assertEqual(left, {"etc/collectd/collectd.conf.d", SNIPPET + ".disabled"})
        self.check_without_plugin()
        system.path(SNIPPET).write_text(shipped)
        self.assertTrue(system.fails("collectd", "-T", "-C", system.config()), "then nothing had to be put aside")
        system.path(SNIPPET).unlink()
        shutil.rmtree(system.path("tmp/collectd"))

        # and an installation after that.
        system.install(self.package)
        self.assertEqual(system.path(SNIPPET).read_text(), shipped + EDIT)
        self.check_reading()

        system.purge("collectd-backlog")
        self.assertEqual(changes(before, system.files()), {})

    def test_purge_after_removal(self):
        before = self.system.files()
        self.system.install(self.package)
        self.system.remove("collectd-backlog")
        self.system.purge("collectd-backlog")
        self.assertEqual(changes(before, self.system.files()), {})

    def test_a_snippet_as_shipped_is_replaced(self):
        system = self.system
        system.install(self.package)
        system.install(next_version(self.package, self.scratch()))
        self.assertIn("The next version.", system.path(SNIPPET).read_text())

    def test_a_snippet_that_the_operator_removed_stays_away(self):
        system = self.system
        system.install(self.package)
        system.path(SNIPPET).unlink()
        system.install(next_version(self.package, self.scratch()))
        self.assertFalse(system.path(SNIPPET).exists())
        system.remove("collectd-backlog")
        system.purge("collectd-backlog")

    def test_the_snippet_without_its_comment_signs(self):
        system = self.system
        system.install(self.package)
        text = system.path(SNIPPET).read_text()
        block = re.search(r"^#<Plugin backlog>\n.*^#</Plugin>\n", text, re.DOTALL | re.MULTILINE)[0]
        plain = re.sub("^#", "", block, flags=re.MULTILINE)
        self.assertIn("\n  WarningPercent 80\n", plain)
        for changed, fails in ((plain, False), (plain.replace("WarningPercent 80", "WarningPercent 800"), True)):
            system.path(SNIPPET).write_text(text.replace(block, changed))
            self.assertEqual(system.fails("collectd", "-T", "-C", system.config()), fails)

    def test_collectd_is_left_alone(self):
        system = self.system
        asked = system.pretend_systemd()
        system.install(self.package)
        with system.collectd(system.config()) as process:
            log = system.path("tmp/collectd/log")
            wait_until(lambda: log.exists() and "entering read-loop" in log.read_text(), "collectd")
            system.install(next_version(self.package, self.scratch()))
            system.remove("collectd-backlog")
            system.purge("collectd-backlog")
            self.assertIsNone(process.poll())
            self.assertNotIn("Exiting", log.read_text())
        self.assertEqual([line for line in asked() if "collectd" in line], [])

    def scratch(self):
        folder = tempfile.TemporaryDirectory(dir=SCRATCH)
        self.addCleanup(folder.cleanup)
        return folder.name


@unittest.skipUnless("backlog-agentx" in packages(), "built without SNMP")
class AgentxTest(unittest.TestCase):
    UNIT = "backlog-agentx.service"
    LINK = "etc/systemd/system/multi-user.target.wants/backlog-agentx.service"

    def setUp(self):
        self.package = packages()["backlog-agentx"]
        self.system = System(self)

    def test_without_systemd(self):
        system = self.system
        before = system.files()
        system.install(self.package)
        self.assertIn("backlog:", system.path("etc/group").read_text())
        self.assertIn("--root OID", system.run("backlog-agentx", "--help"))
        system.remove("backlog-agentx")
        system.purge("backlog-agentx")
        self.assertEqual(changes(before, system.files()), {})

    def test_the_service_is_the_operators(self):
        system = self.system
        asked = system.pretend_systemd()
        before = system.files()
        system.install(self.package)
        self.assertEqual([line for line in asked() if line != "--system daemon-reload"], [])
        self.assertFalse(system.path(self.LINK).is_symlink())

        # Enabled as `systemctl enable` does it.
        system.path(self.LINK).parent.mkdir(parents=True, exist_ok=True)
        system.path(self.LINK).symlink_to(f"/usr/lib/systemd/system/{self.UNIT}")
        with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
            system.install(next_version(self.package, folder))
        self.assertIn(f"try-restart {self.UNIT}", "\n".join(asked()))
        self.assertTrue(system.path(self.LINK).is_symlink())

        system.remove("backlog-agentx")
        self.assertIn(f"stop {self.UNIT}", "\n".join(asked()))
        system.purge("backlog-agentx")
        self.assertEqual(changes(before, system.files()), {})

    def test_unit(self):
        self.system.install(self.package)
        unit = self.system.path(f"usr/lib/systemd/system/{self.UNIT}").read_text()
        self.assertIn("ExecStart=/usr/sbin/backlog-agentx ", unit)


@unittest.skipUnless("backlog-mibs" in packages(), "built without SNMP")
class MibsTest(unittest.TestCase):
    def test_life(self):
        system = System(self)
        before = system.files()
        system.install(packages()["backlog-mibs"])
        for module in ("BACKLOG-MIB", "BACKLOG-ROOT-MIB"):
            text = system.path(f"usr/share/snmp/mibs/{module}.txt").read_text()
            self.assertTrue(text.startswith(f"{module} DEFINITIONS") or f"\n{module} DEFINITIONS" in text)
        system.purge("backlog-mibs")
        self.assertEqual(changes(before, system.files()), {})


class ContentsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(dir=SCRATCH)
        self.addCleanup(folder.cleanup)
        self.trees = {}
        for name, package in packages().items():
            self.trees[name] = pathlib.Path(folder.name, name)
            run("dpkg-deb", "-x", package, self.trees[name])

    def test_lintian(self):
        for name, package in packages().items():
            with self.subTest(package=name):
                output = run("lintian", "--allow-root", "--fail-on", "error,warning", package)
                self.assertEqual(re.findall(r"^[EW]:.*", output, re.MULTILINE), [])

    def test_dependencies(self):
        depends = field(packages()["collectd-backlog"], "Depends")
        for wanted in ("collectd-core (>= 5.12~)", "collectd-core (<< 6~)", "libc6 (>=", "libmnl0", "libstdc++6"):
            self.assertIn(wanted, depends)

    def test_documentation(self):
        for name, tree in self.trees.items():
            for file in ("copyright", "changelog.Debian.gz"):
                self.assertTrue((tree / "usr/share/doc" / name / file).is_file(), f"{file} of {name}")

    def test_hardening(self):
        """Position independent, relocations read-only and resolved at the start, a guarded stack, checked calls."""
        seen = 0
        for tree in self.trees.values():
            for file in tree.rglob("*"):
                if file.is_symlink() or not file.is_file() or file.read_bytes()[:4] != b"\x7fELF":
                    continue
                seen += 1
                with self.subTest(file=file.name):
                    text = run("readelf", "-hldW", file)
                    self.assertRegex(text, r"Type:\s+DYN")
                    self.assertIn("GNU_RELRO", text)
                    self.assertIn("BIND_NOW", text)
                    self.assertRegex(text, r"GNU_STACK.* RW ")
                    symbols = run("readelf", "--dyn-syms", "-W", file)
                    self.assertIn("__stack_chk_fail", symbols)
                    self.assertRegex(symbols, r"__\w+_chk\b")
                    self.assertNotIn(".debug_info", run("readelf", "-SW", file))
        self.assertGreater(seen, 0)


if __name__ == "__main__":
    run("mount", "--make-rprivate", "/")
    run("ip", "link", "set", "lo", "up")
    unittest.main(verbosity=2)
