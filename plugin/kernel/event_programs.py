#!/usr/bin/env python3
"""Builds the BPF programs event_*.bpf.c and writes them as event_programs.h, which events.cpp includes.

Needs clang 14, llvm-strip 14, bpftool 7.1 and libbpf's headers; whoever builds the plugin needs none of them. The
result is the same byte for byte on every machine that has these versions.
usage: event_programs.py [--check]   --check: compares with event_programs.h instead of writing it
"""
import pathlib
import re
import subprocess
import sys
import tempfile

FOLDER = pathlib.Path(__file__).resolve().parent
PROGRAMS = ("ready", "queued", "dance", "freed", "accepted")
RESULT = FOLDER / "event_programs.h"
COLUMNS = 100
HEAD = """#pragma once

// Made by event_programs.py of the files event_*.bpf.c. License of the programs: Dual MIT/GPL.
// clang-format off

#include "bpf.h"

#include <array>
#include <string_view>

namespace backlog {

using std::string_view_literals::operator""sv;
"""


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=FOLDER).stdout


def include_folders():
    """Where a compiler for this machine looks for asm/types.h."""
    folder = pathlib.Path("/usr/include") / run("clang-14", "-print-multiarch").strip()
    return [f"-I{folder}"] if folder.is_dir() else []


def skeleton(program, folder):
    """The light skeleton that bpftool makes of a program."""
    built = pathlib.Path(folder) / f"{program}.o"
    run("clang-14", "-target", "bpf", "-mcpu=v3", "-O2", "-g", "-Wall", "-Wextra", "-Werror",
        "-Wno-unused-parameter", f"-ffile-prefix-map={FOLDER}=.", *include_folders(),
        "-c", f"event_{program}.bpf.c", "-o", str(built))
    run("llvm-strip-14", "-g", str(built))
    return run("bpftool", "gen", "skeleton", "-L", str(built))


def literal_bytes(text):
    """The bytes of a C string literal that consists of escapes only."""
    text = text.replace("\\\n", "")
    return bytes(0 if escape == "\\0" else int(escape[2:], 16)
                 for escape in re.findall(r"\\x[0-9a-f]{2}|\\0", text))


def members(text, kind):
    return re.findall(rf"struct {kind} (\w+);", text)


def blob(text, name):
    size = int(re.search(rf"opts\.{name}_sz = (\d+);", text)[1])
    content = literal_bytes(re.search(rf"opts\.{name} = \(void \*\)\"(.*?)\";", text, re.S)[1])
    assert len(content) == size, f"{name}: {len(content)} bytes of {size}"
    return content


def escaped(content):
    """Octal where that is shorter; three digits where a digit may follow."""
    lines, line = [], ""
    for i, byte in enumerate(content):
        follows_digit = i + 1 < len(content) and chr(content[i + 1]) in "01234567"
        printable = 32 <= byte < 127 and chr(byte) not in '"\\?'
        text = chr(byte) if printable else f"\\{byte:03o}" if follows_digit else f"\\{byte:o}"
        if len(line) + len(text) > COLUMNS - 6:
            lines.append(line)
            line = ""
        line += text
    return "\n".join(f'    "{text}"' for text in [*lines, line])


def names(given):
    return ", ".join(f'"{name}"sv' for name in given)


def source(program, text):
    maps, programs = members(text, "bpf_map_desc"), members(text, "bpf_prog_desc")
    return f"""
inline constexpr std::array {program}_maps{{{names(maps)}}};
inline constexpr std::array {program}_programs{{{names(programs)}}};
inline constexpr char {program}_data[] =
{escaped(blob(text, 'data'))};
inline constexpr char {program}_instructions[] =
{escaped(blob(text, 'insns'))};
inline constexpr BpfObject {program}_object{{
    .maps = {program}_maps,
    .programs = {program}_programs,
    .data = {{{program}_data, sizeof({program}_data) - 1}},
    .instructions = {{{program}_instructions, sizeof({program}_instructions) - 1}}}};
"""


def generated():
    with tempfile.TemporaryDirectory() as folder:
        parts = [source(program, skeleton(program, folder)) for program in PROGRAMS]
    return HEAD + "".join(parts) + "\n} // namespace backlog\n"


def main():
    try:
        content = generated()
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(error.cmd)}:\n{error.stderr}")
    if sys.argv[1:] == ["--check"]:
        if RESULT.read_text() != content:
            sys.exit(f"{RESULT.name} is not what the sources make; run {FOLDER.name}/event_programs.py")
        print(f"{RESULT.name} is what the sources make")
    else:
        RESULT.write_text(content)


if __name__ == "__main__":
    main()
