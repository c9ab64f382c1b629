#!/usr/bin/env python3
"""The dashboards' files: as the generator writes them, one page like the other in every store, and
valid by the types that Grafana publishes."""

import functools
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import frame

HERE = pathlib.Path(__file__).resolve().parent
DASHBOARDS = frame.CONF / "dashboards"
SCHEMAS = HERE / "grafana_schema.json"
STORES = ("graphite", "influxdb", "prometheus")
PAGES = ("fleet", "listener", "sampler")
OF_PROMETHEUS = ("heatmap",)  # types of panels that the other stores cannot fill


def load(store, page):
    return json.loads((DASHBOARDS / f"grafana-{store}-{page}.json").read_text(encoding="utf-8"))


@functools.cache
def _install_modules():
    """(the folder of node_modules with what package.json pins, below the build directory, None), or
    (None, why there is none)."""
    for program in ("node", "npm"):
        if not shutil.which(program):
            return None, f"{program} is missing"
    folder = pathlib.Path(os.environ.get("NPM_CACHE") or tempfile.gettempdir(), "grafana")
    wanted = (HERE / "package.json").read_text(encoding="utf-8")
    installed = folder / "installed.json"
    if not installed.exists() or installed.read_text(encoding="utf-8") != wanted:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text(wanted, encoding="utf-8")
        try:
            done = subprocess.run(
                ["npm", "install", "--ignore-scripts", "--legacy-peer-deps", "--no-audit", "--no-fund",
                 "--no-package-lock", "--fetch-retries=0", "--fetch-timeout=20000"],
                cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=240)
        except subprocess.TimeoutExpired:
            return None, "npm install takes more than 240 s"
        if done.returncode != 0:
            code = re.search(r"^npm ERR\S* code (\S+)|^npm error code (\S+)", done.stderr, re.MULTILINE)
            reason = next(filter(None, code.groups()), "") if code else done.stderr.strip()[-200:]
            return None, f"npm cannot install what package.json names: {reason}"
        installed.write_text(wanted, encoding="utf-8")
    return folder / "node_modules", None


def npm_modules():
    modules, reason = _install_modules()
    if reason:
        raise unittest.SkipTest(reason)
    return modules


class FilesTest(unittest.TestCase):
    def test_files_are_as_generated(self):
        frame.check_generated(self, "dashboards")

    def test_every_store_has_the_same_panels(self):
        for page in PAGES:
            shapes = [[(panel["title"], panel["type"], panel["gridPos"], len(panel["targets"]))
                       for panel in load(store, page)["panels"] if panel["type"] not in OF_PROMETHEUS] for store in STORES]
            self.assertGreater(len(shapes[0]), 3)
            self.assertEqual(shapes[0], shapes[1])
            self.assertEqual(shapes[0], shapes[2])
        self.assertEqual([(store, page) for store in STORES for page in PAGES for panel in load(store, page)["panels"]
                          if panel["type"] in OF_PROMETHEUS], [("prometheus", "listener")])

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


def leaves(error):
    """What is wrong itself, where a value is none of several."""
    return [leaf for each in error.context for leaf in leaves(each)] or [error]


class SchemaTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        try:
            import jsonschema
        except ImportError:
            raise unittest.SkipTest("python3-jsonschema is missing") from None
        schemas = json.loads(SCHEMAS.read_text(encoding="utf-8"))
        validator = jsonschema.Draft7Validator
        cls.dashboard = validator(schemas["dashboard"])
        cls.panels = {kind: {part: validator(schema) for part, schema in parts.items()}
                      for kind, parts in schemas["panels"].items()}

    def mistakes(self, dashboard):
        """What is wrong, and where."""
        parts = [("dashboard", self.dashboard, dashboard)]
        for panel in dashboard["panels"]:
            known = self.panels[panel["type"]]
            parts += [(f"options of {panel['title']}", known["options"], panel["options"]),
                      (f"custom of {panel['title']}", known["custom"], panel["fieldConfig"]["defaults"]["custom"])]
        return [f"{what}: {'/'.join(map(str, error.absolute_path))}: {error.message[:300]}"
                for what, validator, value in parts for each in validator.iter_errors(value) for error in leaves(each)]

    def test_dashboards_are_valid(self):
        files = sorted(DASHBOARDS.glob("grafana-*.json"))
        self.assertEqual(len(files), len(STORES) * len(PAGES))
        for file in files:
            with self.subTest(file.name):
                self.assertEqual(self.mistakes(json.loads(file.read_text(encoding="utf-8"))), [])

    def test_mistakes_are_found(self):
        for place, key in ((lambda d: d, "refersh"), (lambda d: d["panels"][0], "gridpos"),
                           (lambda d: d["panels"][0]["options"]["legend"], "showLegends"),
                           (lambda d: d["panels"][0]["fieldConfig"]["defaults"]["custom"], "linewidth")):
            with self.subTest(key):
                dashboard = load("prometheus", "listener")
                place(dashboard)[key] = 1
                self.assertIn(f"'{key}' was unexpected", "".join(self.mistakes(dashboard)))

    def test_schemas_are_as_generated(self):
        command = ["node", str(HERE / "make_grafana_schema.mjs"), str(npm_modules())]
        made = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertEqual(made.stdout, SCHEMAS.read_text(encoding="utf-8"))


TABLES = {"Top 20 by drops": "drops per second", "Top 20 by use": "used", "Top 20 by hours above 70 %": "hours"}
HIGHEST, SECOND = ["web1", "tcp_any_443", 7], ["web1", "tcp_any_80", 3]


def frames(store, column):
    """What Grafana makes of a store's answer to a table's query, not in the order of the values."""
    def field(name, kind, values, **config):
        return {"name": name, "type": kind, "values": values, "config": config}
    host, listener, value = zip(SECOND, HIGHEST)
    if store == "graphite":  # one frame a series, named by aliasByNode
        return [{"fields": [field("time", "time", [0, 10]),
                            field("Value", "number", [row[2], row[2]], displayNameFromDS=f"{row[0]}.{row[1]}")]}
                for row in (SECOND, HIGHEST)]
    if store == "influxdb":
        return [{"fields": [field("Time", "time", [0, 0]), field(column, "number", value),
                            field("host", "string", host), field("instance", "string", listener)]}]
    return [{"fields": [field("Time", "time", [0, 0]), field("backlog", "string", listener),
                        field("instance", "string", host), field("Value", "number", value)]}]


def legends(panel):
    """{legend} of the lines of a panel."""
    return {target.get("alias") or target.get("legendFormat") or re.search(r', "([^"]*)"\)$', target["target"])[1]
            for target in panel["targets"]}


def matched(pattern, names):
    """As stringToJsRegex of @grafana/data: without slashes a whole name is meant."""
    inner = re.fullmatch(r"/(.*)/", pattern)
    regex = re.compile(inner[1] if inner else f"^{pattern}$")
    return {name for name in names if regex.search(name)}


class AxesTest(unittest.TestCase):
    def test_some_lines_have_the_right_axis(self):
        seen = 0
        for store in STORES:
            for panel in load(store, "listener")["panels"]:
                for override in panel["fieldConfig"]["overrides"]:
                    if override["matcher"]["id"] == "byRegexp":
                        seen += 1
                        names = legends(panel)
                        with self.subTest(store=store, panel=panel["title"]):
                            on_the_right = matched(override["matcher"]["options"], names)
                            self.assertTrue(on_the_right and on_the_right < names, on_the_right)
        self.assertEqual(seen, 2 * len(STORES))


class TransformationsTest(unittest.TestCase):
    """By Grafana's own code, as it runs in the browser."""

    def grafana(self, asked):
        modules = npm_modules()
        can_load = subprocess.run(["node", "-p", "process.features.require_module"], check=True, capture_output=True,
                                  text=True).stdout.strip()
        if can_load != "true":
            self.skipTest("this node cannot load @grafana/data: 20.19 or newer is needed")
        done = subprocess.run(["node", str(HERE / "transform_grafana.mjs"), str(modules)], check=False,
                              input=json.dumps(asked), capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def panel(self, store, page, title):
        return next(panel for panel in load(store, page)["panels"] if panel["title"] == title)

    def test_tables_show_the_highest_first(self):
        cases = [(store, title, column) for store in STORES for title, column in TABLES.items()]
        made = self.grafana([{"transformations": self.panel(store, "fleet", title)["transformations"],
                              "frames": frames(store, column)} for store, title, column in cases])
        for (store, title, column), table in zip(cases, made):
            with self.subTest(store=store, title=title):
                if store == "graphite":
                    self.assertEqual(table, {"fields": ["listener", column],
                                             "rows": [[f"{host}.{listener}", value]
                                                      for host, listener, value in (HIGHEST, SECOND)]})
                else:
                    self.assertEqual(table, {"fields": ["host", "listener", column], "rows": [HIGHEST, SECOND]})

    def test_states_have_names(self):
        for store in STORES:
            mappings = self.panel(store, "listener", "State")["fieldConfig"]["defaults"]["mappings"]
            (texts,) = self.grafana([{"mappings": mappings, "values": [0, 1, 2, 3, 4, 5]}])
            self.assertEqual(texts, ["ok", "high", "overflow", "stalled", "missing", "5"])


if __name__ == "__main__":
    frame.main()
