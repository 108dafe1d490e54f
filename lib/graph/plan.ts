/**
 * Memory for activations: tensors whose lifetimes do not overlap share a buffer.
 *
 * A buffer holds one live tensor at a time, because WebGPU refuses a buffer that is read and written in one dispatch even
 * where the ranges are disjoint.
 *
 * @module
 */
import type { Launch } from "../../kernels/source.ts";
import type { Tensor } from "./tensor.ts";

/** Where activations lie. */
export interface Plan {
  /** Bytes of each buffer to create. */
  readonly buffers: readonly number[];
  /** Index into `buffers` of each activation. */
  readonly slots: ReadonlyMap<Tensor, number>;
  /** Bytes of all buffers. */
  readonly bytes: number;
}

interface Slot {
  index: number;
  elements: number;
}

/**
 * Assigns every activation that the launches touch to a buffer.
 *
 * @param launches the dispatches in order; a tensor lives from its first use to its last
 * @param keep activations to keep beyond the last dispatch, such as results
 */
export function planMemory(launches: readonly Launch<Tensor>[], keep: readonly Tensor[] = []): Plan {
  const lastUse = new Map<Tensor, number>();
  launches.forEach(({ buffers }, i) => {
    for (const tensor of activations(buffers)) lastUse.set(tensor, i);
  });
  for (const tensor of keep) lastUse.set(tensor, Infinity);

  const sizes: number[] = [];
  const slots = new Map<Tensor, number>();
  let free: Slot[] = [];
  launches.forEach(({ buffers }, i) => {
    const used = activations(buffers);
    for (const tensor of used) {
      if (slots.has(tensor)) continue;
      const slot = takeSlot(free, tensor.elements) ?? { index: sizes.push(0) - 1, elements: 0 };
      free = free.filter(({ index }) => index !== slot.index);
      sizes[slot.index] = Math.max(sizes[slot.index], tensor.elements);
      slots.set(tensor, slot.index);
    }
    for (const tensor of used) {
      const index = slots.get(tensor)!;
      if (lastUse.get(tensor) === i) free.push({ index, elements: sizes[index] });
    }
  });
  const bytes = sizes.map((elements) => 4 * elements);
  return { buffers: bytes, slots, bytes: bytes.reduce((sum, size) => sum + size, 0) };
}

/** Distinct activations among a launch's buffers. */
function activations(buffers: Readonly<Record<string, Tensor>>): Set<Tensor> {
  return new Set(Object.values(buffers).filter(({ role }) => role === "activation"));
}

/** The smallest free buffer that is large enough, else the largest, which then grows least. */
function takeSlot(free: readonly Slot[], elements: number): Slot | undefined {
  let best: Slot | undefined;
  for (const slot of free) {
    if (!best) best = slot;
    else if (
      best.elements < elements
        ? slot.elements > best.elements
        : slot.elements >= elements && slot.elements < best.elements
    ) {
      best = slot;
    }
  }
  return best;
}
