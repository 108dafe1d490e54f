/**
 * The posterior of the forward process, `q(x_s | x_t, x_0)` (Ho et al. 2020, equations 6 and 7).
 *
 * @module
 */
import type { NoiseLevel } from "./forward_process.ts";

/** `q(x_s | x_t, x_0) = N(meanX0 x_0 + meanXt x_t, variance I)`. */
export interface Posterior {
  /** The posterior variance, the paper's `beta~_t`. */
  readonly variance: number;
  /** Weight of `x_0` in the posterior mean, the paper's `mu~_t`. */
  readonly meanX0: number;
  /** Weight of `x_t` in the posterior mean. */
  readonly meanXt: number;
}

/**
 * The posterior of a less noisy `x_s` given `x_t` and `x_0` (equations 6 and 7). The paper has `s = t - 1`; where a sampler
 * skips timesteps, the steps from `s` to `t` are one step of the forward process with `alpha = acp_t / acp_s`.
 *
 * @param cumprod `acp_t`, between 0 and 1
 * @param previousCumprod `acp_s`, above `acp_t`; 1 is the clean image, on which the posterior is a point
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { posterior } from "./posterior.ts";
 *
 * assert.deepEqual(posterior(0.5, 1), { variance: 0, meanX0: 1, meanXt: 0 }); // the last step lands on x_0
 * ```
 */
export function posterior(cumprod: number, previousCumprod: number): Posterior {
  const alpha = cumprod / previousCumprod;
  const beta = 1 - alpha;
  return {
    variance: (1 - previousCumprod) / (1 - cumprod) * beta,
    meanX0: Math.sqrt(previousCumprod) * beta / (1 - cumprod),
    meanXt: Math.sqrt(alpha) * (1 - previousCumprod) / (1 - cumprod),
  };
}

/**
 * The posterior between two levels of any forward process: that of the process scaled to preserve the variance
 * (`acp = signal^2 / (signal^2 + noise^2)`), in units of the levels.
 *
 * @param from level of `x_t`
 * @param to level of `x_s`, less noisy
 */
export function levelPosterior(from: NoiseLevel, to: NoiseLevel): Posterior & {
  /** `beta` of the one step of the forward process, in units of `x_s`; {@linkcode Posterior.variance} is at most that. */
  readonly beta: number;
} {
  const [fromScale, toScale] = [Math.hypot(from.signal, from.noise), Math.hypot(to.signal, to.noise)];
  const [cumprod, previousCumprod] = [(from.signal / fromScale) ** 2, (to.signal / toScale) ** 2];
  const { variance, meanX0, meanXt } = posterior(cumprod, previousCumprod);
  return {
    variance: toScale ** 2 * variance,
    meanX0: toScale * meanX0,
    meanXt: toScale / fromScale * meanXt,
    beta: toScale ** 2 * (1 - cumprod / previousCumprod),
  };
}
