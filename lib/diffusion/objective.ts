/**
 * Training objective: prediction targets and loss weights by noise level (Ho et al. 2020, equation 14, and its successors).
 * Every target is a linear combination of image and noise, so these tables and one set of kernels serve all of them:
 *
 * ```text
 * x_t    = signal_t x_0 + noise_t eps                        Algorithm 1, line 5; equation 4
 * target = targetFromX0_t x_0 + targetFromNoise_t eps        eps in equation 14
 * loss   = weight_t mean((output - target)^2)                L_simple, equation 14, where weight_t = 1
 * ```
 *
 * The first two run in `kernels/q_sample.wgsl`, the third in `kernels/loss.wgsl`; `t` is a row of the tables, drawn uniformly.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { type ForwardProcess, sigmaOf } from "./forward_process.ts";

/**
 * Loss weighting over noise levels: none (`L_simple`), min-SNR (Hang et al. 2023), its smooth form (Crowson et al. 2024), or P2
 * (Choi et al. 2022).
 */
export type LossWeighting = "none" | "min-snr" | "soft-min-snr" | "p2";

/** Options of {@linkcode objectiveTables}. */
export interface ObjectiveOptions {
  /** Default `none`. */
  readonly weighting?: LossWeighting;
  /** Cap of `min-snr` and `soft-min-snr`, default 5; exponent of `p2`, default 1. Above 0. */
  readonly gamma?: number;
  /** Added to the signal-to-noise ratio by `p2`, above 0; default 1. */
  readonly p2K?: number;
}

/** A weighting: the default of gamma, and the weight of the squared error of `x_0` at a signal-to-noise ratio. */
interface Weighting {
  readonly gamma: number;
  readonly weight: (snr: number, gamma: number, k: number) => number;
}

const WEIGHTINGS: Readonly<Record<Exclude<LossWeighting, "none">, Weighting>> = {
  // Hang et al. 2023, arXiv 2303.09556, section 3.4
  "min-snr": { gamma: 5, weight: (snr, gamma) => Math.min(snr, gamma) },
  // Crowson et al. 2024, arXiv 2401.11605: 1 / (sigma^2 + 1 / gamma)
  "soft-min-snr": { gamma: 5, weight: (snr, gamma) => snr * gamma / (snr + gamma) },
  // Choi et al. 2022, arXiv 2204.00227: a factor on the squared error of the noise, which is snr times that of x_0
  p2: { gamma: 1, weight: (snr, gamma, k) => snr / (k + snr) ** gamma },
};

/** Names of the weightings. */
export const LOSS_WEIGHTINGS: readonly LossWeighting[] = [
  "none",
  ...Object.keys(WEIGHTINGS) as (keyof typeof WEIGHTINGS)[],
];

/** Float32 tables for the device, a row for each of the process's training levels. */
export interface ObjectiveTables {
  /** The network's time input. */
  readonly timestep: Float32Array<ArrayBuffer>;
  /** Weight of `x_0` in `x_t`, `sqrt(acp_t)` on a schedule of betas (equation 4). */
  readonly signal: Float32Array<ArrayBuffer>;
  /** Weight of the noise in `x_t`, `sqrt(1 - acp_t)` on a schedule of betas (equation 4). */
  readonly noise: Float32Array<ArrayBuffer>;
  /** Weight of `x_0` in the target. */
  readonly targetFromX0: Float32Array<ArrayBuffer>;
  /** Weight of the noise in the target. */
  readonly targetFromNoise: Float32Array<ArrayBuffer>;
  /** Weight of the squared error in the loss. */
  readonly weight: Float32Array<ArrayBuffer>;
}

/**
 * Tables of the training objective. The process chooses levels and target:
 *
 * - `epsilon`: the noise (Ho et al. 2020, equation 14);
 * - `x0`: the image;
 * - `v`: `sqrt(acp_t) eps - sqrt(1 - acp_t) x_0` (Salimans and Ho 2022, arXiv 2202.00512, section 4);
 * - `flow`: `eps - x_0` (Liu et al. 2023, arXiv 2209.03003);
 * - `edm`: the effective target of the preconditioned network (Karras et al. 2022, arXiv 2206.00364, equation 8).
 *
 * Weights are 1 (`none`), or those of a weighting of the squared error of `x_0`, divided by the squared error of the target
 * that a unit error of `x_0` makes: `snr_t` for the noise and `snr_t + 1` for `v`, where `snr_t = (signal_t / noise_t)^2`. Where nothing
 * is left of the image (the last timestep with zero terminal SNR), every weighting but `none` is 0 for `v` and `x0`: that timestep
 * is not trained.
 *
 * @param process the forward process and its objective
 * @param options loss weighting
 * @throws {ConfigError} for an unknown weighting, a gamma or k that is not above 0, or a gamma whose weights float32 cannot hold
 */
export function objectiveTables(process: ForwardProcess, options: ObjectiveOptions = {}): ObjectiveTables {
  const { weighting = "none" } = options;
  if (!LOSS_WEIGHTINGS.includes(weighting)) {
    throw new ConfigError("weighting", weighting, LOSS_WEIGHTINGS.join(", "));
  }
  const chosen = weighting === "none" ? undefined : WEIGHTINGS[weighting];
  const { gamma = chosen?.gamma ?? 1, p2K = 1 } = options;
  for (const [name, value] of Object.entries({ gamma, p2K })) {
    if (!Number.isFinite(value) || value <= 0) throw new ConfigError(name, value, "a number above 0");
  }

  const levels = process.trainingLevels();
  const tables = {
    timestep: new Float32Array(levels.length),
    signal: new Float32Array(levels.length),
    noise: new Float32Array(levels.length),
    targetFromX0: new Float32Array(levels.length),
    targetFromNoise: new Float32Array(levels.length),
    weight: new Float32Array(levels.length).fill(1),
  };
  for (const [t, level] of levels.entries()) {
    const { fromX0, fromNoise } = process.target(level);
    tables.timestep[t] = level.timestep;
    tables.signal[t] = level.signal;
    tables.noise[t] = level.noise;
    tables.targetFromX0[t] = fromX0;
    tables.targetFromNoise[t] = fromNoise;
    if (!chosen) continue;
    const sigma = sigmaOf(level);
    // At a given x, eps moves by -1 / sigma where x_0 moves by 1
    const errorRatio = (fromX0 - fromNoise / sigma) ** 2;
    tables.weight[t] = chosen.weight(sigma ** -2, gamma, p2K) / errorRatio;
  }
  // A large exponent of p2 leaves float32's range.
  if (!tables.weight.every(Number.isFinite) || !tables.weight.some((weight) => weight > 0)) {
    throw new ConfigError(
      "gamma",
      gamma,
      `a number that leaves finite weights with weighting ${weighting}, not all 0`,
    );
  }
  return tables;
}
