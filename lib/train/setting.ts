/**
 * Description of a setting in a table: kind, default, check, and their wording in help and errors.
 *
 * @module
 */
import { ConfigError } from "../errors.ts";
import type { AdapterDescription } from "../gpu/device.ts";
import { type PresetName, PRESETS } from "../model/presets.ts";
import { withSuggestion } from "../suggest.ts";

/** Fields of an adapter on which defaults may depend. */
export type AdapterTraits = Pick<AdapterDescription, "software" | "features" | "matrices">;

/** A default: one value, or one per preset, or one per kind of adapter, or a function of the adapter. */
export type Default<T> =
  | T
  | Readonly<Record<PresetName, T>>
  | Readonly<Record<"gpu" | "software", T>>
  | ((adapter: AdapterTraits) => T);

/** A default per preset. */
export function forEachPreset<T>(value: (name: PresetName) => T): Readonly<Record<PresetName, T>> {
  return Object.fromEntries(PRESETS.map((name) => [name, value(name)])) as Record<PresetName, T>;
}

/** Fields of every setting. */
interface Described<T> {
  /** Phrase for `--help` and the JSON Schema. */
  readonly help: string;
  /** Value if none is given. */
  readonly default: Default<T>;
  /** The default in words; required if it is a function, or depends on anything other than preset and adapter. */
  readonly defaultText?: string;
  /** Value in runs stored before the setting existed, if that is not the default. */
  readonly before?: T;
  /** Command-line flag; by default the name in kebab case, e.g. `--label-dropout`. */
  readonly flag?: `--${string}`;
  /** Placeholder for the value in `--help`; by default `N` for whole numbers and `F` for others. */
  readonly valueName?: string;
  /** Unit of the value, e.g. `images`. */
  readonly unit?: string;
  /** True if the value may change on resume; a change to any other setting would make it a different run. */
  readonly resumable?: true;
  /** Settings that cannot be combined with this one on a command line. */
  readonly conflicts?: readonly string[];
  /** Setting that becomes null if this one is given on a command line, because it replaces it. */
  readonly clears?: string;
}

/** Bounds of a number. */
export interface Range {
  readonly min: number;
  /** `Infinity` for no bound. */
  readonly max: number;
  /** Excludes `min` itself. */
  readonly aboveMin?: true;
  /** Excludes `max` itself. */
  readonly belowMax?: true;
}

/** A number, whole or not, or null if `null` describes what that means. */
export type NumberSetting<T extends number | null> = Described<T> & Range & {
  readonly kind: "whole" | "number";
} & (null extends T ? { readonly null: string } : { readonly null?: undefined });

/** One of several words. */
export interface ChoiceSetting<T extends string> extends Described<T> {
  readonly kind: "choice";
  readonly choices: readonly T[];
  /** Choices that were removed, each with what is allowed instead. */
  readonly removed?: Readonly<Record<string, string>>;
  readonly valueName: string;
}

/** Boolean that is false by default: the flag turns it on. */
interface OnSetting extends Omit<Described<boolean>, "default"> {
  readonly kind: "boolean";
  readonly default: false;
}

/** Boolean that is true by default: the flag turns it off, and is called `--no-…` unless `flag` says otherwise. */
interface OffSetting extends Omit<Described<boolean>, "default"> {
  readonly kind: "boolean";
  readonly default: true;
  /** Help of the flag. */
  readonly off: string;
}

/** Boolean setting. */
export type BooleanSetting = OnSetting | OffSetting;

/** An object; on a command line, a JSON file. */
export interface ObjectSetting extends Described<undefined> {
  readonly kind: "object";
  readonly valueName: string;
}

/**
 * Numbers of a list, each between two bounds, or null if `null` describes what that means; on a command line, a JSON file, or the
 * numbers themselves.
 */
export interface NumbersSetting extends Described<null> {
  readonly kind: "numbers";
  /** Excluded bounds of each number. */
  readonly above: number;
  readonly below: number;
  /** Bounds of the list's length. */
  readonly minLength: number;
  readonly maxLength: number;
  readonly null: string;
  readonly valueName: string;
  /** On a command line, the numbers themselves, separated by commas. */
  readonly inline?: true;
}

/** Any setting. */
export type Setting =
  | NumberSetting<number>
  | NumberSetting<number | null>
  | ChoiceSetting<string>
  | BooleanSetting
  | NumbersSetting
  | ObjectSetting;

/** Settings by name. */
export type Settings = Readonly<Record<string, Setting>>;

type SettingFor<T> = [T] extends [boolean] ? BooleanSetting
  : [T] extends [number] ? NumberSetting<number>
  : [T] extends [number | null] ? NumberSetting<number | null>
  : [T] extends [string] ? ChoiceSetting<T>
  : [T] extends [readonly number[] | null] ? NumbersSetting
  : ObjectSetting;

/** Table with an entry for each member of an interface, of the kind that matches the member's type. */
export type SettingTable<Options> = {
  readonly [Name in keyof Options]-?: SettingFor<Exclude<Options[Name], undefined>>;
};

/** Preset and adapter, on which defaults may depend. */
export interface DefaultContext {
  readonly preset: PresetName;
  readonly adapter: AdapterTraits;
}

/** A setting's default. */
function defaultOf(setting: Setting, { preset, adapter }: DefaultContext): unknown {
  const value: Default<unknown> = setting.default;
  if (typeof value === "function") return value(adapter);
  if (hasPresets(value)) return value[preset];
  if (hasAdapters(value)) return adapter.software ? value.software : value.gpu;
  return value;
}

/** Defaults of all settings in a table. */
export function defaultsOf<Options>(
  table: SettingTable<Options>,
  context: DefaultContext,
): Required<Options> {
  const entries = Object.entries<Setting>(table);
  return Object.fromEntries(
    entries.map(([name, setting]) => [name, defaultOf(setting, context)]),
  ) as Required<Options>;
}

/** True if a default differs between presets. */
export function hasPresets(value: unknown): value is Readonly<Record<PresetName, unknown>> {
  return typeof value === "object" && value !== null && "tiny" in value;
}

/** True if a default differs between GPUs and software adapters. */
export function hasAdapters(value: unknown): value is Readonly<Record<"gpu" | "software", unknown>> {
  return typeof value === "object" && value !== null && "software" in value;
}

/** A setting's default in words, e.g. `tiny 32, small 128, small-64 32, small-128 16, ddpm 128`. */
export function describeDefault(setting: Setting): string {
  const { default: value, defaultText } = setting;
  if (defaultText !== undefined) return defaultText;
  if (value === null && "null" in setting) return String(setting.null);
  if (hasPresets(value)) {
    return Object.entries(value).map(([preset, own]) => `${preset} ${own}`).join(", ");
  }
  if (hasAdapters(value)) return `${value.gpu}; ${value.software} on a software adapter`;
  return String(value);
}

/**
 * Checks a setting's value.
 * @throws {ConfigError} naming the setting and what is allowed
 */
export function checkSetting(name: string, setting: Setting, value: unknown): void {
  if (!allows(setting, value)) throw new ConfigError(name, value, describeAllowed(setting, value));
}

/**
 * Checks the given values that are settings of a table; ignores others.
 * @throws {ConfigError} naming the first that is not allowed
 */
export function checkGiven<Options>(table: SettingTable<Options>, given: Options): void {
  for (const [name, setting] of Object.entries<Setting>(table)) {
    const value = given[name as keyof Options];
    if (value !== undefined) checkSetting(name, setting, value);
  }
}

/** Picks the given values that are settings of a table. */
export function pickGiven<Options>(table: SettingTable<Options>, given: Options): Options {
  const entries = Object.entries(given as Readonly<Record<string, unknown>>);
  return Object.fromEntries(
    entries.filter(([name, value]) => Object.hasOwn(table, name) && value !== undefined),
  ) as Options;
}

/** True if a value is allowed for a setting. */
function allows(setting: Setting, value: unknown): boolean {
  switch (setting.kind) {
    case "whole":
      return (Number.isSafeInteger(value) && inRange(setting, value)) || isNull(setting, value);
    case "number":
      return (Number.isFinite(value) && inRange(setting, value)) || isNull(setting, value);
    case "choice":
      return setting.choices.includes(value as string);
    case "boolean":
      return typeof value === "boolean";
    case "numbers":
      return value === null || isListOf(setting, value);
    case "object":
      return typeof value === "object" && value !== null && !Array.isArray(value);
  }
}

function isNull(setting: NumberSetting<number> | NumberSetting<number | null>, value: unknown): boolean {
  return value === null && setting.null !== undefined;
}

function isListOf({ above, below, minLength, maxLength }: NumbersSetting, value: unknown): boolean {
  return Array.isArray(value) && value.length >= minLength && value.length <= maxLength &&
    value.every((number) => typeof number === "number" && number > above && number < below);
}

function inRange({ min, max, aboveMin, belowMax }: Range, value: unknown): boolean {
  if (typeof value !== "number" || !(value >= min && value <= max)) return false;
  return !(aboveMin && value === min) && !(belowMax && value === max);
}

/** Allowed values in words, e.g. `a whole number from 1 to 4096`; for a removed choice, what replaces it. */
export function describeAllowed(setting: Setting, value: unknown): string {
  switch (setting.kind) {
    case "whole":
      return `a whole number ${describeRange(setting)}`;
    case "number":
      return `a number ${describeRange(setting)}`;
    case "choice":
      if (setting.removed && typeof value === "string" && Object.hasOwn(setting.removed, value)) {
        return setting.removed[value]!;
      }
      return withSuggestion(
        [setting.choices.slice(0, -1).join(", "), setting.choices.at(-1)].filter(Boolean).join(" or "),
        String(value),
        setting.choices,
      );
    case "boolean":
      return "true or false";
    case "numbers": {
      const { above, below, minLength, maxLength } = setting;
      return `a list of ${minLength} to ${maxLength} numbers above ${above} and below ${below}`;
    }
    case "object":
      return "an object";
  }
}

function describeRange({ min, max, aboveMin, belowMax }: Range): string {
  if (max === Infinity) return aboveMin ? `above ${min}` : `of at least ${min}`;
  const from = aboveMin ? `above ${min} and` : `from ${min}`;
  const to = belowMax ? `to below ${max}` : aboveMin ? `at most ${max}` : `to ${max}`;
  return `${from} ${to}`;
}

/** Flag of a setting that has none of its own: `--label-dropout` for `labelDropout`. */
export function usualFlag(name: string): `--${string}` {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}
