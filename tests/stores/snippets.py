"""The shipped configuration, with addresses of the test in it."""

import os
import pathlib


class Snippet(str):
    """The text of a file of conf/collectd/stores, with the name that it is copied by."""

    file = None


def snippet(file, substitutions=()):
    """conf/collectd/stores/FILE as shipped() gives it."""
    made = Snippet(shipped(f"collectd/stores/{file}", substitutions))
    made.file = file
    return made


def shipped(file, substitutions=()):
    """The text of a file of conf/ with texts of it replaced; each must be in it."""
    text = (pathlib.Path(os.environ["BACKLOG_CONF"]) / file).read_text(encoding="utf-8")
    for old, new in dict(substitutions).items():
        if old not in text:
            raise AssertionError(f"{file} has no {old}")
        text = text.replace(old, str(new))
    return text
