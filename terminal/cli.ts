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
import type { Value } from "./values.ts";

/** Options of a flag with a value. */
export interface FlagOptions<T> {
  readonly value: Value<T>;
  readonly default?: NoInfer<T>;
  /** The flag may be repeated: its value is the list of all, in their order; undefined (or the default alone) without any. */
  readonly many?: true;
  /** A command line without the flag is invalid. */
  readonly required?: true;
  /** Shown instead of `default`, if the default depends on something; the flag's value is then undefined. */
  readonly defaultText?: string;
  /** Unit of the value, e.g. `images`. */
  readonly unit?: string;
  /** Last note in the help, e.g. `may change on resume`. */
  readonly note?: string;
  /** Flags that cannot be combined with this one, by the names of their values. */
  readonly conflicts?: readonly string[];
}

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
    if (many) this.#repeatable.add(option);
    if (conflicts) option.conflicts([...conflicts]);
    option.makeOptionMandatory(options.required ?? false);
    this.addOption(option);
    // not set by the option, which would show it a second time in the help
    if (options.default !== undefined) {
      const value = many ? [options.default] : options.default;
      this.setOptionValueWithSource(option.attributeName(), value, "default");
    }
    return this;
  }

  /** Adds a flag without a value, false unless given. */
  switch(flags: string, description: string, conflicts: readonly string[] = []): this {
    return this.addOption(new Option(flags, description).conflicts([...conflicts]));
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
   * Parses `args`. Values are named like their flags, in camel case.
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
    return this.opts() as T;
  }
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
    const exitCode = error instanceof ConfigError ? 2 : 1;
    return { exitCode, message: `error: ${explainGuarded(inFlags(error.message, flags))}` };
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
