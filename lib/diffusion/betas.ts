/**
 * Schedules of betas, by the formulas of diffusers, whose files name them. `T` timesteps, `t` from 0:
 *
 * ```text
 * linear         beta_t = start + (end - start) t / (T - 1)                        Ho et al. 2020, section 4
 * scaled-linear  sqrt(beta_t) is linear                                            Rombach et al. 2022
 * sigmoid        beta_t = start + (end - start) s(-6 + 12 t / (T - 1))             Xu et al. 2022 (GeoDiff)
 * cosine         beta_t = min(0.999, 1 - f((t + 1) / T) / f(t / T))                Nichol and Dhariwal 2021, equation 17
 * laplace        the same with another f                                           Hang et al. 2024, arXiv 2407.03297
 * ```
 *
 * where `s` is the logistic function, `start` and `end` are the betas of the first and the last timestep, and `f` is the
 * signal left at a time from 0 to 1.
 *
 * @module
 */

/** Growth of `beta_t`; `custom` takes its numbers from {@linkcode BetaParameters.betas}. */
export type BetaSchedule = "linear" | "scaled-linear" | "cosine" | "sigmoid" | "laplace" | "custom";

/** Parameters of a schedule of betas. */
export interface BetaParameters {
  /** Number of timesteps `T`, 2 or more. */
  readonly numTrainTimesteps: number;
  /** `beta` of the first timestep; used by `linear`, `scaled-linear` and `sigmoid`. */
  readonly betaStart: number;
  /** `beta` of the last timestep; used by the same. */
  readonly betaEnd: number;
  /** The betas of `custom`, one per timestep, each above 0 and below 1; null for other schedules. */
  readonly betas: readonly number[] | null;
}

/** `beta_t` from the parameters and `t`. */
type Beta = (parameters: BetaParameters, t: number) => number;

const SCHEDULES: Readonly<Record<BetaSchedule, Beta>> = {
  linear: ({ betaStart, betaEnd, numTrainTimesteps }, t) =>
    betaStart + (betaEnd - betaStart) * t / (numTrainTimesteps - 1),
  "scaled-linear": ({ betaStart, betaEnd, numTrainTimesteps }, t) =>
    (Math.sqrt(betaStart) + (Math.sqrt(betaEnd) - Math.sqrt(betaStart)) * t / (numTrainTimesteps - 1)) ** 2,
  sigmoid: ({ betaStart, betaEnd, numTrainTimesteps }, t) =>
    betaStart + (betaEnd - betaStart) / (1 + Math.exp(6 - 12 * t / (numTrainTimesteps - 1))),
  cosine: fromSignal(cosineSignal),
  laplace: fromSignal(laplaceSignal),
  custom: ({ betas }, t) => betas![t]!, // the configuration has been checked
};

/** Names of the schedules. */
export const BETA_SCHEDULES: readonly BetaSchedule[] = Object.keys(SCHEDULES) as BetaSchedule[];

/** Schedules that {@linkcode BetaParameters.betaStart} and `betaEnd` shape. */
export const SCHEDULES_WITH_ENDS: readonly BetaSchedule[] = ["linear", "scaled-linear", "sigmoid"];

/** `beta_t` of a schedule, for each timestep. */
export function makeBetas(schedule: BetaSchedule, parameters: BetaParameters): Float64Array {
  const beta = SCHEDULES[schedule];
  return Float64Array.from({ length: parameters.numTrainTimesteps }, (_, t) => beta(parameters, t));
}

/**
 * Betas with zero terminal SNR: `sqrt(acp_t)` is shifted and scaled so that nothing is left of the image at the last
 * timestep, and the first keeps its value (Lin et al. 2024, arXiv 2305.08891, algorithm 1). The last beta is 1.
 */
export function withZeroTerminalSnr(betas: Float64Array): Float64Array {
  const signals = new Float64Array(betas.length);
  let cumprod = 1;
  for (const [t, beta] of betas.entries()) signals[t] = Math.sqrt(cumprod *= 1 - beta);
  const [first, last] = [signals[0]!, signals.at(-1)!];
  let before = 1;
  return signals.map((signal) => {
    const rescaled = ((signal - last) * first / (first - last)) ** 2;
    const beta = 1 - rescaled / before;
    before = rescaled;
    return beta;
  });
}

/** Betas whose cumulative product of `1 - beta` follows `f`; the cap keeps every alpha above 0. */
function fromSignal(f: (time: number) => number): Beta {
  return ({ numTrainTimesteps: T }, t) => Math.min(1 - f((t + 1) / T) / f(t / T), 0.999);
}

/** `f` of the cosine schedule (Nichol and Dhariwal 2021, equation 17), with their offset of 0.008. */
function cosineSignal(time: number): number {
  return Math.cos((time + 0.008) / 1.008 * Math.PI / 2) ** 2;
}

/**
 * `f` of the Laplace schedule: the log-SNR has a Laplace distribution of mean 0 and scale 0.5 (Hang et al. 2024). diffusers
 * takes the root of the signal's variance for the variance; so does this, to read its files.
 */
function laplaceSignal(time: number): number {
  const logSnr = -0.5 * (time <= 0.5 ? 1 : -1) * Math.log(1 - 2 * Math.abs(0.5 - time) + 1e-6);
  const snr = Math.exp(logSnr);
  return Math.sqrt(snr / (1 + snr));
}
