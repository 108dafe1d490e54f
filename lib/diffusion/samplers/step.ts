/**
 * Parts that samplers share: the linear update of one step, the estimate of `x_0`, and timestep spacings.
 *
 * @module
 */

import { ConfigError, ShapeError } from "../../errors.ts";
import type { NoiseSchedule } from "../schedule.ts";

/**
 * One step of a sampler, from `x_t` to a less noisy `x`, given the network's output for `x_t`:
 *
 * ```text
 * x_0  = clamp(x0FromX x + x0FromOut out, -clip, clip)                            Ho et al. 2020, equation 15
 * next = nextFromX0 x_0 + nextFromX x + nextFromOut out + sigma z                 Algorithm 2, line 4
 * ```
 *
 * with `z` standard normal. Given `x`, noise, image and `v` are linear in one another, so the prediction type is folded into
 * the coefficients, and one kernel (`kernels/sampler_step.wgsl`) runs every sampler.
 */
export interface SamplerStep {
  /** Timestep passed to the network. */
  readonly timestep: number;
  /** Timestep whose noise level this step ends at; -1 is a clean image. */
  readonly previousTimestep: number;
  /** Weight of `x_t` in the estimate of `x_0`. */
  readonly x0FromX: number;
  /** Weight of the network's output in the estimate of `x_0`. */
  readonly x0FromOut: number;
  /** Bound on the magnitude of the estimate of `x_0`; {@linkcode noClip} without clipping. */
  readonly clip: number;
  /** Weight of the clipped `x_0` in the result. */
  readonly nextFromX0: number;
  /** Weight of `x_t` in the result. */
  readonly nextFromX: number;
  /** Weight of the network's output in the result. */
  readonly nextFromOut: number;
  /** Standard deviation of the added noise; 0 in a deterministic step. */
  readonly sigma: number;
}

/** Options of a sampler. */
export interface SamplerOptions {
  /** Number of network evaluations, 1 to the schedule's `numTrainTimesteps`. */
  readonly steps: number;
  /** DDIM only: 0 (default) is deterministic, 1 adds as much noise as DDPM. */
  readonly eta?: number;
  /** Bound on the estimate of `x_0`, or false for none; default as the schedule's configuration says. */
  readonly clip?: number | false;
}

/** Clip bound without clipping: the largest float32, so that kernels need no special case. */
export const noClip: number = 3.4028234663852886e38;

/**
 * Timesteps that a sampler visits (Ho et al. 2020, Algorithm 2, lines 2 and 5), most noise first, spaced as in diffusers' schedulers (Lin et al. 2024, table 2).
 *
 * @param schedule spacing, offset and `numTrainTimesteps`
 * @param steps number of timesteps, 1 to `numTrainTimesteps`
 * @throws {ConfigError} as {@linkcode checkSteps}
 */
export function timesteps(schedule: NoiseSchedule, steps: number): number[] {
  checkSteps(schedule, steps);
  return Array.from({ length: steps }, (_, i) => timestepAt(schedule, steps, steps - 1 - i));
}

/** Timestep `i` of `steps`, counted from the least noise. */
function timestepAt({ config }: NoiseSchedule, steps: number, i: number): number {
  const { numTrainTimesteps: total, timestepSpacing, stepsOffset } = config;
  switch (timestepSpacing) {
    case "leading":
      return i * Math.floor(total / steps) + stepsOffset;
    case "trailing":
      // NumPy's arange multiplies this rounded difference, which decides ties as diffusers does.
      return roundHalfToEven(total + (steps - 1 - i) * (total - total / steps - total)) - 1;
    case "linspace":
      return steps === 1 ? 0 : roundHalfToEven(i * ((total - 1) / (steps - 1)));
  }
}

/** True if the offset leaves the first timestep visited within the schedule; diffusers reads past the tables' end. */
function stepsFit(schedule: NoiseSchedule, steps: number): boolean {
  return timestepAt(schedule, steps, steps - 1) < schedule.config.numTrainTimesteps;
}

/**
 * Largest number of steps that a schedule allows.
 *
 * @param limit upper bound, 1 or more; default `numTrainTimesteps`
 */
export function mostSteps(schedule: NoiseSchedule, limit: number = Infinity): number {
  let steps = Math.min(limit, schedule.config.numTrainTimesteps);
  while (!stepsFit(schedule, steps)) steps--; // 1 always fits: the offset itself is a timestep
  return steps;
}

/**
 * Checks a number of steps.
 *
 * @throws {ConfigError} naming the largest number, or where `steps_offset` rules out just this one, its neighbours
 */
export function checkSteps(schedule: NoiseSchedule, steps: number): void {
  const most = mostSteps(schedule);
  const { numTrainTimesteps, stepsOffset } = schedule.config;
  if (!Number.isSafeInteger(steps) || steps < 1 || steps > most) {
    const why = most < numTrainTimesteps ? `, since the model's steps_offset is ${stepsOffset}` : "";
    throw new ConfigError("steps", steps, `a whole number from 1 to ${most}${why}`);
  }
  if (stepsFit(schedule, steps)) return;
  let above = steps + 1;
  while (!stepsFit(schedule, above)) above++;
  const nearest = `${mostSteps(schedule, steps)} or ${above}`;
  throw new ConfigError("steps", steps, `${nearest}, the nearest that the model's steps_offset allows`);
}

/**
 * Clip bound of a step: `clip` where given, else the schedule's.
 *
 * @throws {ConfigError} if `clip` is neither false nor a number above 0
 */
export function clipBound(schedule: NoiseSchedule, clip: number | false | undefined): number {
  const { clipSample, clipSampleRange } = schedule.config;
  const bound = clip ?? (clipSample ? clipSampleRange : false);
  if (bound === false) return noClip;
  if (!Number.isFinite(bound) || bound <= 0) {
    throw new ConfigError("clip", bound, "false or a number above 0");
  }
  return bound;
}

/**
 * Applies one step of a sampler on the CPU, in float64, rounded to the type of `into`. On the device
 * `kernels/sampler_step.wgsl` does the same.
 *
 * @param step coefficients of the step
 * @param x noisy images `x_t`, any layout
 * @param out the network's output for `x`, same length
 * @param noise standard normal numbers, same length; unused (and may be omitted) where `step.sigma` is 0
 * @param into receives the result, may be `x` itself; default a new array
 * @returns `into`
 * @throws {ShapeError} if the lengths differ or noise is missing
 */
export function applyStep(
  step: SamplerStep,
  x: Float32Array | Float64Array,
  out: Float32Array | Float64Array,
  noise?: Float32Array | Float64Array,
  into: Float32Array | Float64Array = x.slice(),
): Float32Array | Float64Array {
  const noisy = step.sigma !== 0;
  const lengths = [out.length, into.length, ...(noisy ? [noise?.length ?? 0] : [])];
  if (lengths.some((length) => length !== x.length)) {
    throw new ShapeError(
      `applyStep: x has ${x.length} numbers, out, into and noise have ${lengths.join(", ")}`,
    );
  }
  for (let i = 0; i < x.length; i++) {
    // 1. Estimate of x_0 (equation 15), clipped
    const xt = x[i]!;
    const output = out[i]!;
    const estimate = step.x0FromX * xt + step.x0FromOut * output;
    const x0 = Math.min(Math.max(estimate, -step.clip), step.clip);
    // 2. Mean of x_s given x_t and x_0 (equation 7 in DDPM, equation 12 of Song et al. 2021 in DDIM)
    const mean = step.nextFromX0 * x0 + step.nextFromX * xt + step.nextFromOut * output;
    // 3. Noise
    into[i] = noisy ? mean + step.sigma * noise![i]! : mean;
  }
  return into;
}

/** Rounds ties to even, like NumPy, with which diffusers computes its spacings. */
function roundHalfToEven(value: number): number {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}
