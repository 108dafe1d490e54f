import assert from "node:assert/strict";
import { Ajv2020 } from "ajv/dist/2020.js";
import { PRESETS } from "../../lib/model/presets.ts";
import { ALL_SETTINGS, checkOptions, type TrainOptions } from "../../lib/train/options.ts";
import { PRESET_DEFAULTS, resolveSettings } from "../../lib/train/settings.ts";
import type { Setting } from "../../lib/train/setting.ts";
import { presetSchemas, propertySchemas, settingsSchema } from "../../lib/train/settings_schema.ts";
import { SOFTWARE } from "../support/adapters.ts";
import { COMPANIONS } from "../support/train/companions.ts";
import { microNetwork, patternImages } from "../support/train/micro.ts";
import { MADE_UP } from "../support/train/made_up_settings.ts";

const SHAPE = { height: 32, width: 32, channels: 3, classes: 10 } as const;
const data = patternImages(4);
const validate = new Ajv2020({ strict: true, allErrors: true }).compile(settingsSchema());

/** True if training accepts the options. */
function taken(options: Record<string, unknown>): boolean {
  try {
    checkOptions({ ...options, data } as TrainOptions);
    const { logEvery: _, tune: __, sampleEvery: ___, ...settings } = options;
    resolveSettings(settings, SOFTWARE, SHAPE);
    return true;
  } catch {
    return false;
  }
}

Deno.test("the schema takes what training takes, and refuses what it refuses", () => {
  const model = microNetwork({ sampleSize: 32 });
  const examples: Record<string, unknown>[] = [
    {},
    { preset: "small", epochs: 5, lr: 2e-4, seed: 7, sampleEvery: 0, tune: "off" },
    { preset: "auto", limit: null, flip: false, conditional: false, precision: "mixed" },
    { model, steps: 100, epochs: null, onNonFinite: "skip", guidance: 3.5 },
    { epochs: 3, steps: null },
    { objective: "v", betas: [0.1, 0.2], zeroTerminalSnr: true },
    { epochs: null },
    { epochs: null, steps: null },
    { epochs: "3" },
    { epoch: 3 },
    { preset: "huge" },
    { model: 3 },
    { flip: "no" },
    { limit: 1.5 },
    { guidance: -1 },
    { tune: "always" },
    { logEvery: 257 },
    { betas: [0.1] },
    { betas: [0.1, 1] },
  ];
  const expected = [...Array<boolean>(6).fill(true), ...Array<boolean>(13).fill(false)];
  assert.deepEqual(examples.map((example) => validate(example)), expected);
  assert.deepEqual(examples.map(taken), expected);
});

Deno.test("at every end of every range, schema and checks agree", () => {
  for (const [name, setting] of Object.entries<Setting>(ALL_SETTINGS)) {
    if (setting.kind !== "whole" && setting.kind !== "number") continue;
    const { min, max } = setting;
    const ends = [min - 1, min, min + 1e-9, max - 1e-9, max, max + 2, null].filter((end) => end !== Infinity);
    for (const value of ends) {
      const options = { ...COMPANIONS[name], [name]: value, ...(name === "epochs" ? { steps: 5 } : {}) };
      assert.equal(validate(options), taken(options), JSON.stringify(options));
    }
  }
});

Deno.test("the schema has each setting, its sentence and its default, for each preset where they differ", () => {
  const { properties, allOf } = settingsSchema() as {
    properties: Record<string, Record<string, unknown>>;
    allOf: { if: unknown; then: { properties: Record<string, { default?: unknown }> } }[];
  };
  assert.deepEqual(Object.keys(properties), Object.keys(ALL_SETTINGS));
  for (const [name, { help }] of Object.entries<Setting>(ALL_SETTINGS)) {
    const { description } = properties[name] as { description: string };
    assert.ok(description.toLowerCase().startsWith(help.toLowerCase()), `${name}: ${description}`);
  }
  assert.deepEqual([properties.labelDropout.default, properties.limit.default], [0.1, null]);
  assert.ok(!("default" in properties.batch) && !("default" in properties.samplesPerClass));
  for (const [i, preset] of PRESETS.entries()) {
    assert.deepEqual(allOf[i].if, { properties: { preset: { const: preset } }, required: ["preset"] });
    for (const [name, value] of Object.entries(PRESET_DEFAULTS[preset])) {
      assert.deepEqual(allOf[i].then.properties[name], { default: value });
    }
  }
});

Deno.test("the schema of any table follows from its entries", () => {
  assert.deepEqual(propertySchemas(MADE_UP), {
    layers: {
      description:
        "Depth of it (in layers; a whole number from 1 to 8; default: tiny 2, small 3, small-64 3, small-128 3, ddpm 4)",
      type: "integer",
      minimum: 1,
      maximum: 8,
    },
    ratio: {
      description:
        "Share that is kept (a number above 0 and at most 1; default: 1; 0.5 on a software adapter)",
      type: "number",
      exclusiveMinimum: 0,
      maximum: 1,
    },
    name: { description: "Which of them (default: the fastest)", type: "string", enum: ["a", "b", "c"] },
    fast: { description: "Hurry (default: false)", type: "boolean", default: false },
    safe: { description: "Take care (default: true)", type: "boolean", default: true },
    most: {
      description: "End of it (a number of at least 0; null: no limit)",
      type: ["number", "null"],
      minimum: 0,
      default: null,
    },
    network: { description: "A network (default: one of ours)", type: "object" },
    row: {
      description: "Numbers of a row (null: all 1)",
      type: ["array", "null"],
      items: { type: "number", exclusiveMinimum: 0, exclusiveMaximum: 2 },
      minItems: 1,
      maxItems: 3,
      default: null,
    },
  });
  assert.deepEqual(presetSchemas(MADE_UP)[1].then, { properties: { layers: { default: 3 } } });
});
