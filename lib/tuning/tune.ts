/**
 * Autotuning: the search for the fastest kernel variants on a device. Lowering requests choices by key (`choose` in
 * `kernels/target.ts`), and choices nest: the algorithm of a convolution, and within each algorithm the tile layout of its
 * product. A node is lowered with every candidate, inner choices first, and the launches that differ are timed.
 *
 * @module
 */
import type { Launch } from "../../kernels/source.ts";
import type { Choose, KernelTarget } from "../../kernels/target.ts";
import { lowerContext } from "../graph/compile.ts";
import type { Graph } from "../graph/graph.ts";
import { lower } from "../graph/lower.ts";
import type { Node } from "../graph/operations.ts";
import type { Tensor } from "../graph/tensor.ts";

/** Chosen candidate by key; see {@linkcode Choose}. */
export type Choices = ReadonlyMap<string, string>;

/** Looks choices up; unknown keys and choices that are no longer candidates get the default. */
export function chooseFrom(choices: Choices): Choose {
  return (key, candidates) => {
    const known = choices.get(key);
    return known !== undefined && candidates.includes(known) ? known : candidates[0]!; // never empty
  };
}

/** Launches by candidate, the default first, without the launches common to all. */
export type Trial = ReadonlyMap<string, readonly Launch<Tensor>[]>;

/** Times a trial: seconds by candidate, without candidates that the device cannot run. */
export type Measure = (trial: Trial) => Promise<ReadonlyMap<string, number>>;

/** Options of {@linkcode tune}. */
export interface TuneOptions {
  readonly target: KernelTarget;
  /** Known choices; new ones are added. */
  readonly choices: Map<string, string>;
  readonly measure: Measure;
  /** Time limit in seconds; no trial starts after it. */
  readonly limit: number;
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
  /** Estimate, since later choices depend on earlier ones. */
  readonly total: number;
}

/** Result of {@linkcode tune}. */
export interface TuneResult {
  /** New choices. */
  readonly decided: Choices;
  /** Number of choices requested, including those left open. */
  readonly total: number;
}

/** Minimum relative speed-up over the default, above measurement noise. */
const MARGIN = 0.03;

/** Nodes that request the same choices. */
interface Group {
  /** Node to time: the one with the most floating-point operations, since a key may be shared by batch sizes. */
  largest: { readonly g: Graph; readonly node: Node; readonly flops: number };
  /** Floating-point operations of all nodes in the group. */
  flops: number;
}

/**
 * Makes the unknown choices of the graphs' nodes, most floating-point operations first. Choices stay open if the time runs
 * out or the device can run no candidate.
 */
export async function* tune(
  graphs: readonly Graph[],
  options: TuneOptions,
): AsyncGenerator<TuneProgress, TuneResult> {
  const { choices, measure, limit, signal, now = () => performance.now() } = options;
  const end = now() + 1000 * limit;
  const tracedLower = traceChoices(options);
  // Dry run with the defaults, to estimate the number of choices.
  const all = new Search(
    tracedLower,
    new Map(choices),
    (trial) => Promise.resolve(defaultOf(trial)),
    () => false,
  );
  await Array.fromAsync(all.run(graphs));
  const over = () => now() >= end || (signal?.aborted ?? false);
  const search = new Search(
    tracedLower,
    choices,
    async (trial) => fastest(trial, await measure(trial)),
    over,
  );
  // Progress is reported before a choice, so at least one is left.
  const expected = (done: number) => Math.max(done + 1, all.decided.size);
  for await (const done of search.run(graphs)) yield { done, total: expected(done) };
  const { decided, left } = search;
  const total = search.isComplete(graphs) ? decided.size + left.size : expected(decided.size);
  return { decided, total };
}

/** Search over the choices of all nodes, including those that depend on other choices. */
class Search {
  readonly decided: Map<string, string> = new Map<string, string>();
  /** Keys without a candidate that the device can run. */
  readonly left: Set<string> = new Set<string>();
  readonly #lower: TracedLowering;
  readonly #choices: Map<string, string>;
  readonly #decide: (trial: Trial) => Promise<string | undefined>;
  readonly #over: () => boolean;

  constructor(
    lower: TracedLowering,
    choices: Map<string, string>,
    decide: (trial: Trial) => Promise<string | undefined>,
    over: () => boolean,
  ) {
    this.#lower = lower;
    this.#choices = choices;
    this.#decide = decide;
    this.#over = over;
  }

  /** Makes the open choices of the graphs' nodes; yields the number made so far. */
  async *run(graphs: readonly Graph[]): AsyncGenerator<number> {
    // Choices of one node may open new ones in another, so repeat until none is open.
    for (let groups = this.#open(graphs); groups.length > 0; groups = this.#open(graphs)) {
      for (const { largest: { g, node } } of groups) {
        yield this.decided.size;
        await this.#settle(g, node);
        if (this.#over()) return;
      }
    }
  }

  /** True if no choice is open. */
  isComplete(graphs: readonly Graph[]): boolean {
    return this.#open(graphs).length === 0;
  }

  /** Nodes grouped by their open choices, most floating-point operations first. */
  #open(graphs: readonly Graph[]): Group[] {
    const groups = new Map<string, Group>();
    for (const g of graphs) {
      for (const node of g.nodes) {
        const { launches, requested } = this.#lower(g, node, this.#choices);
        const keys = [...requested].filter(([key, candidates]) => this.#isOpen(key, candidates));
        if (keys.length === 0) continue;
        const flops = launches.reduce((sum, launch) => sum + launch.flops, 0);
        const id = keys.map(([key]) => key).join("\n");
        const group = groups.get(id) ?? { largest: { g, node, flops }, flops: 0 };
        if (flops > group.largest.flops) group.largest = { g, node, flops };
        group.flops += flops;
        groups.set(id, group);
      }
    }
    return [...groups.values()].sort((a, b) => b.flops - a.flops);
  }

  #isOpen(key: string, candidates: readonly string[]): boolean {
    const known = this.#choices.get(key);
    return !this.left.has(key) && (known === undefined || !candidates.includes(known));
  }

  /**
   * Makes the open choices of a node.
   *
   * @param fixed candidates under trial in outer choices
   * @param pending keys of outer choices, which are not made here
   */
  async #settle(
    g: Graph,
    node: Node,
    fixed: Choices = new Map(),
    pending: ReadonlySet<string> = new Set(),
  ): Promise<void> {
    const lowered = (tried: Choices) => this.#lower(g, node, new Map([...this.#choices, ...tried]));
    const open = [...lowered(fixed).requested].filter(([key, candidates]) =>
      !fixed.has(key) && !pending.has(key) && this.#isOpen(key, candidates)
    );
    const within = new Set([...pending, ...open.map(([key]) => key)]);
    // Last first: later choices depend on earlier ones, not the other way round.
    for (const [key, candidates] of open.reverse()) {
      const trial = new Map<string, readonly Launch<Tensor>[]>();
      for (const candidate of candidates) {
        const tried = new Map([...fixed, [key, candidate]]);
        await this.#settle(g, node, tried, within);
        trial.set(candidate, lowered(tried).launches);
      }
      if (this.#over()) return;
      const choice = await this.#decide(withoutCommon(trial));
      if (choice === undefined) this.left.add(key);
      else {
        this.#choices.set(key, choice);
        this.decided.set(key, choice);
      }
    }
  }
}

/** Lowers a node with given choices, and records the keys that it requests. */
type TracedLowering = (g: Graph, node: Node, choices: Choices) => {
  readonly launches: readonly Launch<Tensor>[];
  /** Candidates by key, in the order of the requests. */
  readonly requested: ReadonlyMap<string, readonly string[]>;
};

function traceChoices(
  { target, lowering = lower }: Pick<TuneOptions, "target" | "lowering">,
): TracedLowering {
  return (g, node, choices) => {
    const requested = new Map<string, readonly string[]>();
    const choose: Choose = (key, candidates) => {
      requested.set(key, candidates);
      return chooseFrom(choices)(key, candidates);
    };
    return { launches: lowering(lowerContext(g, { ...target, choose }), node), requested };
  };
}

/** Removes launches common to all candidates, which cost time and do not affect the comparison. */
function withoutCommon(trial: Trial): Trial {
  const described = [...trial].map(([name, launches]) => {
    return { name, launches: launches.map((launch) => ({ launch, id: describe(launch) })) };
  });
  const common = described.map(({ launches }) => new Set(launches.map(({ id }) => id)))
    .reduce((all, ids) => all.intersection(ids));
  return new Map(described.map(({ name, launches }) => {
    return [name, launches.filter(({ id }) => !common.has(id)).map(({ launch }) => launch)];
  }));
}

function describe({ kernel, entry, constants, params, buffers, workgroups }: Launch<Tensor>): string {
  const tensors = Object.entries(buffers).map(([name, tensor]) => [name, tensor.name]);
  return JSON.stringify([kernel.name, entry, constants, params, workgroups, tensors]);
}

function defaultOf(trial: Trial): string {
  return trial.keys().next().value!; // candidates are never empty
}

/** Fastest candidate, or the default if that is within the margin; undefined if the device can run none. */
export function fastest(trial: Trial, seconds: ReadonlyMap<string, number>): string | undefined {
  const byDefault = defaultOf(trial);
  const [best] = [...seconds].sort(([, a], [, b]) => a - b);
  if (best === undefined) return undefined;
  const [name, least] = best;
  const ofDefault = seconds.get(byDefault);
  // A time of 0 means that the device's clock is stopped or too coarse.
  return ofDefault !== undefined && (least === 0 || least >= (1 - MARGIN) * ofDefault) ? byDefault : name;
}
