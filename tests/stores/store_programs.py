"""Where the programs of the stores are: below STORES_ROOT (conf/packaging/packages.sh unpacks it), else the system's own."""

import glob
import os
import pathlib
import shutil
import unittest

PYTHON = "/usr/bin/python3"  # the one that the distribution's modules are built for


def stores_root():
    return pathlib.Path(os.environ.get("STORES_ROOT") or "/")


def program(*names):
    """The path of the first program there is; SkipTest if none is."""
    for name in names:
        path = stores_root() / "usr/bin" / name
        if path.exists():
            return str(path)
        if path := shutil.which(name):
            return path
    raise unittest.SkipTest(f"{' or '.join(names)} is missing (tests/run unpacks it)")


def library_environment():
    """Lets programs, and collectd's plugins, find the libraries below the stores' root."""
    root = stores_root()
    if root == pathlib.Path("/"):
        return {}
    folders = glob.glob(f"{root}/usr/lib/*-linux-gnu*") + glob.glob(f"{root}/lib/*-linux-gnu*")
    folders += filter(None, [os.environ.get("LD_LIBRARY_PATH")])
    return {"LD_LIBRARY_PATH": ":".join(folders), "FONTCONFIG_SYSROOT": str(root)}


def python_environment(*folders):
    paths = [*folders, stores_root() / "usr/lib/python3/dist-packages"]
    return dict(library_environment(), PYTHONPATH=":".join(map(str, paths)), PYTHONDONTWRITEBYTECODE="1")
