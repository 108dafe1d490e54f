/**
 * The linear update that every sampler's step is, and options that samplers share.
 *
 * @module
 */

import { ConfigError, ShapeError } from "../../errors.ts";
import { estimates, type ForwardProcess, type NoiseLevel } from "../forward_process.ts";
import type { VarianceType } from "../schedule.ts";
import { spacedLevels, type SpacingConvention, type SpacingName } from "../spacing.ts";

/**
 * One evaluation of the network in a sampler's plan, from `x` at one noise level to `x` at the next:
 *
 * ```text
 * x_0  = clamp(x0FromX x + x0FromOut out, -clip, clip)                            Ho et al. 2020, equation 15
 * next = nextFromX0 x_0 + nextFromX x + nextFromOut out + nextFromH1 h1 + nextFromH2 h2 + sigma z
 * h2   = h1,  h1 = x_0                                                            the history of estimates
 * ```
 *
 * with `z` standard normal; DDPM's is Algorithm 2, line 4. Given `x`, noise, image and `v` are linear in one another, so the
 * objective is folded into the coefficients. Solvers of higher order use earlier estimates of `x_0`, and those that evaluate
 * the network twice a step make two of these, the second of which goes back to the earlier `x`, a linear function of the
 * present `x` and `h1`. So one kernel (`kernels/sampler_step.wgsl`) runs every sampler.
 */
export interface SamplerStep {
  /** Time input of the network. */
  readonly timestep: number;
  /** Level at which the network is evaluated, in units of its input. */
  readonly level: NoiseLevel;
  /** Level that this step ends at, in units of the network's input; the finished image has signal 1. */
  readonly next: NoiseLevel;
  /** Standard deviation of the noise that `x` is set to before the step; 0 in all steps but the first, which keep `x`. */
  readonly initialNoise: number;
  /** Weight of `x` in the estimate of `x_0`. */
  readonly x0FromX: number;
  /** Weight of the network's output in the estimate of `x_0`. */
  readonly x0FromOut: number;
  /** Bound on the magnitude of the estimate of `x_0`; {@linkcode noClip} without clipping. */
  readonly clip: number;
  /** Weight of the clipped `x_0` in the result. */
  readonly nextFromX0: number;
  /** Weight of `x` in the result. */
  readonly nextFromX: number;
  /** Weight of the network's output in the result. */
  readonly nextFromOut: number;
  /** Weight in the result of the estimate of `x_0` of the step before; 0 where there is none. */
  readonly nextFromH1: number;
  /** Weight in the result of the estimate of `x_0` two steps before; 0 where there is none. */
  readonly nextFromH2: number;
  /** Standard deviation of the added noise, with a learned variance its lower bound; 0 in a deterministic step. */
  readonly sigma: number;
  /**
   * Logarithm of the ratio of the upper to the lower bound of a learned standard deviation, which the network's second half
   * of output channels interpolates, `-1` at the lower bound (Nichol and Dhariwal 2021, arXiv 2102.09672, equation 15);
   * 0 for a fixed variance.
   */
  readonly logSigmaRange: number;
}

/** Variances of a DDPM step. */
export const variances: readonly VarianceType[] = ["fixed_small", "fixed_large", "learned_range"];

/** Settings of a sampler beside the number of steps; plain data. */
export interface SamplerSettings {
  /** Spacing of the noise levels; default that of the sampler and the process. */
  readonly spacing?: SpacingName;
  /** DDIM only: 0 (default) is deterministic, 1 adds as much noise as DDPM. */
  readonly eta?: number;
  /** DDPM only: variance of the added noise; default as the model's configuration says. */
  readonly variance?: VarianceType;
  /** EDM only: amount of noise that Algorithm 2 adds back, over all steps (`S_churn`), at least 0; default 0. */
  readonly churn?: number;
  /** EDM only: smallest and largest sigma at which noise is added back (`S_tmin`, `S_tmax`); default all. */
  readonly churnRange?: readonly [number, number];
  /** EDM only: standard deviation of that noise (`S_noise`), 0 to 100; default 1. */
  readonly churnNoise?: number;
}

/** Options of a sampler's plan. */
export interface SamplerOptions extends SamplerSettings {
  /** Number of steps as diffusers' `set_timesteps` counts them; `heun` and `edm` evaluate the network `2 steps - 1` times. */
  readonly steps: number;
  /** Bound on the estimate of `x_0`, or false for none; default as the process says. */
  readonly clip?: number | false;
  /**
   * Levels left out at the noisy end, 0 (default) to `steps - 1`, for images that do not start from noise; `begin` of
   * `set_begin_index` in diffusers. Solvers with a history have none before it.
   */
  readonly begin?: number;
}

/** A validated request of a plan: {@linkcode SamplerOptions} with the spacing chosen. */
export type PlannerOptions = SamplerOptions & { readonly spacing: SpacingName };

/** Clip bound without clipping: the largest float32, so that kernels need no special case. */
export const noClip: number = 3.4028234663852886e38;

/**
 * Clip bound of a step: `clip` where given, else the process's.
 *
 * @throws {ConfigError} if `clip` is neither false nor a number above 0
 */
function clipBound(process: ForwardProcess, clip: number | false = process.clip): number {
  if (clip === false) return noClip;
  if (!Number.isFinite(clip) || clip <= 0) {
    throw new ConfigError("clip", clip, "false or a number above 0");
  }
  return clip;
}

/**
 * Levels that a plan visits, most noise first.
 *
 * @throws {ConfigError} naming the option that is out of its range
 */
export function visitedLevels(
  process: ForwardProcess,
  { steps, spacing, begin = 0 }: PlannerOptions,
  convention: SpacingConvention,
): NoiseLevel[] {
  const levels = spacedLevels(process, spacing, steps, convention);
  if (!(Number.isInteger(begin) && begin >= 0 && begin < steps)) {
    throw new ConfigError("begin", begin, `a whole number from 0 to ${steps - 1}`);
  }
  return levels.slice(begin);
}

/** How a step ends: the weights of its result, and the level they lead to. */
export type StepResult =
  & Pick<SamplerStep, "next" | "nextFromX0" | "nextFromX">
  & Partial<Pick<SamplerStep, "nextFromOut" | "nextFromH1" | "nextFromH2" | "sigma" | "logSigmaRange">>;

/**
 * A step that evaluates the network at `level`: the estimate of `x_0` there and its clipping, common to all samplers.
 *
 * @param initialNoise for the first step of a plan
 * @throws {ConfigError} for a clip bound out of range
 */
export function evaluation(
  process: ForwardProcess,
  level: NoiseLevel,
  clip: SamplerOptions["clip"],
  initialNoise: number,
  result: StepResult,
): SamplerStep {
  const { x0FromX, x0FromOut } = estimates(process, level);
  return {
    timestep: level.timestep,
    level,
    initialNoise,
    x0FromX,
    x0FromOut,
    clip: clipBound(process, clip),
    nextFromOut: 0,
    nextFromH1: 0,
    nextFromH2: 0,
    sigma: 0,
    logSigmaRange: 0,
    ...result,
  };
}

/**
 * A step of a solver of the probability flow, except those of `heun` and the second half of those of `edm`. Its result starts not from `x` but from
 *
 * ```text
 * x' = signal x_0 + noise eps
 * ```
 *
 * with the clipped `x_0` and the unclipped `eps`, which is how DDIM clips (Song et al. 2021, equation 12; diffusers' `DDIMScheduler`).
 * Where nothing is clipped, `x'` is `x`. Where a network's estimates leave the range of images, a solver that keeps `x`
 * follows them to images that are burnt out, while `x'` returns to the range.
 *
 * @param initialNoise for the first step of a plan
 * @throws {ConfigError} for a clip bound out of range
 */
export function flowEvaluation(
  process: ForwardProcess,
  level: NoiseLevel,
  clip: SamplerOptions["clip"],
  initialNoise: number,
  result: StepResult,
): SamplerStep {
  const step = evaluation(process, level, clip, initialNoise, result);
  if (step.clip === noClip) return step;
  const { epsFromX, epsFromOut } = estimates(process, level);
  const { nextFromX0, nextFromX, nextFromOut } = step;
  return {
    ...step,
    nextFromX0: nextFromX0 + nextFromX * level.signal,
    nextFromX: nextFromX * level.noise * epsFromX,
    nextFromOut: nextFromOut + nextFromX * level.noise * epsFromOut,
  };
}

/** Standard deviation of `x` at a level if the image has standard deviation 1. */
export function deviation({ signal, noise }: NoiseLevel): number {
  return Math.hypot(signal, noise);
}

/** An image on its way: `x`, and the latest estimates of `x_0`. */
export interface SamplerState {
  /** Noisy image, any layout. */
  readonly x: Float64Array;
  /** Estimate of `x_0` of the last step; any numbers before the first. */
  readonly h1: Float64Array;
  /** Estimate of `x_0` of the last step but one. */
  readonly h2: Float64Array;
}

/** The state before the first step. */
export function startState(x: Float64Array): SamplerState {
  return { x, h1: new Float64Array(x.length), h2: new Float64Array(x.length) };
}

/**
 * Applies one step of a sampler on the CPU, in float64. On the device `kernels/sampler_step.wgsl` does the same.
 *
 * @param step coefficients of the step
 * @param state the image and the estimates so far
 * @param out the network's output for `state.x`, same length
 * @param noise standard normal numbers, same length; may be omitted where `step.sigma` is 0
 * @param variance the network's second half of output channels, same length; for steps of a learned variance
 * @returns the image after the step, with its history
 * @throws {ShapeError} if the lengths differ, or noise or variance is missing
 */
export function applyStep(
  step: SamplerStep,
  state: SamplerState,
  out: ArrayLike<number>,
  noise?: ArrayLike<number>,
  variance?: ArrayLike<number>,
): SamplerState {
  const { x, h1, h2 } = state;
  const noisy = step.sigma !== 0;
  const learned = noisy && step.logSigmaRange !== 0;
  const lengths = { out, h1, h2, ...(noisy ? { noise } : {}), ...(learned ? { variance } : {}) };
  for (const [name, array] of Object.entries(lengths)) {
    if (array?.length !== x.length) {
      throw new ShapeError(`applyStep: x has ${x.length} numbers, ${name} has ${array?.length ?? "none"}`);
    }
  }
  const x0 = x.map((value, i) => {
    const estimate = step.x0FromX * value + step.x0FromOut * out[i]!;
    return Math.min(Math.max(estimate, -step.clip), step.clip);
  });
  const next = x.map((value, i) => {
    const mean = step.nextFromX0 * x0[i]! + step.nextFromX * value + step.nextFromOut * out[i]! +
      step.nextFromH1 * h1[i]! + step.nextFromH2 * h2[i]!;
    if (!noisy) return mean;
    const range = learned ? step.logSigmaRange * (variance![i]! + 1) / 2 : 0;
    return mean + step.sigma * Math.exp(range) * noise![i]!;
  });
  return { x: next, h1: x0, h2: h1 };
}
