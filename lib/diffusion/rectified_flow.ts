/**
 * Rectified flow (Liu et al. 2023, arXiv 2209.03003; Lipman et al. 2023, arXiv 2210.02747): image and noise are joined by a
 * straight line, and the network learns its direction.
 *
 * ```text
 * x_t    = (1 - t) x_0 + t eps,  t in [0, 1]         Liu et al. 2023, equation 1, with time from image to noise
 * target = dx_t / dt = eps - x_0                     ibid.
 * ```
 *
 * @module
 */
import { ConfigError } from "../errors.ts";
import {
  type ForwardProcess,
  type NoiseLevel,
  type Target,
  type TimeAxis,
  trainingQuantiles,
} from "./forward_process.ts";
import { normalQuantile } from "./normal.ts";

/** Network's time input at `t = 1`, as in diffusers' `FlowMatchEulerDiscreteScheduler`. */
export const FLOW_TIMESTEPS = 1000;

/**
 * Distribution of `t` in training: uniform (Liu et al. 2023), or the logistic function of a standard normal number, which
 * favours the middle (Esser et al. 2024, arXiv 2403.03206, equation 19, with mean 0 and scale 1).
 */
export type FlowTimes = "uniform" | "logit-normal";

/** Quantiles of each distribution. */
const QUANTILES: Readonly<Record<FlowTimes, (share: number) => number>> = {
  uniform: (share) => share,
  "logit-normal": (share) => 1 / (1 + Math.exp(-normalQuantile(share))),
};

/** Names of the distributions. */
export const FLOW_TIMES: readonly FlowTimes[] = Object.keys(QUANTILES) as FlowTimes[];

/** Options of {@linkcode RectifiedFlow}. */
export interface FlowOptions {
  /** Distribution of `t` in training; default uniform. */
  readonly times?: FlowTimes;
  /** Bound on estimates of `x_0` when sampling; default 1, the range of the data. */
  readonly clip?: number | false;
}

/** The straight line from image to noise. */
export class RectifiedFlow implements ForwardProcess {
  readonly objective = "flow";
  readonly timeAxis: TimeAxis = { count: FLOW_TIMESTEPS, whole: false, offset: 0 };
  /** At `t = 1 / 1000`. */
  readonly sigmaMin: number = 1 / (FLOW_TIMESTEPS - 1);
  /** At `t = 1` no signal is left. */
  readonly sigmaMax: number = Infinity;
  readonly clip: number | false;
  /** Distribution of `t` in training. */
  readonly times: FlowTimes;

  /**
   * Creates the process.
   *
   * @throws {ConfigError} for an unknown distribution
   */
  constructor({ times = "uniform", clip = 1 }: FlowOptions = {}) {
    if (!Object.hasOwn(QUANTILES, times)) throw new ConfigError("times", times, FLOW_TIMES.join(" or "));
    this.times = times;
    this.clip = clip;
  }

  level(timestep: number): NoiseLevel {
    return levelAt(timestep / FLOW_TIMESTEPS);
  }

  levelOfSigma(sigma: number): NoiseLevel {
    return levelAt(sigma === Infinity ? 1 : sigma / (1 + sigma)); // from sigma = t / (1 - t)
  }

  target(): Target {
    return { fromX0: -1, fromNoise: 1 };
  }

  trainingLevels(): NoiseLevel[] {
    return trainingQuantiles((share) => levelAt(QUANTILES[this.times](share)));
  }
}

function levelAt(t: number): NoiseLevel {
  return { timestep: FLOW_TIMESTEPS * t, signal: 1 - t, noise: t };
}
