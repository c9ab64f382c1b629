#!/usr/bin/env python3
"""The packages in a bare system: installed, upgraded, removed and purged, with the real dpkg and rpm and
the real collectd.

Environment (set by run, which also makes the namespaces that this runs in):
  PACKAGES   the folder of the packages, with those for rpm, if there are any, in rpm1 and, as their next
             release, in rpm2
  BASE       a bare system with all that the packages depend on, and systemd
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
NOT_OURS = ("proc", "sys", "dev", "var/lib/dpkg", "var/lib/rpm", "var/log", "var/cache", "etc/group-", "etc/gshadow-",
            "run/adduser")
DEBIAN_ONLY = re.compile(r"/changelog\.Debian\.gz$|/usr/share/lintian/")


def run(*command, **options):
    result = subprocess.run(command, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            stdin=subprocess.DEVNULL, **options)
    if result.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: status {result.returncode}\n{result.stdout}")
    return result.stdout


def packages(debug=False):
    """{name: file}, of the packages or of those of their debug symbols"""
    files = {file.name.split("_")[0]: file for file in sorted(PACKAGES.glob("*.deb"))}
    return {name: file for name, file in files.items() if name.endswith("-dbgsym") == debug}


def rpms(release):
    """Likewise."""
    return {file.name.rsplit("-", 2)[0]: file for file in sorted(PACKAGES.glob(f"rpm{release}/*.rpm"))}


def listing(package):
    """A line for each file, in order: mode, owner, path, target of a link."""
    if package.suffix == ".rpm":
        text = run("rpm", "-qp", "--qf", "[%{FILEMODES:perms} %{FILEUSERNAME}/%{FILEGROUPNAME} %{FILENAMES} -> "
                   "%{FILELINKTOS}\n]", package)
        lines = [line.removesuffix(" -> ") for line in text.splitlines() if "/usr/lib/.build-id" not in line]
    else:
        lines = [re.sub(r"^(\S+ \S+) +\d+ \S+ \S+ \.", r"\1 ", line)
                 for line in run("dpkg-deb", "-c", package).splitlines()]
    lines = [re.sub(r"/\w{2}/\w+\.debug$", "/BUILD-ID.debug", line) for line in lines if not line.startswith("d")]
    return sorted(lines, key=lambda line: line.split()[2])


def wanted_listings():
    """{name: listing}, of contents.txt"""
    text = pathlib.Path(__file__).with_name("contents.txt").read_text(encoding="ascii")
    return {lines[0]: lines[1:] for lines in (part.splitlines() for part in text.split("\n\n"))}


def elf_files(tree):
    for file in tree.rglob("*"):
        if not file.is_symlink() and file.is_file() and file.read_bytes()[:4] == b"\x7fELF":
            yield file


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

    def rpm(self, *arguments):
        """Without dependencies: those are here, but in dpkg's records."""
        return run("rpm", "--root", self.root, "--dbpath", "/var/lib/rpm", "--force-debian", "--nodeps", *arguments)

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
        """The scripts of packages ask for /run/systemd/system; this systemctl only writes down what it is asked, and
        answers that what is enabled is not at work."""
        self.path("run/systemd/system").mkdir(parents=True)
        log = self.path("tmp/systemctl.log")
        log.touch()
        systemctl = self.path("usr/local/bin/systemctl")
        systemctl.write_text(
            '#!/bin/sh\n'
            'case $* in\n'
            '*is-enabled*) [ -L "/etc/systemd/system/multi-user.target.wants/${*##* }" ] && echo enabled ;;\n'
            '*is-active*) exit 3 ;;\n'
            '*) echo "$*" >>/tmp/systemctl.log ;;\n'
            'esac\n')
        systemctl.chmod(0o755)
        self.path("usr/bin/systemctl").unlink()
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
                    check = ["/usr/lib/nagios/plugins/check_backlog", "-n", name]
                    self.assertIn(name, self.system.run(*check))
                    # As Nagios, whose user has been added to the group, and as anybody.
                    as_nobody = ["setpriv", "--reuid", "nobody", "--regid", "nogroup"]
                    self.assertIn(name, self.system.run(*as_nobody, "--groups", "backlog", *check))
                    outside = subprocess.run(self.system.command(*as_nobody, "--clear-groups", *check), check=False, text=True,
                                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
                    self.assertIn("add the user to it: adduser nobody backlog", outside.stdout)

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

    def owner_and_mode(self, path):
        status = self.system.path(path).stat()
        return status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)

    def test_the_folder_of_the_table(self):
        """By systemd-tmpfiles: of whom the operator says."""
        system = self.system
        system.install(self.package)
        self.assertEqual(self.owner_and_mode("run/collectd-backlog"), (0, 0, 0o755))
        system.purge("collectd-backlog")

        shipped = self.system.path("usr/lib/tmpfiles.d/collectd-backlog.conf")
        self.assertFalse(shipped.exists())
        changed = system.path("etc/tmpfiles.d/collectd-backlog.conf")
        changed.write_text("d /run/collectd-backlog 0750 nobody nogroup -\n")
        system.install(self.package)
        self.assertEqual(self.owner_and_mode("run/collectd-backlog"), (65534, 65534, 0o750))

        # And as at the start of the system.
        changed.unlink()
        system.path("run/collectd-backlog").rmdir()
        system.run("systemd-tmpfiles", "--create", "--boot", "collectd-backlog.conf")
        self.assertEqual(self.owner_and_mode("run/collectd-backlog"), (0, 0, 0o755))

    def test_the_folder_of_the_table_without_systemd(self):
        self.system.path("usr/bin/systemd-tmpfiles").unlink()
        self.system.install(self.package)
        self.assertEqual(self.owner_and_mode("run/collectd-backlog"), (0, 0, 0o755))

    def test_capabilities(self):
        """systemd takes each line of the drop-in, also those behind a #."""
        system = self.system
        system.install(self.package)
        drop_in = system.path("etc/systemd/system/collectd.service.d/backlog.conf")
        drop_in.parent.mkdir()
        text = system.path("usr/share/doc/collectd-backlog/examples/collectd-capabilities.conf").read_text()
        drop_in.write_text(re.sub(r"(?m)^#(\w+=)", r"\1", text))
        self.assertEqual(system.run("systemd-analyze", "verify", "--man=no", "collectd.service"), "")
        drop_in.write_text(drop_in.read_text() + "Nonsense=yes\n")
        self.assertIn("Nonsense", system.run("systemd-analyze", "verify", "--man=no", "collectd.service"))

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
        block = re.search(r"^<Plugin backlog>\n.*^</Plugin>\n", text, re.DOTALL | re.MULTILINE)[0]
        plain = re.sub("^#", "", block, flags=re.MULTILINE)
        self.assertIn("\n  WarningPercent 80\n", plain)
        for changed, fails in ((plain, False), (plain.replace("WarningPercent 80", "WarningPercent 800"), True)):
            system.path(SNIPPET).write_text(text.replace(block, changed))
            self.assertEqual(system.fails("collectd", "-T", "-C", system.config()), fails)

    def test_collectd_is_left_alone(self):
        system = self.system
        asked = system.pretend_systemd()
        self.assertIn("restart collectd, which then loads the plugin.", system.install(self.package))
        with system.collectd(system.config()) as process:
            log = system.path("tmp/collectd/log")
            wait_until(lambda: log.exists() and "entering read-loop" in log.read_text(), "collectd")
            self.assertIn("restart collectd, which still runs the plugin's old version.",
                          system.install(next_version(self.package, self.scratch())))
            self.assertIn("restart collectd, which still runs the plugin.", system.remove("collectd-backlog"))
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
        self.assertIn(f"restart {self.UNIT}", "\n".join(asked()))
        self.assertTrue(system.path(self.LINK).is_symlink())

        # It is at work again after a removal.
        system.remove("backlog-agentx")
        self.assertIn(f"stop {self.UNIT}", "\n".join(asked()))
        system.install(self.package)
        self.assertIn(f"restart {self.UNIT}", "\n".join(asked()))
        self.assertTrue(system.path(self.LINK).is_symlink())
        system.path(self.LINK).unlink()
        system.remove("backlog-agentx")
        asked()
        system.install(self.package)
        self.assertNotIn("start", "\n".join(asked()))
        system.purge("backlog-agentx")
        self.assertEqual(changes(before, system.files()), {})

    def test_the_group_is_of_both(self):
        """It goes with the last of the packages that use it."""
        system = self.system
        before = system.files()
        files = {name: packages()[name] for name in ("collectd-backlog", "backlog-agentx")}
        for first, last in (files, reversed(files)):
            system.install(files[first])
            self.assertIn("backlog:", system.path("etc/group").read_text())
            system.install(files[last])
            system.purge(first)
            self.assertIn("backlog:", system.path("etc/group").read_text())
            system.purge(last)
            self.assertEqual(changes(before, system.files()), {})

    def test_a_group_that_is_named_stays(self):
        """By snmpd's configuration, or collectd's, which does not start with a group that is gone."""
        system = self.system
        for name, line, stays in (("etc/snmp/snmpd.conf.d/own.conf", "agentXPerms 0660 0755 Debian-snmp backlog\n", True),
                                  ("etc/collectd/collectd.conf.d/own.conf", '  TableGroup "backlog"\n', True),
                                  ("etc/collectd/collectd.conf.d/own.conf", '# TableGroup "backlog"\nLoadPlugin backlog\n', False)):
            with self.subTest(line=line):
                system.install(self.package)
                file = system.path(name)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(line)
                output = system.purge("backlog-agentx")
                self.assertEqual("backlog:" in system.path("etc/group").read_text(), stays)
                self.assertEqual(f"the group backlog stays, since /{name} names it" in output, stays, output)
                file.unlink()

    def test_unit(self):
        self.system.install(self.package)
        unit = self.system.path(f"usr/lib/systemd/system/{self.UNIT}")
        self.assertIn("ExecStart=/usr/sbin/backlog-agentx ", unit.read_text())
        self.assertEqual(self.system.run("systemd-analyze", "verify", "--man=no", self.UNIT), "")
        unit.write_text(unit.read_text().replace("ProtectSystem", "ProtectSystems"))
        self.assertIn("ProtectSystems", self.system.run("systemd-analyze", "verify", "--man=no", self.UNIT))


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


@unittest.skipUnless(rpms(1), "rpmbuild is missing")
class RpmTest(unittest.TestCase):
    """rpm, without its distributions."""

    def test_files(self):
        wanted = {name: [line for line in lines if not DEBIAN_ONLY.search(line)]
                  for name, lines in wanted_listings().items() if name in packages()}
        self.assertEqual({name: listing(package) for name, package in rpms(1).items()}, wanted)
        self.assertEqual(run("rpm", "-qpc", rpms(1)["collectd-backlog"]).split(), [f"/{SNIPPET}"])

    def test_life_of_the_plugin(self):
        system = System(self)
        before = system.files()
        old, new = (str(rpms(release)["collectd-backlog"]) for release in (1, 2))
        system.rpm("-i", old)
        self.assertTrue(system.path("run/collectd-backlog").is_dir())
        system.run("collectd", "-T", "-C", system.config())
        shutil.rmtree(system.path("tmp/collectd"))
        system.path(SNIPPET).write_text(system.path(SNIPPET).read_text() + EDIT)
        system.rpm("-U", new)
        self.assertTrue(system.path("run/collectd-backlog").is_dir())
        self.assertTrue(system.path(SNIPPET).read_text().endswith(EDIT))
        system.rpm("-e", "collectd-backlog")
        left = changes(before, system.files())
        # The group stays, as with other packages of this kind.
        self.assertEqual({path for path in left if system.path(path).is_file()},
                         {f"{SNIPPET}.rpmsave", "etc/group", "etc/gshadow"})
        self.assertFalse(system.path("run/collectd-backlog").exists())

    def test_life_of_the_subagent(self):
        system = System(self)
        asked = system.pretend_systemd()
        unit = AgentxTest.UNIT
        old, new = (str(rpms(release)["backlog-agentx"]) for release in (1, 2))
        system.rpm("-i", old)
        self.assertEqual(asked(), ["daemon-reload"])
        self.assertIn("backlog:", system.path("etc/group").read_text())
        system.rpm("-U", new)
        self.assertEqual(asked(), ["daemon-reload"] * 2 + [f"try-restart {unit}"])
        system.rpm("-e", "backlog-agentx")
        self.assertEqual(asked(), [f"--quiet disable --now {unit}", "daemon-reload"])


class DebugTest(unittest.TestCase):
    def test_symbols_of_all_programs(self):
        stripped = packages().keys() - {"backlog-mibs"}
        self.assertEqual(packages(debug=True).keys(), {f"{name}-dbgsym" for name in stripped})
        for name, package in packages(debug=True).items():
            with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
                run("dpkg-deb", "-x", packages()[name.removesuffix("-dbgsym")], f"{folder}/stripped")
                run("dpkg-deb", "-x", package, f"{folder}/symbols")
                identities = {re.search(r"Build ID: (\w+)", run("readelf", "-n", file))[1]
                              for file in elf_files(pathlib.Path(folder, "stripped"))}
                symbols = list(elf_files(pathlib.Path(folder, "symbols")))
                self.assertEqual({file.parent.name + file.stem for file in symbols}, identities)
                for file in symbols:
                    self.assertIn(".debug_info", run("readelf", "-SW", file))

    def test_installation(self):
        system = System(self)
        before = system.files()
        names = ["collectd-backlog", "collectd-backlog-dbgsym"]
        system.install(packages()[names[0]], packages(debug=True)[names[1]])
        self.assertEqual(system.run("dpkg", "--verify", names[1]), "")
        system.purge(*names)
        self.assertEqual(changes(before, system.files()), {})


class ContentsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(dir=SCRATCH)
        self.addCleanup(folder.cleanup)
        self.trees = {}
        for name, package in packages().items():
            self.trees[name] = pathlib.Path(folder.name, name)
            run("dpkg-deb", "-x", package, self.trees[name])

    def test_files(self):
        """As contents.txt has them."""
        for name, package in (packages() | packages(debug=True)).items():
            with self.subTest(package=name):
                self.assertEqual(listing(package), wanted_listings()[name])

    def test_lintian(self):
        """Overrides have no place in packages of debug symbols; what they are for is what the others have."""
        for name, package in (packages() | packages(debug=True)).items():
            suppressed = ("--suppress-tags", "bogus-mail-host") if name.endswith("-dbgsym") else ()
            with self.subTest(package=name):
                output = run("lintian", "--allow-root", "--fail-on", "error,warning", *suppressed, package)
                self.assertEqual(re.findall(r"^[EW]:.*", output, re.MULTILINE), [])

    def test_dependencies(self):
        depends = field(packages()["collectd-backlog"], "Depends")
        for wanted in ("collectd-core (>= 5.12~)", "collectd-core (<< 6~)", "libc6 (>=", "libmnl0", "libstdc++6"):
            self.assertIn(wanted, depends)
        # apt would install those of Recommends as well; the package collectd starts and restarts it.
        self.assertEqual(field(packages()["collectd-backlog"], "Recommends"), "")

    def test_documentation(self):
        for name, tree in self.trees.items():
            for file in ("copyright", "changelog.Debian.gz"):
                self.assertTrue((tree / "usr/share/doc" / name / file).is_file(), f"{file} of {name}")

    def test_hardening(self):
        """Position independent, relocations read-only and resolved at the start, a guarded stack, checked calls."""
        seen = 0
        for tree in self.trees.values():
            for file in elf_files(tree):
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
