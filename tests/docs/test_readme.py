#!/usr/bin/env python3
"""The README and the pages that it links: they are as short as they promise, what they name is there (tests,
files, pages, sections), and what must stand in two places agrees."""

import pathlib
import re
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
PAGES = ["README.md", "plugin/README.md", "conf/collectd/stores/README.md", "conf/nms/README.md", "tests/bench/README.md"]
FAULTS_PAGE = "tests/system/README.md"
README_LINES = 300
SOURCES_PAGE_LINES = 80
TABLE_COLUMNS = 160
# Where a file may be that is named without a folder.
FOLDERS = [SOURCE, SOURCE / "plugin", SOURCE / "snmp", SOURCE / "conf", *(path for path in (SOURCE / "conf").rglob("*") if path.is_dir())]


def read(name):
    return (SOURCE / name).read_text(encoding="utf-8")


def tests_named(manual):
    """In brackets, in mdoc(7)."""
    return {name for names in re.findall(r"^\.Bq ((?:.*\\\n)*.*)", manual, re.MULTILINE)
            for name in re.findall(r"test_\w+", names)}


def tests_there():
    names = set()
    for path in (SOURCE / "tests").rglob("*.py"):
        names |= set(re.findall(r"^ +def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE))
    for path in (SOURCE / "tests").rglob("*.cpp"):
        names |= set(re.findall(r"^START_TEST\((\w+)\)", path.read_text(encoding="utf-8"), re.MULTILINE))
    return names


def tests_of_faults(page):
    """The longer ones, whose names nothing else can have."""
    return set(re.findall(r"\b[a-z]+(?:_[a-z0-9]+){2,}\b", page))


def files_named(text):
    """Paths from the top of the tree, wherever they stand, and names of files between `...`."""
    paths = re.findall(r"(?<![\w/.-])(?:conf|plugin|snmp|tests|include)/[\w./-]*\w", text)
    names = re.findall(r"`([\w][\w/-]*\.(?:cfg|conf|cpp|influxql|json|md|php|py|sh|snmprec|txt|xml|yaml|yml))`", text)
    return {name for name in paths + names if "STORE-PAGE" not in name}


def is_there(name):
    return any((folder / name).exists() for folder in FOLDERS)


def section(text, title):
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)[1]


def section_of_manual(text, title):
    found = re.search(rf"^\.Sh {title}\n(.*?)(?=^\.Sh )", text, re.DOTALL | re.MULTILINE)[1]
    return " ".join(found.replace("\\\n", "").split())


def arguments(text, begin):
    """The text up to the bracket that closes the one before begin."""
    depth, at = 1, begin
    while depth > 0:
        if text[at] == '"':
            at = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL).match(text, at).end()
            continue
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        at += 1
    return text[begin:at - 1]


def literals(text):
    return re.findall(r'"((?:[^"\\]|\\.)*)"', re.sub(r'"\s*"', "", text))


def messages(folder):
    """The fixed parts of what is logged, each up to what is inserted, a comma, colon or semicolon."""
    found = set()
    for path in sorted((SOURCE / folder).rglob("*.cpp")):
        text = path.read_text(encoding="utf-8")
        for call in re.finditer(r"\b(?:plugin_log|log_once|log_line|log_|say_once|log\.push_back|(?:lines|notices_?)\.(?:push|emplace)_back)\(", text):
            for literal in literals(arguments(text, call.end())):
                for part in literal.removeprefix("backlog plugin: ").split("%s"):
                    found.add(re.split("[,:;]", part)[0].strip())
        # A part that cannot be read is logged as "no PART: reason".
        for call in re.finditer(r"\b(?:part|faults\.push_back|listeners_fault)\(", text):
            found.update(f"no {literal}" for literal in literals(arguments(text, call.end()))[:1] if literal[0] != " ")
    return {words for words in found if " " in words}


def unsaid(folder, document):
    return {words for words in messages(folder) if words not in document}


def anchors(text):
    """Of the headings, as forges make them."""
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in
            re.findall(r"^#+ (.*)", text, re.MULTILINE)}


def dead_links(page, text):
    found = []
    for target in re.findall(r"\]\(([^)]+)\)", text):
        file, _, anchor = target.partition("#")
        if "://" in file:
            continue
        path = (SOURCE / page).parent / file if file else SOURCE / page
        if not path.exists() or (anchor and anchor not in anchors(text if not file else path.read_text(encoding="utf-8"))):
            found.append(target)
    return found


def manuals_named(text):
    return set(re.findall(r"\b((?:collectd-|check_)?backlog(?:-\w+)?\(\d\))", text))


def manuals_there():
    return {f"{path.stem}({path.suffix[1:]})" for folder in ("plugin", "snmp") for path in (SOURCE / folder).glob("*.[1-8]")}


def wide_rows(text):
    return [line for line in text.splitlines() if line.startswith("|") and len(line) > TABLE_COLUMNS]


def options_of_cmake():
    names = set()
    for path in [SOURCE / "CMakeLists.txt", *(SOURCE / "conf").rglob("CMakeLists.txt"),
                 *(SOURCE / "tests").rglob("CMakeLists.txt")]:
        names |= set(re.findall(r"^ *(?:option\(|set\((?=[^)]* CACHE ))(\w+)", path.read_text(encoding="utf-8"),
                                re.MULTILINE))
    return {name for name in names if not name.startswith("CMAKE_")}


class ReadmeTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.text = read("README.md")

    def test_lengths(self):
        self.assertLessEqual(len(self.text.splitlines()), README_LINES)
        self.assertLessEqual(len(read("plugin/README.md").splitlines()), SOURCES_PAGE_LINES)
        for page in PAGES:
            self.assertEqual(wide_rows(read(page)), [], page)

    def test_links(self):
        self.assertGreater(len(re.findall(r"\]\(#", self.text)), 10)
        for page in PAGES:
            self.assertEqual(dead_links(page, read(page)), [], page)

    def test_manuals(self):
        self.assertEqual(manuals_named(self.text), manuals_there())

    def test_tests(self):
        named = tests_named(read("plugin/backlog-myths.7"))
        self.assertGreater(len(named), 15)
        self.assertEqual(named - tests_there(), set())

    def test_faults(self):
        page = read(FAULTS_PAGE)
        self.assertEqual((wide_rows(page), dead_links(FAULTS_PAGE, page)), ([], []))
        named, there = tests_of_faults(page), tests_there()
        self.assertGreater(len(named), 20)
        self.assertEqual({name for name in named if not {name, f"test_{name}"} & there}, set())

    def test_files(self):
        for page in PAGES:
            named = files_named(read(page))
            self.assertGreater(len(named), 3, page)
            self.assertEqual({name for name in named if not is_there(name)}, set(), page)

    def test_cmake_options(self):
        table = re.search(r"^\| CMake option \|.*\n((?:\|.*\n)+)", read("plugin/README.md"), re.MULTILINE)[1]
        cells = [row.split(" | ")[0] for row in table.splitlines()]
        self.assertEqual({name for cell in cells for name in re.findall(r"`(\w+)`", cell)}, options_of_cmake())

    def test_messages(self):
        for folder, wanted, document in [
                ("plugin", {"no TCP listeners", "no owners", "a thread hangs in the kernel and was left behind"},
                 section_of_manual(read("plugin/collectd-backlog.5"), "MESSAGES")),
                ("snmp", {"connected to the SNMP agent", "no table"},
                 section_of_manual(read("snmp/backlog-agentx.8"), "DIAGNOSTICS"))]:
            self.assertLessEqual(wanted, messages(folder))
            self.assertEqual(unsaid(folder, document), set())

    def test_matrix(self):
        """Each cell has run, none failed, and the README names their kernels."""
        cells = set(re.findall(r'^    "([\w.-]+)": Cell\(', read("tests/matrix/cells.py"), re.MULTILINE))
        rows = re.findall(r"^\| (\S+) \|.*\| (\d+\.\d+)\.\S+ \|.*\| (.*) \| \d+ \|$", read("tests/matrix/results.md"),
                          re.MULTILINE)
        self.assertEqual({name for name, _, _ in rows}, cells)
        self.assertEqual([row for row in rows if "**" in row[2]], [])
        kernels = set(re.findall(r"\d\.\d+", re.search(r"results\.md\) on ([^;]*);", self.text)[1]))
        self.assertLessEqual({kernel for _, kernel, _ in rows}, kernels)
        self.assertIn("6.1", {kernel for _, kernel, _ in rows})

    def test_capabilities(self):
        """README, manual and drop-in want the same."""
        wanted = {name: set(re.findall(r"CAP_[A-Z]\w+", text)) for name, text in [
            ("README", section(self.text, "Permissions")),
            ("manual", section_of_manual(read("plugin/collectd-backlog.5"), "PERMISSIONS")),
            ("drop-in", read("conf/systemd/collectd-capabilities.conf"))]}
        self.assertGreater(len(wanted["drop-in"]), 2)
        self.assertEqual(wanted["README"], wanted["drop-in"])
        self.assertEqual(wanted["manual"], wanted["drop-in"])

    def test_what_is_missing_is_found(self):
        """This test can fail."""
        self.assertNotEqual(tests_named(read("plugin/backlog-myths.7").replace("test_", "test_no_")) - tests_there(), set())
        self.assertEqual(dead_links("README.md", self.text.replace("(#recipes)", "(#receipts)", 1)), ["#receipts"])
        self.assertEqual(dead_links("README.md", self.text.replace("(plugin/README.md)", "(plugin/READ.md)")),
                         ["plugin/READ.md"])
        for old, new in [("conf/demo ", "conf/demonstration "), ("`graphite.conf`", "`graphit.conf`")]:
            self.assertIn(old, self.text)
            self.assertFalse(all(is_there(name) for name in files_named(self.text.replace(old, new))))
        without = section_of_manual(read("plugin/collectd-backlog.5"), "MESSAGES").replace("no owners", "")
        self.assertEqual(unsaid("plugin", without), {"no owners"})


if __name__ == "__main__":
    unittest.main(verbosity=2)
