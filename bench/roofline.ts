/**
 * Roofline model of a training step and of a network pass of sampling on a GPU: for each kernel the time that memory and arithmetic take at least, and a
 * prediction. Graphs are lowered symbolically, so no GPU is needed.
 *
 * @module
 */
import { cast } from "../kernels/cast.ts";
import { sampleSums } from "../kernels/sample_sums.ts";
import type { Launch } from "../kernels/source.ts";
import type { KernelTarget } from "../kernels/target.ts";
import type { BufferView } from "../lib/gpu/memory.ts";
import { lowerContext, planLaunches } from "../lib/graph/compile.ts";
import { constantLaunches } from "../lib/graph/constants.ts";
import type { Graph } from "../lib/graph/graph.ts";
import { lower, type LowerContext } from "../lib/graph/lower.ts";
import { inputsOf, type Node, outputsOf } from "../lib/graph/operations.ts";
import type { Tensor } from "../lib/graph/tensor.ts";
import { recordForward } from "../lib/model/network.ts";
import { ParameterTable } from "../lib/model/parameters.ts";
import type { Precision } from "../lib/model/precision.ts";
import { normScratchBytes, optimizerLaunches } from "../lib/train/device/optimizer.ts";
import { trainingGraph } from "../lib/train/device/step_graph.ts";
import { efficiencyOf, type Family, familyOf, PEAKS } from "./kernel_families.ts";
import { measuredNetwork, modelConfig, networkName } from "./models.ts";
import type { LimitRates, Profile } from "../terminal/profile_table.ts";

/** A dispatch and what it has to do. */
export interface KernelWork {
  /** Kernel and entry point, e.g. `group_norm.forward`. */
  readonly kernel: string;
  /** Bytes to move: every tensor once. */
  readonly bytes: number;
  /** Floating-point operations performed. */
  readonly operations: number;
  /** Operations of the direct algorithm. */
  readonly flops: number;
}

/** Totals of a kernel in a step. */
export interface RooflineRow extends KernelWork {
  readonly family: Family;
  readonly calls: number;
  /** Milliseconds at the limits of the adapter. */
  readonly floor: number;
  /** Milliseconds at the efficiency of its family. */
  readonly predicted: number;
  /** Milliseconds in a profile with as many calls of this kernel. */
  readonly measured?: number;
}

/** Work that is predicted: a training step, or a pass of the network in sampling, with its constants kept. */
export type RooflineWork = "step" | "pass";

/** Roofline model of a step or pass. */
export interface Roofline {
  readonly work: RooflineWork;
  readonly model: string;
  readonly batch: number;
  readonly precision: Precision;
  /** Longest prediction first. */
  readonly rows: readonly RooflineRow[];
}

/** A step or pass of a preset. */
export interface RooflineStep {
  readonly work: RooflineWork;
  readonly model: string;
  readonly batch: number;
  readonly precision: Precision;
  readonly target: KernelTarget;
}

/** What a prediction is made from. */
export interface RooflineBasis {
  readonly limits: Pick<LimitRates, "fmaGflops" | "copyGigabytesPerSecond">;
  /** Profiles of the same adapter; those of other steps and kernels are ignored. */
  readonly profiles: readonly Profile[];
}

/** Seconds that a dispatch takes at least, when it depends on the one before. */
export const DISPATCH_SECONDS = 5e-6;

/** Predicts a step or pass. */
export function rooflineOf(step: RooflineStep, { limits, profiles }: RooflineBasis): Roofline {
  const { work, model, batch, precision } = step;
  const network = networkName(measuredNetwork(model, precision));
  const measured = `${work === "step" ? "training" : "sampling"} step of ${network}, batch ${batch}`;
  const profile = profiles.find(({ name }) => name === measured);
  const groups = Map.groupBy(work === "step" ? stepWork(step) : passWork(step), ({ kernel }) => kernel);
  const rows = [...groups].map(([kernel, all]): RooflineRow => {
    const family = familyOf(kernel);
    const sum = (of: (work: KernelWork) => number) => all.reduce((total, work) => total + of(work), 0);
    const seconds = (efficiency: number) =>
      sum((work) => DISPATCH_SECONDS + leastSeconds(work, family, limits) / efficiency);
    return {
      kernel,
      family,
      calls: all.length,
      bytes: sum(({ bytes }) => bytes),
      operations: sum(({ operations }) => operations),
      flops: sum(({ flops }) => flops),
      floor: 1000 * seconds(1),
      predicted: 1000 * seconds(efficiencyOf(family)),
      ...measuredIn(profile, kernel, all.length),
    };
  });
  return { work, model, batch, precision, rows: rows.sort((a, b) => b.predicted - a.predicted) };
}

/** Seconds at the limits, without the dispatch's own cost. */
function leastSeconds(
  { bytes, operations }: KernelWork,
  { limit }: Family,
  limits: RooflineBasis["limits"],
): number {
  return Math.max(bytes / limits.copyGigabytesPerSecond, operations / PEAKS[limit](limits)) / 1e9;
}

/** Names in earlier profiles of kernels that were renamed since, the work being the same. */
const FORMER_NAMES: readonly (readonly [name: RegExp, former: string])[] = [
  [/^activation\./, "silu."],
  [/^loss\./, "mse."],
];

/**
 * Profiles are matched by kernel name. With another number of calls it is another kernel that happens to have the name, such
 * as a product that now has fewer operands to move.
 */
function measuredIn(
  profile: Profile | undefined,
  kernel: string,
  calls: number,
): Pick<RooflineRow, "measured"> {
  const names = [kernel, ...FORMER_NAMES.map(([name, former]) => kernel.replace(name, former))];
  const entry = profile?.kernels.find(({ name }) => names.includes(name));
  if (!profile || entry?.calls !== calls * profile.replays) return {};
  return { measured: entry.milliseconds / profile.replays };
}

/** The dispatches of a training step. */
function stepWork({ model, batch, precision, target }: RooflineStep): KernelWork[] {
  const config = modelConfig(model);
  const g = trainingGraph({ config, batch, precision });
  const context = lowerContext(g, target);
  const ofNodes = graphWork(g, g.nodes.map((node) => lower(context, node)), context);
  const elements = new ParameterTable(g.parameters).elements;
  const copies = precision === "float32" ? [] : [copyWork(elements)];
  return [...copies, ...ofNodes, ...deferredWork(context.sampleSums.all), ...optimizerWork(elements)];
}

/** The dispatches of a network pass of sampling, whose constants have been computed before. */
function passWork({ model, batch, precision, target }: RooflineStep): KernelWork[] {
  const { g, prediction } = recordForward(modelConfig(model), batch, precision);
  const context = lowerContext(g, target, [prediction]);
  const lowered = g.nodes.map((node) => lower(context, node));
  const constant = constantLaunches(lowered.flat());
  return graphWork(g, lowered.map((all) => all.filter((launch) => !constant.has(launch))), context);
}

/** The dispatches of a graph. */
function graphWork(g: Graph, lowered: readonly Launch<Tensor>[][], context: LowerContext): KernelWork[] {
  const { combined } = planLaunches(g, lowered, context);
  return g.nodes.flatMap((node, i) => {
    const launches = combined.launches[i]!; // by node
    const alone = launches.filter((launch) => combined.membersOf(launch).length === 1);
    const others = launches.filter((launch) => !alone.includes(launch));
    return [...nodeWork(node, alone), ...others.map((launch) => combinedWork(combined.membersOf(launch)))];
  });
}

/** Work of a dispatch that stands for launches of several nodes. */
function combinedWork(members: readonly Launch<Tensor>[]): KernelWork {
  const sum = (of: (launch: Launch<Tensor>) => number) =>
    members.reduce((total, each) => total + of(each), 0);
  const bytesOf = ({ buffers }: Launch<Tensor>) =>
    [...new Set(Object.values(buffers))].reduce((total, { bytes }) => total + bytes, 0);
  const { kernel, entry } = members[0]!; // several
  return {
    kernel: `${kernel.name}_combined.${entry}`,
    bytes: sum(bytesOf),
    operations: sum(({ operations }) => operations),
    flops: sum(({ flops }) => flops),
  };
}

/** Work of the float16 copy of the weights. */
function copyWork(elements: number): KernelWork {
  const [launch] = cast(elements, { x: undefined, y: undefined }, "weights");
  return { kernel: nameOf(launch!), bytes: (4 + 2) * elements, operations: 0, flops: 0 };
}

/** Work of the sums over samples that nodes leave to the end of the graph. */
function deferredWork(contributions: Tensor | undefined): KernelWork[] {
  if (!contributions) return [];
  const [launch] = sampleSums(1, { blocks: undefined, values: undefined, sums: undefined });
  return [{ kernel: nameOf(launch!), bytes: contributions.bytes, operations: 0, flops: 0 }];
}

/**
 * Work of a node's launches. Launches of the same kernel divide the node's operands and results among them; workspace is
 * used whole by each.
 */
export function nodeWork(node: Node, launches: readonly Launch<Tensor>[]): KernelWork[] {
  const divided = new Set([...inputsOf(node), ...outputsOf(node)]);
  const users = (kernel: string, tensor: Tensor) =>
    launches.filter((launch) => nameOf(launch) === kernel && Object.values(launch.buffers).includes(tensor));
  return launches.map((launch) => {
    const kernel = nameOf(launch);
    const bytes = [...new Set(Object.values(launch.buffers))]
      .map((tensor) => tensor.bytes / (divided.has(tensor) ? users(kernel, tensor).length : 1));
    const { operations, flops } = launch;
    return { kernel, bytes: bytes.reduce((sum, each) => sum + each, 0), operations, flops };
  });
}

/** Work of the optimizer, which reads and writes most of its buffers in place. */
function optimizerWork(elements: number): KernelWork[] {
  const view = (size: number): BufferView => ({ buffer: {} as GPUBuffer, offset: 0, size });
  const flat = view(4 * elements);
  const record = view(48);
  const weights = { parameters: flat, firstMoment: flat, secondMoment: flat, ema: flat, profiles: [] };
  const constants = { beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0, clip: 1, stopAtNonFinite: true };
  const buffers = {
    stepState: record,
    health: record,
    log: record,
    lossScale: undefined,
    profileRates: undefined,
  };
  const windows = [{ first: 0, elements }];
  const partials = view(normScratchBytes(windows));
  const launches = optimizerLaunches(constants, windows, { ...buffers, weights, partials, gradients: flat });
  return launches.map((launch) => {
    const times = (name: string) => launch.kernel.bindings[name]?.access === "read_write" ? 2 : 1;
    const bytes = Object.entries(launch.buffers).reduce(
      (sum, [name, { size }]) => sum + times(name) * size,
      0,
    );
    return { kernel: nameOf(launch), bytes, operations: 0, flops: 0 };
  });
}

function nameOf({ kernel, entry }: Launch<unknown>): string {
  return `${kernel.name}.${entry}`;
}
