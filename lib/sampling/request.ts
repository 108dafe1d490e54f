/**
 * What can be asked of a model, and what is allowed.
 *
 * @module
 */
import { checkWhole } from "../checks.ts";
import { checkGuidance } from "../diffusion/guidance.ts";
import { type SamplerName, samplerNames } from "../diffusion/sampler.ts";
import type { NoiseSchedule } from "../diffusion/schedule.ts";
import { ConfigError } from "../errors.ts";
import { classCount, type UNetConfig } from "../model/config.ts";
import { withSuggestion } from "../suggest.ts";

/**
 * Steps of the ddim sampler unless asked otherwise. With the model that comes with the project, a first image takes about
 * ten seconds on two CPU cores (3 once the driver has cached its shaders); 50 steps take twice that for little more detail.
 */
export const DEFAULT_STEPS = 25;

/** A class by name (any case) or number; null or `none` for no class. */
export type ClassChoice = string | number | null;

/** What to draw. */
export interface GenerateOptions {
  /** One class, or several, each of which gets `count` images. Default none. */
  readonly class?: ClassChoice | readonly ClassChoice[];
  /** Images a class, 1 to 4096. Default 1. */
  readonly count?: number;
  /** Network evaluations an image, 1 to the schedule's timesteps. Default 25, for `ddpm` all. */
  readonly steps?: number;
  /** Default `ddim`. */
  readonly sampler?: SamplerName;
  /** DDIM's noise, 0 (default) to 1. */
  readonly eta?: number;
  /** Scale of classifier-free guidance (Ho & Salimans 2022): 1 for none, 0 for no class. Default 2 where there is a class. */
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
  readonly classes: readonly string[];
}

/** A request with every default filled in. */
export interface DrawSettings {
  /** Label of every image, in order; the number of classes stands for none. */
  readonly labels: readonly number[];
  readonly steps: number;
  readonly sampler: SamplerName;
  readonly eta: number | undefined;
  readonly guidance: number;
  /** Whether the network must be asked twice. */
  readonly guided: boolean;
  readonly seed: number;
  readonly batch: number;
}

/**
 * Fills in defaults and checks a request.
 * @throws {ConfigError} naming the option
 */
export function drawSettings(options: GenerateOptions, model: ModelFacts): DrawSettings {
  const { count = 1, sampler = "ddim", eta, seed = 0, batch = 64 } = options;
  const timesteps = model.schedule.config.numTrainTimesteps;
  if (!samplerNames.includes(sampler)) throw new ConfigError("sampler", sampler, samplerNames.join(" or "));
  const { steps = sampler === "ddpm" ? timesteps : Math.min(DEFAULT_STEPS, timesteps) } = options;
  checkWhole("count", count, 1, 4096);
  checkWhole("steps", steps, 1, timesteps);
  checkWhole("batch", batch, 1, 4096);
  const choices = isList(options.class) ? options.class : [options.class ?? null];
  if (choices.length === 0) throw new ConfigError("class", "an empty list", "at least one class");
  const perClass = choices.map((choice) => resolveClass(choice, model));
  const labels = perClass.flatMap((label) => Array.from({ length: count }, () => label));
  checkWhole("seed", seed, 0, Number.MAX_SAFE_INTEGER - labels.length);
  const none = classCount(model.config);
  const conditional = labels.some((label) => label !== none);
  const { guidance = conditional ? 2 : 1 } = options;
  checkGuidance(guidance);
  if (guidance !== 1 && !conditional) {
    throw new ConfigError("guidance", guidance, "1 where no class is asked for");
  }
  return { labels, steps, sampler, eta, guidance, guided: guidance !== 1, seed, batch };
}

/**
 * The label of a class.
 *
 * @param words all that may be asked for beside a class; a caller knows more of them than `none`
 * @returns 0 to classes - 1, or the number of classes for none
 * @throws {ConfigError} with the names that there are, and the nearest
 */
export function resolveClass(
  choice: ClassChoice,
  { config, classes }: Pick<ModelFacts, "config" | "classes">,
  words: readonly string[] = ["none"],
): number {
  const count = classCount(config);
  if (choice === null || (typeof choice === "string" && choice.toLowerCase() === "none")) return count;
  if (count === 0) {
    throw new ConfigError(
      "class",
      choice,
      `${words.join(" or ")}, since this model was trained without classes`,
    );
  }
  const exact = classes.indexOf(String(choice));
  if (exact >= 0) return exact;
  const anyCase = classes.findIndex((name) => name.toLowerCase() === String(choice).toLowerCase());
  if (anyCase >= 0) return anyCase;
  const number = typeof choice === "number" ? choice : /^\d+$/.test(choice) ? Number(choice) : NaN;
  if (Number.isInteger(number) && number >= 0 && number < count) return number;
  const names = classes.every((name, label) => name === String(label)) ? [] : classes;
  const allowed = [...names, numbers(count), ...words.slice(0, -1)].join(", ");
  throw new ConfigError(
    "class",
    choice,
    withSuggestion(`${allowed}, or ${words.at(-1)}`, String(choice), [...names, ...words]),
  );
}

function numbers(count: number): string {
  return count === 1 ? "the number 0" : `a number from 0 to ${count - 1}`;
}

function isList(value: GenerateOptions["class"]): value is readonly ClassChoice[] {
  return Array.isArray(value);
}
