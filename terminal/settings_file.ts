/**
 * Settings files: JSON whose members are named like a task's flags, in camel case, with the values of the flags. Comments
 * and trailing commas are allowed, as in editors' own settings.
 *
 * @module
 */
import { dirname } from "node:path";
import { InvalidArgumentError } from "commander";
import { type Node, type ParseError, parseTree, printParseErrorCode } from "jsonc-parser";
import { ConfigError, DenoiseError } from "../lib/errors.ts";
import { fileProblem } from "../lib/files/durable.ts";
import { decodeText } from "../lib/files/stand_in.ts";
import { withSuggestion } from "../lib/suggest.ts";
import type { JsonSchema } from "./values.ts";

/** Member of a settings file with the file's schema, which is not a setting. */
export const SCHEMA_KEY = "$schema";

/** A flag as a member of settings files. */
export interface FileEntry {
  /** Name of the member. */
  readonly key: string;
  /** Name of the flag's parsed value. */
  readonly attribute: string;
  /** The flag, without its placeholder. */
  readonly flag: string;
  /** JSON Schema of the member, with description and default. */
  readonly schema: JsonSchema;
  /** The default in words; undefined without one. */
  readonly defaultText: string | undefined;
  /**
   * The flag's value of the member's; undefined for one that means that the flag is not given.
   *
   * @param folder from which relative paths are taken
   * @throws {InvalidArgumentError} if `json` is not allowed
   */
  read(json: unknown, folder: string): unknown;
  /** The member's value of the flag's; paths are absolute. */
  write(value: unknown): unknown;
  /** Words of a command line that give the flag a value; none for one that no flag takes. */
  words(value: unknown): string[];
}

/** A setting in a file. */
export interface FileSetting {
  readonly entry: FileEntry;
  /** Value of the flag; undefined if it is as without the flag. */
  readonly value: unknown;
  /** Place in the file, `birds.json:3`. */
  readonly place: string;
}

/** A settings file that cannot be read, or a setting in it that is not allowed; the message names file, line and setting. */
export class SettingsError extends DenoiseError {
  /** `SettingsError`. */
  override name = "SettingsError";
}

/** What a command takes from a settings file. */
export interface FileContents {
  /** The command, for messages. */
  readonly command: string;
  readonly entries: readonly FileEntry[];
  /** Flags that belong on the command line only, by what their members would be called. */
  readonly flagsOnly: ReadonlyMap<string, string>;
}

/**
 * Reads a settings file.
 *
 * @returns its settings in their order
 * @throws {ConfigError} if the file cannot be read
 * @throws {SettingsError} naming the line that is no JSON, or the first setting that is unknown, repeated, or not allowed
 */
export function readSettingsFile(path: string, contents: FileContents): FileSetting[] {
  const text = readText(path);
  const settings: FileSetting[] = [];
  for (const { key, value, line } of membersOf(path, text)) {
    const place = `${path}:${line}`;
    const earlier = settings.find(({ entry }) => entry.key === key);
    if (earlier) throw new SettingsError(`${place}: ${key}: given twice, also in line ${lineOf(earlier)}`);
    if (key === SCHEMA_KEY) continue;
    const entry = contents.entries.find((entry) => entry.key === key);
    if (!entry) throw new SettingsError(`${place}: ${describeUnknown(key, contents)}`);
    try {
      settings.push({ entry, value: entry.read(value, dirname(path)), place });
    } catch (error) {
      if (!(error instanceof InvalidArgumentError)) throw error;
      throw new SettingsError(`${place}: ${key}: ${JSON.stringify(value)} is invalid. ${error.message}`);
    }
  }
  return settings;
}

/**
 * Settings of a file that flags do not replace, themselves or by flags that they cannot be combined with.
 *
 * @param flags given on the command line, by the names of their values
 * @param conflict true if two flags cannot be combined
 * @throws {SettingsError} naming the first setting that cannot be combined with another of the file
 */
export function settingsBeside(
  flags: readonly string[],
  settings: readonly FileSetting[],
  conflict: (one: string, other: string) => boolean,
): FileSetting[] {
  const kept = settings.filter(({ entry: { attribute } }) => !flags.includes(attribute));
  const set = kept.filter(({ value }) => value !== undefined && value !== null);
  const beside = set.filter(({ entry }) => !flags.some((flag) => conflict(flag, entry.attribute)));
  beside.forEach(({ entry, place }, i) => {
    const other = beside.slice(0, i).find((earlier) => conflict(earlier.entry.attribute, entry.attribute));
    if (!other) return;
    const where = `${other.entry.key} in line ${lineOf(other)}`;
    throw new SettingsError(`${place}: ${entry.key}: cannot be used with ${where}`);
  });
  return kept.filter((setting) => beside.includes(setting) || !set.includes(setting));
}

function readText(path: string): string {
  try {
    return decodeText(Deno.readFileSync(path));
  } catch (error) {
    const problem = error instanceof TypeError ? "it is not UTF-8" : fileProblem(error);
    throw new ConfigError("--settings", path, `a JSON file of settings (${problem})`);
  }
}

/** Members of the object in a file, in their order, each with its line. */
function membersOf(path: string, text: string): { key: string; value: unknown; line: number }[] {
  const errors: ParseError[] = [];
  const root = parseTree(text, errors, { allowTrailingComma: true });
  const lineAt = (offset: number) => text.slice(0, offset).split("\n").length;
  const [error] = errors;
  if (error) {
    const words = printParseErrorCode(error.error).replace(/\B[A-Z]/g, (letter) => ` ${letter}`)
      .toLowerCase();
    throw new SettingsError(`${path}:${lineAt(error.offset)}: not JSON: ${words}`);
  }
  if (root?.type !== "object") throw new SettingsError(`${path}: expected a JSON object of settings`);
  return (root.children ?? []).map(({ offset, children = [] }) => {
    const [key, value] = children as [Node, Node]; // a member has both
    return { key: String(key.value), value: valueOf(value), line: lineAt(offset) };
  });
}

/** The value of a node. */
function valueOf({ type, value, children = [] }: Node): unknown {
  if (type === "array") return children.map(valueOf);
  if (type !== "object") return value;
  return Object.fromEntries(children.map(({ children }) => {
    const [key, value] = children as [Node, Node]; // a member has both
    return [key.value, valueOf(value)];
  }));
}

function lineOf({ place }: FileSetting): string {
  return place.slice(place.lastIndexOf(":") + 1);
}

function describeUnknown(key: string, { command, entries, flagsOnly }: FileContents): string {
  const flag = flagsOnly.get(key);
  if (flag !== undefined) return `${key}: belongs on the command line, as ${flag}`;
  // A flag's name, `--label-dropout`, is as near as the member's.
  const word = key.replace(/^-+/, "").replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
  const [same] = entries.filter(({ attribute }) => attribute === word);
  if (same) return `${key}: no setting of ${command} (did you mean ${same.key}?)`;
  return withSuggestion(`${key}: no setting of ${command}`, word, entries.map(({ key }) => key));
}
