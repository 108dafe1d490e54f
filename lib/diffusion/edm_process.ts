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
 * `(x_0 - c_skip (x_0 + sigma eps)) / c_out` (equation 8) is then `(noise / sd) x_0 - sd signal eps`. Its squared error has
 * weight `lambda c_out^2 = 1` at every level, since `lambda(sigma) = 1 / c_out^2` (table 1).
 *
 * @module
 */
import { ConfigError } from "../errors.ts";
import { type ForwardProcess, type NoiseLevel, type Target, trainingQuantiles } from "./forward_process.ts";
import { normalQuantile } from "./normal.ts";

/** Far beyond any picture's noise, and the coefficients of every sampler are still exact in float32. */
const SMALLEST_SIGMA = 1e-6;
const LARGEST_SIGMA = 1e6;

/** Parameters of {@linkcode EdmProcess}; the defaults are those of Karras et al. 2022, table 1. */
export interface EdmOptions {
  /** Standard deviation of the data, 1e-6 to 1e6; default 0.5. */
  readonly sigmaData?: number;
  /** Smallest sigma when sampling, from 1e-6; default 0.002. */
  readonly sigmaMin?: number;
  /** Largest sigma when sampling, above `sigmaMin`, to 1e6; default 80. */
  readonly sigmaMax?: number;
  /** Mean of `ln(sigma)` in training, the paper's `P_mean`; default -1.2. */
  readonly meanLogSigma?: number;
  /** Standard deviation of `ln(sigma)` in training, the paper's `P_std`, above 0; default 1.2. */
  readonly stdLogSigma?: number;
  /** Bound on estimates of `x_0` when sampling; default 1, the range of the data. */
  readonly clip?: number | false;
}

/** The process and preconditioning of Karras et al. 2022. */
export class EdmProcess implements ForwardProcess {
  readonly objective = "edm";
  /** Noise levels are no function of time. */
  readonly timeAxis: undefined = undefined;
  /** Standard deviation of the data. */
  readonly sigmaData: number;
  readonly sigmaMin: number;
  readonly sigmaMax: number;
  /** Mean of `ln(sigma)` in training. */
  readonly meanLogSigma: number;
  /** Standard deviation of `ln(sigma)` in training. */
  readonly stdLogSigma: number;
  readonly clip: number | false;

  /**
   * Creates the process.
   *
   * @throws {ConfigError} naming the parameter that is out of its range
   */
  constructor(options: EdmOptions = {}) {
    this.sigmaData = options.sigmaData ?? 0.5;
    this.sigmaMin = options.sigmaMin ?? 0.002;
    this.sigmaMax = options.sigmaMax ?? 80;
    this.meanLogSigma = options.meanLogSigma ?? -1.2;
    this.stdLogSigma = options.stdLogSigma ?? 1.2;
    this.clip = options.clip ?? 1;
    for (const name of ["sigmaData", "sigmaMin", "sigmaMax"] as const) {
      if (this[name] >= SMALLEST_SIGMA && this[name] <= LARGEST_SIGMA) continue;
      throw new ConfigError(name, this[name], `a number from ${SMALLEST_SIGMA} to ${LARGEST_SIGMA}`);
    }
    if (this.sigmaMax <= this.sigmaMin) {
      throw new ConfigError("sigmaMax", this.sigmaMax, `a number above sigmaMin (${this.sigmaMin})`);
    }
  }

  /**
   * The level of a time input.
   *
   * @param timestep `c_noise`, `ln(sigma) / 4`
   */
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

  /** Levels with normal `ln(sigma)` (Karras et al. 2022, table 1, "noise distribution"). */
  trainingLevels(): NoiseLevel[] {
    const { meanLogSigma, stdLogSigma } = this;
    return trainingQuantiles((share) =>
      this.levelOfSigma(Math.exp(meanLogSigma + stdLogSigma * normalQuantile(share)))
    );
  }
}
