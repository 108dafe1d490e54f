/**
 * Finds out which of several ways to compute the same is the fastest on a device. Kernels ask for one while they are
 * lowered (`choose` in `kernels/target.ts`); questions nest: which algorithm a convolution takes, and within each algorithm
 * which layout its product has. A node is lowered in every way, inner questions first, and what differs is timed.
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

/** Candidates that were chosen, by what they compute. */
export type Choices = ReadonlyMap<string, string>;

/** Picks what was chosen, and by rule what was not, or is no candidate any more. */
export function chooseFrom(choices: Choices): Choose {
  return (key, candidates) => {
    const known = choices.get(key);
    return known !== undefined && candidates.includes(known) ? known : candidates[0];
  };
}

/** The dispatches of each candidate, the one that suits by rule first; those that all have in common are left out. */
export type Trial = ReadonlyMap<string, readonly Launch<Tensor>[]>;

/** Times a trial: seconds by candidate, without those that the device cannot run. */
export type Measure = (trial: Trial) => Promise<ReadonlyMap<string, number>>;

/** Options of {@linkcode tune}. */
export interface TuneOptions {
  readonly target: KernelTarget;
  /** What is known; what is found out is added. */
  readonly choices: Map<string, string>;
  readonly measure: Measure;
  /** Seconds after which nothing more is tried. */
  readonly limit: number;
  /** Ends it after the trial under way. */
  readonly signal?: AbortSignal;
  /** The time in milliseconds; for tests. */
  readonly now?: () => number;
  /** From nodes to dispatches; for tests. */
  readonly lowering?: typeof lower;
}

/** How far {@linkcode tune} is, in questions. */
export interface TuneProgress {
  readonly done: number;
  /** As far as can be told: what there is to ask depends on the answers. */
  readonly total: number;
}

/** What {@linkcode tune} has found out. */
export interface TuneResult {
  /** The candidates that were chosen now. */
  readonly decided: Choices;
  /** Questions, those that stay open among them. */
  readonly total: number;
}

/** A candidate must be faster than the rule's by this part to take its place, or chance would decide. */
const MARGIN = 0.03;

/** Nodes that ask the same. */
interface Group {
  /** The one that is tried: that with the most floating-point operations, since a question may be about several batches. */
  largest: { readonly g: Graph; readonly node: Node; readonly flops: number };
  /** Floating-point operations of all of them. */
  flops: number;
}

/**
 * Decides what the nodes of some graphs ask and nobody knows yet, what most of the arithmetic is in first. What the time
 * does not suffice for, or cannot be tried on the device, stays open.
 */
export async function* tune(
  graphs: readonly Graph[],
  options: TuneOptions,
): AsyncGenerator<TuneProgress, TuneResult> {
  const { choices, measure, limit, signal, now = () => performance.now() } = options;
  const end = now() + 1000 * limit;
  const asking = lowerAsking(options);
  // Gone through once without trying anything, to know how much there is to do.
  const all = new Search(asking, new Map(choices), (trial) => Promise.resolve(ruleOf(trial)), () => false);
  await Array.fromAsync(all.run(graphs));
  const over = () => now() >= end || (signal?.aborted ?? false);
  const search = new Search(asking, choices, async (trial) => fastest(trial, await measure(trial)), over);
  // While there is something to do, there is one more at least.
  const expected = (done: number) => Math.max(done + 1, all.decided.size);
  for await (const done of search.run(graphs)) yield { done, total: expected(done) };
  const { decided, left } = search;
  const total = search.isComplete(graphs) ? decided.size + left.size : expected(decided.size);
  return { decided, total };
}

/** Goes through the questions of nodes, and what each answer leads to asking. */
class Search {
  readonly decided: Map<string, string> = new Map<string, string>();
  /** What could not be tried. */
  readonly left: Set<string> = new Set<string>();
  readonly #asking: Asking;
  readonly #choices: Map<string, string>;
  readonly #decide: (trial: Trial) => Promise<string | undefined>;
  readonly #over: () => boolean;

  constructor(
    asking: Asking,
    choices: Map<string, string>,
    decide: (trial: Trial) => Promise<string | undefined>,
    over: () => boolean,
  ) {
    this.#asking = asking;
    this.#choices = choices;
    this.#decide = decide;
    this.#over = over;
  }

  /** Decides what the nodes of some graphs ask; tells how much is decided. */
  async *run(graphs: readonly Graph[]): AsyncGenerator<number> {
    // What a node asks may depend on what was decided for another, so one time through need not be enough.
    for (let groups = this.#open(graphs); groups.length > 0; groups = this.#open(graphs)) {
      for (const { largest: { g, node } } of groups) {
        yield this.decided.size;
        await this.#settle(g, node);
        if (this.#over()) return;
      }
    }
  }

  /** Whether nothing is left to try. */
  isComplete(graphs: readonly Graph[]): boolean {
    return this.#open(graphs).length === 0;
  }

  /** Nodes by the open questions that they ask, those with the most arithmetic first. */
  #open(graphs: readonly Graph[]): Group[] {
    const groups = new Map<string, Group>();
    for (const g of graphs) {
      for (const node of g.nodes) {
        const { launches, asked } = this.#asking(g, node, this.#choices);
        const keys = [...asked].filter(([key, candidates]) => this.#isOpen(key, candidates));
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
   * Decides what a node asks.
   *
   * @param fixed answers that are being tried
   * @param pending questions that this is part of answering
   */
  async #settle(
    g: Graph,
    node: Node,
    fixed: Choices = new Map(),
    pending: ReadonlySet<string> = new Set(),
  ): Promise<void> {
    const lowered = (answers: Choices) => this.#asking(g, node, new Map([...this.#choices, ...answers]));
    const open = [...lowered(fixed).asked].filter(([key, candidates]) =>
      !fixed.has(key) && !pending.has(key) && this.#isOpen(key, candidates)
    );
    const within = new Set([...pending, ...open.map(([key]) => key)]);
    // What is asked last depends on what was answered before, and nothing on it.
    for (const [key, candidates] of open.reverse()) {
      const ways = new Map<string, readonly Launch<Tensor>[]>();
      for (const candidate of candidates) {
        const answers = new Map([...fixed, [key, candidate]]);
        await this.#settle(g, node, answers, within);
        ways.set(candidate, lowered(answers).launches);
      }
      if (this.#over()) return;
      const choice = await this.#decide(withoutCommon(ways));
      if (choice === undefined) this.left.add(key);
      else {
        this.#choices.set(key, choice);
        this.decided.set(key, choice);
      }
    }
  }
}

/** Lowers a node with answers to what it asks. */
type Asking = (g: Graph, node: Node, answers: Choices) => {
  readonly launches: readonly Launch<Tensor>[];
  /** Candidates by question, in the order in which they were asked. */
  readonly asked: ReadonlyMap<string, readonly string[]>;
};

function lowerAsking({ target, lowering = lower }: Pick<TuneOptions, "target" | "lowering">): Asking {
  return (g, node, answers) => {
    const asked = new Map<string, readonly string[]>();
    const choose: Choose = (key, candidates) => {
      asked.set(key, candidates);
      return chooseFrom(answers)(key, candidates);
    };
    return { launches: lowering(lowerContext(g, { ...target, choose }), node), asked };
  };
}

/** Dispatches that every candidate has say nothing of which is the fastest, and take time to try. */
function withoutCommon(ways: Trial): Trial {
  const described = [...ways].map(([name, launches]) => {
    return { name, launches, ids: launches.map(describe) };
  });
  const common = described.map(({ ids }) => new Set(ids)).reduce((all, ids) => all.intersection(ids));
  return new Map(
    described.map(({ name, launches, ids }) => [name, launches.filter((_, i) => !common.has(ids[i]))]),
  );
}

function describe({ kernel, entry, constants, params, buffers, workgroups }: Launch<Tensor>): string {
  const tensors = Object.entries(buffers).map(([name, tensor]) => [name, tensor.name]);
  return JSON.stringify([kernel.name, entry, constants, params, workgroups, tensors]);
}

function ruleOf(trial: Trial): string {
  return [...trial.keys()][0];
}

/** The fastest candidate, or the rule's where that is hardly slower; undefined where the device can run none. */
export function fastest(trial: Trial, seconds: ReadonlyMap<string, number>): string | undefined {
  const rule = ruleOf(trial);
  const [best] = [...seconds].sort(([, a], [, b]) => a - b);
  if (best === undefined) return undefined;
  const [name, least] = best;
  const ofRule = seconds.get(rule);
  // A time of 0 is none: the device's clock stands still, or is too coarse.
  return ofRule !== undefined && (least === 0 || least >= (1 - MARGIN) * ofRule) ? rule : name;
}
