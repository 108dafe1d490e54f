/**
 * Learning rate schedules: linear warm-up, then one of several decays. With `N` optimizer steps in all and `W` of warm-up,
 * step `t` from 1 has the rate `lr` times
 *
 * ```text
 * warm-up        t / W                                     t <= W
 * constant       1                                         t > W
 * linear         1 - p                                     t > W
 * cosine         (1 + cos(pi p)) / 2                       t > W   (Loshchilov and Hutter 2017, equation 5, one period)
 * inverse-sqrt   sqrt(W / t)                               t > W   (Vaswani et al. 2017, equation 3)
 * ```
 *
 * where `p = (t - 1 - W) / (N - W)` is the share of the decay that is over before the step: 0 at the first step after the
 * warm-up, and 1 after the last step of the run, so that no step has rate 0. Without warm-up, the inverse square root begins
 * at step 1.
 *
 * @module
 */

/** Decay of the learning rate after warm-up. */
export type LrSchedule = "constant" | "linear" | "cosine" | "inverse-sqrt";

/** Steps on which a learning rate schedule depends. */
export interface LrSteps {
  /** Optimizer steps of linear warm-up, 0 or more. */
  readonly warmup: number;
  /** Optimizer steps of the run, 1 or more; linear and cosine decays end here. */
  readonly total: number;
}

/** A decay. */
interface Decay {
  /** Factor on the learning rate at step `t` (from 1), after warm-up. */
  readonly factor: (t: number, steps: LrSteps) => number;
  /** True if it ends with the run, so that its rates depend on the run's length. */
  readonly endsWithRun: boolean;
}

const DECAYS: Readonly<Record<LrSchedule, Decay>> = {
  constant: { factor: () => 1, endsWithRun: false },
  linear: { factor: (t, steps) => 1 - decayed(t, steps), endsWithRun: true },
  cosine: { factor: (t, steps) => (1 + Math.cos(Math.PI * decayed(t, steps))) / 2, endsWithRun: true },
  "inverse-sqrt": { factor: (t, { warmup }) => Math.sqrt(Math.max(1, warmup) / t), endsWithRun: false },
};

/** Names of the schedules. */
export const LR_SCHEDULES: readonly LrSchedule[] = Object.keys(DECAYS) as LrSchedule[];

/** Factor on the learning rate at optimizer step `t`, counted from 1, up to `steps.total`; above 0, at most 1. */
export function lrFactor(schedule: LrSchedule, t: number, steps: LrSteps): number {
  const { warmup } = steps;
  return t <= warmup ? t / warmup : DECAYS[schedule].factor(t, steps);
}

/**
 * True if a run that has done `step` optimizer steps had other learning rates than one of another length would have had.
 *
 * @param step optimizer steps done
 */
export function lengthMattered(schedule: LrSchedule, step: number, { warmup }: LrSteps): boolean {
  // The first step after the warm-up has the full rate, whatever the length.
  return DECAYS[schedule].endsWithRun && step > warmup + 1;
}

/** Share of the decay that is over before step `t`. */
function decayed(t: number, { warmup, total }: LrSteps): number {
  return (t - 1 - warmup) / (total - warmup);
}
