/**
 * What the tasks' command lines have in common: values checked against what is allowed, help that shows defaults and
 * units, wrong input that ends with a message and no stack.
 *
 * @module
 */

import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { ConfigError, DenoiseError } from "../../lib/errors.ts";
import { shellQuote } from "../../lib/shell.ts";
import { withSuggestion } from "../../lib/suggest.ts";
import { complain, standardOutput } from "./output.ts";

/** How a flag's value is read, and what is allowed, in words. */
export interface Value<T> {
  readonly allowed: string;
  /** Whether help need not say what is allowed, because next to everything is. */
  readonly anything?: boolean;
  /** @throws {InvalidArgumentError} when `text` is not allowed */
  readonly parse: (text: string) => T;
}

/** A whole number from `min` to `max`, both included, in decimal digits. */
export function integer(min: number, max: number = Number.MAX_SAFE_INTEGER): Value<number> {
  const bound = max === Number.MAX_SAFE_INTEGER ? `${min} or more` : `from ${min} to ${max}`;
  return checked(`a whole number, ${bound}`, (text) => {
    const value = /^[+-]?\d+$/.test(text) ? Number(text) : NaN;
    return value >= min && value <= max ? value : undefined;
  });
}

/** Which ends of a range do not belong to it. */
export interface OpenEnds {
  /** Only numbers above `min`. */
  readonly above?: boolean;
  /** Only numbers below `max`. */
  readonly below?: boolean;
}

/** A decimal number from `min` to `max`, both included unless said otherwise; an exponent such as `2e-4` is fine. */
export function number(min: number, max: number = Infinity, open: OpenEnds = {}): Value<number> {
  return checked(`a number, ${rangeInWords(min, max, open)}`, (text) => {
    const value = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : NaN;
    if ((open.above && value === min) || (open.below && value === max)) return undefined;
    return value >= min && value <= max && Number.isFinite(value) ? value : undefined;
  });
}

function rangeInWords(min: number, max: number, { above, below }: OpenEnds): string {
  if (max === Infinity) return above ? `above ${min}` : `${min} or more`;
  if (above) return `above ${min} and ${below ? "below" : "at most"} ${max}`;
  return `from ${min} to ${below ? "below " : ""}${max}`;
}

/** One of the given words. */
export function oneOf<const T extends string>(words: readonly T[]): Value<T> {
  return checked(words.join(", "), (text) => words.find((word) => word === text), words);
}

/** Any text but the empty one, such as a path or a name. */
export function text(): Value<string> {
  return {
    ...checked("any text but the empty one", (value) => value === "" ? undefined : value),
    anything: true,
  };
}

function checked<T>(
  allowed: string,
  read: (text: string) => T | undefined,
  words: readonly string[] = [],
): Value<T> {
  const parse = (text: string): T => {
    const value = read(text);
    if (value === undefined) {
      throw new InvalidArgumentError(withSuggestion(`Allowed: ${allowed}.`, text, words));
    }
    return value;
  };
  return { allowed, parse };
}

/** What a flag with a value says of itself. */
export interface FlagOptions<T> {
  readonly value: Value<T>;
  readonly default?: NoInfer<T>;
  /** Shown instead of `default`, for a default that depends on something; the flag's value is then undefined. */
  readonly defaultText?: string;
  /** Unit of the value, e.g. `images`. */
  readonly unit?: string;
  /** Last note in the help, e.g. `may change on resume`. */
  readonly note?: string;
  /** Flags, by the name of their value in the result, that cannot be given together with this one. */
  readonly conflicts?: readonly string[];
}

/**
 * A task's command line. Wrong input is reported on standard error with the flag, the value and what is allowed, or with
 * the nearest flag where there is none of that name; it then throws a `CommanderError` for {@linkcode showErrorAndExit}.
 * A flag given twice is wrong input too: which of the two was meant cannot be known.
 */
export class TaskCommand extends Command {
  /**
   * @param task the task's name, as in `deno task NAME`
   * @param description one sentence on what it does
   */
  constructor(task: string, description: string) {
    super(`deno task ${task}`);
    this.description(description).usage("[options]").exitOverride().showSuggestionAfterError()
      .showHelpAfterError("(--help lists all options)").allowExcessArguments().helpOption(
        "-h, --help",
        "show this help",
      )
      .configureHelp({ helpWidth: 110 })
      .configureOutput({
        writeOut: (text) => standardOutput().write(text),
        writeErr: (text) => complain(text.replace(/\n$/, "")),
      });
  }

  /** Puts the flags that are added from here on under a heading of their own in the help. */
  group(heading: string): this {
    return this.optionsGroup(heading);
  }

  /**
   * Adds a flag that takes a value.
   *
   * @param flags name and placeholder, e.g. `--epochs <N>`; `[…]` around the placeholder makes the value optional
   */
  flag<T>(flags: string, description: string, options: FlagOptions<T>): this {
    const { value, unit, defaultText, note: last, conflicts } = options;
    const notes = value.anything ? [] : [value.allowed];
    if (unit !== undefined) notes.unshift(`in ${unit}`);
    const shown = defaultText ?? options.default;
    if (shown !== undefined) notes.push(`default: ${shown}`);
    if (last !== undefined) notes.push(last);
    const note = notes.length > 0 ? ` (${notes.join("; ")})` : "";
    const option = new Option(flags, description + note).argParser(value.parse);
    if (conflicts) option.conflicts([...conflicts]);
    this.addOption(option);
    // set here and not by the option, which would show it a second time
    if (options.default !== undefined) {
      this.setOptionValueWithSource(option.attributeName(), options.default, "default");
    }
    return this;
  }

  /** Adds a flag without a value, false unless given. */
  switch(flags: string, description: string, conflicts: readonly string[] = []): this {
    return this.addOption(new Option(flags, description).conflicts([...conflicts]));
  }

  override addOption(option: Option): this {
    super.addOption(option);
    // commander takes a `--no-…` that is not given for its opposite given; here nothing was said then.
    if (option.negate) this.setOptionValue(option.attributeName(), undefined);
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
   * Reads `args`, and gives the values by the flags' names in camel case.
   *
   * @param hint what may have been meant by a word that belongs to no flag
   */
  read<T>(args: readonly string[], hint?: (word: string) => string): T {
    const { registeredArguments: known } = this;
    const most = known.at(-1)?.variadic ? Infinity : known.length;
    const word = this.parse(args, { from: "user" }).args[most];
    if (word !== undefined) {
      const meant = hint ? `\n(Did you mean ${hint(word)}?)` : "";
      this.error(`error: '${word}' belongs to no option${meant}`, { code: "denoise.strayWord" });
    }
    return this.opts() as T;
  }
}

/** Flags by the names that the library has for what they set, e.g. `{ labelDropout: "--label-dropout" }`. */
export type FlagNames = Readonly<Record<string, string>>;

/**
 * A message of the library in the words of a command line. The library puts the names of options in backticks, with a
 * value where it has one, or before the colon of what it expected.
 */
export function inFlags(message: string, flags: FlagNames): string {
  const flagOf = (name: string) => Object.hasOwn(flags, name) ? flags[name] : undefined;
  return message
    .replace(/^(\w+)(?=: expected )/, (name) => flagOf(name) ?? name)
    .replace(/`(\w+)(?:: "(\w+)")?`/g, (whole, name, value) => {
      const flag = flagOf(name);
      return flag === undefined ? whole : value === undefined ? flag : `${flag} ${value}`;
    });
}

/** What Deno says of a path below /dev, /proc or /sys, whatever it was allowed to read or write. */
const GUARDED = /Requires all access to ("[^"]*"), run again with the --allow-all flag/;

/** A message with a way to go on where Deno refused a path to a program that has not all permissions. */
function withoutSandbox(message: string): string {
  const script = relative(Deno.cwd(), fileURLToPath(Deno.mainModule));
  // From elsewhere, Deno would not find the names of the npm packages.
  const config = script.startsWith("..") ? ["--config", join(dirname(script), "../deno.json")] : [];
  const command = ["deno", "run", "-A", ...config, script, ...Deno.args].map(shellQuote).join(" ");
  return message.replace(
    GUARDED,
    (_, path) =>
      `Deno opens ${path} to programs with all permissions only; choose another place, or run: ${command}`,
  );
}

/**
 * What the process ends with after `error`, and what it says before: nothing after help or wrong usage, which have said
 * it already; the message alone where the fault is in input or environment; the stack where it is in this program.
 */
export function describeError(
  error: unknown,
  flags: FlagNames = {},
): { exitCode: number; message?: string } {
  if (error instanceof CommanderError) return { exitCode: error.exitCode === 0 ? 0 : 2 };
  if (error instanceof DenoiseError || error instanceof Deno.errors.NotCapable) {
    const exitCode = error instanceof ConfigError ? 2 : 1;
    return { exitCode, message: `error: ${withoutSandbox(inFlags(error.message, flags))}` };
  }
  return { exitCode: 1, message: error instanceof Error ? error.stack ?? String(error) : `error: ${error}` };
}

/**
 * Reports `error` on standard error and ends the process: 2 for wrong usage, 1 for any other failure.
 * @param flags see {@linkcode inFlags}
 */
export function showErrorAndExit(error: unknown, flags: FlagNames = {}): never {
  const { exitCode, message } = describeError(error, flags);
  if (message !== undefined) complain(message);
  Deno.exit(exitCode);
}
