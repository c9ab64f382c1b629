#!/usr/bin/env python3
"""The manual pages are free of mistakes, for mandoc and for man-db's groff."""

import os
import pathlib
import re
import shutil
import subprocess
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]


def all_pages():
    return sorted(page for folder in ("plugin", "snmp") for page in (SOURCE / folder).glob("*.[1-8]"))


def other_page(page):
    """The name of the page that this one stands for, or None."""
    match = re.fullmatch(r"\.so man\d/(\S+)\n", page.read_text(encoding="utf-8"))
    return match and match[1]


def pages():
    return [page for page in all_pages() if not other_page(page)]


def warnings_of(*command):
    environment = dict(os.environ, LC_ALL="C.UTF-8", MANROFFSEQ="", MANWIDTH="80")
    result = subprocess.run(command, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env=environment)
    return result.stderr if command[0] == "man" else result.stdout


class ManualTest(unittest.TestCase):
    def check(self, *command):
        self.assertGreater(len(pages()), 0)
        for page in pages():
            with self.subTest(page=page.name):
                self.assertEqual(warnings_of(*command, page), "")

    def test_pages_that_stand_for_others(self):
        names = {page.name for page in pages()}
        self.assertEqual([page.name for page in all_pages() if other_page(page) and other_page(page) not in names], [])

    @unittest.skipUnless(shutil.which("mandoc"), "no mandoc")
    def test_mandoc(self):
        self.check("mandoc", "-T", "lint", "-W", "warning")

    @unittest.skipUnless(shutil.which("man"), "no man")
    def test_man(self):
        self.check("man", "--warnings", "-l")


if __name__ == "__main__":
    unittest.main(verbosity=2)
