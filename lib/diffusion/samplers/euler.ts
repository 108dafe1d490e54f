/**
 * Euler's method for the probability flow ODE (Karras et al. 2022, arXiv 2206.00364, Algorithm 1, lines 2 to 5).
 *
 * @module
 */

import { CLEAN, type ForwardProcess, type NoiseLevel } from "../forward_process.ts";
import type { SpacingConvention, SpacingName } from "../spacing.ts";
import {
  deviation,
  flowEvaluation,
  type PlannerOptions,
  type SamplerStep,
  type StepResult,
  visitedLevels,
} from "./step.ts";

/** Fractional timesteps, as in diffusers' `EulerDiscreteScheduler`, `EulerAncestralDiscreteScheduler` and `HeunDiscreteScheduler`. */
export const eulerSpacing: SpacingConvention = { extraParts: 0, wholeTimesteps: false };

/**
 * Plans Euler's method. A step goes along the straight line through `x` and the estimate of `x_0`:
 *
 * ```text
 * eps  = (x - signal x_0) / noise
 * next = signal' x_0 + noise' eps
 * ```
 *
 * which is Karras et al.'s `x + (sigma' - sigma) d` (Algorithm 1, line 5) in units of the network's input. For rectified flow it is
 * `x + (t' - t) out`.
 *
 * @returns the steps, most noise first
 * @throws {ConfigError} naming the option that is out of its range
 */
export function eulerSteps(process: ForwardProcess, options: PlannerOptions): SamplerStep[] {
  const { spacing, clip } = options;
  const levels = visitedLevels(process, options, eulerSpacing);
  return levels.map((level, i) => {
    const start = i === 0 ? initialDeviation(level, spacing) : 0;
    return flowEvaluation(process, level, clip, start, towards(level, levels[i + 1] ?? CLEAN));
  });
}

/** The result of a step of Euler's method, from one level to another. */
export function towards(level: NoiseLevel, next: NoiseLevel): StepResult {
  const nextFromX = next.noise / level.noise;
  return { next, nextFromX0: next.signal - nextFromX * level.signal, nextFromX };
}

/**
 * Standard deviation of the initial noise (Karras et al. 2022, Algorithm 1, line 2). With `leading`, which starts where
 * some of the signal is left, it stands in for image and noise, as in diffusers' schedulers.
 */
export function initialDeviation(level: NoiseLevel, spacing: SpacingName): number {
  return spacing === "leading" ? deviation(level) : level.noise;
}
