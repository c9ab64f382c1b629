// node validate_grafana.mjs NODE_MODULES DASHBOARD...
// Checks dashboards, and their panels' options, against the types that Grafana publishes as
// @grafana/schema. One line for each mistake; exit 1 if there is one.
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";

const [modules, ...dashboards] = process.argv.slice(2);
const load = createRequire(path.join(modules, "/"));
const Ajv = load("ajv");
const { createGenerator } = load("ts-json-schema-generator");
const ajv = new Ajv({ strict: false, allErrors: true });

function validator(folder, type) {
  const file = path.join(modules, "@grafana/schema/dist/types/raw", folder, "x/types.gen.d.ts");
  const schema = createGenerator({ path: file, type, skipTypeCheck: true, additionalProperties: false }).createSchema(type);
  return ajv.compile(schema);
}

const isDashboard = validator("dashboard", "Dashboard");
const panels = {};
for (const [kind, folder] of [["timeseries", "timeseries"], ["state-timeline", "statetimeline"], ["table", "table"]]) {
  const types = `composable/${folder}/panelcfg`;
  panels[kind] = { options: validator(types, "Options"), custom: validator(types, "FieldConfig") };
}

let mistakes = 0;
function check(valid, value, where) {
  if (valid(value)) return;
  for (const error of valid.errors) {
    mistakes += 1;
    console.log(`${where}${error.instancePath}: ${error.message} ${JSON.stringify(error.params)}`);
  }
}

for (const file of dashboards) {
  const dashboard = JSON.parse(fs.readFileSync(file, "utf8"));
  check(isDashboard, dashboard, path.basename(file));
  for (const panel of dashboard.panels) {
    const where = `${path.basename(file)}, panel "${panel.title}"`;
    if (!(panel.type in panels)) {
      mistakes += 1;
      console.log(`${where}: unknown type ${panel.type}`);
      continue;
    }
    check(panels[panel.type].options, panel.options, `${where}, options`);
    check(panels[panel.type].custom, panel.fieldConfig.defaults.custom, `${where}, custom`);
  }
}
process.exit(mistakes ? 1 : 0);
