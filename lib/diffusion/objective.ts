/**
 * Training objective: prediction targets and loss weights by timestep (Ho et al. 2020, equation 14, and its successors).
 * Every target is a linear combination of image and noise, so these tables and one set of kernels serve all of them:
 *
 * ```text
 * x_t    = signal_t x_0 + noise_t eps                        Algorithm 1, line 5; equation 4
 * target = targetFromX0_t x_0 + targetFromNoise_t eps        eps in equation 14
 * loss   = weight_t mean((output - target)^2)                L_simple, equation 14, where weight_t = 1
 * ```
 *
 * The first two run in `kernels/q_sample.wgsl`, the third in `kernels/mse.wgsl`.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import type { NoiseSchedule } from "./schedule.ts";

/** Loss weighting over timesteps: uniform (`L_simple`), or min-SNR (Hang et al. 2023). */
export type LossWeighting = "uniform" | "min_snr";

/** Options of {@linkcode objectiveTables}. */
export interface ObjectiveOptions {
  /** `uniform` (default; `L_simple`, equation 14) or `min_snr`. */
  readonly weighting?: LossWeighting;
  /** Cap on the signal-to-noise ratio in `min_snr`, above 0; default 5. */
  readonly gamma?: number;
}

/** Float32 tables for the device, indexed by timestep. */
export interface ObjectiveTables {
  /** `sqrt(acp_t)`, the weight of `x_0` in `x_t` (equation 4). */
  readonly signal: Float32Array<ArrayBuffer>;
  /** `sqrt(1 - acp_t)`, the weight of the noise in `x_t` (equation 4). */
  readonly noise: Float32Array<ArrayBuffer>;
  /** Weight of `x_0` in the target. */
  readonly targetFromX0: Float32Array<ArrayBuffer>;
  /** Weight of the noise in the target. */
  readonly targetFromNoise: Float32Array<ArrayBuffer>;
  /** Weight of the squared error in the loss. */
  readonly weight: Float32Array<ArrayBuffer>;
}

/**
 * Tables of the training objective. The schedule's `predictionType` chooses the target:
 *
 * - `epsilon`: the noise (Ho et al. 2020, equation 14);
 * - `sample`: `x_0`;
 * - `v_prediction`: `v = sqrt(acp_t) eps - sqrt(1 - acp_t) x_0` (Salimans and Ho 2022, arXiv 2202.00512, section 4).
 *
 * Weights are 1 (`uniform`), or `min(snr_t, gamma)` as a loss on `x_0`, where `snr_t = acp_t / (1 - acp_t)` (`min_snr`; Hang
 * et al. 2023, arXiv 2303.09556, section 3.4). As a loss on the noise that is divided by `snr_t`, and on `v` by `snr_t + 1`.
 *
 * @param schedule the noise schedule
 * @param options loss weighting
 * @throws {ConfigError} for an unknown weighting or a gamma that is not above 0
 */
export function objectiveTables(schedule: NoiseSchedule, options: ObjectiveOptions = {}): ObjectiveTables {
  const { weighting = "uniform", gamma = 5 } = options;
  if (weighting !== "uniform" && weighting !== "min_snr") {
    throw new ConfigError("weighting", weighting, '"uniform" or "min_snr"');
  }
  if (!Number.isFinite(gamma) || gamma <= 0) throw new ConfigError("gamma", gamma, "a number above 0");

  const count = schedule.config.numTrainTimesteps;
  const tables = {
    signal: new Float32Array(count),
    noise: new Float32Array(count),
    targetFromX0: new Float32Array(count),
    targetFromNoise: new Float32Array(count),
    weight: new Float32Array(count).fill(1),
  };
  for (const [t, cumprod] of schedule.alphasCumprod.entries()) {
    const signal = Math.sqrt(cumprod);
    const noise = Math.sqrt(1 - cumprod);
    const snr = cumprod / (1 - cumprod);
    const { fromX0, fromNoise } = schedule.target({ timestep: t, signal, noise });
    tables.signal[t] = signal;
    tables.noise[t] = noise;
    tables.targetFromX0[t] = fromX0;
    tables.targetFromNoise[t] = fromNoise;
    // Squared error of the target over that of x_0: at a given x, eps moves by -signal / noise where x_0 moves by 1
    const errorRatio = (fromX0 - fromNoise * signal / noise) ** 2;
    if (weighting === "min_snr") tables.weight[t] = Math.min(snr, gamma) / errorRatio;
  }
  return tables;
}
