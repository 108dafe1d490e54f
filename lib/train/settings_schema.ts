/**
 * JSON Schema (draft 2020-12) of a training run's settings, for editors and for validation in other programs.
 *
 * @module
 */
import { PRESETS } from "../model/presets.ts";
import { ALL_SETTINGS } from "./options.ts";
import {
  describeAllowed,
  describeDefault,
  hasAdapters,
  hasPresets,
  type Range,
  type Setting,
  type Settings,
} from "./setting.ts";

/** The one rule between two settings: a run must end, so with `epochs: null` it needs `steps`. */
const MUST_END = {
  if: { properties: { epochs: { const: null } }, required: ["epochs"] },
  then: { properties: { steps: { type: "integer" } }, required: ["steps"] },
};

/**
 * JSON Schema (draft 2020-12) of the options of {@linkcode train} that JSON can hold: types, ranges, descriptions and
 * defaults, per preset where they differ.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { settingsSchema } from "@denoise/ddpm";
 *
 * const { properties } = settingsSchema() as { properties: Record<string, { maximum?: number }> };
 * assert.equal(properties.accumulate.maximum, 4096);
 * ```
 */
export function settingsSchema(): Record<string, unknown> {
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Settings of a training run",
    description: "Options of train() in @denoise/ddpm, except the data, the directory and the device.",
    type: "object",
    properties: propertySchemas(ALL_SETTINGS),
    additionalProperties: false,
    allOf: settingsRules(),
  };
}

/** Conditional schemas of all settings: the defaults of each preset, and that a run must end. */
export function settingsRules(): Record<string, unknown>[] {
  return [...presetSchemas(ALL_SETTINGS), MUST_END];
}

/** Schema of each setting in a table. */
export function propertySchemas(table: Settings): Record<string, Record<string, unknown>> {
  return Object.fromEntries(Object.entries(table).map(([name, setting]) => [name, propertySchema(setting)]));
}

/** Conditional schemas with the defaults of each preset. */
export function presetSchemas(table: Settings): Record<string, unknown>[] {
  return PRESETS.map((preset) => ({
    if: { properties: { preset: { const: preset } }, required: ["preset"] },
    then: {
      properties: Object.fromEntries(
        Object.entries(table).flatMap(([name, { default: value }]) =>
          hasPresets(value) ? [[name, { default: value[preset] }]] : []
        ),
      ),
    },
  }));
}

function propertySchema(setting: Setting): Record<string, unknown> {
  const { default: value } = setting;
  const constant = value !== undefined && typeof value !== "function" &&
    !hasPresets(value) && !hasAdapters(value);
  return {
    description: describe(setting),
    ...typeSchema(setting),
    ...(constant ? { default: value } : {}),
  };
}

function typeSchema(setting: Setting): Record<string, unknown> {
  switch (setting.kind) {
    case "whole":
    case "number": {
      const type = setting.kind === "whole" ? "integer" : "number";
      return { type: setting.null === undefined ? type : [type, "null"], ...rangeSchema(setting) };
    }
    case "choice":
      return { type: "string", enum: setting.choices };
    case "numbers": {
      const { above, below, minLength, maxLength } = setting;
      const items = { type: "number", exclusiveMinimum: above, exclusiveMaximum: below };
      return { type: ["array", "null"], items, minItems: minLength, maxItems: maxLength };
    }
    case "boolean":
    case "object":
      return { type: setting.kind };
  }
}

function rangeSchema({ min, max, aboveMin, belowMax }: Range): Record<string, number> {
  return {
    [aboveMin ? "exclusiveMinimum" : "minimum"]: min,
    ...(max === Infinity ? {} : { [belowMax ? "exclusiveMaximum" : "maximum"]: max }),
  };
}

/** The help text, with unit, range and default, of which editors show only what the description says. */
function describe(setting: Setting): string {
  const { help, unit, default: value, defaultText } = setting;
  const isNumber = setting.kind === "whole" || setting.kind === "number";
  const notes = [
    ...(unit === undefined ? [] : [`in ${unit}`]),
    ...(isNumber ? [describeAllowed(setting, undefined)] : []),
    ...("null" in setting && setting.null !== undefined ? [`null: ${setting.null}`] : []),
    ...(value === null && defaultText === undefined ? [] : [`default: ${describeDefault(setting)}`]),
  ];
  const sentence = help.charAt(0).toUpperCase() + help.slice(1);
  return notes.length === 0 ? sentence : `${sentence} (${notes.join("; ")})`;
}
