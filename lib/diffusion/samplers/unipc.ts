/**
 * UniPC of second order with predictor and corrector (Zhao et al. 2023, arXiv 2302.04867), for the
 * estimate of `x_0` and with `B(h) = exp(h) - 1` ("bh2").
 *
 * @module
 */

import { CLEAN, type ForwardProcess, halfLogSnr, type NoiseLevel, sigmaOf } from "../forward_process.ts";
import { multistepSpacing, stepRatio } from "./dpmpp_2m.ts";
import { deviation, flowEvaluation, type PlannerOptions, type SamplerStep, visitedLevels } from "./step.ts";

/** Weights of the present estimate of `x_0`, the one before (`h1`) and the one before that (`h2`). */
type EstimateWeights = readonly [x0: number, h1: number, h2: number];

/**
 * Plans UniPC, as diffusers' `UniPCMultistepScheduler` with order 2. A step first corrects the `x` that the last step
 * predicted, now that the network's estimate there is known (UniC), then predicts the next (UniP):
 *
 * ```text
 * x_c  = x + B (rho_1 D_1 + rho_2 (x_0 - h1))        with the B, h and r of the step before, D_1 = (h2 - h1) / r
 * next = noise' / noise x_c - signal' (exp(-h) - 1) (x_0 + 1/2 (h1 - x_0) / r)
 * ```
 *
 * The corrector starts from the `x` before the prediction; since both are linear in that, it cancels, and only the difference of
 * their weights of the estimates is left. So a correction takes no evaluation of its own. The first and the last step predict in first
 * order, and the corrector has the order of the prediction.
 *
 * @returns the steps, most noise first
 * @throws {ConfigError} naming the option that is out of its range
 */
export function unipcSteps(process: ForwardProcess, options: PlannerOptions): SamplerStep[] {
  const { clip } = options;
  const levels = visitedLevels(process, options, multistepSpacing);
  return levels.map((level, i) => {
    const [beforeLast, last] = [levels[i - 2], levels[i - 1]];
    const next = levels[i + 1] ?? CLEAN;
    const correction: EstimateWeights = last ? corrector(beforeLast, last, level) : [0, 0, 0];
    const nextFromX = next.noise / level.noise;
    const [x0, h1] = predictor(last, level, next);
    return flowEvaluation(process, level, clip, i === 0 ? deviation(level) : 0, {
      next,
      nextFromX,
      nextFromX0: nextFromX * correction[0] + x0,
      nextFromH1: nextFromX * correction[1] + h1,
      nextFromH2: nextFromX * correction[2],
    });
  });
}

/** `signal' (1 - exp(-h))`, the weight of the estimates in a step; finite for a `level` without signal. */
function weightOfEstimates(level: NoiseLevel, next: NoiseLevel): number {
  return next.signal - next.noise / level.noise * level.signal;
}

/** UniP of second order, with `1/2` for the weight of `D_1`, as in its authors' code; of first order at either end. */
function predictor(
  last: NoiseLevel | undefined,
  level: NoiseLevel,
  next: NoiseLevel,
): readonly [x0: number, h1: number] {
  const weight = weightOfEstimates(level, next);
  if (!last || next === CLEAN) return [weight, 0];
  const slope = stepRatio(last, level, next) / 2;
  return [weight * (1 + slope), -weight * slope];
}

/** UniC less UniP of a step from `last` to `level`, from which it takes the prediction to the corrected `x`. */
function corrector(
  beforeLast: NoiseLevel | undefined,
  last: NoiseLevel,
  level: NoiseLevel,
): EstimateWeights {
  const weight = weightOfEstimates(last, level);
  // Order 1: half of the change of the estimates.
  if (!beforeLast) return [weight / 2, -weight / 2, 0];
  const h = halfLogSnr(level) - halfLogSnr(last);
  // 1 / |r| of the estimate before; 0 if it was made without any signal
  const slope = sigmaOf(beforeLast) === Infinity ? 0 : stepRatio(beforeLast, last, level);
  const [rho1, rho2] = correctorWeights(h, slope);
  // D_1 = (h2 - h1) / r with negative r, less UniP's 1/2 of it, which the prediction holds already
  const ofD1 = weight * slope * (1 / 2 - rho1);
  return [weight * rho2, -weight * rho2 - ofD1, ofD1];
}

/**
 * Weights of two estimates in UniC, which solve `rho_1 + rho_2 = b_1`, `r rho_1 + rho_2 = b_2`.
 *
 * @param h change of half the log-SNR
 * @param slope `-1 / r`
 */
function correctorWeights(h: number, slope: number): readonly [number, number] {
  const expm1 = Math.expm1(-h);
  const phi2 = expm1 / -h - 1;
  const phi3 = phi2 / -h - 1 / 2;
  const [b1, b2] = [phi2 / expm1, 2 * phi3 / expm1];
  const rho1 = slope === 0 ? 0 : (b1 - b2) / (1 + 1 / slope);
  return [rho1, b1 - rho1];
}
