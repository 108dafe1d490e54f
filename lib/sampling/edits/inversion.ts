/**
 * Inversion of images on the device: the noise that a model draws them from (Song et al. 2021, arXiv 2010.02502, section 5.4).
 *
 * @module
 */
import { inversionSteps } from "../../diffusion/inversion.ts";
import { type PlannedStep, planSampling } from "../../diffusion/sampler.ts";
import { ConfigError } from "../../errors.ts";
import { imageChannels, imageSize } from "../../model/config.ts";
import type { DiffusionModel } from "../diffusion_model.ts";
import { type DrawPlan, type GenerateOptions, planDraw } from "../request.ts";
import type { SlotImage } from "../slot_image.ts";
import { checkImageShape, checkStrength, stepsRun } from "./image_edit.ts";

/** Default number of network evaluations each way: at 25 the way up misses the image's noise visibly. */
const DEFAULT_STEPS = 50;

/** Options of edits that go through noise that belongs to an image: a deterministic sampler, no seeds. */
export interface InversionOptions extends Omit<GenerateOptions, "seed" | "count" | "edit" | "steps"> {
  /** Steps of the sampler; default 50 evaluations. */
  readonly steps?: number;
  /** Share of the steps that is run up and down again, above 0 to 1 (default). */
  readonly strength?: number;
}

/** A plan that images are inverted for and drawn by. */
export interface InversionPlan {
  /** Settings of the drawing. */
  readonly settings: DrawPlan;
  /** Share of the steps that is run. */
  readonly strength: number;
  /** Steps from `x` at the noisiest level to the image. */
  readonly plan: readonly PlannedStep[];
}

/**
 * Plans inversion and drawing.
 *
 * @throws {ConfigError} naming the option; `sampler`, `eta` or `churn` if a step adds noise
 */
export function planInversion(
  model: DiffusionModel,
  { strength = 1, ...options }: InversionOptions,
): InversionPlan {
  checkStrength(strength);
  const settings = planDraw({ ...options, count: 1 }, model, { steps: DEFAULT_STEPS });
  const { sampler, steps } = settings;
  // Inversion does not clip estimates of x_0, so drawing must not either.
  const plan = planSampling(sampler, model.schedule, {
    ...settings,
    begin: steps - stepsRun(steps, strength),
    clip: false,
  });
  checkDeterministic(settings, plan);
  return { settings, strength, plan };
}

/**
 * Checks that a plan adds no noise, so that an image is a function of its start.
 *
 * @throws {ConfigError} naming the sampler, or its setting that adds noise
 */
export function checkDeterministic({ sampler, eta, churn }: DrawPlan, plan: readonly PlannedStep[]): void {
  if (plan.every(({ sigma }) => sigma === 0)) return;
  if (eta !== undefined) {
    throw new ConfigError("eta", eta, "0: an image must be a function of the noise that it starts from");
  }
  if (churn !== undefined) {
    throw new ConfigError("churn", churn, "0: an image must be a function of the noise that it starts from");
  }
  throw new ConfigError("sampler", sampler, "ddim, euler, heun, dpm++2m, unipc or edm, which add no noise");
}

/**
 * Inverts images: what `plan` draws them from, by as many evaluations as it has levels.
 *
 * @param model the model
 * @param images each of shape [H, W, C], in [-1, 1]
 * @param label class of each, or one for all; the number of classes for none
 * @param plan from {@linkcode planInversion}
 * @returns `x` before the plan's first step, one of shape [H, W, C] for each image
 */
export async function invertBy(
  model: DiffusionModel,
  images: readonly Float32Array<ArrayBuffer>[],
  label: SlotImage["label"],
  plan: readonly PlannedStep[],
  options: Pick<GenerateOptions, "batch" | "onStep"> = {},
): Promise<Float32Array<ArrayBuffer>[]> {
  const [height, width] = imageSize(model.config);
  for (const image of images) checkImageShape("image", image, [height, width, imageChannels(model.config)]);
  const steps = inversionSteps(model.schedule, plan);
  const { level: { signal } } = steps[0]!; // a plan has a step or more
  const starts = images.map((image): SlotImage => ({
    label,
    guidance: 1,
    seed: 0,
    start: image.map((value) => signal * value),
  }));
  const data = await model.draw(starts, steps, options);
  const size = height * width * imageChannels(model.config);
  return images.map((_, i) => data.slice(i * size, (i + 1) * size));
}
