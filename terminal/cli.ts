/**
 * Command-line parsing for the tasks: help with defaults and units, and errors without a stack trace for
 * invalid input.
 *
 * @module
 */

import { dirname, join, relative } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { Command, CommanderError, Option } from "commander";
import { ConfigError, DenoiseError } from "../lib/errors.ts";
import { commandLine } from "../lib/program.ts";
import { shellQuote } from "../lib/shell.ts";
import { complain, standardOutput } from "./output.ts";
import { type FileEntryOptions, flagEntry, switchEntry, type SwitchForm } from "./file_entries.ts";
import {
  type EffectiveSetting,
  PRINTED_FORMS,
  type PrintedForm,
  printedSettings,
} from "./printed_settings.ts";
import {
  type FileEntry,
  type FileSetting,
  readSettingsFile,
  settingsBeside,
  SettingsError,
} from "./settings_file.ts";
import { schemaReference, settingsFileSchema } from "./settings_schema.ts";
import { type JsonSchema, oneOf, path } from "./values.ts";

/** Options of a flag with a value. */
export interface FlagOptions<T> extends FileEntryOptions<T> {
  /** A command line without the flag is invalid. */
  readonly required?: true;
  /** Flags that cannot be combined with this one, by the names of their values. */
  readonly conflicts?: readonly string[];
}

/** A command's settings files. */
export interface SettingsFileOptions {
  /** Name of their schema in `schemas/`, without the extension. */
  readonly name: string;
  /** Rules between settings, for the schema. */
  readonly rules?: readonly JsonSchema[];
  /** The task itself prints the settings for `--print-settings`, since defaults depend on more than its flags. */
  readonly printsItself?: true;
}

/** Settings of the file that the process was given, for messages about them. */
let fileSettings: readonly FileSetting[] = [];

/** Widest help in characters, for terminals and where there is none. */
const HELP_WIDTH = 110;
/** Narrowest help in characters, to leave the descriptions a column of their own. */
const LEAST_HELP_WIDTH = 80;

/** Width of the help on an output: that of its terminal, within limits. */
export function helpWidth(
  { isTTY, columns }: { readonly isTTY?: boolean; readonly columns?: number },
): number {
  if (!isTTY || !columns) return HELP_WIDTH;
  return Math.min(HELP_WIDTH, Math.max(LEAST_HELP_WIDTH, columns));
}

/**
 * A task's command line. Invalid input is reported on standard error with the flag, the value and what is allowed, or with
 * the most similar flag for an unknown one; then a `CommanderError` is thrown for {@linkcode showErrorAndExit}. A flag given
 * twice is invalid, too, unless it may be repeated: it is unclear which one was meant.
 */
export class TaskCommand extends Command {
  readonly #repeatable = new Set<Option>();
  readonly #entries: FileEntry[] = [];
  readonly #flagsOnly = new Map<string, string>();
  /** Flags that each flag cannot be combined with, all by the names of their values. */
  readonly #conflicts = new Map<string, readonly string[]>();
  #settingsFile: SettingsFileOptions | undefined;
  #fileSettings: readonly FileSetting[] = [];

  /**
   * @param task the task's name
   * @param description one sentence on what it does
   */
  constructor(task: string, description: string) {
    super(commandLine(task));
    this.description(description).usage("[options]").exitOverride().showSuggestionAfterError()
      .showHelpAfterError("(--help lists all options)").allowExcessArguments().helpOption(
        "-h, --help",
        "show this help",
      )
      .configureHelp({ helpWidth: helpWidth(process.stdout) })
      .configureOutput({
        writeOut: (text) => standardOutput().write(text),
        writeErr: (text) => complain(text.replace(/\n$/, "")),
      });
  }

  /** Adds paragraphs to the end of the help; each of their lines is wrapped to its width. */
  notes(text: string): this {
    return this.addHelpText("after", () => {
      const helper = this.createHelp();
      return `\n${helper.boxWrap(text, helper.helpWidth!)}`; // the constructor sets it
    });
  }

  /** Starts a section of the help for the flags added next. */
  group(heading: string): this {
    return this.optionsGroup(heading);
  }

  /**
   * Adds a flag that takes a value.
   *
   * @param flags name and placeholder, e.g. `--epochs <N>`, or `[N]` for an optional value
   */
  flag<T>(flags: string, description: string, options: FlagOptions<T>): this {
    const { value, unit, defaultText, note: last, conflicts, many = false } = options;
    const notes = value.anything ? [] : [value.allowed];
    if (unit !== undefined) notes.unshift(`in ${unit}`);
    const shown = defaultText ?? options.default;
    if (shown !== undefined) notes.push(`default: ${shown}`);
    if (options.required) notes.push("required");
    if (many) notes.push("may be repeated");
    if (last !== undefined) notes.push(last);
    const note = notes.length > 0 ? ` (${notes.join("; ")})` : "";
    const all: T[] = [];
    const collect = (text: string): T[] => {
      const parsed = value.parse(text);
      value.beside?.(parsed, all);
      all.push(parsed);
      return all;
    };
    const option = new Option(flags, description + note).argParser<T | T[]>(many ? collect : value.parse);
    // commander takes a bracket anywhere for that of an optional value
    if (option.required) option.optional = false;
    if (many) this.#repeatable.add(option);
    if (conflicts) {
      option.conflicts([...conflicts]);
      this.#conflicts.set(option.attributeName(), conflicts);
    }
    option.makeOptionMandatory(options.required ?? false);
    this.addOption(option);
    if (options.form === null) this.#flagsOnly.set(option.attributeName(), `--${option.name()}`);
    else this.#entries.push(flagEntry(option, description, options));
    // not set by the option, which would show it a second time in the help
    if (options.default !== undefined) {
      const value = many ? [options.default] : options.default;
      this.setOptionValueWithSource(option.attributeName(), value, "default");
    }
    return this;
  }

  /**
   * Adds a flag without a value, false unless given.
   *
   * @param conflicts as in {@linkcode FlagOptions}
   * @param form in settings files, by default a boolean named like the flag; null for a flag that only a command line may have
   */
  switch(
    flags: string,
    description: string,
    conflicts: readonly string[] = [],
    form?: SwitchForm | null,
  ): this {
    const option = new Option(flags, description).conflicts([...conflicts]);
    this.#conflicts.set(option.attributeName(), conflicts);
    if (form === null) this.#flagsOnly.set(option.attributeName(), `--${option.name()}`);
    else this.#entries.push(switchEntry(option, description, form));
    return this.addOption(option);
  }

  /** Adds `--settings` and `--print-settings`: the other flags may then be given in a file, too, except those without a form there. */
  settingsFile(options: SettingsFileOptions): this {
    this.#settingsFile = options;
    return this
      .flag(
        "--settings <FILE>",
        `read settings from a JSON file (schema: schemas/${options.name}.json); flags replace them`,
        {
          value: path(),
          form: null,
        },
      )
      .flag(
        "--print-settings [FORM]",
        "print the settings in effect, and exit: json, as a file for --settings, or sources, where each is from",
        { value: oneOf(PRINTED_FORMS), defaultText: "json", form: null },
      );
  }

  /**
   * JSON Schema of the command's settings files.
   * @throws {Error} if it has none
   */
  settingsSchema(): Record<string, unknown> {
    if (!this.#settingsFile) throw new Error(`${this.name()} has no settings files`);
    const { name, rules = [] } = this.#settingsFile;
    return settingsFileSchema({
      ...{ name, rules },
      command: this.name(),
      description: this.description(),
      entries: this.#entries,
    });
  }

  override addOption(option: Option): this {
    super.addOption(option);
    // By default, commander sets the opposite of a `--no-…` flag that is not given; here it stays undefined.
    if (option.negate) this.setOptionValue(option.attributeName(), undefined);
    if (this.#repeatable.has(option)) return this;
    let given = false;
    this.on(`option:${option.name()}`, () => {
      if (given) {
        this.error(`error: option '${option.flags}' is given twice`, { code: "denoise.repeatedOption" });
      }
      given = true;
    });
    return this;
  }

  /**
   * Parses `args`, and reads the settings file that they name. Values are named like their flags, in camel case; a flag replaces what
   * the file says of it, and of flags that it cannot be combined with.
   *
   * @param hint suggestion for a stray word that belongs to no flag
   */
  read<T>(args: readonly string[], hint?: (word: string) => string): T {
    const { registeredArguments: known } = this;
    const allowed = known.at(-1)?.variadic ? Infinity : known.length;
    const word = this.parse(args, { from: "user" }).args[allowed];
    if (word !== undefined) {
      const suggestion = hint ? `\n(Did you mean ${hint(word)}?)` : "";
      this.error(`error: '${word}' belongs to no option${suggestion}`, { code: "denoise.strayWord" });
    }
    fileSettings = [];
    if (!this.#settingsFile) return this.opts() as T;
    const { settings: file, printSettings, ...given } = this.opts<SettingsFlags>();
    fileSettings = file === undefined ? [] : this.#readSettings(file);
    if (printSettings !== undefined && !this.#settingsFile.printsItself) {
      standardOutput().write(this.printedSettings(printSettings));
      throw new CommanderError(0, "denoise.printedSettings", "settings printed");
    }
    const values = Object.fromEntries(
      fileSettings.filter(({ value }) => value !== undefined).map((
        { entry, value },
      ) => [entry.attribute, value]),
    );
    return { ...given, ...values, ...this.#settingsFile.printsItself && { printSettings } } as T;
  }

  /**
   * The settings in effect, for `--print-settings`.
   *
   * @param form as it was given; true without one
   * @param known settings that are known better, because they depend on more than the flags; null for one to leave out
   */
  printedSettings(
    form: PrintedForm | true,
    known: Readonly<Record<string, EffectiveSetting | null>> = {},
  ): string {
    const { name } = this.#settingsFile!; // only of a command with settings files
    const settings = this.#entries.map((entry) =>
      known[entry.key] === undefined ? this.#effective(entry) : known[entry.key]
    );
    return printedSettings(
      form === true ? "json" : form,
      settings.filter((one) => one !== null && one !== undefined),
      schemaReference(name),
    );
  }

  /**
   * Where a setting is from: `flag`, a place in the settings file, or undefined for neither.
   *
   * @param key its name in settings files
   */
  sourceOf(key: string): string | undefined {
    const attribute = this.#entries.find((entry) => entry.key === key)?.attribute;
    if (attribute !== undefined && this.getOptionValueSource(attribute) === "cli") return "flag";
    return fileSettings.find(({ entry }) => entry.key === key)?.place;
  }

  /** Flag's value of a setting in the file, also of one that flags replace. */
  inFile(key: string): unknown {
    return this.#fileSettings.find(({ entry }) => entry.key === key)?.value;
  }

  #effective(entry: FileEntry): EffectiveSetting {
    const { key, attribute, defaultText } = entry;
    const value = fileSettings.find((setting) => setting.entry === entry)?.value ??
      this.getOptionValue(attribute);
    return { key, json: entry.write(value), source: this.sourceOf(key) ?? "default", defaultText };
  }

  /** Reads a settings file, without what flags replace. */
  #readSettings(file: string): FileSetting[] {
    const all = readSettingsFile(file, {
      command: this.name(),
      entries: this.#entries,
      flagsOnly: this.#flagsOnly,
    });
    const flags = this.options.map((option) => option.attributeName())
      .filter((name) => this.getOptionValueSource(name) === "cli");
    const conflict = (one: string, other: string) =>
      [[one, other], [other, one]].some(([a, b]) => this.#conflicts.get(a!)?.includes(b!)); // pairs
    this.#fileSettings = all;
    return settingsBeside(flags, all, conflict);
  }
}

/** Arguments that give the same settings as `args` without the settings file that was read with them. */
export function argumentsWithoutFile(args: readonly string[]): string[] {
  const flag = "--settings";
  const own = args.filter((arg, i) => arg !== flag && args[i - 1] !== flag && !arg.startsWith(`${flag}=`));
  return [...own, ...fileSettings.flatMap(({ entry, value }) => entry.words(value))];
}

/** Values of the flags of {@linkcode TaskCommand.settingsFile}. */
interface SettingsFlags {
  readonly settings?: string;
  readonly printSettings?: PrintedForm | true;
}

/** Flags by the names of the library's options, e.g. `{ labelDropout: "--label-dropout" }`. */
export type FlagNames = Readonly<Record<string, string>>;

/**
 * Translates a message of the library for the command line: replaces names of options by flags, and null, which no flag takes, by
 * words. The library writes names in backticks, with an optional value, or before `: expected`.
 */
export function inFlags(message: string, flags: FlagNames): string {
  const flagOf = (name: string) => Object.hasOwn(flags, name) ? flags[name] : undefined;
  return message
    .replace(/^(\w+): expected (null\b)?/, (whole, name, absent) => {
      const flag = flagOf(name);
      return flag === undefined ? whole : `${flag}: expected ${absent === undefined ? "" : "no value"}`;
    })
    .replace(/`(\w+)(?:: "(\w+)")?`/g, (whole, name, value) => {
      const flag = flagOf(name);
      return flag === undefined ? whole : value === undefined ? flag : `${flag} ${value}`;
    });
}

/** Names the place in the settings file of the setting that a message begins with, if it is from there. */
function inSettingsFile(message: string): string {
  const [start, name] = /^(?:--)?([\w-]+)(?=: expected )/.exec(message) ?? [];
  if (start === undefined) return message;
  const setting = fileSettings.find(({ entry: { key, flag } }) => key === name || flag === start);
  return setting ? `${setting.place}: ${setting.entry.key}${message.slice(start.length)}` : message;
}

/** Deno's error for paths in /dev, /proc or /sys, whatever the permissions to read or write. */
const GUARDED = /Requires all access to ("[^"]*"), run again with the --allow-all flag/;

/** Deno's options and the main module, as a user would type them. */
function mainModule(): string[] {
  if (!Deno.mainModule.startsWith("file:")) return [Deno.mainModule];
  const script = relative(Deno.cwd(), fileURLToPath(Deno.mainModule));
  // From another directory, Deno would not find the import map of npm packages.
  const config = script.startsWith("..") ? ["--config", join(dirname(script), "../deno.json")] : [];
  return [...config, script];
}

/** Adds advice to Deno's error for a path that requires all permissions. */
function explainGuarded(message: string): string {
  const command = ["deno", "run", "-A", ...mainModule(), ...Deno.args].map(shellQuote).join(" ");
  return message.replace(
    GUARDED,
    (_, path) =>
      `Deno opens ${path} only to programs with all permissions; choose another path, or run: ${command}`,
  );
}

/**
 * Exit code and message for an error: no message after help or invalid usage, which were reported already; the message
 * alone for problems of input or environment; the stack trace for bugs.
 */
export function describeError(
  error: unknown,
  flags: FlagNames = {},
): { exitCode: number; message?: string } {
  if (error instanceof CommanderError) return { exitCode: error.exitCode === 0 ? 0 : 2 };
  if (error instanceof DenoiseError || error instanceof Deno.errors.NotCapable) {
    const exitCode = error instanceof ConfigError || error instanceof SettingsError ? 2 : 1;
    return { exitCode, message: `error: ${explainGuarded(inSettingsFile(inFlags(error.message, flags)))}` };
  }
  return { exitCode: 1, message: error instanceof Error ? error.stack ?? String(error) : `error: ${error}` };
}

/**
 * Reports `error` on standard error and exits with code 2 for invalid usage, 1 for any other failure.
 * @param flags see {@linkcode inFlags}
 */
export function showErrorAndExit(error: unknown, flags: FlagNames = {}): never {
  const { exitCode, message } = describeError(error, flags);
  if (message !== undefined) complain(message);
  Deno.exit(exitCode);
}
