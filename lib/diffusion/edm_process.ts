/**
 * EDM (Karras et al. 2022, arXiv 2206.00364): noise of any standard deviation `sigma`, and a preconditioned network.
 *
 * ```text
 * D(x; sigma) = c_skip x + c_out F(c_in x; c_noise)                equation 7; F is the network
 * c_skip = sd^2 / (sigma^2 + sd^2)       c_out   = sigma sd / sqrt(sigma^2 + sd^2)
 * c_in   = 1 / sqrt(sigma^2 + sd^2)      c_noise = ln(sigma) / 4    table 1; sd is sigma_data
 * ```
 *
 * Here `x` is the network's input, `c_in (x_0 + sigma eps)`, so `signal = c_in` and `noise = c_in sigma`. The training target
 * `(x_0 - c_skip (x_0 + sigma eps)) / c_out` (equation 8) is then `(noise / sd) x_0 - sd signal eps`.
 *
 * @module
 */
import type { ForwardProcess, NoiseLevel, Target } from "./forward_process.ts";

/** Parameters of {@linkcode EdmProcess}; the defaults are those of Karras et al. 2022, table 1. */
export interface EdmOptions {
  /** Standard deviation of the data, above 0; default 0.5. */
  readonly sigmaData?: number;
  /** Smallest sigma when sampling, above 0; default 0.002. */
  readonly sigmaMin?: number;
  /** Largest sigma when sampling, above `sigmaMin`; default 80. */
  readonly sigmaMax?: number;
  /** Bound on estimates of `x_0` when sampling; default 1, the range of the data. */
  readonly clip?: number | false;
}

/** The process and preconditioning of Karras et al. 2022. */
export class EdmProcess implements ForwardProcess {
  readonly sigmaData: number;
  readonly sigmaMin: number;
  readonly sigmaMax: number;
  readonly clip: number | false;

  constructor({ sigmaData = 0.5, sigmaMin = 0.002, sigmaMax = 80, clip = 1 }: EdmOptions = {}) {
    this.sigmaData = sigmaData;
    this.sigmaMin = sigmaMin;
    this.sigmaMax = sigmaMax;
    this.clip = clip;
  }

  /** @param timestep `c_noise`, `ln(sigma) / 4` */
  level(timestep: number): NoiseLevel {
    return this.levelOfSigma(Math.exp(4 * timestep));
  }

  levelOfSigma(sigma: number): NoiseLevel {
    const cIn = 1 / Math.hypot(sigma, this.sigmaData);
    return { timestep: Math.log(sigma) / 4, signal: cIn, noise: cIn * sigma };
  }

  target({ signal, noise }: NoiseLevel): Target {
    return { fromX0: noise / this.sigmaData, fromNoise: -this.sigmaData * signal };
  }
}
