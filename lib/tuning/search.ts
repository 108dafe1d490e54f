/**
 * Search over the choices of a set of graphs, those with the most time at stake first.
 *
 * Choices nest: the algorithm of a convolution, and within each algorithm the tile layout of its product. Algorithms are
 * compared with their default layouts first; only those that come close to the fastest have their layouts tuned, and are
 * then compared again. So the kernels of a hopeless algorithm are not even compiled.
 *
 * @module
 */
import type { Graph } from "../graph/graph.ts";
import type { Node } from "../graph/operations.ts";
import { roughCost } from "./cost.ts";
import {
  type Choices,
  fastest,
  type Measure,
  promising,
  type TracedLowering,
  type Trial,
  withoutCommon,
} from "./trials.ts";

/** A graph, and how often it will run. */
export interface Workload {
  readonly g: Graph;
  /** Number of runs, as a weight. */
  readonly runs: number;
}

/** Nodes that request the same open choices. */
interface Group {
  /** Node to time: the most expensive one, since a key may be shared by batch sizes. */
  largest: { readonly g: Graph; readonly node: Node; readonly cost: number };
  readonly keys: readonly string[];
  /** Rough cost of all nodes in the group, in all runs. */
  cost: number;
}

/** Options of {@linkcode Search}. */
export interface SearchOptions {
  readonly lower: TracedLowering;
  /** Known choices; new ones are added. */
  readonly choices: Map<string, string>;
  readonly measure: Measure;
  /** True if no further trial may start. */
  readonly over: () => boolean;
}

/** Search over the choices of all nodes, including those that depend on other choices. */
export class Search {
  readonly decided: Map<string, string> = new Map<string, string>();
  /** Keys without a candidate that the device can run. */
  readonly #left: Set<string> = new Set<string>();
  /** Open keys when the nodes were last looked at, less those settled since. */
  #pending: Set<string> = new Set<string>();
  readonly #options: SearchOptions;

  constructor(options: SearchOptions) {
    this.#options = options;
  }

  /** Number of choices, as far as known: open ones may depend on others. */
  get total(): number {
    return this.decided.size + this.#left.size + this.#pending.size;
  }

  /** Makes the open choices of the graphs' nodes; yields before each group. */
  async *run(workloads: readonly Workload[]): AsyncGenerator<void> {
    const { over } = this.#options;
    // Choices of one node may open new ones in another, so repeat until none is open.
    for (let { groups } = this.look(workloads); groups.length > 0; { groups } = this.look(workloads)) {
      for (const { keys, largest: { g, node } } of groups) {
        // An earlier group may have had some of these keys.
        if (!keys.some((key) => this.#pending.has(key))) continue;
        yield;
        await this.#settle(g, node);
        if (over()) return;
      }
    }
  }

  /**
   * Groups nodes by their open choices, most expensive first.
   *
   * @returns also the floating-point operations of all runs, and the share of the time of nodes with choices that depends on
   *   open ones
   */
  look(workloads: readonly Workload[]): { groups: readonly Group[]; flops: number; open: number } {
    const groups = new Map<string, Group>();
    this.#pending = new Set();
    let [flops, chosen, open] = [0, 0, 0];
    for (const { g, runs } of workloads) {
      for (const node of g.nodes) {
        const { launches, requested } = this.#options.lower(g, node, this.#options.choices);
        flops += runs * launches.reduce((sum, launch) => sum + launch.flops, 0);
        if (requested.size === 0) continue;
        const cost = roughCost(launches);
        chosen += runs * cost;
        const keys = this.#openAmong(requested);
        if (keys.length === 0) continue;
        open += runs * cost;
        for (const key of keys) this.#pending.add(key);
        const id = keys.join("\n");
        const group = groups.get(id) ?? { keys, largest: { g, node, cost }, cost: 0 };
        if (cost > group.largest.cost) group.largest = { g, node, cost };
        group.cost += runs * cost;
        groups.set(id, group);
      }
    }
    const sorted = [...groups.values()].sort((a, b) => b.cost - a.cost);
    return { groups: sorted, flops, open: chosen > 0 ? open / chosen : 0 };
  }

  #openAmong(requested: ReadonlyMap<string, readonly string[]>): string[] {
    const { choices } = this.#options;
    return [...requested].flatMap(([key, candidates]) => {
      const known = choices.get(key);
      const open = !this.#left.has(key) && (known === undefined || !candidates.includes(known));
      return open ? [key] : [];
    });
  }

  /**
   * Makes the open choices of a node, outer ones first.
   *
   * @param fixed candidates under trial in outer choices
   * @param others keys that are not settled here: outer choices, and those that do not depend on them
   */
  async #settle(
    g: Graph,
    node: Node,
    fixed: Choices = new Map(),
    others: ReadonlySet<string> = new Set(),
  ): Promise<void> {
    const { lower, choices, measure, over } = this.#options;
    const lowered = (tried: Choices) => lower(g, node, new Map([...choices, ...tried]));
    while (!over()) {
      const { requested } = lowered(fixed);
      const key = this.#openAmong(requested).find((key) => !others.has(key));
      if (key === undefined) return;
      const candidates = requested.get(key)!; // an open key was requested
      const trying = (candidate: string) => new Map([...fixed, [key, candidate]]);
      const openWith = candidates.map((name) => new Set(this.#openAmong(lowered(trying(name)).requested)));
      const independent = openWith.reduce((all, keys) => all.intersection(keys)).union(others).add(key);
      const hasInner = (name: string) => openWith[candidates.indexOf(name)]!.difference(independent).size > 0;
      const time = (names: readonly string[]) => {
        const trial: Trial = new Map(names.map((name) => [name, lowered(trying(name)).launches]));
        return measure(withoutCommon(trial));
      };
      let seconds = await time(candidates);
      const close = promising(seconds);
      if (close.length > 1 && close.some(hasInner)) {
        for (const name of close) await this.#settle(g, node, trying(name), independent);
        if (over()) return;
        seconds = await time(close);
      }
      this.#decide(key, fastest(candidates[0]!, seconds)); // candidates are never empty
    }
  }

  #decide(key: string, choice: string | undefined): void {
    this.#pending.delete(key);
    if (choice === undefined) {
      this.#left.add(key);
      return;
    }
    this.#options.choices.set(key, choice);
    this.decided.set(key, choice);
  }
}
