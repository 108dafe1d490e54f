/**
 * DDIM sampling (Song et al. 2021, arXiv 2010.02502): good images in far fewer steps.
 *
 * @module
 */

import { ConfigError } from "../../errors.ts";
import { CLEAN, estimates, type ForwardProcess, type NoiseLevel } from "../forward_process.ts";
import { levelPosterior } from "../posterior.ts";
import { NoiseSchedule } from "../schedule.ts";
import { isTimeSpacing, type SpacingName } from "../spacing.ts";
import { ddpmSpacing } from "./ddpm.ts";
import { deviation, evaluation, type PlannerOptions, type SamplerStep, visitedLevels } from "./step.ts";

/**
 * Plans DDIM sampling, from `x_t` to a less noisy `x_s` (equations 12 and 16; `acp` is the alpha of that paper):
 *
 * ```text
 * x_s   = sqrt(acp_s) x_0 + sqrt(1 - acp_s - sigma^2) eps + sigma z
 * sigma = eta sqrt((1 - acp_s) / (1 - acp_t)) sqrt(1 - acp_t / acp_s)
 * ```
 *
 * `x_0` is clipped, and `eps` comes from the unclipped output, as in diffusers' `DDIMScheduler`.
 *
 * @returns the steps, most noise first
 * @throws {ConfigError} naming the option that is out of its range
 */
export function ddimSteps(process: ForwardProcess, options: PlannerOptions): SamplerStep[] {
  const { spacing, clip, eta = 0, begin = 0 } = options;
  if (typeof eta !== "number" || !(eta >= 0 && eta <= 1)) {
    throw new ConfigError("eta", eta, "a number from 0 to 1");
  }
  // 1. Levels to visit (section 4.2)
  const all = visitedLevels(process, { ...options, begin: 0 }, ddpmSpacing);
  const ends = endsOf(process, all, spacing).slice(begin);
  return visitedLevels(process, options, ddpmSpacing).map((level, i) => {
    const next = ends[i]!; // one for each level
    // 2. Estimate of the noise; that of x_0 (equation 9, "predicted x_0" in equation 12) and its clipping are `evaluation`'s
    const { epsFromX, epsFromOut } = estimates(process, level);
    // 3. Noise (equation 16): eta 1 has the variance of the DDPM posterior, eta 0 none
    const sigma = eta * Math.sqrt(levelPosterior(level, next).variance);
    // 4. "Direction pointing to x_t" (equation 12)
    const nextFromEps = Math.sqrt(Math.max(0, next.noise ** 2 - sigma ** 2));
    return evaluation(process, level, clip, i === 0 ? deviation(level) : 0, {
      next,
      nextFromX0: next.signal,
      nextFromX: nextFromEps * epsFromX,
      nextFromOut: nextFromEps * epsFromOut,
      sigma,
    });
  });
}

/**
 * Levels that the steps end at. On timesteps that is `t - floor(T / steps)`, as in diffusers' `DDIMScheduler`; with the
 * spacings `trailing` and `linspace` it may differ from the next timestep visited where the steps do not divide `T`.
 */
function endsOf(process: ForwardProcess, levels: readonly NoiseLevel[], spacing: SpacingName): NoiseLevel[] {
  const next = levels.map((_, i) => levels[i + 1] ?? CLEAN);
  if (!(process instanceof NoiseSchedule)) return next;
  const { numTrainTimesteps, setAlphaToOne } = process.config;
  const last = setAlphaToOne ? CLEAN : { ...process.level(0), timestep: CLEAN.timestep };
  if (!isTimeSpacing(spacing) || spacing === "quadratic") return [...next.slice(0, -1), last];
  const distance = Math.floor(numTrainTimesteps / levels.length);
  return levels.map(({ timestep }) => timestep < distance ? last : process.level(timestep - distance));
}
