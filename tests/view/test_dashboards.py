#!/usr/bin/env python3
"""The dashboards' files: as the generator writes them, one page like the other in every store, and
valid by the types that Grafana publishes."""

import copy
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import frame

HERE = pathlib.Path(__file__).resolve().parent
DASHBOARDS = frame.CONF / "dashboards"
STORES = ("graphite", "influxdb", "prometheus")
PAGES = ("fleet", "listener", "sampler")


def load(store, page):
    return json.loads((DASHBOARDS / f"grafana-{store}-{page}.json").read_text(encoding="utf-8"))


def npm_modules():
    """The folder of node_modules with what package.json pins, below the build directory."""
    for program in ("node", "npm"):
        if not shutil.which(program):
            raise unittest.SkipTest(f"{program} is missing")
    folder = pathlib.Path(os.environ.get("NPM_CACHE") or tempfile.gettempdir(), "grafana")
    modules = folder / "node_modules"
    wanted = (HERE / "package.json").read_text(encoding="utf-8")
    installed = folder / "installed.json"
    if not installed.exists() or installed.read_text(encoding="utf-8") != wanted:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text(wanted, encoding="utf-8")
        done = subprocess.run(
            ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--fetch-retries=1"],
            cwd=folder, capture_output=True, text=True, check=False, timeout=240)
        if done.returncode != 0:
            raise unittest.SkipTest("npm cannot install @grafana/schema: " + done.stderr.strip().splitlines()[-1])
        installed.write_text(wanted, encoding="utf-8")
    return modules


class FilesTest(unittest.TestCase):
    def test_files_are_as_generated(self):
        frame.check_generated(self, "dashboards")

    def test_every_store_has_the_same_panels(self):
        for page in PAGES:
            shapes = [[(panel["title"], panel["type"], panel["gridPos"], len(panel["targets"]))
                       for panel in load(store, page)["panels"]] for store in STORES]
            self.assertGreater(len(shapes[0]), 3)
            self.assertEqual(shapes[0], shapes[1])
            self.assertEqual(shapes[0], shapes[2])

    def test_uids_are_distinct(self):
        uids = [load(store, page)["uid"] for store in STORES for page in PAGES]
        self.assertEqual(len(uids), len(set(uids)))
        self.assertLessEqual(max(map(len, uids)), 40)  # Grafana's limit

    def test_panels_do_not_overlap(self):
        for page in PAGES:
            cells = [(x, y) for panel in load("graphite", page)["panels"] for position in [panel["gridPos"]]
                     for x in range(position["x"], position["x"] + position["w"])
                     for y in range(position["y"], position["y"] + position["h"])]
            self.assertEqual(len(cells), len(set(cells)), page)
            self.assertLess(max(x for x, _ in cells), 24)

    def test_every_variable_used_is_defined(self):
        for store in STORES:
            for page in PAGES:
                dashboard = load(store, page)
                known = {variable["name"] for variable in dashboard["templating"]["list"]}
                used = {name for name in ("host", "listener", "datasource")
                        if f"${name}" in json.dumps(dashboard["panels"]).replace("${datasource}", "$datasource")}
                self.assertEqual(used, known)


class SchemaTest(unittest.TestCase):
    def validate(self, *files):
        """The validator's exit status and lines."""
        command = ["node", str(HERE / "validate_grafana.mjs"), str(npm_modules()), *map(str, files)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        return done.returncode, done.stdout + done.stderr

    def test_dashboards_are_valid(self):
        files = sorted(DASHBOARDS.glob("grafana-*.json"))
        self.assertEqual(len(files), len(STORES) * len(PAGES))
        status, said = self.validate(*files)
        self.assertEqual(status, 0, said)

    def test_mistakes_are_found(self):
        good = load("prometheus", "listener")
        mistakes = []
        for place, key in ((lambda d: d, "refersh"), (lambda d: d["panels"][0], "gridpos"),
                           (lambda d: d["panels"][0]["options"]["legend"], "showLegends"),
                           (lambda d: d["panels"][0]["fieldConfig"]["defaults"]["custom"], "linewidth")):
            bad = copy.deepcopy(good)
            place(bad)[key] = 1
            mistakes.append((key, bad))
        with tempfile.TemporaryDirectory() as folder:
            files = []
            for key, bad in mistakes:
                files.append(pathlib.Path(folder, f"{key}.json"))
                files[-1].write_text(json.dumps(bad), encoding="utf-8")
            status, said = self.validate(*files)
        self.assertEqual(status, 1)
        for key, _ in mistakes:
            self.assertRegex(said, rf'{key}\.json.*"additionalProperty":"{key}"')


if __name__ == "__main__":
    frame.main()
