/**
 * Euler's method with ancestral noise, k-diffusion's `sample_euler_ancestral`: each step goes to less noise than the next
 * level has, and adds the rest anew.
 *
 * @module
 */

import { CLEAN, type ForwardProcess } from "../forward_process.ts";
import { levelPosterior } from "../posterior.ts";
import { eulerSpacing, initialDeviation, towards } from "./euler.ts";
import { evaluation, type PlannerOptions, type SamplerStep, visitedLevels } from "./step.ts";

/**
 * Plans ancestral Euler sampling. The new noise has the variance of the posterior `q(x_s | x_t, x_0)` (Ho et al. 2020,
 * equation 7):
 *
 * ```text
 * up   = sigma' sqrt(1 - sigma'^2 / sigma^2)                 in units of the image
 * down = sqrt(sigma'^2 - up^2)
 * ```
 *
 * so it draws what DDIM does with eta 1 (Song et al. 2021, equation 16), but for the noise estimated from the clipped `x_0`, which the
 * added noise keeps from burning images out.
 *
 * @returns the steps, most noise first
 * @throws {ConfigError} naming the option that is out of its range
 */
export function eulerAncestralSteps(process: ForwardProcess, options: PlannerOptions): SamplerStep[] {
  const { spacing, clip } = options;
  const levels = visitedLevels(process, options, eulerSpacing);
  return levels.map((level, i) => {
    const next = levels[i + 1] ?? CLEAN;
    const { variance } = levelPosterior(level, next);
    const down = Math.sqrt(Math.max(0, next.noise ** 2 - variance));
    const start = i === 0 ? initialDeviation(level, spacing) : 0;
    return evaluation(process, level, clip, start, {
      ...towards(level, { ...next, noise: down }),
      next,
      sigma: Math.sqrt(variance),
    });
  });
}
