/**
 * Sampling requests: options, validation against the model, and the resulting plan.
 *
 * @module
 */
import { checkWhole } from "../checks.ts";
import { checkPictureChannels } from "./channels.ts";
import {
  checkGuidance,
  type ClassMixture,
  type Guidance,
  guidanceOf,
  guidanceStep,
  type Guided,
  networkRows,
  rowsOfStep,
  type SigmaInterval,
} from "../diffusion/guidance.ts";
import {
  checkSampler,
  checkSteps,
  defaultSpacing,
  givenSettings,
  markovSamplers,
  mostSteps,
  type PlannedStep,
  type SamplerChoice,
  type SamplerName,
  type SamplerSettings,
  type SpacingName,
} from "../diffusion/sampler.ts";
import type { TrainedProcess } from "../diffusion/trained_process.ts";
import { ConfigError } from "../errors.ts";
import {
  ANY_CLASS,
  type ClassChoice,
  type ClassFacts,
  hasNullClass,
  NO_CLASS,
  resolveClass,
  resolveLabel,
} from "./class_choice.ts";
import { checkVariance, planFor } from "./image_plan.ts";
import { checkEdit, type CompleteEdit, completeEdit, type ImageEdit } from "./edits/image_edit.ts";
import { NO_GUIDANCE } from "./guidable.ts";

/** Default number of network evaluations; `docs/quality.md` has the comparison behind sampler and number. */
export const DEFAULT_STEPS = 15;

/** Sampler for models whose scheduler configuration names none. */
export const DEFAULT_SAMPLER: SamplerName = "unipc";

/** Sampler for edits with resamplings where the usual one cannot repeat its steps. */
export const RESAMPLING_SAMPLER: SamplerName = "ddim";

/** Options of {@linkcode DDPM.generate}. */
export interface GenerateOptions extends SamplerSettings {
  /**
   * One class or a list, with `count` images for each. Default `none`, or `any` for a model with classes but without a
   * null class.
   */
  readonly class?: ClassChoice | readonly ClassChoice[];
  /** Images per class, 1 to 4096. Default 1. */
  readonly count?: number;
  /**
   * Steps of the sampler, 1 to the maximum of the schedule, each one network evaluation; `heun` and `edm` evaluate the network
   * `2 steps - 1` times. Default: 15 evaluations, for `ddpm` all timesteps.
   */
  readonly steps?: number;
  /**
   * Sampler; default that of the model's scheduler configuration if it names one, else `unipc`. For an edit with resamplings
   * above 1, `ddim` in place of a default that cannot repeat its steps.
   */
  readonly sampler?: SamplerName;
  /**
   * Scale of classifier-free guidance (Ho & Salimans 2022), 0 to 100: 1 is no guidance, 0 unconditional. Default 2 for
   * images of a class if the model has a null class, and with a `negativeClass`, else 1.
   */
  readonly guidance?: number;
  /**
   * Part of the guided output that is rescaled to the standard deviation of the conditional one, against too much contrast,
   * 0 (default) to 1 (Lin et al. 2024, who use 0.7).
   */
  readonly guidanceRescale?: number;
  /**
   * Noise levels at which there is guidance, as ratios of noise to signal, the smaller first (Kynkäänniemi et al. 2024);
   * default all, `[0, Infinity]`. Steps outside take one evaluation of the network.
   */
  readonly guidanceInterval?: SigmaInterval;
  /** Class, by name or number, that guidance leads away from; default no class (`none`), or with a guide the image's own. */
  readonly negativeClass?: string | number | null;
  /** Draws the images from a given one instead of from noise alone: image to image, and inpainting. */
  readonly edit?: ImageEdit;
  /** Seed of the first image, an integer from 0 to 2^53 - 1; image i has seed `seed + i`. Default 0. */
  readonly seed?: number;
  /** Maximum batch size, 1 to 4096; limits memory and does not change the images. Default 64. */
  readonly batch?: number;
  /** Called after each step, with the steps done and their total over all batches. */
  readonly onStep?: (done: number, total: number) => void | Promise<void>;
}

/** Properties of a model that requests are checked against. */
export interface ModelFacts extends ClassFacts {
  /** Forward process of the training. */
  readonly schedule: TrainedProcess;
  /** Sampler and spacing of the model's scheduler configuration; undefined where it leaves the choice. */
  readonly sampling?: Required<SamplerChoice>;
  /** Name of a second model for autoguidance; undefined without. */
  readonly guide?: string;
}

/** Defaults of a request's options where the model allows them, in place of those of {@linkcode GenerateOptions}. */
export interface DrawDefaults {
  readonly sampler?: SamplerName;
  /** Reduced to the maximum of the schedule if above it. */
  readonly steps?: number;
  /** Guidance scale for images of a class. */
  readonly guidance?: number;
}

/** A validated request with all defaults filled in. */
export interface DrawPlan extends Guidance, SamplerSettings {
  /** Label or mixture of each image, in order; the number of classes is the null class. */
  readonly labels: readonly (number | ClassMixture)[];
  /** Steps of the sampler, those that an edit leaves out included. */
  readonly steps: number;
  /** Network evaluations per image: more than steps for some samplers and with resamplings, fewer in an edit. */
  readonly evaluations: number;
  /** Sampler. */
  readonly sampler: SamplerName;
  /** Spacing of the noise levels. */
  readonly spacing: SpacingName;
  /** The given image that the images are drawn from. */
  readonly edit?: CompleteEdit;
  /** Most rows of the network's batch that an image takes in a step. */
  readonly imageRows: number;
  /** Rows that an image takes in all its steps together, the most where images differ. */
  readonly imageWork: number;
  /** Seed of the first image; image i has seed `seed + i`. */
  readonly seed: number;
  /** Maximum batch size. */
  readonly batch: number;
}

/**
 * Validates a request and fills in defaults.
 *
 * @throws {ConfigError} naming the option
 */
export function planDraw(options: GenerateOptions, model: ModelFacts, defaults: DrawDefaults = {}): DrawPlan {
  const { schedule, classes } = model;
  checkPictureChannels(model.config);
  const { count = 1, seed = 0, batch = 64 } = options;
  const choice = chooseSampler(options, model, defaults);
  checkVariance({ ...options, ...choice }, model);
  const { steps = defaultSteps(choice, schedule, defaults) } = options;
  checkWhole("count", count, 1, 4096);
  checkSteps(schedule, steps, choice);
  checkWhole("batch", batch, 1, 4096);
  const nullClass = hasNullClass(model);
  const defaultClass = nullClass || classes.length === 0 ? NO_CLASS : ANY_CLASS;
  const { class: requested = defaultClass } = options;
  const choices = isList(requested) ? requested : [requested];
  if (choices.length === 0) throw new ConfigError("class", "an empty list", "at least one class");
  const chosen = choices.map((choice) => resolveClass(choice, model));
  checkWhole("seed", seed, 0, Number.MAX_SAFE_INTEGER - count * chosen.length);
  const labels = chosen.flatMap((label) => Array.from({ length: count }, () => label))
    .map((label, i) => label === ANY_CLASS ? (seed + i) % classes.length : label);
  const conditional = labels.some((label) => label !== classes.length);
  const guidance = planGuidance(options, conditional, model, defaults);
  const guided = model.guide !== undefined;
  const images = [...new Set(labels)].map((label): Guided => ({ label, ...guidance }));
  const imageRows = Math.max(...images.map((image) => networkRows(image, guided)));
  const settings = {
    ...givenSettings(options),
    ...choice,
    steps,
    ...planEdit(options, model, choice, steps),
  };
  const plan = planFor(model, settings);
  const imageWork = mostWork(images, plan, classes.length, guided);
  const { length: evaluations } = plan;
  return { labels, ...settings, evaluations, ...guidance, imageRows, imageWork, seed, batch };
}

/** Rows in all steps of the image that takes the most. */
function mostWork(
  images: readonly Guided[],
  plan: readonly PlannedStep[],
  nullLabel: number,
  guide: boolean,
): number {
  // Steps at a level take as many rows each, and resamplings return to it up to 50 times.
  const visits = new Map<number, number>();
  for (const { noiseRatio } of plan) visits.set(noiseRatio, (visits.get(noiseRatio) ?? 0) + 1);
  const rows = (image: Guided, noiseRatio: number) =>
    rowsOfStep(guidanceStep(image, noiseRatio, nullLabel, guide));
  const work = (image: Guided) =>
    [...visits].reduce((sum, [ratio, times]) => sum + times * rows(image, ratio), 0);
  return Math.max(...images.map(work));
}

/**
 * Sampler and spacing of a request. The spacing of the model's configuration goes with its sampler. A default that cannot repeat
 * its steps gives way to {@linkcode RESAMPLING_SAMPLER} where the edit asks for that.
 *
 * @throws {ConfigError} for an unknown sampler, or a setting that is another sampler's
 */
export function chooseSampler(
  options: Pick<GenerateOptions, "sampler" | "edit"> & SamplerSettings,
  { schedule, sampling }: Pick<ModelFacts, "schedule" | "sampling">,
  defaults: DrawDefaults = {},
): Required<SamplerChoice> {
  const { resamplings = 1 } = options.edit ?? {};
  const preferred = defaults.sampler ?? sampling?.sampler ?? DEFAULT_SAMPLER;
  const repeats = resamplings === 1 || markovSamplers.includes(preferred);
  const { sampler = repeats ? preferred : RESAMPLING_SAMPLER } = options;
  checkSampler(sampler, options);
  const usual = sampling?.sampler === sampler ? sampling.spacing : defaultSpacing(schedule, sampler);
  return { sampler, spacing: options.spacing ?? usual };
}

/** @throws {ConfigError} naming the part of an edit that does not fit model or plan */
function planEdit(
  { edit }: GenerateOptions,
  model: ModelFacts,
  { sampler }: Required<SamplerChoice>,
  steps: number,
): Pick<DrawPlan, "edit"> {
  if (!edit) return {};
  checkEdit(edit, model, { sampler, steps });
  const { jump, resamplings = 1 } = edit;
  if (jump !== undefined && resamplings === 1) {
    throw new ConfigError("jump", jump, "no value without resamplings above 1");
  }
  return { edit: completeEdit(edit, steps) };
}

/** @param conditional a class is requested */
function planGuidance(
  { guidance: scale, negativeClass, guidanceRescale, guidanceInterval }: GenerateOptions,
  conditional: boolean,
  model: ModelFacts,
  defaults: DrawDefaults,
): Guidance {
  const negative = negativeClass === undefined
    ? undefined
    : resolveLabel("negativeClass", negativeClass, model);
  const guidable = model.guide !== undefined || negative !== undefined ||
    (conditional && hasNullClass(model));
  const guidance = scale ?? (guidable ? defaults.guidance ?? 2 : 1);
  const settings = guidanceOf({ guidance, negative, guidanceRescale, guidanceInterval });
  checkGuidance(settings);
  if (guidance !== 1 && !guidable) {
    throw new ConfigError("guidance", guidance, conditional ? NO_GUIDANCE : "1 where no class is requested");
  }
  return settings;
}

/**
 * Default number of steps: that of `defaults` if it has one, all timesteps for `ddpm` if they are whole, else at most
 * {@linkcode DEFAULT_STEPS} evaluations.
 */
export function defaultSteps(
  choice: SamplerChoice,
  schedule: TrainedProcess,
  defaults: Pick<DrawDefaults, "steps"> = {},
): number {
  const all = choice.sampler === "ddpm" && schedule.timeAxis?.whole === true;
  return mostSteps(schedule, defaults.steps ?? (all ? undefined : DEFAULT_STEPS), choice);
}

function isList(value: GenerateOptions["class"]): value is readonly ClassChoice[] {
  return Array.isArray(value);
}
