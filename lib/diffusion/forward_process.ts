/**
 * Forward process: how an image is lost in noise, and which combination of the two the network learns. All that samplers and
 * training know of a schedule or of an objective goes through this interface, so each sampler is written once.
 *
 * ```text
 * x      = signal x_0 + noise eps                    Ho et al. 2020, equation 4; Kingma et al. 2021, equation 1
 * target = fromX0 x_0 + fromNoise eps                both linear, so the network's output and x give x_0 and eps
 * ```
 *
 * `x` is always the network's input, so a process that scales its input (EDM's `c_in`) has that scale in `signal` and `noise`.
 *
 * @module
 */

/**
 * Training objective: the noise, `v` (Salimans and Ho 2022) or the image, on a schedule of betas; rectified flow (Liu et al.
 * 2023); or EDM (Karras et al. 2022).
 */
export type Objective = "epsilon" | "v" | "x0" | "flow" | "edm";

/** Noise level of a forward process. */
export interface NoiseLevel {
  /** Time input of the network; need not be whole. */
  readonly timestep: number;
  /** Weight of `x_0` in `x`, 0 or above. */
  readonly signal: number;
  /** Weight of the noise in `x`, 0 or above; not 0 where `signal` is. */
  readonly noise: number;
}

/** Training target of the network as a combination of image and noise. */
export interface Target {
  /** Weight of `x_0`. */
  readonly fromX0: number;
  /** Weight of the noise. */
  readonly fromNoise: number;
}

/** Estimates of `x_0` and of the noise as linear combinations of `x` and the network's output. */
export interface Estimates {
  /** Weight of `x` in the estimate of `x_0`. */
  readonly x0FromX: number;
  /** Weight of the network's output in the estimate of `x_0`. */
  readonly x0FromOut: number;
  /** Weight of `x` in the estimate of the noise. */
  readonly epsFromX: number;
  /** Weight of the network's output in the estimate of the noise. */
  readonly epsFromOut: number;
}

/** Times of a process that spacings divide into equal parts. */
export interface TimeAxis {
  /** Number of timesteps `T`; in continuous time, the last time input. */
  readonly count: number;
  /** True for timesteps 0 to `count - 1`; false for continuous time from 0, the image, to `count`. */
  readonly whole: boolean;
  /** Added to every timestep of the spacing `leading`. */
  readonly offset: number;
}

/** A forward process with the network's objective. */
export interface ForwardProcess {
  /** Training objective of the network. */
  readonly objective: Objective;
  /** Times of the process; undefined where noise levels are no function of time (EDM). */
  readonly timeAxis?: TimeAxis;
  /** Smallest ratio of noise to signal that the network was trained with, above 0. */
  readonly sigmaMin: number;
  /** Largest ratio of noise to signal; infinite where the last level has no signal left. */
  readonly sigmaMax: number;
  /** Bound on the magnitude of estimates of `x_0` when sampling; false for none. */
  readonly clip: number | false;
  /** Level at which the network's time input is `timestep`. */
  level(timestep: number): NoiseLevel;
  /** Level with a ratio of noise to signal, from `sigmaMin` to `sigmaMax`. */
  levelOfSigma(sigma: number): NoiseLevel;
  /** Training target of the network at a level. */
  target(level: NoiseLevel): Target;
  /** Levels of training, equally likely, least noise first; {@linkcode TRAINING_LEVELS} where levels are continuous. */
  trainingLevels(): readonly NoiseLevel[];
}

/**
 * Number of levels that stand for a continuous distribution of levels in training: the middles of as many equally likely
 * parts. Their table is 1.5 MiB on the device, and the outermost normal quantiles are 4.3 standard deviations from the mean.
 */
export const TRAINING_LEVELS = 2 ** 16;

/**
 * Levels for {@linkcode ForwardProcess.trainingLevels}, from the quantiles of a continuous distribution.
 *
 * @param quantile the level below which a share of the distribution lies, above 0 and below 1
 */
export function trainingQuantiles(quantile: (share: number) => NoiseLevel): NoiseLevel[] {
  return Array.from({ length: TRAINING_LEVELS }, (_, i) => quantile((i + 0.5) / TRAINING_LEVELS));
}

/** The finished image, where every sampler ends; the network never sees it. */
export const CLEAN: NoiseLevel = Object.freeze({ timestep: -1, signal: 1, noise: 0 });

/** Ratio of noise to signal of a level, Karras et al. 2022's `sigma` (arXiv 2206.00364, table 1). */
export function sigmaOf({ signal, noise }: NoiseLevel): number {
  return noise / signal;
}

/** Half the logarithm of the signal-to-noise ratio, `lambda` of DPM-Solver (Lu et al. 2022, arXiv 2206.00927). */
export function halfLogSnr({ signal, noise }: NoiseLevel): number {
  return Math.log(signal) - Math.log(noise);
}

/**
 * Estimates of `x_0` and `eps` at a level: solves `x = signal x_0 + noise eps` and `out = fromX0 x_0 + fromNoise eps` for both.
 * For a network that predicts the noise, the estimate of `x_0` is equation 15 of Ho et al. 2020.
 *
 * @param process the network's forward process
 * @param level a level of it at which `x` and target are not multiples of each other
 */
export function estimates(process: ForwardProcess, level: NoiseLevel): Estimates {
  const { signal, noise } = level;
  const { fromX0, fromNoise } = process.target(level);
  const determinant = signal * fromNoise - noise * fromX0;
  return {
    x0FromX: fromNoise / determinant,
    x0FromOut: -noise / determinant,
    epsFromX: -fromX0 / determinant,
    epsFromOut: signal / determinant,
  };
}
