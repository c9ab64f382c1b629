"""The real monitoring systems, private to a test: what is unpacked below a root (conf/packaging/packages.sh) lies
over /usr and /etc, in the mounts of the test alone.

Environment (set by ctest from CMake), beside that of tests/system/collectd.py and tests/snmp/snmp_harness.py:
  NMS_ROOT      the root; may be empty
  BACKLOG_CONF  the folder of the shipped configuration, conf/
"""

import ctypes
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
for folder in ("snmp", "system"):
    sys.path.insert(0, str(HERE.parent / folder))
import snmp_processes  # noqa: E402
import system_test  # noqa: E402
import table_writer  # noqa: E402, F401
from system_test import SystemTest, skip  # noqa: E402

CONF = pathlib.Path(os.environ["BACKLOG_CONF"])
NMS = CONF / "nms"
CHECK_BACKLOG = pathlib.Path(os.environ["BACKLOG_TABLE"]).with_name("check_backlog")
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 1 << 18
NAGIOS, STRANGER = "nagios", "stranger"  # of them the group backlog has the first
IDS = {NAGIOS: 64901, STRANGER: 64902, "backlog": 64903}  # no package has these

_libc = ctypes.CDLL(None, use_errno=True)


def _call(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def mount(source, target, kind="", options=""):
    subprocess.run(["mount", *(["-t", kind] if kind else []), *(["-o", options] if options else []), source, target],
                   check=True, capture_output=True, text=True)


def _accounts(folder):
    """The system's accounts, and those that the tests have."""
    for name, lines in (("passwd", [f"{user}:x:{IDS[user]}:{IDS[user]}::/:/bin/sh" for user in (NAGIOS, STRANGER)]),
                        ("group", [*(f"{user}:x:{IDS[user]}:" for user in (NAGIOS, STRANGER)),
                                   f"backlog:x:{IDS['backlog']}:{NAGIOS}"])):
        own = tuple(f"{account}:" for account in IDS)
        system = [line for line in pathlib.Path("/etc", name).read_text().splitlines() if not line.startswith(own)]
        (folder / name).write_text("\n".join([*system, *lines, ""]))


def lay_over(root, files=()):
    """Lays what is unpacked over the system, for this process and those that it starts; files: {name: text} in /etc
    above that. For setUpModule: the mounts end with the process."""
    if os.geteuid() != 0:
        skip("needs root, or user namespaces")
    _call(_libc.unshare(CLONE_NEWNS))
    _call(_libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None))
    top = pathlib.Path(tempfile.mkdtemp(prefix="collectd-backlog-etc-"))
    try:
        mount("tmpfs", top, "tmpfs", "mode=755")
        _accounts(top)
        for name, text in dict(files).items():
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_text(text)
        for folder, above in (("etc", [top]), ("usr", [])):
            layers = [*above, *([pathlib.Path(root, folder)] if root else []), pathlib.Path("/", folder)]
            if len(layers) > 1:
                mount("overlay", f"/{folder}", "overlay", "lowerdir=" + ":".join(map(str, layers)))
    except subprocess.CalledProcessError as error:
        skip(f"no mount: {error.stderr.strip()}")
    finally:
        subprocess.run(["umount", "--lazy", top], check=False, capture_output=True)
        top.rmdir()


def shipped(file, substitutions=()):
    """The text of a file of conf/nms with texts of it replaced; each must be in it."""
    text = (NMS / file).read_text(encoding="utf-8")
    for old, new in dict(substitutions).items():
        if old not in text:
            raise AssertionError(f"{file} has no {old}")
        text = text.replace(old, str(new))
    return text


class NmsTest(SystemTest):
    def setUp(self):
        self.directory = pathlib.Path(self.folder())
        self.directory.chmod(0o755)
        self.table = self.directory / "table"

    def publish(self, *listeners, **options):
        """For all to read, unless it is there already with another mode."""
        old = self.table.stat() if self.table.exists() else None
        table_writer.publish(self.table, table_writer.table(listeners, **options))
        if old:
            os.chown(self.table, old.st_uid, old.st_gid)
            self.table.chmod(old.st_mode & 0o777)

    def start(self, *arguments, name, **environment):
        process = snmp_processes.Process([str(argument) for argument in arguments], dict(os.environ, **environment),
                                       self.directory / name)
        self.addCleanup(process.stop, signal.SIGKILL)
        return process

    @staticmethod
    def run_program(*arguments, check=True, **options):
        result = subprocess.run([str(argument) for argument in arguments], check=False, text=True, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, **options)
        if check and result.returncode != 0:
            raise AssertionError(f"{arguments}: status {result.returncode}\n{result.stdout}")
        return result


def main(root, *programs):
    """programs: those that have to be below the root, or in the system."""
    for program in programs:
        if not any(pathlib.Path(folder, program).exists() for folder in ("/usr", os.path.join(root or "/", "usr"))):
            skip(f"{program} is missing (tests/run unpacks it)")
    system_test.main()
