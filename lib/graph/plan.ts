/**
 * Memory planning for activations: tensors with disjoint lifetimes share a buffer (Pisarchyk & Lee 2020, "greedy by
 * size").
 *
 * A buffer holds one live tensor at a time, because WebGPU rejects a buffer that is both read and written in a dispatch,
 * even if the ranges are disjoint.
 *
 * @module
 */
import type { Launch } from "../../kernels/source.ts";
import type { Tensor } from "./tensor.ts";

/** Assignment of activations to buffers. */
export interface MemoryPlan {
  /** Size of each buffer to allocate, bytes. */
  readonly buffers: readonly number[];
  /** Buffer index of each activation: reused buffers first, then `buffers`. */
  readonly slots: ReadonlyMap<Tensor, number>;
  /** Total size of the buffers to allocate, bytes. */
  readonly bytes: number;
}

/** Lifetime: indices of the first and last dispatch that use a tensor. */
type Span = readonly [first: number, last: number];

/**
 * Assigns every activation that the launches use to a buffer.
 *
 * @param launches dispatches in order; a tensor lives from its first use to its last
 * @param keep activations to keep after the last dispatch, such as results
 * @param reuse sizes of existing buffers to reuse, bytes, largest first
 */
export function planMemory(
  launches: readonly Launch<Tensor>[],
  keep: readonly Tensor[] = [],
  reuse: readonly number[] = [],
): MemoryPlan {
  const sizes = [...reuse];
  const tenants: Span[][] = reuse.map(() => []);
  const slots = new Map<Tensor, number>();
  // Largest first: buffers never grow, and small tensors fill the gaps between large ones.
  const bySize = [...lifetimes(launches, keep)].sort(([a], [b]) => b.bytes - a.bytes);
  for (const [tensor, [first, last]] of bySize) {
    const { bytes } = tensor;
    let slot = tenants.findIndex((spans, i) =>
      sizes[i] >= bytes && spans.every(([from, to]) => last < from || to < first)
    );
    if (slot < 0) {
      slot = sizes.push(bytes) - 1;
      tenants.push([]);
    }
    tenants[slot].push([first, last]);
    slots.set(tensor, slot);
  }
  const buffers = sizes.slice(reuse.length);
  return { buffers, slots, bytes: buffers.reduce((sum, size) => sum + size, 0) };
}

function lifetimes(launches: readonly Launch<Tensor>[], keep: readonly Tensor[]): Map<Tensor, Span> {
  const spans = new Map<Tensor, Span>();
  launches.forEach(({ buffers }, i) => {
    for (const tensor of Object.values(buffers)) {
      if (tensor.role === "activation") spans.set(tensor, [spans.get(tensor)?.[0] ?? i, i]);
    }
  });
  for (const tensor of keep) {
    const span = spans.get(tensor);
    if (span) spans.set(tensor, [span[0], Infinity]);
  }
  return spans;
}
