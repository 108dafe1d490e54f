/**
 * Ancestral sampling (Ho et al. 2020, Algorithm 2), also with fewer steps than the network was trained with.
 *
 * @module
 */

import { ConfigError } from "../../errors.ts";
import { CLEAN, type ForwardProcess } from "../forward_process.ts";
import { levelPosterior } from "../posterior.ts";
import { NoiseSchedule, type VarianceType } from "../schedule.ts";
import type { SpacingConvention } from "../spacing.ts";
import {
  deviation,
  evaluation,
  type PlannerOptions,
  type SamplerStep,
  variances,
  visitedLevels,
} from "./step.ts";

/** Whole timesteps, as in diffusers' `DDPMScheduler` and `DDIMScheduler`. */
export const ddpmSpacing: SpacingConvention = { extraParts: 0, wholeTimesteps: true };

/**
 * Plans DDPM sampling: each step draws `x_s` from `q(x_s | x_t, x_0)` (equations 6 and 7) with the network's estimate of
 * `x_0`, where `s` is the next level visited. The variance is that of `q` (`fixed_small`), `1 - acp_t / acp_s`
 * (`fixed_large`), which is `beta_t` where no timestep is skipped (section 3.2), or between the two where the network says
 * (`learned_range`; Nichol and Dhariwal 2021, equation 15).
 *
 * The last step lands on a clean image and adds no noise (Algorithm 2, line 3; section 3.3). diffusers does add noise there if the last
 * timestep visited is not 0, which spoils the image with `trailing` spacing and `fixed_large`.
 *
 * @returns the steps, most noise first
 * @throws {ConfigError} naming the option that is out of its range
 */
export function ddpmSteps(process: ForwardProcess, options: PlannerOptions): SamplerStep[] {
  const { clip, variance: type = configuredVariance(process) } = options;
  if (!variances.includes(type)) throw new ConfigError("variance", type, variances.join(" or "));
  // 1. Levels to visit, from T down to 1 (Algorithm 2, line 2)
  const levels = visitedLevels(process, options, ddpmSpacing);
  return levels.map((level, i) => {
    const next = levels[i + 1] ?? CLEAN;
    // 2. Posterior mean (equation 7). With the estimate of equation 15 for x_0, this is the mean of equation 11 and
    //    Algorithm 2, line 4, which have no clipping.
    const { meanX0, meanXt, variance, beta } = levelPosterior(level, next);
    // 3. Noise: none in the last step (line 3), else with the variance chosen (section 3.2)
    const sigma = Math.sqrt(type === "fixed_large" ? beta : variance);
    const isLast = next === CLEAN;
    return evaluation(process, level, clip, i === 0 ? deviation(level) : 0, {
      next,
      nextFromX0: meanX0,
      nextFromX: meanXt,
      sigma: isLast ? 0 : sigma,
      logSigmaRange: type === "learned_range" && !isLast ? Math.log(beta / variance) / 2 : 0,
    });
  });
}

/** Variance of the reverse process that a model's configuration names. */
export function configuredVariance(process: ForwardProcess): VarianceType {
  return process instanceof NoiseSchedule ? process.config.varianceType : "fixed_small";
}
