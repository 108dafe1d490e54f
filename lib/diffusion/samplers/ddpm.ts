/**
 * Ancestral sampling (Ho et al. 2020, algorithm 2), also with fewer steps than the network was trained with.
 *
 * @module
 */

import { ConfigError } from "../../errors.ts";
import type { NoiseSchedule } from "../schedule.ts";
import { clipBound, estimates, type SamplerOptions, type SamplerStep, timesteps } from "./step.ts";

/**
 * The plan of DDPM sampling: each step draws from `q(x_s | x_t, x_0)` (equations 6 and 7) with the network's estimate of
 * `x_0`, where `s` is the next timestep visited; with fewer steps, `alpha_t` becomes `acp_t / acp_s`. The variance is that of
 * `q` (`fixed_small`) or `1 - acp_t / acp_s` (`fixed_large`, which is `beta_t` when no timestep is skipped).
 *
 * The last step lands on a clean image and adds no noise, as algorithm 2 says. diffusers does add noise there if the last
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
  const clip = clipBound(schedule, options.clip);
  const visited = timesteps(schedule, options.steps);
  return visited.map((timestep, i) => {
    const previousTimestep = visited[i + 1] ?? -1;
    const isLast = previousTimestep < 0;
    const cumprod = schedule.alphasCumprod[timestep];
    const previousCumprod = isLast ? 1 : schedule.alphasCumprod[previousTimestep];
    const alpha = cumprod / previousCumprod;
    const beta = 1 - alpha;
    const small = (1 - previousCumprod) / (1 - cumprod) * beta;
    const variance = schedule.config.varianceType === "fixed_large" ? beta : small;
    const { x0FromX, x0FromOut } = estimates(schedule, timestep);
    return {
      timestep,
      previousTimestep,
      x0FromX,
      x0FromOut,
      clip,
      nextFromX0: Math.sqrt(previousCumprod) * beta / (1 - cumprod),
      nextFromX: Math.sqrt(alpha) * (1 - previousCumprod) / (1 - cumprod),
      nextFromOut: 0,
      sigma: isLast ? 0 : Math.sqrt(variance),
    };
  });
}
