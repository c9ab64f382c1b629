// node make_grafana_schema.mjs NODE_MODULES > grafana_schema.json
// JSON Schemas of a dashboard and of the options of the panels that ours have, out of the types that
// Grafana publishes as @grafana/schema.
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";

const modules = path.resolve(process.argv[2]);
const load = createRequire(path.join(modules, "/"));
const { createGenerator } = load("ts-json-schema-generator");
const types = path.join(modules, "@grafana/schema");
const { name, version, license } = JSON.parse(fs.readFileSync(path.join(types, "package.json"), "utf8"));

function schema(folder, type) {
  return createGenerator({
    path: path.join(types, "dist/types/raw", folder, "x/types.gen.d.ts"),
    type, skipTypeCheck: true, additionalProperties: false, jsDoc: "none",
  }).createSchema(type);
}

const made = {
  $comment: `Made by make_grafana_schema.mjs from ${name} ${version}, Copyright Grafana Labs, ${license}; `
    + "its text is in grafana_schema.license.",
  dashboard: schema("dashboard", "Dashboard"),
  panels: {},
};
for (const [kind, folder] of [["timeseries", "timeseries"], ["state-timeline", "statetimeline"], ["table", "table"],
  ["heatmap", "heatmap"]]) {
  const panel = `composable/${folder}/panelcfg`;
  made.panels[kind] = { options: schema(panel, "Options"), custom: schema(panel, "FieldConfig") };
}
console.log(JSON.stringify(made, null, 1));
