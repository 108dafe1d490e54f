/**
 * Command-line flags from a table of settings: each entry is a flag with its help, and its value is read back by name.
 *
 * @module
 */
import { Option } from "commander";
import {
  type BooleanSetting,
  describeDefault,
  type Setting,
  type Settings,
} from "../../lib/train/setting.ts";
import { type FlagNames, integer, number, oneOf, type TaskCommand, text, type Value } from "./cli.ts";

/** Note in the help of a setting that a resumed run may be given anew. */
const RESUMABLE = "may change on resume";

/** Adds a flag for each setting of a table. */
export function addSettingFlags(command: TaskCommand, table: Settings): TaskCommand {
  for (const [name, setting] of Object.entries(table)) {
    const flag = flagOf(name, setting);
    if (setting.kind === "boolean") {
      const help = setting.default ? setting.off : setting.help;
      command.switch(flag, setting.resumable ? `${help} (${RESUMABLE})` : help);
      continue;
    }
    const { help, unit, resumable, conflicts = [] } = setting;
    command.flag<unknown>(`${flag} <${valueName(setting)}>`, help, {
      value: valueOf(setting),
      unit,
      defaultText: describeDefault(setting),
      note: resumable && RESUMABLE,
      conflicts: conflicts.map((other) => attributeOf(other, table[other])),
    });
  }
  return command;
}

/**
 * The settings that a command line gave, by their names. An object is read from its file by the caller, and not here.
 *
 * @param values the flags' values, as {@linkcode TaskCommand.read} gives them
 */
export function readSettingFlags<Options>(
  table: Settings,
  values: Readonly<Record<string, unknown>>,
): Options {
  const given: Record<string, unknown> = {};
  for (const [name, setting] of Object.entries(table)) {
    const value = values[attributeOf(name, setting)];
    if (value === undefined || setting.kind === "object") continue;
    given[name] = setting.kind === "boolean" ? !setting.default : value;
    if (setting.clears !== undefined) given[setting.clears] = null;
  }
  return given as Options;
}

/** A table's flags by the names of their settings; those that say the opposite (`--no-flip`) are left out. */
export function flagNames(table: Settings): FlagNames {
  const entries = Object.entries(table).filter(([, { kind, default: value }]) =>
    !(kind === "boolean" && value === true)
  );
  return Object.fromEntries(entries.map(([name, setting]) => [name, flagOf(name, setting)]));
}

/** A setting's flag, e.g. `--label-dropout`. */
export function flagOf(name: string, setting: Setting): string {
  const kebab = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  const negated = setting.kind === "boolean" && setting.default;
  return setting.flag ?? `--${negated ? "no-" : ""}${kebab}`;
}

/** The name that a flag's value has among those that were read. */
function attributeOf(name: string, setting: Setting): string {
  return new Option(flagOf(name, setting)).attributeName();
}

function valueName({ kind, valueName }: Setting): string {
  return valueName ?? (kind === "whole" ? "N" : "F");
}

/** How a setting's value is read. */
function valueOf(setting: Exclude<Setting, BooleanSetting>): Value<unknown> {
  switch (setting.kind) {
    case "whole":
      return integer(setting.min, setting.max);
    case "number":
      return number(setting.min, setting.max, { above: setting.aboveMin, below: setting.belowMax });
    case "choice":
      return oneOf(setting.choices);
    case "object":
      return text();
  }
}
