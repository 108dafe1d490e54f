/**
 * What the network is trained to predict, and how much each timestep counts. Every target is a linear combination of
 * image and noise, so one kernel trains any of them from these tables:
 *
 * ```text
 * x_t    = signal_t x_0 + noise_t eps
 * target = targetFromX0_t x_0 + targetFromNoise_t eps
 * loss   = weight_t mean((output - target)^2)
 * ```
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import type { NoiseSchedule } from "./schedule.ts";

/** How much each timestep counts: all alike, or as Hang et al. 2023. */
export type LossWeighting = "uniform" | "min_snr";

/** How the loss is weighted. */
export interface ObjectiveOptions {
  /** `uniform` (default; the paper's `L_simple`) or `min_snr`. */
  readonly weighting?: LossWeighting;
  /** The cap on the signal-to-noise ratio for `min_snr`, above 0; default 5. */
  readonly gamma?: number;
}

/** Float32 tables for the device, indexed by timestep. */
export interface ObjectiveTables {
  /** `sqrt(acp_t)`, the weight of `x_0` in `x_t`. */
  readonly signal: Float32Array<ArrayBuffer>;
  /** `sqrt(1 - acp_t)`, the weight of the noise in `x_t`. */
  readonly noise: Float32Array<ArrayBuffer>;
  /** Weight of `x_0` in the target. */
  readonly targetFromX0: Float32Array<ArrayBuffer>;
  /** Weight of the noise in the target. */
  readonly targetFromNoise: Float32Array<ArrayBuffer>;
  /** Weight of the timestep's squared error in the loss. */
  readonly weight: Float32Array<ArrayBuffer>;
}

/**
 * The tables of a schedule's objective; `schedule.config.predictionType` says which target.
 *
 * Targets: the noise (Ho et al. 2020, equation 14), `x_0`, or `v = sqrt(acp_t) eps - sqrt(1 - acp_t) x_0` (Salimans and Ho
 * 2022, section 4). Weights: 1, or `min(snr_t, gamma)` as a loss on `x_0` (Hang et al. 2023, arXiv 2303.09556, section
 * 3.4), which is divided by `snr_t` for the noise and by `snr_t + 1` for `v`, where `snr_t = acp_t / (1 - acp_t)`.
 *
 * @param schedule the noise schedule
 * @param options how the loss is weighted
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
    let perUnitOfX0: number; // what the target's squared error is, in units of the squared error of x_0
    tables.signal[t] = signal;
    tables.noise[t] = noise;
    switch (schedule.config.predictionType) {
      case "epsilon":
        tables.targetFromNoise[t] = 1;
        perUnitOfX0 = snr;
        break;
      case "sample":
        tables.targetFromX0[t] = 1;
        perUnitOfX0 = 1;
        break;
      case "v_prediction":
        tables.targetFromX0[t] = -noise;
        tables.targetFromNoise[t] = signal;
        perUnitOfX0 = snr + 1;
        break;
    }
    if (weighting === "min_snr") tables.weight[t] = Math.min(snr, gamma) / perUnitOfX0;
  }
  return tables;
}
