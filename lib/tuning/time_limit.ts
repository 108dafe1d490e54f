/**
 * Time that autotuning may take before the first step of a run.
 *
 * All of it is spent before that step, never between steps: another choice of kernels rounds differently, so a run keeps the
 * choices it started with, and a resumed one continues to the bit. A long run gets the time its tuning needs, since a kernel
 * that is 5 % faster pays for 5 % of the run's time.
 *
 * @module
 */

/** Progress of tuning, as far as a time limit depends on it. */
export interface TuneEstimate {
  /** Share of the graphs' estimated time that depends on choices open at the start, 0 to 1. */
  readonly open: number;
  /** Estimated seconds of all runs of the graphs, at the rate of the kernels timed so far; 0 before the first trial. */
  readonly seconds: number;
}

/** Time limit of tuning before a run. */
export interface TimeLimit {
  /** Seconds without the extension for a long run. */
  usualSeconds(estimate: TuneEstimate): number;
  /** Seconds. */
  seconds(estimate: TuneEstimate): number;
}

/** The same time limit for all runs. */
export function fixedLimit(seconds: number): TimeLimit {
  return { usualSeconds: () => seconds, seconds: () => seconds };
}

/** Time limit of mode `on`. */
export const ON_LIMIT: TimeLimit = fixedLimit(120);

/** Seconds for the first start of a network. */
const FIRST_SECONDS = 10;
/** Seconds for later starts, which continue unfinished tuning. */
const CONTINUED_SECONDS = 1.5;
/** Share of the time that must depend on known choices for a start to count as a later one. */
const KNOWN_SHARE = 0.1;
/** Share of a long run's expected time, and limit on it in seconds. */
const LONG_RUN = { share: 0.05, seconds: 120 };

/** Time limit of mode `auto`. */
export const AUTO_LIMIT: TimeLimit = {
  usualSeconds: ({ open }) => open > 1 - KNOWN_SHARE ? FIRST_SECONDS : CONTINUED_SECONDS,
  seconds: (estimate) =>
    Math.max(
      AUTO_LIMIT.usualSeconds(estimate),
      Math.min(LONG_RUN.seconds, LONG_RUN.share * estimate.seconds),
    ),
};
