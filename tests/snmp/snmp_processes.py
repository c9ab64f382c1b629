"""Programs that a test runs, and the subagent among them."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "system"))
from processes import die_with_parent  # noqa: E402


class Process:
    """A program of the test's; ended with it."""

    def __init__(self, arguments, environment, output):
        self.output_file = output
        with open(output, "ab") as file:
            self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                                            env=environment, preexec_fn=die_with_parent)
        self.pid = self.process.pid

    def output(self):
        return self.output_file.read_text(encoding="utf-8", errors="replace")

    def send_signal(self, number):
        os.kill(self.pid, number)

    def running(self):
        return self.process.poll() is None

    def stop(self, number=signal.SIGTERM, timeout=10):
        """The seconds that it took to end."""
        start = time.monotonic()
        if self.running():
            self.send_signal(number)
            if number != signal.SIGKILL and self._is_stopped():
                self.send_signal(signal.SIGCONT)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(timeout)
                raise AssertionError(f"{self.process.args[0]} did not end:\n{self.output()}") from None
        return time.monotonic() - start

    def _is_stopped(self):
        return pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mib(self):
        return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{self.pid}/status").read_text())[1]) / 1024


class Subagent(Process):
    """It ends with 0, and no sanitizer has found anything."""

    def stop(self, number=signal.SIGTERM, timeout=10):
        seconds = super().stop(number, timeout)
        output = self.output()
        if re.search(r"Sanitizer|runtime error", output):
            raise AssertionError(output)
        if number == signal.SIGTERM and self.process.returncode != 0:
            raise AssertionError(f"the subagent's status is {self.process.returncode}:\n{output}")
        return seconds
