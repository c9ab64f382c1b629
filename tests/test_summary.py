#!/usr/bin/env python3
"""What was skipped is said, whatever its size: a program, a class, a test, a part of one."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import xml.sax.saxutils

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "system"))
import system_test  # noqa: E402

PROGRAM = """
import sys, unittest
sys.path.insert(0, {system!r})
import system_test

class ClassTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        raise unittest.SkipTest("no store")
    def test_a(self):
        pass
{more}
result = unittest.main(verbosity=2, exit=False).result
sys.exit(system_test.exit_status(result))
"""
PARTS = '''
class PartsTest(unittest.TestCase):
    def test_part(self):
        """Of which a part is skipped."""
        with self.subTest("SNMP"):
            self.skipTest("no snmpd")
'''
WHOLE_TEST = '''
class WholeTest(unittest.TestCase):
    def test_whole(self):
        """All of it."""
        self.skipTest("it's gone")
'''
FAILING = '''
class FailingTest(unittest.TestCase):
    def test_failing(self):
        self.fail()
'''


class SummaryTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="collectd-backlog-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def run_program(self, *more):
        """(exit status, output)"""
        program = self.folder / "program.py"
        program.write_text(PROGRAM.format(system=str(HERE / "system"), more="".join(more)), encoding="utf-8")
        done = subprocess.run([sys.executable, program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False, env=dict(os.environ, PYTHONUNBUFFERED="1"))
        return done.returncode, done.stdout

    def results(self, file, output, status):
        """A file of the results of one test."""
        results = self.folder / file
        results.write_text(f'<testsuite><testcase name="stores.values" status="{status}"><system-out>'
                           f"{xml.sax.saxutils.escape(output)}</system-out></testcase></testsuite>", encoding="utf-8")
        return results

    def summary(self, output, known=None, status="run", second_turn=None):
        """(exit status, output) for one test of this output; second_turn is (output, status)."""
        arguments = ["--second-turn", self.results("second.xml", *second_turn)] if second_turn else []
        arguments.append(self.results("results.xml", output, status))
        if known is not None:
            arguments.append(self.folder / "known")
            arguments[-1].write_text(known, encoding="utf-8")
        done = subprocess.run([sys.executable, HERE / "summary.py", *arguments],
                              stdout=subprocess.PIPE, text=True, check=False)
        return done.returncode, done.stdout

    def test_exit_status_of_programs(self):
        for more, wanted in (((), system_test.SKIPPED), ((WHOLE_TEST,), system_test.SKIPPED), ((PARTS,), 0),
                             ((PARTS, WHOLE_TEST), 0), ((FAILING,), 1), ((PARTS, FAILING), 1)):
            with self.subTest(more):
                status, output = self.run_program(*more)
                self.assertEqual(status, wanted, output)

    def test_parts_are_listed(self):
        _, output = self.run_program(PARTS, WHOLE_TEST)
        _, said = self.summary(output)
        self.assertIn("1 passed, 0 failed, 3 skipped", said)
        self.assertRegex(said, r"skipped  (ClassTest|a class) of stores\.values: no store\n")
        self.assertRegex(said, r"skipped  test_part( \[SNMP\])? of stores\.values: no snmpd\n")
        self.assertIn("skipped  test_whole of stores.values: it's gone\n", said)

    def test_skips_that_are_not_known_fail(self):
        _, output = self.run_program(WHOLE_TEST)
        both = "# of a test\n(ClassTest|a class) of stores.values: no .*\n\ntest_whole of stores.values: it's gone\n"
        self.assertEqual(self.summary(output, both)[0], 0)
        status, said = self.summary(output, both.replace("gone", "here"))
        self.assertEqual(status, 1)
        self.assertRegex(said, r"not in .*: test_whole of stores\.values: it's gone\n")

    def test_a_program_that_did_not_run_has_its_reason(self):
        said = self.summary("SKIP: kcat is missing\n", "", status="notrun")
        self.assertEqual(said[0], 1)
        self.assertIn("skipped  stores.values: kcat is missing\n", said[1])

    def test_nothing_is_not_well(self):
        results = self.folder / "results.xml"
        results.write_text("<testsuite></testsuite>", encoding="utf-8")
        done = subprocess.run([sys.executable, HERE / "summary.py", results], stdout=subprocess.PIPE, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (1, "Summary: 0 passed, 0 failed, 0 skipped\n"))

    def test_a_second_turn_is_told(self):
        _, output = self.run_program(WHOLE_TEST)
        self.assertEqual(self.summary(output, status="fail"),
                         (1, "Summary: 0 passed, 1 failed, 0 skipped\n  failed   stores.values\n"))
        self.assertEqual(self.summary("", status="fail", second_turn=("", "fail"))[0], 1)
        status, said = self.summary("", status="fail", second_turn=(output, "run"))
        self.assertEqual(status, 0)
        self.assertIn("Summary: 0 passed, 1 in a second turn, 0 failed, 2 skipped\n"
                      "  failed first, passed alone  stores.values\n", said)
        self.assertIn("skipped  test_whole of stores.values: it's gone\n", said)
        self.assertEqual(self.summary("", "", status="fail", second_turn=(output, "run"))[0], 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
