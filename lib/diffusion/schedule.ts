/**
 * Noise schedule of the forward process (Ho et al. 2020, arXiv 2006.11239, section 2), as float64 tables:
 *
 * ```text
 * q(x_t | x_{t-1}) = N(sqrt(1 - beta_t) x_{t-1}, beta_t I)        equation 2
 * q(x_t | x_0)     = N(sqrt(acp_t) x_0, (1 - acp_t) I)            equation 4
 * ```
 *
 * `acp_t`, diffusers' `alphas_cumprod`, is the paper's alpha with a bar. Timesteps count from 0 here, as in all
 * implementations, and from 1 in the paper.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import {
  type ForwardProcess,
  type NoiseLevel,
  sigmaOf,
  type Target,
  type TimeAxis,
} from "./forward_process.ts";
import { posterior } from "./posterior.ts";
import { makeBetas, withZeroTerminalSnr } from "./betas.ts";
import { diffusersName, parseScheduleConfig, toDiffusersConfig } from "./diffusers_schedule.ts";
import {
  checkSchedule,
  defaultSchedule,
  type ScheduleConfig,
  type ScheduleObjective,
} from "./schedule_config.ts";

export { defaultSchedule, MAX_TIMESTEPS } from "./schedule_config.ts";
export type { BetaParameters, BetaSchedule } from "./betas.ts";
export type { ScheduleConfig, ScheduleObjective, TimestepSpacing, VarianceType } from "./schedule_config.ts";

/**
 * A noise schedule: tables indexed by timestep, 0 (least noise) to `numTrainTimesteps - 1`.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { NoiseSchedule } from "./schedule.ts";
 *
 * const schedule = new NoiseSchedule({ betaSchedule: "linear" });
 * assert.ok(schedule.alphasCumprod[999] < 1e-4); // almost nothing is left of the image
 * ```
 */
export class NoiseSchedule implements ForwardProcess {
  /** Configuration of the schedule, with every default filled in. */
  readonly config: ScheduleConfig;
  /** `beta_t`, the variance of the noise that step `t` of the forward process adds (equation 2). */
  readonly betas: Float64Array;
  /** `alpha_t = 1 - beta_t`. */
  readonly alphas: Float64Array;
  /** `acp_t = alpha_0 alpha_1 … alpha_t`, the fraction of the signal's variance left at timestep `t` (equation 4). */
  readonly alphasCumprod: Float64Array;
  /** Variance of `q(x_{t-1} | x_t, x_0)`, equation 7 of the paper; 0 at timestep 0. */
  readonly posteriorVariance: Float64Array;
  /** Weight of `x_0` in the mean of `q(x_{t-1} | x_t, x_0)`, equation 7. */
  readonly posteriorMeanX0: Float64Array;
  /** Weight of `x_t` in the mean of `q(x_{t-1} | x_t, x_0)`, equation 7. */
  readonly posteriorMeanXt: Float64Array;

  /**
   * Computes the tables.
   *
   * @param options fields that differ from the schedule of the paper ({@link defaultSchedule})
   * @throws {ConfigError} naming the field that is out of its range, or betas that leave nothing of the image or add no noise
   */
  constructor(options: Partial<ScheduleConfig> = {}) {
    this.config = Object.freeze({ ...defaultSchedule, ...options });
    checkSchedule(this.config);
    const count = this.config.numTrainTimesteps;
    const betas = makeBetas(this.config.betaSchedule, this.config);
    this.betas = this.config.zeroTerminalSnr ? withZeroTerminalSnr(betas) : betas;
    this.alphas = this.betas.map((beta) => 1 - beta);
    this.alphasCumprod = new Float64Array(count);
    this.posteriorVariance = new Float64Array(count);
    this.posteriorMeanX0 = new Float64Array(count);
    this.posteriorMeanXt = new Float64Array(count);
    let previous = 1;
    for (const [t, alpha] of this.alphas.entries()) {
      const cumprod = previous * alpha;
      const { variance, meanX0, meanXt } = posterior(cumprod, previous);
      this.alphasCumprod[t] = cumprod;
      this.posteriorVariance[t] = variance;
      this.posteriorMeanX0[t] = meanX0;
      this.posteriorMeanXt[t] = meanXt;
      previous = cumprod;
    }
    checkSignal(this.config, this.alphasCumprod);
  }

  get objective(): ScheduleObjective {
    return this.config.objective;
  }

  get timeAxis(): TimeAxis {
    const { numTrainTimesteps: count, stepsOffset: offset } = this.config;
    return { count, whole: true, offset };
  }

  get sigmaMin(): number {
    return sigmaOf(this.level(0));
  }

  get sigmaMax(): number {
    return sigmaOf(this.level(this.config.numTrainTimesteps - 1));
  }

  get clip(): number | false {
    return this.config.clipSample && this.config.clipSampleRange;
  }

  /**
   * The level of a timestep. Between two timesteps sigma is interpolated linearly, as in diffusers' `EulerDiscreteScheduler`.
   *
   * @param timestep 0 to `numTrainTimesteps - 1`
   * @throws {ConfigError} for a timestep outside the schedule
   */
  level(timestep: number): NoiseLevel {
    const below = Math.floor(timestep);
    const cumprod = this.alphasCumprod[below];
    if (cumprod === undefined || timestep > this.config.numTrainTimesteps - 1) {
      throw new ConfigError("timestep", timestep, `a number from 0 to ${this.config.numTrainTimesteps - 1}`);
    }
    const exact = { timestep, signal: Math.sqrt(cumprod), noise: Math.sqrt(1 - cumprod) };
    if (below === timestep) return exact;
    const fraction = timestep - below;
    return atSigma(timestep, (1 - fraction) * sigmaOf(exact) + fraction * sigmaOf(this.level(below + 1)));
  }

  /**
   * The level of a sigma; its timestep is interpolated linearly in the logarithm of sigma, as in diffusers' schedulers. With
   * zero terminal SNR, levels between the last two timesteps take the timestep of the former.
   */
  levelOfSigma(sigma: number): NoiseLevel {
    let [low, high] = [0, this.config.numTrainTimesteps - 1];
    if (sigma === Infinity) return this.level(high);
    while (high - low > 1) { // sigma rises with the timestep
      const middle = (low + high) >> 1;
      if (sigmaOf(this.level(middle)) <= sigma) low = middle;
      else high = middle;
    }
    const [below, above] = [sigmaOf(this.level(low)), sigmaOf(this.level(high))];
    const fraction = (Math.log(sigma) - Math.log(below)) / (Math.log(above) - Math.log(below));
    return atSigma(low + Math.min(Math.max(fraction, 0), 1), sigma);
  }

  target({ signal, noise }: NoiseLevel): Target {
    switch (this.config.objective) {
      case "epsilon": // equation 14
        return { fromX0: 0, fromNoise: 1 };
      case "x0":
        return { fromX0: 1, fromNoise: 0 };
      case "v": // v = signal eps - noise x_0 (Salimans and Ho 2022, arXiv 2202.00512, section 4)
        return { fromX0: -noise, fromNoise: signal };
    }
  }

  trainingLevels(): NoiseLevel[] {
    return Array.from(this.alphasCumprod, (_, t) => this.level(t));
  }

  /**
   * The schedule that a diffusers `scheduler_config.json` describes. Absent fields take diffusers' defaults, which are
   * not always the paper's (`variance_type` is `fixed_small` there).
   *
   * @param json the parsed file, of any scheduler whose forward process is given by betas
   * @param onNote told what the file says that is ignored: fields without a meaning here, another scheduler's sampler
   * @throws {ConfigError} naming the field that is unsupported or out of its range
   */
  static fromDiffusers(json: unknown, onNote?: (note: string) => void): NoiseSchedule {
    const config = parseScheduleConfig(json, onNote);
    try {
      return new NoiseSchedule(config);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      const field = diffusersName(error.field as keyof ScheduleConfig);
      throw new ConfigError(field, error.value, error.allowed);
    }
  }

  /** The content of a `scheduler_config.json` that diffusers' `DDPMScheduler` (and `DDIMScheduler`) loads. */
  toDiffusers(): Record<string, unknown> {
    return toDiffusersConfig(this.config);
  }
}

/** Smallest `sqrt(acp_t)`: estimates of `x_0` divide by it in float32. */
const LEAST_SIGNAL = 1e-30;

/**
 * Checks that every timestep adds noise and leaves some of the image, but for the last one with zero terminal SNR.
 *
 * @throws {ConfigError} naming what to change
 */
function checkSignal(config: ScheduleConfig, alphasCumprod: Float64Array): void {
  const field = config.betaSchedule === "custom" ? "betas" : "numTrainTimesteps";
  const fail = (allowed: string): never => {
    throw new ConfigError(field, config[field], allowed);
  };
  const last = alphasCumprod.length - 1;
  let previous = 1;
  for (const [t, cumprod] of alphasCumprod.entries()) {
    const pureNoise = config.zeroTerminalSnr && t === last && cumprod === 0;
    if (Math.sqrt(cumprod) < LEAST_SIGNAL && !pureNoise) {
      fail(
        `fewer timesteps or smaller betas: less than ${LEAST_SIGNAL} of the signal is left at timestep ${t}`,
      );
    }
    if (!(cumprod < previous)) fail(`betas that add noise at every timestep: timestep ${t} has none`);
    previous = cumprod;
  }
}

/** The level of a sigma in a process that preserves the variance, `signal^2 + noise^2 = 1`. */
function atSigma(timestep: number, sigma: number): NoiseLevel {
  const signal = 1 / Math.hypot(1, sigma);
  return { timestep, signal, noise: sigma === Infinity ? 1 : sigma * signal };
}
