/**
 * Trials of autotuning: a node's launches by candidate of one choice.
 *
 * @module
 */
import type { Launch } from "../../kernels/source.ts";
import type { Choose, KernelTarget } from "../../kernels/target.ts";
import { lowerContext } from "../graph/compile.ts";
import type { Graph } from "../graph/graph.ts";
import { launchKey } from "../graph/launch_key.ts";
import { lower } from "../graph/lower.ts";
import type { Node } from "../graph/operations.ts";
import type { Tensor } from "../graph/tensor.ts";
import { findViews, type Views } from "../graph/views.ts";

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

/** Minimum relative speed-up over the default, above measurement noise. */
const MARGIN = 0.03;

/** Candidates with default inner choices this many times slower than the fastest are not tuned: a layout gains less. */
const PROMISING = 4 / 3;

/** Lowers a node with given choices, and records the keys that it requests. */
export type TracedLowering = (g: Graph, node: Node, choices: Choices) => {
  readonly launches: readonly Launch<Tensor>[];
  /** Candidates by key, in the order of the requests. */
  readonly requested: ReadonlyMap<string, readonly string[]>;
};

/** Lowering for a target that records choices. Graphs must be complete: their views are found once, at their first node. */
export function traceChoices(target: KernelTarget, lowering: typeof lower = lower): TracedLowering {
  const views = new Map<Graph, Views>();
  const viewsOf = (g: Graph) => {
    const found = views.get(g) ?? findViews(g.nodes, target, []);
    views.set(g, found);
    return found;
  };
  return (g, node, choices) => {
    const requested = new Map<string, readonly string[]>();
    const choose: Choose = (key, candidates) => {
      requested.set(key, candidates);
      return chooseFrom(choices)(key, candidates);
    };
    return { launches: lowering(lowerContext(g, { ...target, choose }, [], viewsOf(g)), node), requested };
  };
}

/** Removes launches common to all candidates, which cost time and do not affect the comparison. */
export function withoutCommon(trial: Trial): Trial {
  // Every lowering creates workspace of its own, under the same names.
  const key = (launch: Launch<Tensor>) => launchKey(launch, ({ name }) => name);
  const common = [...trial.values()].map((launches) => new Set(launches.map(key)))
    .reduce((all, keys) => all.intersection(keys));
  return new Map(
    [...trial].map(([name, launches]) => [name, launches.filter((launch) => !common.has(key(launch)))]),
  );
}

/**
 * Fastest of the candidates, or the default if that is within the margin; undefined if the device can run none.
 * @param byDefault name of the default
 */
export function fastest(byDefault: string, seconds: ReadonlyMap<string, number>): string | undefined {
  const [best] = [...seconds].sort(([, a], [, b]) => a - b);
  if (best === undefined) return undefined;
  const [name, least] = best;
  const ofDefault = seconds.get(byDefault);
  // A time of 0 means that the device's clock is stopped or too coarse.
  return ofDefault !== undefined && (least === 0 || least >= (1 - MARGIN) * ofDefault) ? byDefault : name;
}

/** Candidates that may become the fastest once their own inner choices are tuned, in the order given. */
export function promising(seconds: ReadonlyMap<string, number>): string[] {
  const least = Math.min(...seconds.values());
  return [...seconds].flatMap(([name, taken]) => taken <= PROMISING * least ? [name] : []);
}
