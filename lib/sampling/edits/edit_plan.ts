/**
 * Plans of edited images: where they start, and the jumps back.
 *
 * @module
 */
import type { ForwardProcess } from "../../diffusion/forward_process.ts";
import { withJumps } from "../../diffusion/repaint.ts";
import {
  type PlannedStep,
  planSampling,
  type SamplerName,
  type SamplerOptions,
} from "../../diffusion/sampler.ts";
import { initialNoise } from "../initial_noise.ts";
import type { SlotImage } from "../slot_image.ts";
import { completeEdit, type ImageEdit, stepsRun } from "./image_edit.ts";

/** Settings of an image's plan. */
export interface ImageSettings extends SamplerOptions {
  readonly sampler: SamplerName;
  /** The given image that it is drawn from, checked; default noise alone. */
  readonly edit?: ImageEdit;
}

/**
 * Plans an image, as `planSampling`. An edit of strength below 1 leaves out the noisiest levels (Meng et al. 2022, section 3), and
 * RePaint's jumps add steps.
 *
 * @throws {ConfigError} naming the option that is unknown, of another sampler or out of its range
 */
export function planImage(process: ForwardProcess, settings: ImageSettings): PlannedStep[] {
  const { sampler, edit, ...options } = settings;
  if (!edit) return planSampling(sampler, process, options);
  const { strength, resamplings, jump } = completeEdit(edit, options.steps);
  const begin = options.steps - stepsRun(options.steps, strength);
  const plan = planSampling(sampler, process, { ...options, begin });
  return resamplings === 1 ? plan : withJumps(plan, jump, resamplings);
}

/**
 * What an edit gives an image: the noisy given image to start from, unless it starts from pure noise, and what is kept.
 *
 * @param plan from {@linkcode planImage}, for the same settings
 */
export function givenBy(
  { edit, steps, seed }: Pick<ImageSettings, "edit" | "steps"> & Pick<SlotImage, "seed">,
  plan: readonly PlannedStep[],
  channels: number,
): Pick<SlotImage, "start" | "known"> {
  if (!edit) return {};
  const { image, mask } = edit;
  const { level: { signal, noise } } = plan[0]!; // plans have a step or more
  const fromNoise = stepsRun(steps, completeEdit(edit, steps).strength) === steps;
  const eps = fromNoise ? [] : initialNoise(seed, image.length / channels, channels);
  return {
    // Forward process (Ho et al. 2020, equation 4)
    ...(fromNoise ? {} : { start: image.map((value, i) => signal * value + noise * eps[i]!) }), // of one length
    ...(mask ? { known: { image, mask } } : {}),
  };
}
