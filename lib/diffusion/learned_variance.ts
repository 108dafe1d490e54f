/**
 * Learned variance of the reverse process (Nichol and Dhariwal 2021, arXiv 2102.09672). The network has twice the channels of
 * the image: the prediction, and `v` of each channel, which interpolates the logarithm of the variance (equation 15):
 *
 * ```text
 * log variance_t = (v + 1) / 2 log beta_t + (1 - v) / 2 log beta~_t        v = -1: posterior variance; v = 1: beta_t
 * L_hybrid       = L_simple + lambda L_vlb,  lambda = 0.001                equation 16
 * ```
 *
 * The paper has `v` from 0 to 1; this is the range of diffusers' `learned_range`. `L_vlb` is the sum of the bound's terms over
 * all timesteps, in bits per dimension, so one drawn uniformly stands for `T` of them.
 *
 * @module
 */
import { estimates } from "./forward_process.ts";
import type { NoiseSchedule } from "./schedule.ts";

/** Weight of `L_vlb`, the paper's lambda. */
const BOUND_WEIGHT = 0.001;

/** Coefficients of the loss at one timestep. */
export interface LearnedVarianceRow {
  /** Weight of the squared error in the loss. */
  readonly weight: number;
  /** Change of the mean of `p(x_{t-1} | x_t)` for a unit change of the prediction. */
  readonly meanScale: number;
  /** Logarithm of the posterior variance; at the first timestep, whose own is 0, that of the second. */
  readonly logVarianceMin: number;
  /** From there to `log beta_t`. */
  readonly logVarianceRange: number;
  /** Weight of `x_t` in `x_0`, the rest being that of the target. */
  readonly x0FromX: number;
  /** Weight of the target in `x_0`. */
  readonly x0FromTarget: number;
}

/**
 * Rows of the loss, one per timestep.
 *
 * @param weights loss weights of the squared error, one per timestep
 */
export function learnedVarianceRows(
  schedule: NoiseSchedule,
  weights: ArrayLike<number>,
): LearnedVarianceRow[] {
  return schedule.trainingLevels().map((level, t) => {
    const { x0FromX, x0FromOut } = estimates(schedule, level);
    const logVarianceMin = Math.log(schedule.posteriorVariance[Math.max(1, t)]!);
    return {
      weight: weights[t]!,
      meanScale: schedule.posteriorMeanX0[t]! * x0FromOut,
      logVarianceMin,
      logVarianceRange: Math.log(schedule.betas[t]!) - logVarianceMin,
      x0FromX,
      x0FromTarget: x0FromOut,
    };
  });
}

/** Weight of the bound's term of a drawn timestep, in nats. */
export function boundScale(schedule: NoiseSchedule): number {
  return BOUND_WEIGHT * schedule.config.numTrainTimesteps / Math.LN2;
}
