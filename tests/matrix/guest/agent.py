#!/usr/bin/env python3
"""Runs in a guest: the commands of its job, one after the other. What each did goes to the second serial port, one
JSON object a line:

    {"boot": {...}}                                        once, what this guest is
    {"name": ..., "status": ..., "seconds": ..., "output": ...}   of each command: passed, failed, skipped or late
    {"end": true}                                          once, when all have run
"""

import json
import os
import pathlib
import platform
import resource
import signal
import subprocess
import sys
import time

JOB = pathlib.Path("/matrix.json")
REPORT = "/dev/ttyS1"
SKIPPED = 77
MOST_OUTPUT = 30000
MOST_DESCRIPTORS = 1 << 19  # as systemd's default, whichever init this guest has


def release_of_user_land():
    for line in pathlib.Path("/etc/os-release").read_text(encoding="utf-8").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return "?"


def package_version(name):
    done = subprocess.run(["dpkg-query", "-W", "-f=${Version}", name], capture_output=True, text=True, check=False)
    return done.stdout or None


def boot():
    return {"kernel": platform.release(), "user_land": release_of_user_land(),
            "collectd": package_version("collectd-core"),
            "uptime_s": float(pathlib.Path("/proc/uptime").read_text(encoding="ascii").split()[0]), "pid": os.getpid(),
            "init": pathlib.Path("/proc/1/comm").read_text(encoding="ascii").strip(), "cpus": os.cpu_count(),
            "modules": [line.split()[0] for line in open("/proc/modules", encoding="ascii")]}


def mount(path):
    """The image has source and build below their own absolute paths, of which the tests know."""
    pathlib.Path(path).mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "--bind", f"/matrix{path}", path], check=True)


def run(test):
    began = time.monotonic()
    environment = dict(os.environ, **test["environment"])
    with subprocess.Popen(test["command"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env=environment, start_new_session=True, cwd="/tmp") as process:
        try:
            output, _ = process.communicate(timeout=test["timeout"])
            status = {0: "passed", SKIPPED: "skipped"}.get(process.returncode, "failed")
            if status == "failed":
                output += f"\n(exit status {process.returncode})".encode()
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            status = "late"
    return {"name": test["name"], "status": status, "seconds": round(time.monotonic() - began, 1),
            "output": output.decode("utf-8", errors="replace")[-MOST_OUTPUT:]}


def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, MOST_DESCRIPTORS))
    job = json.loads(JOB.read_text(encoding="utf-8"))
    with open(REPORT, "w", encoding="ascii") as report:
        def tell(what):
            print(json.dumps(what), file=report, flush=True)
        tell({"boot": boot()})
        for path in job["mounts"]:
            mount(path)
        for test in job["tests"]:
            print(f"matrix: {test['name']}", flush=True)
            done = run(test)
            print(f"matrix: {test['name']}: {done['status']}, {done['seconds']} s", flush=True)
            tell(done)
        tell({"end": True})


if __name__ == "__main__":
    sys.exit(main())
