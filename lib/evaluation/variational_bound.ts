/**
 * The variational bound on the negative log-likelihood of an image (Ho et al. 2020, arXiv 2006.11239, equation 5), for any
 * forward process:
 *
 * ```text
 * -log p(x_0) <= L_T + sum over t of L_{t-1} + L_0
 * L_T     = KL(q(x_T | x_0) || N(0, I))
 * L_{t-1} = KL(q(x_s | x_t, x_0) || p(x_s | x_t))        equation 8; s is the level below t
 * L_0     = -log p(x_0 | x_1)                            equation 13, in discretized_gaussian.ts
 * ```
 *
 * Divergences between Gaussians do not change if `x_s` is scaled, so a process enters by its signal-to-noise ratios alone, and
 * variances are those of the equivalent process with `signal^2 + noise^2 = 1`. With the network's estimate of `x_0` in the
 * mean of `p`, and `ratio` its variance over that of the posterior `q(x_s | x_t, x_0)`:
 *
 * ```text
 * L_{t-1} = 1/2 (ln ratio + 1 / ratio - 1) + 1/2 (SNR_s - SNR_t) / ratio (x_0 - estimate)^2    per dimension, in nats
 * ```
 *
 * With a learned variance the ratio is the network's, of each dimension (Nichol and Dhariwal 2021, arXiv 2102.09672). For `ratio`
 * 1 that is equation 13 of Kingma et al. 2021 (arXiv 2107.00630).
 *
 * @module
 */
import type { ForwardProcess, NoiseLevel } from "../diffusion/forward_process.ts";
import { checkWhole } from "../checks.ts";
import { MAX_TIMESTEPS, NoiseSchedule, type VarianceType } from "../diffusion/schedule.ts";

/** Levels of a process that is continuous in time. */
const CONTINUOUS_LEVELS = 1000;
/** Largest ratio of noise to signal, where that of the process is larger. */
const MAX_SIGMA = 1000;

/** Steps of a process for which the bound is computed. */
export interface BoundSteps {
  /** Noise levels, least noise first, 2 or more. */
  readonly levels: readonly NoiseLevel[];
  /** Variance of `p(x_0 | x_1)`, where the posterior is a point; any is valid, and the bound is tightest near the truth. */
  readonly decoderVariance: number;
}

/**
 * Steps of a process. A schedule has its timesteps, and the decoder's variance is the posterior's one level above, as in the
 * code that Ho et al. 2020 published. Processes in continuous time get 1000 levels, even in the logarithm of the
 * signal-to-noise ratio down to 1e-6, and the variance `1 / SNR` of the first of them.
 */
export function boundSteps(process: ForwardProcess): BoundSteps {
  if (process instanceof NoiseSchedule) {
    const levels = Array.from(process.alphasCumprod, (_, timestep) => process.level(timestep));
    checkWhole("num_train_timesteps", levels.length, 2, MAX_TIMESTEPS);
    return { levels, decoderVariance: process.posteriorVariance[1]! };
  }
  const { sigmaMin } = process;
  const sigmaMax = Math.min(process.sigmaMax, MAX_SIGMA);
  const levels = Array.from({ length: CONTINUOUS_LEVELS }, (_, i) => {
    const sigma = sigmaMin * (sigmaMax / sigmaMin) ** (i / (CONTINUOUS_LEVELS - 1));
    return process.levelOfSigma(Math.min(sigma, sigmaMax)); // rounding may exceed it
  });
  return { levels, decoderVariance: sigmaMin ** 2 };
}

/** Signal-to-noise ratio of a level, `signal^2 / noise^2`. */
export function snrOf({ signal, noise }: NoiseLevel): number {
  return (signal / noise) ** 2;
}

/**
 * One term `L_{t-1}` as a function of the squared error of the estimate of `x_0`, per dimension, in nats; with a learned variance, of
 * the mean of that over the ratio, plus the mean of `1/2 (ln ratio + 1 / ratio - 1)`.
 */
export interface DivergenceTerm {
  /** Weight of the squared error, `1/2 (SNR_s - SNR_t) / ratio`. */
  readonly errorWeight: number;
  /** Its part that does not depend on the network, `1/2 (ln ratio + 1 / ratio - 1)`. */
  readonly constant: number;
}

/**
 * Ratio of `1 - acp_t / acp_s`, where `acp = SNR / (1 + SNR)`, to the variance of the posterior: the largest that `p(x_s | x_t)` has
 * (section 3.2).
 */
function largestRatio(s: NoiseLevel, t: NoiseLevel): number {
  return (1 + snrOf(s)) / (1 + snrOf(t));
}

/**
 * Range of the logarithm of a learned variance at each level, from the posterior's up (Nichol and Dhariwal 2021, equation 15); at the
 * first level, where the decoder's variance stands for the posterior's, up to `noise^2`.
 */
export function logRatios({ levels, decoderVariance }: BoundSteps): number[] {
  return levels.map((level, i) => {
    const below = levels[i - 1];
    return Math.log(below ? largestRatio(below, level) : level.noise ** 2 / decoderVariance);
  });
}

/** The term of the step from level `t` to the less noisy level `s`. */
export function divergenceTerm(s: NoiseLevel, t: NoiseLevel, variance: VarianceType): DivergenceTerm {
  const [snrS, snrT] = [snrOf(s), snrOf(t)];
  const ratio = variance === "fixed_large" ? largestRatio(s, t) : 1;
  return {
    errorWeight: (snrS - snrT) / ratio / 2,
    constant: (Math.log(ratio) + 1 / ratio - 1) / 2,
  };
}

/**
 * `L_T` of the last level, per dimension, in nats.
 *
 * @param meanSquare mean of `x_0^2` over the image's dimensions
 */
export function priorTerm(last: NoiseLevel, meanSquare: number): number {
  const snr = snrOf(last);
  const cumprod = snr / (1 + snr);
  return (cumprod * (meanSquare - 1) - Math.log1p(-cumprod)) / 2;
}

/** Converts nats to bits. */
export function toBits(nats: number): number {
  return nats / Math.LN2;
}
