/**
 * DDIM sampling (Song et al. 2021, arXiv 2010.02502): good images in far fewer steps.
 *
 * @module
 */

import { ConfigError } from "../../errors.ts";
import { estimates } from "../forward_process.ts";
import { posterior } from "../posterior.ts";
import type { NoiseSchedule } from "../schedule.ts";
import { clipBound, type SamplerOptions, type SamplerStep, timesteps } from "./step.ts";

/**
 * Plans DDIM sampling, from `x_t` to a less noisy `x_s` (equations 12 and 16; `acp` is the alpha of that paper):
 *
 * ```text
 * x_s   = sqrt(acp_s) x_0 + sqrt(1 - acp_s - sigma^2) eps + sigma z
 * sigma = eta sqrt((1 - acp_s) / (1 - acp_t)) sqrt(1 - acp_t / acp_s)
 * ```
 *
 * `x_0` is clipped, `eps` comes from the unclipped output, and `s` is `t - floor(T / steps)`, all as in diffusers'
 * `DDIMScheduler`. With the spacings `trailing` and `linspace` that `s` may differ from the next timestep visited where
 * the steps do not divide `T`; the default spacing `leading` always meets it.
 *
 * @param schedule the schedule that the network was trained with
 * @param options number of steps, eta (default 0) and clipping
 * @returns the steps, most noise first
 * @throws {ConfigError} naming the option that is out of its range
 */
export function ddimSteps(schedule: NoiseSchedule, options: SamplerOptions): SamplerStep[] {
  const { steps, eta = 0 } = options;
  if (!(eta >= 0 && eta <= 1)) throw new ConfigError("eta", eta, "a number from 0 to 1");
  const { numTrainTimesteps, setAlphaToOne } = schedule.config;
  const finalCumprod = setAlphaToOne ? 1 : schedule.alphasCumprod[0]!;
  // 1. Timesteps to visit (section 4.2)
  return timesteps(schedule, steps).map((timestep) => {
    const previousTimestep = Math.max(-1, timestep - Math.floor(numTrainTimesteps / steps));
    const cumprod = schedule.alphasCumprod[timestep]!;
    const previousCumprod = previousTimestep < 0 ? finalCumprod : schedule.alphasCumprod[previousTimestep]!;

    // 2. Estimates of x_0 (equation 9, "predicted x_0" in equation 12) and of the noise
    const { x0FromX, x0FromOut, epsFromX, epsFromOut } = estimates(schedule, schedule.level(timestep));

    // 3. Clipping of the estimate of x_0 to the data's range
    const clip = clipBound(schedule, options.clip);

    // 4. Noise (equation 16): eta 1 has the variance of the DDPM posterior, eta 0 none
    const sigma = eta * Math.sqrt(posterior(cumprod, previousCumprod).variance);

    // 5. "Direction pointing to x_t" (equation 12)
    const nextFromEps = Math.sqrt(1 - previousCumprod - sigma ** 2);

    return {
      timestep,
      previousTimestep,
      x0FromX,
      x0FromOut,
      clip,
      nextFromX0: Math.sqrt(previousCumprod),
      nextFromX: nextFromEps * epsFromX,
      nextFromOut: nextFromEps * epsFromOut,
      sigma,
    };
  });
}
