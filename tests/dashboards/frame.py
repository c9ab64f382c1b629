"""What the tests of alerts and dashboards share."""

import importlib.util
import os
import pathlib
import shutil
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "system"))
from system_test import exit_status  # noqa: E402

CONF = pathlib.Path(__file__).resolve().parent.parent.parent / "conf"


def load_generator(folder):
    """conf/FOLDER/generate.py as a module."""
    specification = importlib.util.spec_from_file_location(f"{folder}_generator", CONF / folder / "generate.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def find_program(name):
    """The program of the stores' root, or the system's; the test is skipped without one."""
    of_root = pathlib.Path(os.environ.get("STORES_ROOT") or "/nowhere", "usr", "bin", name)
    program = str(of_root) if of_root.exists() else shutil.which(name)
    if not program:
        raise unittest.SkipTest(f"{name} is missing")
    return program


def check_generated(test, folder):
    """That conf/FOLDER holds byte for byte what its generator writes, and nothing older."""
    wanted = load_generator(folder).files()
    for name, text in wanted.items():
        committed = CONF / folder / name
        test.assertTrue(committed.exists(), f"{committed} is missing; run conf/{folder}/generate.py")
        test.assertEqual(committed.read_text(encoding="utf-8"), text, f"run conf/{folder}/generate.py")
    present = {str(path.relative_to(CONF / folder)) for path in (CONF / folder).rglob("*")
               if path.suffix in (".json", ".yml")}
    test.assertEqual(present, set(wanted))


def main():
    result = unittest.main(module="__main__", verbosity=2, exit=False).result
    sys.exit(exit_status(result))
