/**
 * DPM-Solver++ of second order, multistep (Lu et al. 2022, "DPM-Solver++", arXiv 2211.01095, Algorithm 2).
 *
 * @module
 */

import { CLEAN, type ForwardProcess, halfLogSnr, type NoiseLevel, sigmaOf } from "../forward_process.ts";
import type { SpacingConvention } from "../spacing.ts";
import { deviation, flowEvaluation, type PlannerOptions, type SamplerStep, visitedLevels } from "./step.ts";

/**
 * Whole timesteps, with the image as the last of the parts, as in diffusers' `DPMSolverMultistepScheduler` and
 * `UniPCMultistepScheduler`. For the cosine schedule the former rounds the timesteps of `karras` and `log-snr` down.
 */
export const multistepSpacing: SpacingConvention = { extraParts: 1, wholeTimesteps: true };

/**
 * Plans DPM-Solver++(2M), with `lambda` half the log-SNR and `h` its change (Algorithm 2, lines 6 to 8; "midpoint" in
 * diffusers' `DPMSolverMultistepScheduler`):
 *
 * ```text
 * r    = h_before / h
 * D    = (1 + 1 / (2 r)) x_0 - 1 / (2 r) h1
 * next = noise' / noise x - signal' (exp(-h) - 1) D
 * ```
 *
 * The first and the last step are of first order, `D = x_0`.
 *
 * @returns the steps, most noise first
 * @throws {ConfigError} naming the option that is out of its range
 */
export function dpmpp2mSteps(process: ForwardProcess, options: PlannerOptions): SamplerStep[] {
  const { clip } = options;
  const levels = visitedLevels(process, options, multistepSpacing);
  return levels.map((level, i) => {
    const next = levels[i + 1] ?? CLEAN;
    const nextFromX = next.noise / level.noise;
    const nextFromD = next.signal - nextFromX * level.signal; // -signal' (exp(-h) - 1), with exp(-h) = sigma' / sigma
    return flowEvaluation(process, level, clip, i === 0 ? deviation(level) : 0, {
      next,
      nextFromX,
      ...fromEstimates(nextFromD, levels[i - 1], level, next),
    });
  });
}

/** Weights of the estimates of `x_0` for a weight of `D`, the estimate extrapolated to the middle of the step. */
export function fromEstimates(
  nextFromD: number,
  before: NoiseLevel | undefined,
  level: NoiseLevel,
  next: NoiseLevel,
): Pick<SamplerStep, "nextFromX0" | "nextFromH1"> {
  if (!before || next === CLEAN) return { nextFromX0: nextFromD, nextFromH1: 0 };
  const slope = stepRatio(before, level, next) / 2;
  return { nextFromX0: nextFromD * (1 + slope), nextFromH1: nextFromD === 0 ? 0 : -nextFromD * slope };
}

/** `h / h_before`, changes of half the log-SNR; 0 where `before` has no signal. */
export function stepRatio(before: NoiseLevel, level: NoiseLevel, next: NoiseLevel): number {
  if (sigmaOf(before) === Infinity) return 0;
  return (halfLogSnr(next) - halfLogSnr(level)) / (halfLogSnr(level) - halfLogSnr(before));
}
