/**
 * What every sampler is made of: one linear update per step, so that a single kernel runs any of them, and the timesteps
 * at which the network is asked.
 *
 * @module
 */

import { ConfigError, ShapeError } from "../../errors.ts";
import type { NoiseSchedule } from "../schedule.ts";

/**
 * One step of a sampler, from `x_t` to a less noisy `x`, given the network's output for `x_t`:
 *
 * ```text
 * x_0  = clamp(x0FromX x + x0FromOut out, -clip, clip)
 * next = nextFromX0 x_0 + nextFromX x + nextFromOut out + sigma z,   z standard normal
 * ```
 *
 * The network's output may be the noise, the image or `v`: each is a linear combination of the other two given `x`, so
 * the prediction type is folded into the coefficients and a kernel need not know it.
 */
export interface SamplerStep {
  /** The timestep that the network is told. */
  readonly timestep: number;
  /** The timestep whose noise level this step lands on; -1 is a clean image. */
  readonly previousTimestep: number;
  /** Weight of `x_t` in the estimate of `x_0`. */
  readonly x0FromX: number;
  /** Weight of the network's output in the estimate of `x_0`. */
  readonly x0FromOut: number;
  /** Bound on the magnitude of the estimate of `x_0`; without clipping the largest float32, so no case is special. */
  readonly clip: number;
  /** Weight of the clipped `x_0` in the result. */
  readonly nextFromX0: number;
  /** Weight of `x_t` in the result. */
  readonly nextFromX: number;
  /** Weight of the network's output in the result. */
  readonly nextFromOut: number;
  /** Standard deviation of the noise added; 0 where the step adds none. */
  readonly sigma: number;
}

/** What a sampler can be asked. */
export interface SamplerOptions {
  /** Number of network evaluations, 1 to the schedule's `numTrainTimesteps`. */
  readonly steps: number;
  /** DDIM only: 0 (default) is deterministic, 1 adds as much noise as DDPM. */
  readonly eta?: number;
  /** Bound on the estimate of `x_0`, or false for none; default as the schedule's configuration says. */
  readonly clip?: number | false;
}

/** The estimates of `x_0` and of the noise as linear combinations of `x_t` and the network's output. */
export interface Estimates {
  /** Weight of `x_t` in the estimate of `x_0`. */
  readonly x0FromX: number;
  /** Weight of the network's output in the estimate of `x_0`. */
  readonly x0FromOut: number;
  /** Weight of `x_t` in the estimate of the noise. */
  readonly epsFromX: number;
  /** Weight of the network's output in the estimate of the noise. */
  readonly epsFromOut: number;
}

/** A clip bound that never binds and that float32 holds. */
export const noClip: number = 3.4028234663852886e38;

/**
 * Solves `x_t = s x_0 + n eps` (with `v = s eps - n x_0`) for `x_0` and `eps`, given the prediction type.
 *
 * @param schedule says the prediction type and `acp`
 * @param timestep 0 to `numTrainTimesteps - 1`
 */
export function estimates(schedule: NoiseSchedule, timestep: number): Estimates {
  const cumprod = schedule.alphasCumprod[timestep];
  const signal = Math.sqrt(cumprod);
  const noise = Math.sqrt(1 - cumprod);
  switch (schedule.config.predictionType) {
    case "epsilon":
      return { x0FromX: 1 / signal, x0FromOut: -noise / signal, epsFromX: 0, epsFromOut: 1 };
    case "sample":
      return { x0FromX: 0, x0FromOut: 1, epsFromX: 1 / noise, epsFromOut: -signal / noise };
    case "v_prediction":
      return { x0FromX: signal, x0FromOut: -noise, epsFromX: noise, epsFromOut: signal };
  }
}

/**
 * The timesteps that a sampler visits, most noise first, as diffusers' schedulers space them (Lin et al. 2024, table 2).
 *
 * @param schedule says the spacing, the offset and `numTrainTimesteps`
 * @param steps how many, 1 to `numTrainTimesteps`
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

/** Whether the offset leaves the first timestep visited within the schedule; diffusers reads past the tables' end. */
function stepsFit(schedule: NoiseSchedule, steps: number): boolean {
  return timestepAt(schedule, steps, steps - 1) < schedule.config.numTrainTimesteps;
}

/**
 * The largest number of steps that a schedule allows.
 *
 * @param limit at most so many, 1 or more; default `numTrainTimesteps`
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
 * The clip bound of a plan.
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
 * One step of a sampler on the CPU: the reference of the kernel that does the same on the device, in the arithmetic of
 * float64, rounded to `into`'s type.
 *
 * @param step the step's coefficients
 * @param x the noisy images `x_t`, any layout
 * @param out the network's output for them, same length
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
    const estimate = step.x0FromX * x[i] + step.x0FromOut * out[i];
    const x0 = Math.min(Math.max(estimate, -step.clip), step.clip);
    const mean = step.nextFromX0 * x0 + step.nextFromX * x[i] + step.nextFromOut * out[i];
    into[i] = noisy ? mean + step.sigma * noise![i] : mean;
  }
  return into;
}

/** Rounds as NumPy does, which diffusers' spacings go through: ties to the even neighbour. */
function roundHalfToEven(value: number): number {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}
