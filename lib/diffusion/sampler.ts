/**
 * Samplers by name.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { ddimSteps } from "./samplers/ddim.ts";
import { ddpmSteps } from "./samplers/ddpm.ts";
import type { SamplerOptions, SamplerStep } from "./samplers/step.ts";
import type { NoiseSchedule } from "./schedule.ts";

export { applyStep, checkSteps, mostSteps, type SamplerOptions, type SamplerStep } from "./samplers/step.ts";

/** Name of a sampler. */
export type SamplerName = "ddpm" | "ddim";

const planners: Readonly<
  Record<SamplerName, (schedule: NoiseSchedule, options: SamplerOptions) => SamplerStep[]>
> = {
  ddpm: ddpmSteps,
  ddim: ddimSteps,
};

/** Names that {@link planSampling} accepts. */
export const samplerNames: readonly SamplerName[] = Object.keys(planners) as SamplerName[];

/**
 * Plans the steps from noise to an image: start from a standard normal `x` (Ho et al. 2020, Algorithm 2, line 1), and apply
 * them in order.
 *
 * @param sampler name of the sampler
 * @param schedule the schedule that the network was trained with
 * @param options number of steps, eta (DDIM) and clipping
 * @throws {ConfigError} naming the option that is unknown or out of its range
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { applyStep, planSampling } from "./sampler.ts";
 * import { NoiseSchedule } from "./schedule.ts";
 *
 * let x = Float32Array.of(0.3, -1.2); // two pixels of noise
 * for (const step of planSampling("ddim", new NoiseSchedule(), { steps: 20 })) {
 *   const predictedNoise = x; // a network would look at x and step.timestep
 *   x = applyStep(step, x, predictedNoise) as Float32Array<ArrayBuffer>;
 * }
 * assert.ok(x.every((pixel) => Math.abs(pixel) <= 1));
 * ```
 */
export function planSampling(
  sampler: SamplerName,
  schedule: NoiseSchedule,
  options: SamplerOptions,
): SamplerStep[] {
  if (!Object.hasOwn(planners, sampler)) {
    throw new ConfigError("sampler", sampler, samplerNames.map((name) => `"${name}"`).join(" or "));
  }
  return planners[sampler](schedule, options);
}
