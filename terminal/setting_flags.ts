/**
 * Command-line flags generated from a table of settings.
 *
 * @module
 */
import { Option } from "commander";
import {
  type BooleanSetting,
  describeDefault,
  type Setting,
  type Settings,
  usualFlag,
} from "../lib/train/setting.ts";
import { propertySchemas } from "../lib/train/settings_schema.ts";
import type { FlagNames, TaskCommand } from "./cli.ts";
import type { FileForm } from "./file_entries.ts";
import { integer, type JsonSchema, number, numbers, oneOf, path, type Value } from "./values.ts";

/** Help note for settings that may change on resume. */
const RESUMABLE = "may change on resume";

/** Adds a flag for each setting in a table. */
export function addSettingFlags(command: TaskCommand, table: Settings): TaskCommand {
  const schemas = propertySchemas(table);
  for (const [name, setting] of Object.entries(table)) {
    const flag = flagOf(name, setting);
    const { [name]: schema } = schemas;
    if (setting.kind === "boolean") {
      const help = setting.default ? setting.off : setting.help;
      command.switch(flag, setting.resumable ? `${help} (${RESUMABLE})` : help, [], {
        key: name,
        schema: schema!, // of the same table
        on: !setting.default,
      });
      continue;
    }
    const { help, unit, resumable, conflicts = [] } = setting;
    command.flag<unknown>(`${flag} <${valueName(setting)}>`, help, {
      value: valueOf(setting),
      unit,
      defaultText: describeDefault(setting),
      note: resumable && RESUMABLE,
      conflicts: conflicts.map((other) => attributeOf(other, table[other]!)), // settings of the same table
      form: { key: name, ...formOf(setting, schema!) }, // of the same table
    });
  }
  return command;
}

/**
 * Settings given on the command line, by name. Objects and lists in files are left to the caller.
 *
 * @param values of the flags, from {@linkcode TaskCommand.read}
 */
export function readSettingFlags<Options>(
  table: Settings,
  values: Readonly<Record<string, unknown>>,
): Options {
  const given: Record<string, unknown> = {};
  for (const [name, setting] of Object.entries(table)) {
    const value = values[attributeOf(name, setting)];
    if (value === undefined || isFile(setting)) continue;
    given[name] = setting.kind === "boolean" ? settingOf(name, setting, value) : value;
    if (setting.clears !== undefined && value !== null) given[setting.clears] = null;
  }
  return given as Options;
}

/** A boolean setting by its flag's value, of which `--no-…` gives false, and a settings file either. */
function settingOf(name: string, setting: BooleanSetting, value: unknown): boolean {
  const given = value === !new Option(flagOf(name, setting)).negate;
  return given ? !setting.default : setting.default;
}

/** Schema of a setting in a settings file, where those that are files on a command line may be written out. */
function formOf(setting: Setting, schema: JsonSchema): Omit<FileForm, "key"> {
  const { type, items, minItems, maxItems, description, ...rest } = schema;
  if (!isFile(setting)) {
    return { schema, ...[type].flat().includes("null") && { literal: { type: "null" } } };
  }
  const literals = [type].flat().map((type): JsonSchema =>
    type === "array" ? { type, items, minItems, maxItems } : { type }
  );
  const text = { type: "string", minLength: 1, description: "Path of a JSON file" };
  return {
    schema: {
      description: `${description}; or the path of a JSON file with it`,
      anyOf: [...literals, text],
      ...rest,
    },
    literal: { anyOf: literals },
    allowed: `the path of a JSON file, or ${setting.kind === "object" ? "an object" : "a list of numbers"}`,
  };
}

/** Flags of a table by the names of their settings, except negated ones (`--no-flip`). */
export function flagNames(table: Settings): FlagNames {
  const entries = Object.entries(table).filter(([, { kind, default: value }]) =>
    !(kind === "boolean" && value === true)
  );
  return Object.fromEntries(entries.map(([name, setting]) => [name, flagOf(name, setting)]));
}

/** Flag of a setting, e.g. `--label-dropout`. */
export function flagOf(name: string, setting: Setting): string {
  const negated = setting.kind === "boolean" && setting.default;
  const usual = usualFlag(name);
  return setting.flag ?? (negated ? usual.replace("--", "--no-") : usual);
}

/** Name of a flag's value among the parsed ones. */
function attributeOf(name: string, setting: Setting): string {
  return new Option(flagOf(name, setting)).attributeName();
}

function valueName({ kind, valueName }: Setting): string {
  return valueName ?? (kind === "whole" ? "N" : "F");
}

/** Parser of a setting's value. */
function valueOf(setting: Exclude<Setting, BooleanSetting>): Value<unknown> {
  switch (setting.kind) {
    case "whole":
      return integer(setting.min, setting.max);
    case "number":
      return number(setting.min, setting.max, { above: setting.aboveMin, below: setting.belowMax });
    case "choice":
      return oneOf(setting.choices, setting.removed);
    case "numbers": {
      const { inline, minLength, maxLength, above, below } = setting;
      return inline ? numbers(minLength, maxLength, above, below) : path();
    }
    case "object":
      return path();
  }
}

/** True if a flag's value is the path of a file. */
function isFile(setting: Setting): boolean {
  return setting.kind === "object" || (setting.kind === "numbers" && !setting.inline);
}
