/**
 * From a recorded graph to dispatches over real buffers.
 *
 * @module
 */
import type { Launch } from "../../kernels/source.ts";
import type { Choose, KernelTarget } from "../../kernels/target.ts";
import type { Gpu } from "../gpu/device.ts";
import { mebibytes } from "../gpu/budget.ts";
import { type BufferView, createBuffer, destroyBuffer } from "../gpu/memory.ts";
import type { HoistedConstants } from "./constants.ts";
import type { Graph } from "./graph.ts";
import { lower, type LowerContext } from "./lower.ts";
import { planMemory } from "./plan.ts";
import type { Tensor } from "./tensor.ts";

/** A graph with memory: launches to put in a program, and where each kept tensor lies. */
export interface Compiled {
  /** The dispatches of each node, in the order of the graph's nodes. */
  readonly launches: readonly (readonly Launch<BufferView>[])[];
  /** Bytes of the activation buffers that were created. */
  readonly bytes: number;
  /** Buffers that hold nothing before or after the launches, the largest first; another graph may work in them then. */
  readonly spare: readonly GPUBuffer[];
  /** Where a bound or kept tensor lies. */
  view(tensor: Tensor): BufferView;
  /** Frees the activation buffers that were created. */
  destroy(): void;
}

/** Options of {@linkcode compileGraph}. */
export interface CompileOptions {
  /** Memory of every input, parameter and gradient tensor. */
  bound: ReadonlyMap<Tensor, BufferView>;
  /** Activations to keep beyond the last dispatch: results, and what is filled from outside. */
  keep?: readonly Tensor[];
  /**
   * What another graph has to {@linkcode Compiled.spare}, to be used before any buffer is created. The other must outlive
   * this graph, and each overwrites what the other leaves there, kept activations of this graph among it.
   */
  spare?: readonly GPUBuffer[];
  /** Named in the message when memory does not suffice, e.g. `training small at batch 128`. */
  what: string;
  /** Kernel variants to use; default those that suit the device. */
  target?: KernelTarget;
  /** Takes over what follows from the parameters alone; it must outlive this graph, and be run before it. */
  constants?: HoistedConstants;
}

/** The kernel variants that suit a device. */
export function kernelTarget(gpu: Gpu): KernelTarget {
  const { software, subgroupSize } = gpu.adapter;
  return {
    path: software ? "subgroup" : "tile",
    subgroupSize,
  };
}

/** What lowering the nodes of a graph needs. */
export function lowerContext(g: Graph, target: KernelTarget): LowerContext {
  return {
    target: g.stored === "float16" ? halfTarget(target) : target,
    temporary: (name, elements, type = "float32") =>
      g.tensor(name, [1, 1, 1, elements], "activation", false, type),
  };
}

/** The same target for float16: what is the fastest there is another question. */
function halfTarget({ choose, ...target }: KernelTarget): KernelTarget {
  const chooseHalf: Choose = (key, candidates) => choose!(`float16 ${key}`, candidates);
  return { ...target, half: true, ...(choose ? { choose: chooseHalf } : {}) };
}

/**
 * Lowers a graph, plans its memory and creates the buffers.
 *
 * @throws {DeviceError} when the device cannot hold it; nothing stays allocated
 */
export function compileGraph(gpu: Gpu, g: Graph, options: CompileOptions): Compiled {
  const { keep = [], spare: lent = [], what, target = kernelTarget(gpu), constants } = options;
  const context = lowerContext(g, target);
  const lowered = g.nodes.map((node) => lower(context, node));
  const hoisted = constants?.hoist(lowered, options.bound);
  const symbolic = hoisted?.launches ?? lowered;
  const bound = new Map([...options.bound, ...hoisted?.bound ?? []]);
  const plan = planMemory(symbolic.flat(), keep, lent.map(({ size }) => size));
  gpu.memory.require(plan.bytes, `${what} (activations ${mebibytes(plan.bytes)})`);
  const buffers: GPUBuffer[] = [];
  const destroy = () => {
    for (const buffer of buffers.splice(0)) destroyBuffer(gpu, buffer);
  };
  const view = (tensor: Tensor): BufferView => {
    const outside = bound.get(tensor);
    if (outside) return outside;
    const slot = plan.slots.get(tensor);
    if (slot === undefined) throw new Error(`tensor ${tensor.name} (${tensor.role}) has no memory`);
    return { buffer: lent[slot] ?? buffers[slot - lent.length], offset: 0, size: tensor.bytes };
  };
  const place = (launch: Launch<Tensor>): Launch<BufferView> => ({
    ...launch,
    buffers: Object.fromEntries(Object.entries(launch.buffers).map(([name, tensor]) => [name, view(tensor)])),
  });
  try {
    plan.buffers.forEach((bytes, i) =>
      buffers.push(createBuffer(gpu, bytes, `${what}, activation buffer ${i}`))
    );
    const launches = symbolic.map((ofNode) => ofNode.map(place));
    const kept = new Set(keep.map((tensor) => plan.slots.get(tensor)));
    const spare = buffers.filter((_, i) => !kept.has(lent.length + i));
    return { launches, bytes: plan.bytes, spare, view, destroy };
  } catch (error) {
    destroy();
    throw error;
  }
}
