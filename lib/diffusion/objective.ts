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
 * The first two run in `kernels/q_sample.wgsl`, the third in `kernels/mse.wgsl`; `t` is a row of the tables, drawn uniformly.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { type ForwardProcess, sigmaOf } from "./forward_process.ts";

/** Loss weighting over noise levels: uniform (`L_simple`), or min-SNR (Hang et al. 2023). */
export type LossWeighting = "uniform" | "min_snr";

/** Options of {@linkcode objectiveTables}. */
export interface ObjectiveOptions {
  /** `uniform` (default; `L_simple`, equation 14) or `min_snr`. */
  readonly weighting?: LossWeighting;
  /** Cap on the signal-to-noise ratio in `min_snr`, above 0; default 5. */
  readonly gamma?: number;
}

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
 * - `flow`: `eps - x_0` (Liu et al. 2023, arXiv 2209.03003, equation 1);
 * - `edm`: the effective target of the preconditioned network (Karras et al. 2022, arXiv 2206.00364, equation 8).
 *
 * Weights are 1 (`uniform`), or `min(snr_t, gamma)` as a loss on `x_0`, where `snr_t = acp_t / (1 - acp_t)` (`min_snr`; Hang
 * et al. 2023, arXiv 2303.09556, section 3.4). As a loss on the noise that is divided by `snr_t`, and on `v` by `snr_t + 1`.
 *
 * @param process the forward process and its objective
 * @param options loss weighting
 * @throws {ConfigError} for an unknown weighting or a gamma that is not above 0
 */
export function objectiveTables(process: ForwardProcess, options: ObjectiveOptions = {}): ObjectiveTables {
  const { weighting = "uniform", gamma = 5 } = options;
  if (weighting !== "uniform" && weighting !== "min_snr") {
    throw new ConfigError("weighting", weighting, '"uniform" or "min_snr"');
  }
  if (!Number.isFinite(gamma) || gamma <= 0) throw new ConfigError("gamma", gamma, "a number above 0");

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
    const sigma = sigmaOf(level);
    // Squared error of the target over that of x_0: at a given x, eps moves by -1 / sigma where x_0 moves by 1
    const errorRatio = (fromX0 - fromNoise / sigma) ** 2;
    if (weighting === "min_snr") tables.weight[t] = Math.min(sigma ** -2, gamma) / errorRatio;
  }
  return tables;
}
