/**
 * Requests for images: the options, the model's limits, and the plan that follows from both.
 *
 * @module
 */
import { checkWhole } from "../checks.ts";
import { checkGuidance } from "../diffusion/guidance.ts";
import { checkSteps, mostSteps, type SamplerName, samplerNames } from "../diffusion/sampler.ts";
import type { NoiseSchedule } from "../diffusion/schedule.ts";
import { ConfigError } from "../errors.ts";
import type { UNetConfig } from "../model/config.ts";
import { withSuggestion } from "../suggest.ts";

/**
 * Steps of the ddim sampler unless asked otherwise. With the model that comes with the project, a first image takes about
 * ten seconds on two CPU cores (3 once the driver has cached its shaders); 50 steps take twice that for little more detail.
 */
export const DEFAULT_STEPS = 25;

/**
 * A class by name (compared in Unicode's NFC; any case, the same case first) or number; `none` or null for no class; `any`
 * for one that the seed chooses.
 */
export type ClassChoice = string | number | null;

/** Asks for a class of the seed's choosing: image i is of class `(seed + i) mod classes`. */
export const ANY_CLASS = "any";
/** Asks for no class. */
export const NO_CLASS = "none";

/** What to draw. */
export interface GenerateOptions {
  /**
   * One class, or several, each of which gets `count` images. Default `none`, or `any` where the model has classes and
   * no "no class".
   */
  readonly class?: ClassChoice | readonly ClassChoice[];
  /** Images a class, 1 to 4096. Default 1. */
  readonly count?: number;
  /** Network evaluations an image, 1 to as many as the schedule allows. Default 25, for `ddpm` all. */
  readonly steps?: number;
  /** Default `ddim`. */
  readonly sampler?: SamplerName;
  /** DDIM's noise, 0 (default) to 1. */
  readonly eta?: number;
  /**
   * Scale of classifier-free guidance (Ho & Salimans 2022): 1 for none, 0 for no class. Default 2 where there is a class,
   * and the model has a "no class" to guide away from.
   */
  readonly guidance?: number;
  /** Image i has seed `seed + i`; an integer from 0 to 2^53 - 1. Default 0. */
  readonly seed?: number;
  /** Images drawn at once; bounds memory and changes nothing else. Default 64. */
  readonly batch?: number;
  /** Told after every step of a batch. */
  readonly onStep?: (done: number, total: number) => void | Promise<void>;
}

/** What a request is checked against. */
export interface ModelFacts {
  readonly config: UNetConfig;
  readonly schedule: NoiseSchedule;
  /** Class names in the order of their labels; as many as the class table has rows, or one fewer: then its last is the null class. */
  readonly classes: readonly string[];
}

/** What holds where a request does not say, and the model allows it; what is left out is as {@linkcode GenerateOptions} says. */
export interface DrawDefaults {
  readonly sampler?: SamplerName;
  /** More than the schedule allows become as many as it allows. */
  readonly steps?: number;
  /** For images of a class. */
  readonly guidance?: number;
}

/** A request that was checked, with every default filled in. */
export interface DrawPlan {
  /** Label of every image, in order; the number of classes stands for none. */
  readonly labels: readonly number[];
  /** Network evaluations an image. */
  readonly steps: number;
  /** How noise is removed. */
  readonly sampler: SamplerName;
  /** DDIM's noise, 0 to 1; undefined where it was not given. */
  readonly eta: number | undefined;
  /** Scale of classifier-free guidance, 1 for none. */
  readonly guidance: number;
  /** Whether the network must be asked twice. */
  readonly guided: boolean;
  /** Image i has seed `seed + i`. */
  readonly seed: number;
  /** Images drawn at once, at most. */
  readonly batch: number;
}

/** Whether a model knows "no class" beside its classes, which guidance needs. */
export function hasNullClass({ config, classes }: Pick<ModelFacts, "config" | "classes">): boolean {
  return config.numClassEmbeds !== null && classes.length < config.numClassEmbeds;
}

/**
 * Fills in defaults and checks a request.
 *
 * @throws {ConfigError} naming the option
 */
export function planDraw(options: GenerateOptions, model: ModelFacts, defaults: DrawDefaults = {}): DrawPlan {
  const { schedule, classes } = model;
  checkPictureChannels(model.config);
  const { count = 1, sampler = defaults.sampler ?? "ddim", eta, seed = 0, batch = 64 } = options;
  if (!samplerNames.includes(sampler)) throw new ConfigError("sampler", sampler, samplerNames.join(" or "));
  if (eta !== undefined && sampler !== "ddim") {
    throw new ConfigError("eta", eta, "no value: only the ddim sampler has an eta");
  }
  const {
    steps = defaults.steps === undefined
      ? defaultSteps(sampler, schedule)
      : mostSteps(schedule, defaults.steps),
  } = options;
  checkWhole("count", count, 1, 4096);
  checkSteps(schedule, steps);
  checkWhole("batch", batch, 1, 4096);
  const nullClass = hasNullClass(model);
  const unsaid = nullClass || classes.length === 0 ? NO_CLASS : ANY_CLASS;
  const { class: asked = unsaid } = options;
  const choices = isList(asked) ? asked : [asked];
  if (choices.length === 0) throw new ConfigError("class", "an empty list", "at least one class");
  const chosen = choices.map((choice) => resolveClass(choice, model));
  checkWhole("seed", seed, 0, Number.MAX_SAFE_INTEGER - count * chosen.length);
  const labels = Array.from({ length: count * chosen.length }, (_, i) => {
    const label = chosen[Math.floor(i / count)];
    return label === ANY_CLASS ? (seed + i) % classes.length : label;
  });
  const conditional = labels.some((label) => label !== classes.length);
  const { guidance = conditional && nullClass ? defaults.guidance ?? 2 : 1 } = options;
  checkGuidance(guidance);
  if (guidance !== 1 && !conditional) {
    throw new ConfigError("guidance", guidance, "1 where no class is asked for");
  }
  if (guidance !== 1 && !nullClass) {
    throw new ConfigError("guidance", guidance, NO_GUIDANCE);
  }
  return { labels, steps, sampler, eta, guidance, guided: guidance !== 1, seed, batch };
}

/**
 * Checks that what a network draws are pictures.
 * @throws {ConfigError} naming the channels
 */
function checkPictureChannels({ inChannels, outChannels }: UNetConfig): void {
  if (inChannels !== 1 && inChannels !== 3) {
    throw new ConfigError("in_channels", inChannels, "1 (grey) or 3 (RGB): pictures have no others");
  }
  if (outChannels !== inChannels) {
    const allowed = `in_channels (${inChannels}); a network that predicts a variance, too, is not supported`;
    throw new ConfigError("out_channels", outChannels, allowed);
  }
}

/** Why a model with classes cannot be guided. */
export const NO_GUIDANCE = '1, since the class table of this model has no row for "no class"';

/** Steps where nothing is said: for `ddpm` as many as the schedule allows, for `ddim` {@linkcode DEFAULT_STEPS} of them at most. */
export function defaultSteps(sampler: SamplerName, schedule: NoiseSchedule): number {
  return mostSteps(schedule, sampler === "ddpm" ? undefined : DEFAULT_STEPS);
}

/** Words that a request may give for a class of a model, beside names and numbers. */
export function classWords(model: Pick<ModelFacts, "config" | "classes">): string[] {
  return hasNullClass(model) || model.classes.length === 0 ? [ANY_CLASS, NO_CLASS] : [ANY_CLASS];
}

/**
 * The label of a class.
 *
 * @param more words that a caller knows beside those of {@linkcode classWords}, for the message
 * @returns 0 to classes - 1, the number of classes for none, or `any` where the seed is to choose
 * @throws {ConfigError} with the names that there are, and the nearest
 */
export function resolveClass(
  choice: ClassChoice,
  model: Pick<ModelFacts, "config" | "classes">,
  more: readonly string[] = [],
): number | typeof ANY_CLASS {
  const { classes } = model;
  const count = classes.length;
  const word = choice === null ? NO_CLASS : String(choice).toLowerCase();
  const known = classWords(model);
  if (word === ANY_CLASS && count > 0) return ANY_CLASS;
  if (known.includes(word)) return count;
  const words = [...more, ...known];
  if (count === 0) {
    const allowed = `${words.join(" or ")}, since this model was trained without classes`;
    throw new ConfigError("class", choice, allowed);
  }
  for (const form of [composed, caseless]) {
    const label = classes.findIndex((name) => form(name) === form(String(choice)));
    if (label >= 0) return label;
  }
  const number = typeof choice === "number" ? choice : /^\d+$/.test(word) ? Number(word) : NaN;
  if (Number.isInteger(number) && number >= 0 && number < count) return number;
  const names = classes.every((name, label) => name === String(label)) ? [] : classes;
  const allowed = [...names, numbers(count), ...words.slice(0, -1)].join(", ");
  const reason = word === NO_CLASS ? "; this model's class table has no row for no class" : "";
  throw new ConfigError(
    "class",
    choice ?? NO_CLASS,
    withSuggestion(`${allowed}, or ${words.at(-1)}${reason}`, String(choice), [...names, ...words]),
  );
}

/** Unicode's NFC: macOS names files in decomposed letters, keyboards type composed ones. */
function composed(name: string): string {
  return name.normalize("NFC");
}

function caseless(name: string): string {
  return composed(name.toLowerCase());
}

function numbers(count: number): string {
  return count === 1 ? "the number 0" : `a number from 0 to ${count - 1}`;
}

function isList(value: GenerateOptions["class"]): value is readonly ClassChoice[] {
  return Array.isArray(value);
}
