/**
 * Values of flags: their text on a command line, and their form in a settings file.
 *
 * Each has a parser of its text, the allowed values in words, and a JSON Schema. JSON is checked by the schema's types, then
 * written as text and parsed, so that files and command lines allow the same, in the same words.
 *
 * @module
 */
import { basename, isAbsolute, join, resolve } from "node:path";
import { InvalidArgumentError } from "commander";
import { withSuggestion } from "../lib/suggest.ts";

/** JSON Schema (draft-07) of a value. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** A flag's value. */
export interface Value<T> {
  /** Allowed values in words. */
  readonly allowed: string;
  /** True if help omits `allowed`, because almost anything is. */
  readonly anything?: boolean;
  /** @throws {InvalidArgumentError} if `text` is not allowed */
  readonly parse: (text: string) => T;
  /**
   * Checks a value against the earlier ones of a flag that may be repeated.
   *
   * @throws {InvalidArgumentError} where they cannot go together
   */
  beside?(value: T, earlier: readonly T[]): void;
  /** JSON Schema of the value in a settings file. */
  readonly schema: JsonSchema;
  /** JSON of a value; by default the value itself. */
  toJson?(value: T): unknown;
  /** Of a value with paths: the same value with its relative paths taken from a folder. */
  inFolder?(json: string, folder: string): string;
}

/** Schema of non-empty text. */
const TEXT: JsonSchema = { type: "string", minLength: 1 };

/** A whole number from `min` to `max`, both included, in decimal digits. */
export function integer(min: number, max: number = Number.MAX_SAFE_INTEGER): Value<number> {
  const bound = max === Number.MAX_SAFE_INTEGER ? `${min} or more` : `from ${min} to ${max}`;
  const read = (text: string) => {
    const value = /^[+-]?\d+$/.test(text) ? Number(text) : NaN;
    return value >= min && value <= max ? value : undefined;
  };
  return checked(`a whole number, ${bound}`, read, {
    schema: { type: "integer", minimum: min, ...max === Number.MAX_SAFE_INTEGER ? {} : { maximum: max } },
  });
}

/** Exclusive ends of a range. */
export interface OpenEnds {
  /** Excludes `min` itself. */
  readonly above?: boolean;
  /** Excludes `max` itself. */
  readonly below?: boolean;
}

/** A decimal number from `min` to `max`, both included by default; may have an exponent, such as `2e-4`. */
export function number(min: number, max: number = Infinity, open: OpenEnds = {}): Value<number> {
  const read = (text: string) => {
    const value = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : NaN;
    if ((open.above && value === min) || (open.below && value === max)) return undefined;
    return value >= min && value <= max && Number.isFinite(value) ? value : undefined;
  };
  const schema = {
    type: "number",
    [open.above ? "exclusiveMinimum" : "minimum"]: min,
    ...max === Infinity ? {} : { [open.below ? "exclusiveMaximum" : "maximum"]: max },
  };
  return checked(`a number, ${rangeInWords(min, max, open)}`, read, { schema });
}

/** Decimal numbers separated by commas, each above and below two bounds. */
export function numbers(minLength: number, maxLength: number, above: number, below: number): Value<number[]> {
  const allowed =
    `${minLength} to ${maxLength} numbers above ${above} and below ${below}, separated by commas`;
  return list(number(above, below, { above: true, below: true }), allowed, { minLength, maxLength });
}

function rangeInWords(min: number, max: number, { above, below }: OpenEnds): string {
  if (max === Infinity) return above ? `above ${min}` : `${min} or more`;
  if (above) return `above ${min} and ${below ? "below" : "at most"} ${max}`;
  return `from ${min} to ${below ? "below " : ""}${max}`;
}

/**
 * One of the given words.
 * @param removed words that were allowed once, each with what is allowed instead
 */
export function oneOf<const T extends string>(
  words: readonly T[],
  removed: Readonly<Record<string, string>> = {},
): Value<T> {
  const read = (text: string) => words.find((word) => word === text);
  const { parse, ...value } = checked(words.join(", "), read, {
    words,
    schema: { type: "string", enum: words },
  });
  return {
    ...value,
    parse: (text) => {
      const instead = Object.hasOwn(removed, text) ? removed[text] : undefined;
      if (instead !== undefined) throw new InvalidArgumentError(`Allowed: ${instead}.`);
      return parse(text);
    },
  };
}

/** Any non-empty text, such as a name. */
export function text(): Value<string> {
  return {
    ...checked("any non-empty text", (value) => value === "" ? undefined : value),
    anything: true,
  };
}

/**
 * Path of a file or directory; in a settings file, relative to that file.
 *
 * @param inFolder where some texts are no paths: as in {@linkcode Value}
 */
export function path(inFolder: typeof pathInFolder = pathInFolder): Value<string> {
  return { ...text(), inFolder };
}

/** A path as it is from a folder; absolute ones and URLs are left as they are. */
export function pathInFolder(path: string, folder: string): string {
  return isAbsolute(path) || /^[a-z][a-z\d+.-]+:\/\//i.test(path) ? path : join(folder, path);
}

/** Items separated by commas; in a settings file, a list. */
export function list<T>(
  item: Value<T>,
  allowed: string,
  { minLength = 1, maxLength }: { readonly minLength?: number; readonly maxLength?: number } = {},
): Value<T[]> {
  const read = (text: string) => {
    const parts = text.split(",");
    if (parts.length < minLength || (maxLength !== undefined && parts.length > maxLength)) return undefined;
    try {
      return parts.map((part) => item.parse(part.trim()));
    } catch (error) {
      if (error instanceof InvalidArgumentError) return undefined;
      throw error;
    }
  };
  const { toJson, inFolder } = item;
  return {
    ...checked(allowed, read, { schema: listSchema(item.schema, minLength, maxLength) }),
    ...toJson && { toJson: (values) => values.map(toJson) },
    ...inFolder && { inFolder },
  };
}

/** Schema of a list of `minLength` to `maxLength` items. */
export function listSchema(items: JsonSchema, minLength = 1, maxLength?: number): JsonSchema {
  const most = maxLength === undefined ? {} : { maxItems: maxLength };
  return { type: "array", items, minItems: minLength, ...most };
}

/**
 * Reads a value of a settings file. JSON of the wrong type is refused in the words of the flag.
 *
 * @param folder of the file, from which relative paths are taken
 * @throws {InvalidArgumentError} if `json` is not allowed
 */
export function fromJson<T>(value: Value<T>, json: unknown, folder: string): T {
  const text = fitsTypes(value.schema, json)
    ? textOf(json, (path) => value.inFolder?.(path, folder) ?? path)
    : undefined;
  if (text === undefined) throw new InvalidArgumentError(`Allowed: ${value.allowed}.`);
  return value.parse(text);
}

/**
 * JSON of a value, which {@linkcode fromJson} reads.
 *
 * @param folder from which relative paths are taken; they stay as they are without one
 */
export function toJson<T>(value: Value<T>, of: T, folder?: string): unknown {
  const json = value.toJson ? value.toJson(of) : of;
  const inFolder = (one: unknown) =>
    folder !== undefined && typeof one === "string" ? value.inFolder?.(one, folder) ?? one : one;
  return Array.isArray(json) ? json.map(inFolder) : inFolder(json);
}

/** True if JSON has the types that a schema names; its other keywords are left to the parser of the value. */
export function fitsTypes({ type, items, anyOf }: JsonSchema, json: unknown): boolean {
  if (Array.isArray(anyOf)) return anyOf.some((schema: JsonSchema) => fitsTypes(schema, json));
  if (Array.isArray(json)) {
    return type === "array" && json.every((item) => fitsTypes(items as JsonSchema, item));
  }
  if (json === null) return type === "null";
  return type === typeof json || (type === "integer" && typeof json === "number");
}

/** Text of JSON on a command line; undefined for a list that has none, because an item has a comma. */
function textOf(json: unknown, inFolder: (path: string) => string): string | undefined {
  if (!Array.isArray(json)) return typeof json === "string" && json !== "" ? inFolder(json) : String(json);
  const texts = json.map((item) => textOf(item, inFolder));
  return texts.some((text) => text === undefined || text.includes(",")) ? undefined : texts.join(",");
}

/** Form of a value in a settings file, and its words. */
export interface ValueForm<T> extends Pick<Value<T>, "toJson" | "inFolder"> {
  /** By default that of non-empty text. */
  readonly schema?: JsonSchema;
  /** Allowed words, for suggestions. */
  readonly words?: readonly string[];
}

/** A value that `read` parses; undefined means that it is not allowed. */
export function checked<T>(
  allowed: string,
  read: (text: string) => T | undefined,
  { schema = TEXT, words = [], ...form }: ValueForm<T> = {},
): Value<T> {
  const parse = (text: string): T => {
    const value = read(text);
    if (value === undefined) {
      throw new InvalidArgumentError(withSuggestion(`Allowed: ${allowed}.`, text, words));
    }
    return value;
  };
  return { allowed, parse, schema, ...form };
}

/** A path with a short name, as {@linkcode namedPath} reads it. */
export interface NamedPath {
  readonly name: string;
  /** Path or URL. */
  readonly path: string;
}

const NAME_WORDS = "1 to 64 letters, digits, '.', '_' and '-', the first one a letter or digit";

/**
 * `[NAME=]PATH`: a path or URL with a short name, by default the last part of the path, with `-` in place of characters that
 * names don't have. Of a repeated flag, each value needs a name of its own. A path that looks like `NAME=PATH` can be given with its name,
 * or as `./a=b`.
 *
 * @param inFolder of the path, as for {@linkcode path}
 */
export function namedPath(inFolder: typeof pathInFolder = pathInFolder): Value<NamedPath> {
  const parse = (text: string): NamedPath => {
    const [given, path] = splitName(text);
    const name = given ?? nameOfPath(path);
    if (path !== "" && /^[A-Za-z\d][\w.-]{0,63}$/.test(name)) return { name, path };
    throw new InvalidArgumentError(`Allowed: PATH or NAME=PATH, with a NAME of ${NAME_WORDS}.`);
  };
  return {
    allowed: "any path, with a name where the last part of the path is not to be it",
    anything: true,
    parse,
    beside({ name, path }, earlier) {
      const other = earlier.find((one) => one.name === name);
      if (!other) return;
      const choice = `Give one of ${other.path} and ${path} another name, as NAME=PATH.`;
      throw new InvalidArgumentError(`The name ${name} is taken. ${choice}`);
    },
    schema: TEXT,
    toJson: ({ name, path }) => `${name}=${path}`,
    inFolder: (text, folder) => {
      const [name, path] = splitName(text);
      const joined = inFolder(path, folder);
      if (name !== undefined) return `${name}=${joined}`;
      return splitName(joined)[0] === undefined ? joined : `./${joined}`;
    },
  };
}

/** The parts of `[NAME=]PATH`. */
function splitName(text: string): readonly [name: string | undefined, path: string] {
  const [, name, path] = /^([^=/\\:?#]*)=(.*)$/s.exec(text) ?? [];
  return [name, path ?? text];
}

/** Name by the last part of a path or URL; `model` where that has no letter or digit. */
export function nameOfPath(path: string): string {
  const url = /^[a-z]+:\/\//i.test(path) ? URL.parse(path) : null;
  const last = url ? decodeName(basename(url.pathname)) : basename(resolve(path));
  return last.replace(/[^\w.-]+/g, "-").replace(/^[^A-Za-z\d]+|-+$/g, "").slice(0, 64) || "model";
}

function decodeName(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // a percent sign of its own
  }
}
