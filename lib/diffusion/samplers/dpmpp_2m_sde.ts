/**
 * DPM-Solver++ of second order for the diffusion SDE, multistep: SDE-DPM-Solver++(2M) of Lu et al. 2022 ("DPM-Solver++",
 * arXiv 2211.01095).
 *
 * @module
 */

import { CLEAN, type ForwardProcess } from "../forward_process.ts";
import { fromEstimates, multistepSpacing } from "./dpmpp_2m.ts";
import { deviation, evaluation, type PlannerOptions, type SamplerStep, visitedLevels } from "./step.ts";

/**
 * Plans SDE-DPM-Solver++(2M), with `D` and `h` as for {@linkcode dpmpp2mSteps} ("sde-dpmsolver++" in diffusers):
 *
 * ```text
 * next = noise' / noise exp(-h) x + signal' (1 - exp(-2 h)) D + noise' sqrt(1 - exp(-2 h)) z
 * ```
 *
 * @returns the steps, most noise first
 * @throws {ConfigError} naming the option that is out of its range
 */
export function dpmpp2mSdeSteps(process: ForwardProcess, options: PlannerOptions): SamplerStep[] {
  const { clip } = options;
  const levels = visitedLevels(process, options, multistepSpacing);
  return levels.map((level, i) => {
    const next = levels[i + 1] ?? CLEAN;
    const decay = next.noise * level.signal / (level.noise * next.signal); // exp(-h) = sigma' / sigma
    return evaluation(process, level, clip, i === 0 ? deviation(level) : 0, {
      next,
      nextFromX: next.noise / level.noise * decay,
      ...fromEstimates(next.signal * (1 - decay ** 2), levels[i - 1], level, next),
      sigma: next.noise * Math.sqrt(1 - decay ** 2),
    });
  });
}
