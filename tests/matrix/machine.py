"""A virtual machine under QEMU that boots a kernel with a user land, runs commands and reports what they did."""

import json
import lzma
import os
import pathlib
import re
import subprocess
import time

GUEST = pathlib.Path(__file__).parent / "guest"
# What the initramfs needs to reach the disks; what these depend on comes with them.
DISK_MODULES = ("virtio_pci", "virtio_blk", "crc32c_generic", "ext4")
TAIL = 25  # lines of a console that are shown


def newc(entries):
    """A cpio archive as the kernel takes it, of (name, mode, content)."""
    archive = bytearray()
    for number, (name, mode, content) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        archive += b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        archive += b"\0" * (-len(archive) % 4) + content
        archive += b"\0" * (-len(archive) % 4)
    return bytes(archive)


def module_files(folder):
    """The files of DISK_MODULES in the order of loading, by the modules.dep of a release's folder."""
    depends = {}
    for line in (folder / "modules.dep").read_text(encoding="ascii").splitlines():
        file, _, needed = line.partition(":")
        depends[file] = needed.split()
    names = {re.sub(r"\.ko.*", "", pathlib.PurePath(file).name).replace("-", "_"): file for file in depends}
    order = []
    for name in DISK_MODULES:
        if name in names:  # else it is built in
            order += [*reversed(depends[names[name]]), names[name]]
    return [folder / file for file in dict.fromkeys(order)]


def initramfs(busybox, modules, job):
    entries = [("bin", 0o40755, b""), ("modules", 0o40755, b""), ("bin/busybox", 0o100755, busybox.read_bytes())]
    order = []
    for file in module_files(modules):
        content = file.read_bytes()
        order.append(file.name.removesuffix(".xz"))
        if file.suffix == ".xz":
            content = lzma.decompress(content)
        entries.append((f"modules/{order[-1]}", 0o100644, content))
    entries += [("modules/order", 0o100644, "".join(f"{name}\n" for name in order).encode()),
                ("init", 0o100755, (GUEST / "initramfs_init").read_bytes()),
                ("user_land_init", 0o100755, (GUEST / "user_land_init").read_bytes()),
                ("agent", 0o100755, (GUEST / "agent.py").read_bytes()),
                ("matrix.service", 0o100644, (GUEST / "matrix.service").read_bytes()),
                ("job.json", 0o100644, json.dumps(job).encode())]
    return newc(entries)


def arguments(disks, kernel, initrd, command_line, folder, *, cpus, memory):
    command = ["qemu-system-x86_64", "-machine", "q35", "-display", "none", "-no-reboot", "-nic", "none",
               "-m", str(memory), "-smp", str(cpus)]
    if os.environ.get("MATRIX_KVM") == "on":
        command += ["-accel", "kvm", "-cpu", "host"]
    else:
        command += ["-accel", "tcg,thread=multi", "-cpu", "max"]
    for disk in disks:
        command += ["-drive", f"file={disk},format=raw,if=virtio,snapshot=on,cache=unsafe"]
    return command + ["-kernel", str(kernel), "-initrd", str(initrd), "-append", command_line,
                      "-serial", f"file:{folder}/console", "-serial", f"file:{folder}/report"]


def read_report(file):
    """The objects of the lines that are complete."""
    text = file.read_text(encoding="ascii", errors="replace") if file.exists() else ""
    lines = text.split("\n")[:-1]
    return [json.loads(line) for line in lines if line.strip().startswith("{")]


def run(command, folder, silent_s, say):
    """Runs QEMU until it ends, or says nothing for so long. Returns why it is not well, or None."""
    console, report = folder / "console", folder / "report"
    for file in (console, report):
        file.write_bytes(b"")
    told, last_size, last_change = 0, -1, time.monotonic()
    with open(folder / "qemu", "wb") as log, subprocess.Popen(
            ["nice", "-n", "15", *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log) as qemu:
        try:
            while True:
                ended = qemu.poll() is not None
                objects = read_report(report)
                for each in objects[told:]:
                    say(each)
                told = len(objects)
                if ended:
                    break
                size = console.stat().st_size + report.stat().st_size
                if size != last_size:
                    last_size, last_change = size, time.monotonic()
                if time.monotonic() - last_change > silent_s:
                    return f"it has said nothing for {silent_s} s"
                time.sleep(0.2)
        finally:
            if qemu.poll() is None:
                qemu.kill()
    if qemu.returncode != 0:
        return f"QEMU ended with {qemu.returncode}: {(folder / 'qemu').read_text(errors='replace').strip()[-400:]}"
    return None if any("end" in each for each in read_report(report)) else "it ended before its tests did"


def tail(folder):
    lines = (folder / "console").read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-TAIL:])
