/**
 * Flags as members of settings files.
 *
 * @module
 */
import { InvalidArgumentError, type Option } from "commander";
import type { FileEntry } from "./settings_file.ts";
import { fitsTypes, fromJson, type JsonSchema, listSchema, toJson, type Value } from "./values.ts";

/** Form of a flag in a settings file, where it does not follow from the flag. */
export interface FileForm {
  /** Name; by default the flag's in camel case. */
  readonly key?: string;
  /** Schema with description and default. */
  readonly schema?: JsonSchema;
  /** Schema of JSON that is the flag's value as it is, instead of its text. */
  readonly literal?: JsonSchema;
  /** Allowed values in words, by default those of the flag. */
  readonly allowed?: string;
}

/** A flag with a value. */
export interface FileEntryOptions<T> {
  readonly value: Value<T>;
  readonly default?: NoInfer<T>;
  /** The flag may be repeated: its value is the list of all, in their order; undefined (or the default alone) without any. */
  readonly many?: true;
  /** Shown instead of `default`, if the default depends on something; the flag's value is then undefined. */
  readonly defaultText?: string;
  /** Unit of the value, e.g. `images`. */
  readonly unit?: string;
  /** Last note in the help, e.g. `may change on resume`. */
  readonly note?: string;
  /** Form in settings files, where it does not follow from the others; null for a flag that only a command line may have. */
  readonly form?: FileForm | null;
}

/** Form of a flag without a value. */
export interface SwitchForm {
  readonly key: string;
  readonly schema: JsonSchema;
  /** JSON that the flag stands for; the opposite is a value of its own, which may replace another one. */
  readonly on: boolean;
}

/** Entry of a flag with a value. */
export function flagEntry<T>(
  option: Option,
  description: string,
  { value, many, unit, note, default: usual, defaultText, form }: FileEntryOptions<T>,
): FileEntry {
  const { key = option.attributeName(), schema, literal, allowed = value.allowed } = form ?? {};
  const ofFile = { ...value, allowed };
  const one: JsonSchema = option.optional ? { anyOf: [{ type: "boolean" }, value.schema] } : value.schema;
  const values = many ? { anyOf: [one, listSchema(one)] } : one;
  const json = usual === undefined ? undefined : toJson(value, usual);
  const shown = defaultText ?? json;
  const notes = [
    ...unit === undefined ? [] : [`in ${unit}`],
    ...saysMore(value) ? [value.allowed] : [],
    ...shown === undefined ? [] : [`default: ${shown}`],
    ...note === undefined ? [] : [note],
  ];
  return {
    key,
    ...flagOf(option),
    schema: schema ?? {
      description: describe(description, notes),
      ...values,
      ...json === undefined ? {} : { default: json },
    },
    defaultText,
    read: (json, folder) => {
      if (option.optional && typeof json === "boolean") return json || undefined;
      if (literal && fitsTypes(literal, json)) return json;
      return many ? readMany(ofFile, json, folder) : fromJson(ofFile, json, folder);
    },
    write: (given) => {
      if (given === undefined) return json;
      if (given === true && option.optional) return true;
      if (literal && fitsTypes(literal, given)) return given;
      const folder = Deno.cwd();
      return many
        ? (given as T[]).map((one) => toJson(value, one, folder))
        : toJson(value, given as T, folder);
    },
    words: (given) => {
      if (given === undefined || (literal && fitsTypes(literal, given))) return [];
      const { flag } = flagOf(option);
      if (given === true && option.optional) return [flag];
      const all = many ? given as T[] : [given as T];
      return all.flatMap((one) => [flag, String(toJson(value, one))]); // a list has commas between its items
    },
  };
}

/** Values of a flag that may be repeated: a list, or one alone. */
function readMany<T>(value: Value<T>, json: unknown, folder: string): T[] {
  const all: T[] = [];
  for (const one of Array.isArray(json) ? json : [json]) {
    const parsed = fromJson(value, one, folder);
    value.beside?.(parsed, all);
    all.push(parsed);
  }
  if (all.length === 0) throw new InvalidArgumentError(`Allowed: ${value.allowed}.`);
  return all;
}

/** True if the words say more than the schema of a value, as an editor shows it. */
function saysMore({ anything, schema: { type, enum: words } }: Value<unknown>): boolean {
  return !anything && type !== "array" && words === undefined;
}

/** Entry of a flag without a value. */
export function switchEntry(option: Option, description: string, form?: SwitchForm): FileEntry {
  const { key = option.attributeName(), on = true, schema } = form ?? {};
  const flagValue = !option.negate;
  return {
    key,
    ...flagOf(option),
    schema: schema ?? { description: describe(description, []), type: "boolean", default: false },
    defaultText: undefined,
    read: (json) => {
      if (typeof json !== "boolean") throw new InvalidArgumentError("Allowed: true or false.");
      if (json === on) return flagValue;
      return form ? !flagValue : undefined;
    },
    write: (given) => given === flagValue ? on : !on,
    words: (given) => given === flagValue ? [flagOf(option).flag] : [],
  };
}

function flagOf(option: Option): Pick<FileEntry, "attribute" | "flag"> {
  return { attribute: option.attributeName(), flag: option.long ?? option.flags };
}

/** Help as a sentence, with notes. */
function describe(help: string, notes: readonly string[]): string {
  const sentence = help.charAt(0).toUpperCase() + help.slice(1);
  return notes.length === 0 ? sentence : `${sentence} (${notes.join("; ")})`;
}
