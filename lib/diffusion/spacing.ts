/**
 * Spacings: the noise levels that a sampler visits when it takes fewer steps than the network was trained with.
 *
 * Spacings of timesteps divide the process's time, those of sigma its ratio of noise to signal:
 *
 * | spacing       | levels, from noise to image                                                                           |
 * | ------------- | ----------------------------------------------------------------------------------------------------- |
 * | `leading`     | timesteps at equal distances, from 0 up (Lin et al. 2024, arXiv 2305.08891, table 2)                   |
 * | `trailing`    | timesteps at equal distances, from the last one down (Lin et al. 2024)                                        |
 * | `linspace`    | timesteps at equal distances, with the first and the last one (Lin et al. 2024)                               |
 * | `quadratic`   | timesteps proportional to squares (Song et al. 2021, arXiv 2010.02502, appendix D.2)                   |
 * | `karras`      | `sigma^(1/7)` at equal distances (Karras et al. 2022, arXiv 2206.00364, equation 5)                    |
 * | `exponential` | `log(sigma)` at equal distances                                                                        |
 * | `log-snr`     | the log-SNR at equal distances (Lu et al. 2022, arXiv 2206.00927)                                      |
 *
 * `exponential` and `log-snr` differ where the last level has no signal: rectified flow is spaced in `t` by the former (and
 * by `karras`), as in diffusers' flow-matching schedulers, and cut off at a finite SNR by the latter.
 *
 * @module
 */
import { ConfigError } from "../errors.ts";
import { withSuggestion } from "../suggest.ts";
import type { ForwardProcess, NoiseLevel, TimeAxis } from "./forward_process.ts";

/** Spacing of timesteps. */
export type TimeSpacing = "leading" | "trailing" | "linspace" | "quadratic";
/** Spacing of the ratio of noise to signal. */
export type SigmaSpacing = "karras" | "exponential" | "log-snr";
/** Name of a spacing. */
export type SpacingName = TimeSpacing | SigmaSpacing;

/** Differences between the samplers in how they space levels; each follows its scheduler in diffusers. */
export interface SpacingConvention {
  /** `linspace` and `leading` divide the time into this many parts more than there are steps, and leave out the last level. */
  readonly extraParts: 0 | 1;
  /** The network's time input is whole for every spacing, where the process has whole timesteps. */
  readonly wholeTimesteps: boolean;
}

/** Exponent of the spacing `karras` (Karras et al. 2022, section 3, "rho"). */
const RHO = 7;

/** Fractions 0 to 1 from noise to image, for an axis of sigma; `toAxis` and `fromAxis` map a value to where it is linear. */
interface SigmaAxis {
  readonly toAxis: (value: number) => number;
  readonly fromAxis: (position: number) => number;
  /** Rounding of the network's time input if it must be whole, as in diffusers' multistep solvers. */
  readonly wholeTimestep: (timestep: number) => number;
  /** The levels are spaced in `t = sigma / (1 + sigma)` if the largest sigma is infinite, else cut off at `largestFiniteSigma`. */
  readonly inTime: boolean;
}

const logarithmic = { toAxis: Math.log, fromAxis: Math.exp };

const sigmaAxes: Readonly<Record<SigmaSpacing, SigmaAxis>> = {
  karras: {
    toAxis: (value) => value ** (1 / RHO),
    fromAxis: (position) => position ** RHO,
    wholeTimestep: roundHalfToEven,
    inTime: true,
  },
  exponential: { ...logarithmic, wholeTimestep: Math.floor, inTime: true },
  "log-snr": { ...logarithmic, wholeTimestep: roundHalfToEven, inTime: false },
};

const timeSpacings: readonly TimeSpacing[] = ["leading", "trailing", "linspace", "quadratic"];

/** Names that {@linkcode spacedLevels} accepts. */
export const spacingNames: readonly SpacingName[] = [
  ...timeSpacings,
  ...Object.keys(sigmaAxes) as SigmaSpacing[],
];

/** True for a spacing of timesteps. */
export function isTimeSpacing(spacing: SpacingName): spacing is TimeSpacing {
  return (timeSpacings as readonly SpacingName[]).includes(spacing);
}

/**
 * Checks that a process can be spaced so.
 *
 * @throws {ConfigError} for an unknown spacing, or one of timesteps that the process does not have
 */
export function checkSpacing({ timeAxis }: ForwardProcess, spacing: SpacingName): void {
  if (!spacingNames.includes(spacing)) {
    const allowed = withSuggestion(spacingNames.join(", "), String(spacing), spacingNames);
    throw new ConfigError("spacing", spacing, allowed);
  }
  if (!isTimeSpacing(spacing)) return;
  if (!timeAxis) {
    const others = Object.keys(sigmaAxes).join(", ");
    throw new ConfigError(
      "spacing",
      spacing,
      `${others}: this model was trained on noise levels, not timesteps`,
    );
  }
  if (!timeAxis.whole && spacing === "leading") {
    const others = spacingNames.filter((name) => name !== spacing).join(", ");
    throw new ConfigError(
      "spacing",
      spacing,
      `${others}: leading ends at time 0, which this model never sees`,
    );
  }
}

/**
 * Levels that a sampler visits, most noise first; the finished image is not among them.
 *
 * @param steps number of levels, at least 1
 * @throws {ConfigError} as {@linkcode checkSpacing} and {@linkcode checkLevels}
 */
export function spacedLevels(
  process: ForwardProcess,
  spacing: SpacingName,
  steps: number,
  convention: SpacingConvention,
): NoiseLevel[] {
  checkLevels(process, spacing, steps, convention);
  if (!isTimeSpacing(spacing)) return sigmaLevels(process, sigmaAxes[spacing], steps, convention);
  const axis = process.timeAxis!; // `checkLevels` has checked it
  return Array.from(
    { length: steps },
    (_, i) => process.level(timestepAt(axis, spacing, steps, steps - 1 - i, convention)),
  );
}

/**
 * Largest sigma that solvers in sigma start at: `1 / sigmaMin`, the same distance from a ratio of 1 in log-SNR, where the last
 * level has no signal.
 *
 * @param above a sigma that is visited next and must be exceeded
 */
export function largestFiniteSigma({ sigmaMin, sigmaMax }: ForwardProcess, above: number = sigmaMin): number {
  return sigmaMax === Infinity ? Math.max(1 / sigmaMin, 2 * above) : sigmaMax;
}

function sigmaLevels(
  process: ForwardProcess,
  { toAxis, fromAxis, wholeTimestep, inTime }: SigmaAxis,
  steps: number,
  { wholeTimesteps }: SpacingConvention,
): NoiseLevel[] {
  const { sigmaMin, timeAxis } = process;
  const infinite = process.sigmaMax === Infinity;
  const sigmaMax = largestFiniteSigma(process);
  const [toValue, toSigma] = infinite && inTime ? [timeOfSigma, sigmaOfTime] : [same, same];
  const highest = toAxis(infinite && inTime ? 1 : toValue(sigmaMax));
  const lowest = toAxis(toValue(sigmaMin));
  const whole = wholeTimesteps && timeAxis?.whole === true;
  const largest = infinite && inTime ? Infinity : sigmaMax;
  return Array.from({ length: steps }, (_, i) => {
    const fraction = steps === 1 ? 0 : i / (steps - 1);
    const sigma = toSigma(fromAxis(highest + fraction * (lowest - highest)));
    // The ends are exact, since the process has no levels beyond them.
    const level = process.levelOfSigma(fraction === 0 ? largest : fraction === 1 ? sigmaMin : sigma);
    return whole ? { ...level, timestep: wholeTimestep(level.timestep) } : level;
  });
}

function same(value: number): number {
  return value;
}

function timeOfSigma(sigma: number): number {
  return sigma / (1 + sigma);
}

function sigmaOfTime(time: number): number {
  return time / (1 - time);
}

/** Timestep `i` of `steps`, counted from the least noise. */
function timestepAt(
  { count, whole, offset }: TimeAxis,
  spacing: TimeSpacing,
  steps: number,
  i: number,
  { extraParts, wholeTimesteps }: SpacingConvention,
): number {
  const first = whole ? 0 : 1; // in continuous time, 0 is the image itself
  const last = whole ? count - 1 : count;
  switch (spacing) {
    case "leading":
      return (i + extraParts) * Math.floor(count / (steps + extraParts)) + offset;
    case "trailing": {
      // NumPy's arange multiplies this rounded difference, which decides ties as diffusers does.
      const timestep = count + (steps - 1 - i) * (count - count / steps - count);
      return whole ? roundHalfToEven(timestep) - 1 : timestep;
    }
    case "linspace": {
      if (!whole) return steps === 1 ? last : last + (steps - 1 - i) * ((first - last) / (steps - 1));
      const parts = steps - 1 + extraParts;
      // One step of DDPM and DDIM starts at timestep 0, as in diffusers.
      if (parts === 0) return wholeTimesteps ? 0 : last;
      const timestep = Math.min((i + extraParts) * (last / parts), last); // rounding may exceed it
      return wholeTimesteps ? roundHalfToEven(timestep) : timestep;
    }
    case "quadratic": {
      const timestep = last * (steps === 1 ? 1 : whole ? i / (steps - 1) : (i + 1) / steps) ** 2;
      return whole ? Math.max(i, roundHalfToEven(timestep)) : timestep; // no timestep twice
    }
  }
}

/** True if the number of steps leaves distinct timesteps within the process. */
function stepsFit(
  { timeAxis }: ForwardProcess,
  spacing: SpacingName,
  steps: number,
  convention: SpacingConvention,
): boolean {
  if (!timeAxis?.whole) return true;
  if (!isTimeSpacing(spacing)) return steps <= timeAxis.count;
  const extra = spacing === "leading" || spacing === "linspace" ? convention.extraParts : 0;
  return steps + extra <= timeAxis.count &&
    timestepAt(timeAxis, spacing, steps, steps - 1, convention) < timeAxis.count;
}

/** Largest number of steps in continuous time; more would only round to the same levels in float32. */
const MOST_CONTINUOUS_STEPS = 100_000;

/**
 * Largest number of steps that a spacing of a process allows.
 *
 * @param limit upper bound, 1 or more
 */
export function mostLevels(
  process: ForwardProcess,
  spacing: SpacingName,
  convention: SpacingConvention,
  limit: number = Infinity,
): number {
  let steps = Math.min(limit, process.timeAxis?.whole ? process.timeAxis.count : MOST_CONTINUOUS_STEPS);
  while (steps > 1 && !stepsFit(process, spacing, steps, convention)) steps--;
  return steps;
}

/**
 * Checks a number of steps.
 *
 * @throws {ConfigError} naming the largest number, or where the offset rules out just this one, its neighbours
 */
export function checkLevels(
  process: ForwardProcess,
  spacing: SpacingName,
  steps: number,
  convention: SpacingConvention,
): void {
  checkSpacing(process, spacing);
  const most = mostLevels(process, spacing, convention);
  const { count, offset } = process.timeAxis ?? { count: most, offset: 0 };
  if (!Number.isSafeInteger(steps) || steps < 1 || steps > most) {
    const why = most < count && offset > 0 ? `, since the model's steps_offset is ${offset}` : "";
    throw new ConfigError("steps", steps, `a whole number from 1 to ${most}${why}`);
  }
  if (stepsFit(process, spacing, steps, convention)) return;
  const fitting = [mostLevels(process, spacing, convention, steps)]
    .filter((below) => stepsFit(process, spacing, below, convention));
  const above = steps + 1 +
    Array.from({ length: most - steps }).findIndex((_, more) =>
      stepsFit(process, spacing, steps + 1 + more, convention)
    );
  if (above > steps) fitting.push(above);
  const nearest = fitting.length > 0
    ? `${fitting.join(" or ")}, the nearest that the model's steps_offset allows`
    : `another spacing, since no number of steps fits the model's steps_offset of ${offset}`;
  throw new ConfigError("steps", steps, nearest);
}

/** Rounds ties to even, like NumPy, with which diffusers computes its spacings. */
function roundHalfToEven(value: number): number {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}
