/**
 * Flat buffers of all parameters: windows that can be bound at once, and the float16 copy that products read.
 *
 * @module
 */
import { cast } from "../../kernels/cast.ts";
import type { Launch } from "../../kernels/source.ts";
import type { Gpu } from "../gpu/device.ts";
import type { BufferView } from "../gpu/memory.ts";
import { ELEMENT_BYTES, type FloatType } from "../graph/tensor.ts";

/** A part of every flat buffer that can be bound at once. */
export interface FlatWindow {
  readonly first: number;
  readonly elements: number;
}

/** Elements that a window starts at a multiple of, so that it can be bound in float16, too. */
const STEP = 128;

/**
 * Cuts flat buffers into windows.
 *
 * @param total elements
 * @param limit bytes of a binding: 128 MiB on some adapters, less than 35 M parameters take
 */
export function flatWindows(total: number, limit: number): FlatWindow[] {
  const largest = STEP * Math.floor(limit / (ELEMENT_BYTES.float32 * STEP));
  const windows: FlatWindow[] = [];
  for (let first = 0; first < total; first += largest) {
    windows.push({ first, elements: Math.min(largest, total - first) });
  }
  return windows;
}

/** A window of a flat buffer. */
export function flatView(
  { buffer }: Pick<BufferView, "buffer">,
  { first, elements }: FlatWindow,
  type: FloatType = "float32",
): BufferView {
  return { buffer, offset: ELEMENT_BYTES[type] * first, size: ELEMENT_BYTES[type] * elements };
}

/**
 * Writes the float16 copy of a network's weights. Each pass of the network begins so: what that moves is little beside what
 * the pass moves, and nobody has to know when weights change.
 *
 * @param elements of the flat buffer, as `ParameterTable` says
 */
export function castWeights(
  gpu: Gpu,
  elements: number,
  flat: GPUBuffer,
  copy: GPUBuffer,
): Launch<BufferView>[] {
  return flatWindows(elements, gpu.limits.maxStorageBufferBindingSize).flatMap((window) =>
    cast(window.elements, {
      x: flatView({ buffer: flat }, window),
      y: flatView({ buffer: copy }, window, "float16"),
    }, "weights in float16")
  );
}
