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

/** Buffer under planning: its size in bytes, and the lifetimes of the tensors assigned to it. */
interface Planned {
  readonly size: number;
  readonly tenants: Span[];
}

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
  const planned = reuse.map((size): Planned => ({ size, tenants: [] }));
  const slots = new Map<Tensor, number>();
  // Largest first: buffers never grow, and small tensors fill the gaps between large ones.
  const bySize = [...lifetimes(launches, keep)].sort(([a], [b]) => b.bytes - a.bytes);
  for (const [tensor, [first, last]] of bySize) {
    const { bytes } = tensor;
    const free = planned.findIndex(({ size, tenants }) =>
      size >= bytes && tenants.every(([from, to]) => last < from || to < first)
    );
    const slot = free < 0 ? planned.push({ size: bytes, tenants: [] }) - 1 : free;
    planned[slot]!.tenants.push([first, last]); // found or pushed above
    slots.set(tensor, slot);
  }
  const buffers = planned.slice(reuse.length).map(({ size }) => size);
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
