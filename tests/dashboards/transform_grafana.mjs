// node transform_grafana.mjs NODE_MODULES < {"transformations": [...], "frames": [...]}[]
// Does to each what Grafana's own @grafana/data does for a panel; prints the tables that come out,
// [{"fields": [names], "rows": [[values]]}]. With "mappings" and "values" instead: the texts shown.
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";

const load = createRequire(path.join(process.argv[2], "/"));
const data = load("@grafana/data");
const { firstValueFrom } = load("rxjs");
// A browser is taken for granted by some functions, and looked for when the module is loaded.
globalThis.window = globalThis;
globalThis.navigator ??= { language: "en-GB", languages: ["en-GB"] };

const used = ["reduceTransformer", "organizeFieldsTransformer", "sortByTransformer"];
data.standardTransformersRegistry.setInit(() =>
  used.map((name) => data.standardTransformers[name]).map((made) => (
    { id: made.id, name: made.name, transformation: async () => made, editor: () => null })));

async function table({ transformations, frames }) {
  const made = await firstValueFrom(data.transformDataFrame(transformations, frames.map(data.toDataFrame)));
  if (made.length !== 1) throw new Error(`${made.length} tables`);
  const fields = made[0].fields;
  const rows = Array.from({ length: made[0].length }, (_, row) => fields.map((field) => field.values[row]));
  return { fields: fields.map((field) => data.getFieldDisplayName(field, made[0])), rows };
}

function texts({ mappings, values }) {
  const field = { name: "value", type: "number", values, config: { mappings } };
  const display = data.getDisplayProcessor({ field, theme: data.createTheme() });
  return values.map((value) => display(value).text);
}

const asked = JSON.parse(fs.readFileSync(0, "utf8"));
console.log(JSON.stringify(await Promise.all(asked.map((each) => (each.mappings ? texts(each) : table(each))))));
