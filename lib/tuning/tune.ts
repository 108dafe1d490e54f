/**
 * Autotuning: the search for the fastest kernel variants on a device. Lowering requests choices by key (`choose` in
 * `kernels/target.ts`); a node is lowered with every candidate, and the launches that differ are timed.
 *
 * @module
 */
import type { KernelTarget } from "../../kernels/target.ts";
import type { lower } from "../graph/lower.ts";
import { Search, type Workload } from "./search.ts";
import { type Choices, type Measure, traceChoices, type Trial } from "./trials.ts";
import type { TuneEstimate } from "./time_limit.ts";

export { chooseFrom } from "./trials.ts";
export type { Choices, Measure, Trial } from "./trials.ts";
export type { Workload } from "./search.ts";

/** Options of {@linkcode tune}. */
export interface TuneOptions {
  readonly target: KernelTarget;
  /** Known choices; new ones are added. */
  readonly choices: Map<string, string>;
  readonly measure: Measure;
  /** Time limit in seconds; no trial starts after it. */
  readonly limit: (estimate: TuneEstimate) => number;
  /** Stops tuning after the current trial. */
  readonly signal?: AbortSignal;
  /** Clock in milliseconds; for tests. */
  readonly now?: () => number;
  /** Lowering of nodes to launches; for tests. */
  readonly lowering?: typeof lower;
}

/** Progress of {@linkcode tune}, in choices. */
export interface TuneProgress {
  readonly done: number;
  /** As far as known, since later choices depend on earlier ones. */
  readonly total: number;
  readonly estimate: TuneEstimate;
}

/** Result of {@linkcode tune}. */
export interface TuneResult {
  /** New choices. */
  readonly decided: Choices;
  /** Number of choices requested, including those left open. */
  readonly total: number;
}

/**
 * Makes the unknown choices of the graphs' nodes, those with the most time at stake first. Choices stay open if the time runs
 * out or the device can run no candidate.
 */
export async function* tune(
  workloads: readonly Workload[],
  { target, choices, measure, limit, signal, now = () => performance.now(), lowering }: TuneOptions,
): AsyncGenerator<TuneProgress, TuneResult> {
  const start = now();
  const rate = new Rate();
  const search: Search = new Search({
    lower: traceChoices(target, lowering),
    choices,
    measure: async (trial) => {
      const seconds = await measure(trial);
      rate.add(trial, seconds);
      return seconds;
    },
    over: () => now() - start >= 1000 * limit(estimate()) || (signal?.aborted ?? false),
  });
  const { flops, open } = search.look(workloads);
  const estimate = (): TuneEstimate => ({ open, seconds: rate.seconds(flops) });
  for await (const _ of search.run(workloads)) {
    yield { done: search.decided.size, total: search.total, estimate: estimate() };
  }
  const { decided, total } = search;
  return { decided, total };
}

/** Rate of the fastest candidates timed so far. */
class Rate {
  #flops = 0;
  #seconds = 0;

  add(trial: Trial, seconds: ReadonlyMap<string, number>): void {
    const [best] = [...seconds].sort(([, a], [, b]) => a - b);
    if (best === undefined) return;
    const [name, least] = best;
    this.#flops += (trial.get(name) ?? []).reduce((sum, { flops }) => sum + flops, 0);
    this.#seconds += least;
  }

  /** Estimated seconds of operations; 0 if nothing was timed. */
  seconds(flops: number): number {
    return this.#flops === 0 ? 0 : flops * this.#seconds / this.#flops;
  }
}
