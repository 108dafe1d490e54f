/**
 * Memory for activations: tensors whose lifetimes do not overlap share a buffer (Pisarchyk & Lee 2020, "greedy by size").
 *
 * A buffer holds one live tensor at a time, because WebGPU refuses a buffer that is read and written in one dispatch even
 * where the ranges are disjoint.
 *
 * @module
 */
import type { Launch } from "../../kernels/source.ts";
import type { Tensor } from "./tensor.ts";

/** Where activations lie. */
export interface MemoryPlan {
  /** Bytes of each buffer to create. */
  readonly buffers: readonly number[];
  /** Where each activation lies: first come the buffers that were lent, then `buffers`. */
  readonly slots: ReadonlyMap<Tensor, number>;
  /** Bytes of all buffers to create. */
  readonly bytes: number;
}

/** First and last dispatch that touches a tensor. */
type Span = readonly [first: number, last: number];

/**
 * Assigns every activation that the launches touch to a buffer.
 *
 * @param launches the dispatches in order; a tensor lives from its first use to its last
 * @param keep activations to keep beyond the last dispatch, such as results
 * @param lent bytes of each buffer that is there to be used, the largest first
 */
export function planMemory(
  launches: readonly Launch<Tensor>[],
  keep: readonly Tensor[] = [],
  lent: readonly number[] = [],
): MemoryPlan {
  const sizes = [...lent];
  const tenants: Span[][] = lent.map(() => []);
  const slots = new Map<Tensor, number>();
  // The largest come first, so that a buffer never grows and small tensors fill the gaps between large ones.
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
  const buffers = sizes.slice(lent.length);
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
