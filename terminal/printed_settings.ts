/**
 * The settings of a command, as `--print-settings` prints them.
 *
 * @module
 */
import { SCHEMA_KEY } from "./settings_file.ts";

/** Forms of `--print-settings`: a settings file, or where each setting is from. */
export const PRINTED_FORMS = ["json", "sources"] as const;

/** A form of `--print-settings`. */
export type PrintedForm = (typeof PRINTED_FORMS)[number];

/** A setting in effect. */
export interface EffectiveSetting {
  readonly key: string;
  /** Its JSON; undefined for one that is not given, and whose default depends on more than flags and device. */
  readonly json: unknown;
  /** Where it is from: a flag, a place in a file, `recipe best`, `preset tiny`, `default`. */
  readonly source: string;
  /** The default in words, of a setting without JSON. */
  readonly defaultText?: string;
}

/**
 * Settings as a settings file, or as a table of values and sources.
 *
 * @param schema value of `$schema`
 */
export function printedSettings(
  form: PrintedForm,
  settings: readonly EffectiveSetting[],
  schema: string,
): string {
  if (form === "sources") return sourcesTable(settings);
  const known = settings.filter(({ json }) => json !== undefined).map(({ key, json }) => [key, json]);
  return `${JSON.stringify({ [SCHEMA_KEY]: schema, ...Object.fromEntries(known) }, null, 2)}\n`;
}

function sourcesTable(settings: readonly EffectiveSetting[]): string {
  const rows = settings.map(({ key, json, source, defaultText = "none" }) => [
    key,
    source,
    json === undefined ? defaultText : JSON.stringify(json),
  ]);
  const widths = [0, 1].map((column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map(([key, source, value]) =>
    `${key!.padEnd(widths[0]!)}  ${source!.padEnd(widths[1]!)}  ${value}\n`
  ).join("");
}
