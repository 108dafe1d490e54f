/**
 * Compilation of a recorded graph: lowering to dispatches, memory planning, buffer allocation.
 *
 * @module
 */
import type { Launch } from "../../kernels/source.ts";
import { GUARANTEED_BINDING, type KernelTarget } from "../../kernels/target.ts";
import type { Gpu } from "../gpu/device.ts";
import { mebibytes, OutOfMemory } from "../gpu/budget.ts";
import { type BufferView, ResourceScope } from "../gpu/memory.ts";
import { CombinedLaunches, combineLaunches } from "./combine.ts";
import type { HoistedConstants } from "./constants.ts";
import type { Graph } from "./graph.ts";
import { lower, type LowerContext } from "./lower.ts";
import { type MemoryPlan, planMemory } from "./plan.ts";
import { dropRepeats } from "./repeats.ts";
import { SampleSums } from "./sample_sums.ts";
import type { Tensor } from "./tensor.ts";
import { findViews, type Views } from "./views.ts";

/** Compiled graph: launches over allocated buffers, and views of its kept tensors. */
export interface Compiled {
  /** Dispatches by node, in the order of the graph's nodes; then those of deferred sums over samples, if there are any. */
  readonly launches: readonly (readonly Launch<BufferView>[])[];
  /**
   * The same before repeated launches are dropped and small ones are combined, which changes no bits, but depends on how much
   * memory is left.
   */
  readonly separate: readonly Launch<unknown>[];
  /** Bytes of the activation buffers allocated for this graph. */
  readonly bytes: number;
  /** Workspace buffers without contents before or after the launches, largest first; other graphs may reuse them. */
  readonly reusable: readonly GPUBuffer[];
  /** View of a bound or kept tensor. */
  view(tensor: Tensor): BufferView;
  /** Frees the activation buffers allocated for this graph. */
  destroy(): void;
}

/** Options of {@linkcode compileGraph}. */
export interface CompileOptions {
  /** Views of all input, parameter and gradient tensors. */
  bound: ReadonlyMap<Tensor, BufferView>;
  /** Activations to keep after the last dispatch: results, and tensors written from outside. */
  keep?: readonly Tensor[];
  /**
   * {@linkcode Compiled.reusable} buffers of another graph, used before new ones are allocated. The other graph must
   * outlive this one. Each overwrites the other's contents there, including this graph's kept activations.
   */
  reuse?: readonly GPUBuffer[];
  /** Subject of the out-of-memory message, e.g. `training small at batch 128`. */
  what: string;
  /** Kernel variants; default {@linkcode kernelTarget}. */
  target?: KernelTarget;
  /** Receives the launches that depend on parameters only; must outlive this graph and run before it. */
  constants?: HoistedConstants;
}

/** Default kernel variants for a device. */
export function kernelTarget(gpu: Pick<Gpu, "adapter" | "limits">): KernelTarget {
  const { software, subgroupSize, matrices } = gpu.adapter;
  // Products of a software adapter's own kernels have float32 sums, too, and are much faster than emulated matrices.
  const usesMatrices = matrices && !(software && matrices.dialect === "emulation");
  return {
    path: software ? "subgroup" : "tile",
    subgroupSize,
    workgroupBytes: gpu.limits.maxComputeWorkgroupStorageSize,
    bindingBytes: gpu.limits.maxStorageBufferBindingSize,
    ...usesMatrices ? { matrices } : {},
  };
}

/** Limit on the memory that keeps results for repeated launches, as a share of all activations. */
const REPEATS = 1 / 8;

/** Likewise, for the operands of deferred sums. */
const DEFERRED = 1 / 64;

/**
 * Context for lowering the nodes of a graph.
 *
 * @param keep activations that are read from outside
 * @param views result of {@linkcode findViews}, which takes a pass over the graph, for the same arguments
 */
export function lowerContext(
  g: Graph,
  target: KernelTarget,
  keep: readonly Tensor[] = [],
  views: Views = findViews(g.nodes, target, keep),
): LowerContext {
  return {
    views,
    target,
    temporary: (name, elements, type = "float32") =>
      g.tensor(name, [1, 1, 1, elements], "activation", false, type),
    sampleSums: new SampleSums(g),
  };
}

/**
 * Drops repeated launches, as far as there is memory to keep their results, combines launches of many layers, and plans
 * memory.
 *
 * @param lowered launches by node
 * @param keep activations to keep after the last dispatch
 * @param reuse sizes of existing buffers to reuse, bytes, largest first
 * @param available memory for new buffers, bytes; default unlimited. Buffers that are needed in any case are created before, so
 *   that none is missing for them; where some are not, use {@linkcode fitMemory}
 */
export function planLaunches(
  g: Graph,
  lowered: readonly (readonly Launch<Tensor>[])[],
  { target, sampleSums }: LowerContext,
  keep: readonly Tensor[] = [],
  reuse: readonly number[] = [],
  available = Infinity,
): { readonly combined: CombinedLaunches; readonly plan: MemoryPlan } {
  const planOf = (launches: readonly Launch<Tensor>[]) =>
    planMemory(sampleSums.planned(launches), keep, reuse);
  const plan = planOf(lowered.flat());
  const separate = { combined: new CombinedLaunches(lowered, []), plan };
  if (target.frugal) return separate;
  const launches = dropRepeats(g.nodes, lowered, REPEATS * plan.bytes);
  const combined = combineLaunches(g, launches, {
    binding: target.bindingBytes ?? GUARANTEED_BINDING,
    deferred: DEFERRED * plan.bytes,
  });
  const faster = { combined, plan: planOf(combined.planned()) };
  return faster.plan.bytes <= available ? faster : separate;
}

/**
 * Builds from graphs whose launches take memory for speed where there is some left; if what follows does not fit then, builds
 * again from graphs that take none.
 *
 * @param build leaves nothing allocated if it throws
 */
export async function fitMemory<T>(
  target: KernelTarget,
  build: (target: KernelTarget) => Promise<T>,
): Promise<T> {
  try {
    return await build(target);
  } catch (error) {
    if (!(error instanceof OutOfMemory) || target.frugal) throw error;
    return await build({ ...target, frugal: true });
  }
}

/**
 * Lowers a graph, plans its memory and creates the buffers.
 *
 * @throws {DeviceError} if the device has too little memory; nothing stays allocated
 */
export function compileGraph(gpu: Gpu, g: Graph, options: CompileOptions): Compiled {
  const { keep = [], reuse = [], what, target = kernelTarget(gpu), constants } = options;
  const context = lowerContext(g, target, keep);
  const lowered = g.nodes.map((node) => lower(context, node));
  const hoisted = constants?.hoist(lowered, options.bound);
  const { sampleSums } = context;
  const contributions = sampleSums.all;
  const { combined, plan } = planLaunches(
    g,
    hoisted?.launches ?? lowered,
    context,
    contributions ? [...keep, contributions] : keep,
    reuse.map(({ size }) => size),
    gpu.memory.limit - gpu.memory.used,
  );
  gpu.memory.require(plan.bytes, `${what} (activations ${mebibytes(plan.bytes)})`);
  const scope = new ResourceScope(gpu, what);
  try {
    const buffers = plan.buffers.map((size, i) => scope.buffer(size, `activation buffer ${i}`).buffer);
    const bound = new Map([...options.bound, ...hoisted?.bound ?? []]);
    const view = (tensor: Tensor): BufferView => {
      const outside = bound.get(tensor);
      if (outside) return outside;
      const slot = plan.slots.get(tensor);
      const buffer = slot === undefined ? undefined : reuse[slot] ?? buffers[slot - reuse.length];
      if (!buffer) throw new Error(`tensor ${tensor.name} (${tensor.role}) has no memory`);
      return { buffer, offset: 0, size: tensor.bytes };
    };
    const parts = contributions ? sampleSums.views(view(contributions)) : [];
    for (const [tensor, part] of [...parts, ...combined.views(view)]) bound.set(tensor, part);
    const ofNodes = combined.launches.map((ofNode) =>
      ofNode.flatMap((launch) => combined.place(gpu, scope, launch, view))
    );
    const sums = sampleSums.launches(gpu, scope, view);
    const launches = sums.length > 0 ? [...ofNodes, sums] : ofNodes;
    const separate = [...lowered.flat(), ...sums];
    const kept = new Set(keep.map((tensor) => plan.slots.get(tensor)));
    const reusable = buffers.filter((_, i) => !kept.has(reuse.length + i));
    return { launches, separate, bytes: plan.bytes, reusable, view, destroy: () => scope.destroy() };
  } catch (error) {
    scope.destroy();
    throw error;
  }
}
