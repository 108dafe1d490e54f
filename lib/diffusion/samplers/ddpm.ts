/**
 * Ancestral sampling (Ho et al. 2020, Algorithm 2), also with fewer steps than the network was trained with.
 *
 * @module
 */

import { ConfigError } from "../../errors.ts";
import { estimates } from "../forward_process.ts";
import { posterior } from "../posterior.ts";
import type { NoiseSchedule } from "../schedule.ts";
import { clipBound, type SamplerOptions, type SamplerStep, timesteps } from "./step.ts";

/**
 * Plans DDPM sampling: each step draws `x_s` from `q(x_s | x_t, x_0)` (equations 6 and 7) with the network's estimate of
 * `x_0`, where `s` is the next timestep visited. The variance is that of `q` (`fixed_small`) or `1 - acp_t / acp_s`
 * (`fixed_large`), which is `beta_t` where no timestep is skipped (section 3.2).
 *
 * The last step lands on a clean image and adds no noise (Algorithm 2, line 3; section 3.3). diffusers does add noise there if the last
 * timestep visited is not 0, which spoils the image with `trailing` spacing and `fixed_large`.
 *
 * @param schedule the schedule that the network was trained with
 * @param options number of steps and clipping; `eta` must not be given
 * @returns the steps, most noise first
 * @throws {ConfigError} naming the option that is out of its range
 */
export function ddpmSteps(schedule: NoiseSchedule, options: SamplerOptions): SamplerStep[] {
  if (options.eta !== undefined) {
    throw new ConfigError("eta", options.eta, "no value: only the ddim sampler has an eta");
  }
  // 1. Timesteps to visit, from T down to 1 (Algorithm 2, line 2)
  const visited = timesteps(schedule, options.steps);
  return visited.map((timestep, i) => {
    const previousTimestep = visited[i + 1] ?? -1;
    const isLast = previousTimestep < 0;
    const cumprod = schedule.alphasCumprod[timestep]!;
    const previousCumprod = isLast ? 1 : schedule.alphasCumprod[previousTimestep]!;

    // 2. Estimate of x_0 from x_t and the network's output (equation 15)
    const { x0FromX, x0FromOut } = estimates(schedule, schedule.level(timestep));

    // 3. Clipping of the estimate to the data's range
    const clip = clipBound(schedule, options.clip);

    // 4. Posterior mean (equation 7). With the estimate of equation 15 for x_0, this is the mean of equation 11 and
    //    Algorithm 2, line 4, which have no clipping.
    const { meanX0, meanXt, variance } = posterior(cumprod, previousCumprod);

    // 5. Noise: none in the last step (line 3), else with the variance chosen (section 3.2)
    const beta = 1 - cumprod / previousCumprod;
    const sigma = Math.sqrt(schedule.config.varianceType === "fixed_large" ? beta : variance);

    return {
      timestep,
      previousTimestep,
      x0FromX,
      x0FromOut,
      clip,
      nextFromX0: meanX0,
      nextFromX: meanXt,
      nextFromOut: 0,
      sigma: isLast ? 0 : sigma,
    };
  });
}
