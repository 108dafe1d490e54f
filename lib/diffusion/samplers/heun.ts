/**
 * Heun's method for the probability flow ODE, of second order (Karras et al. 2022, arXiv 2206.00364, Algorithm 1).
 *
 * @module
 */

import { CLEAN, type ForwardProcess, type NoiseLevel } from "../forward_process.ts";
import { eulerSpacing, initialDeviation, towards } from "./euler.ts";
import { evaluation, type PlannerOptions, type SamplerStep, type StepResult, visitedLevels } from "./step.ts";

/**
 * Plans Heun's method: Euler's to the next level (Algorithm 1, lines 4 and 5), then the same step again with the mean of the
 * slopes at both of its ends (Algorithm 1, lines 7 and 8). The last step, to the image, is Euler's, so `steps` steps evaluate the network
 * `2 steps - 1` times, as diffusers' `HeunDiscreteScheduler` does. As there, the noise is estimated from the clipped `x_0`, unlike
 * {@linkcode flowEvaluation}'s.
 *
 * @returns the evaluations, most noise first
 * @throws {ConfigError} naming the option that is out of its range
 */
export function heunSteps(process: ForwardProcess, options: PlannerOptions): SamplerStep[] {
  const { spacing, clip } = options;
  const levels = visitedLevels(process, options, eulerSpacing);
  const coordinate = heunCoordinate(process);
  return levels.flatMap((level, i) => {
    const next = levels[i + 1];
    const start = i === 0 ? initialDeviation(level, spacing) : 0;
    const first = evaluation(process, level, clip, start, towards(level, next ?? CLEAN));
    if (!next) return [first];
    return [first, evaluation(process, next, clip, 0, corrected(level, next, coordinate))];
  });
}

/** Scale of `x` in which the method takes its steps: `noise / scale` is its time. */
export type HeunCoordinate = (level: NoiseLevel) => number;

/** Karras et al.'s `x`, of signal 1, whose time is sigma. */
export const inSigma: HeunCoordinate = ({ signal }) => signal;

/** Rectified flow's `x`, the weights of which add up to 1, whose time is `t`. */
const inTime: HeunCoordinate = ({ signal, noise }) => signal + noise;

/** Time is sigma (Karras et al. 2022, section 3), or where that is infinite, rectified flow's `t`. */
function heunCoordinate({ sigmaMax }: ForwardProcess): HeunCoordinate {
  return sigmaMax === Infinity ? inTime : inSigma;
}

/**
 * The second half of a step from `level` to `next`, after {@linkcode towards} has gone there. With time `tau`, slopes
 * `d = (x - x_0) / tau` and `h1`, the estimate of `x_0` at `level`, the earlier `x` is `h1 + tau d` with `d = (x' - h1) / tau'`
 * (lines 4, 5 and 7), so line 8 is
 *
 * ```text
 * x' + (tau - tau') / (2 tau') (x_0 - h1)
 * ```
 */
export function corrected(level: NoiseLevel, next: NoiseLevel, coordinate: HeunCoordinate): StepResult {
  const scale = coordinate(next);
  const time = next.noise / scale;
  const nextFromX0 = scale * (level.noise / coordinate(level) - time) / (2 * time);
  return { next, nextFromX0, nextFromX: 1, nextFromH1: -nextFromX0 };
}
