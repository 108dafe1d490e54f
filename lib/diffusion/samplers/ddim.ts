/**
 * Denoising diffusion implicit models (Song, Meng and Ermon 2021, arXiv 2010.02502): good images in far fewer steps.
 *
 * @module
 */

import { ConfigError } from "../../errors.ts";
import type { NoiseSchedule } from "../schedule.ts";
import { clipBound, estimates, type SamplerOptions, type SamplerStep, timesteps } from "./step.ts";

/**
 * The plan of DDIM sampling, equations 12 and 16 of the paper:
 * `x_s = sqrt(acp_s) x_0 + sqrt(1 - acp_s - sigma^2) eps + sigma z`, with
 * `sigma = eta sqrt((1 - acp_s) / (1 - acp_t)) sqrt(1 - acp_t / acp_s)`.
 *
 * `x_0` is clipped, `eps` is taken from the unclipped output, and `s` is `t - floor(T / steps)`, all as diffusers'
 * `DDIMScheduler`. With the spacings `trailing` and `linspace` that `s` can be off the next timestep visited where the steps
 * do not divide `T`; the default spacing `leading` always meets it.
 *
 * @param schedule the schedule that the network was trained with
 * @param options number of steps, eta (default 0) and clipping
 * @returns the steps, most noise first
 * @throws {ConfigError} naming the option that is out of its range
 */
export function ddimSteps(schedule: NoiseSchedule, options: SamplerOptions): SamplerStep[] {
  const { steps, eta = 0 } = options;
  if (!(eta >= 0 && eta <= 1)) throw new ConfigError("eta", eta, "a number from 0 to 1");
  const clip = clipBound(schedule, options.clip);
  const { numTrainTimesteps, setAlphaToOne } = schedule.config;
  const finalCumprod = setAlphaToOne ? 1 : schedule.alphasCumprod[0];
  return timesteps(schedule, steps).map((timestep) => {
    const previousTimestep = Math.max(-1, timestep - Math.floor(numTrainTimesteps / steps));
    const cumprod = schedule.alphasCumprod[timestep];
    const previousCumprod = previousTimestep < 0 ? finalCumprod : schedule.alphasCumprod[previousTimestep];
    const variance = (1 - previousCumprod) / (1 - cumprod) * (1 - cumprod / previousCumprod);
    const sigma = eta * Math.sqrt(variance);
    const nextFromEps = Math.sqrt(1 - previousCumprod - sigma ** 2);
    const { x0FromX, x0FromOut, epsFromX, epsFromOut } = estimates(schedule, timestep);
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
