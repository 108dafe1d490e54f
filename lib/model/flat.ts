/**
 * Flat parameter buffers: windows within the binding size limit, and the float16 copy that matrix products read.
 *
 * @module
 */
import { cast } from "../../kernels/cast.ts";
import type { Launch } from "../../kernels/source.ts";
import type { Gpu } from "../gpu/device.ts";
import type { BufferView } from "../gpu/memory.ts";
import { ELEMENT_BYTES, type FloatType } from "../graph/tensor.ts";

/** Range of a flat buffer, small enough for one binding. */
export interface FlatWindow {
  readonly first: number;
  readonly elements: number;
}

/** Alignment of windows in elements, so that float16 copies can be bound, too. */
const STEP = 128;

/**
 * Splits flat buffers into windows.
 *
 * @param total elements of the buffer
 * @param limit maximum bytes of a binding: 128 MiB on some adapters, less than 35 M parameters take
 * @param first element to begin at, a multiple of 64
 */
export function flatWindows(total: number, limit: number, first = 0): FlatWindow[] {
  const largest = STEP * Math.floor(limit / (ELEMENT_BYTES.float32 * STEP));
  const windows: FlatWindow[] = [];
  for (let at = first; at < total; at += largest) {
    windows.push({ first: at, elements: Math.min(largest, total - at) });
  }
  return windows;
}

/** View of one window of a flat buffer. */
export function flatView(
  { buffer }: Pick<BufferView, "buffer">,
  { first, elements }: FlatWindow,
  type: FloatType = "float32",
): BufferView {
  return { buffer, offset: ELEMENT_BYTES[type] * first, size: ELEMENT_BYTES[type] * elements };
}

/**
 * Launches that write the float16 copy of the weights. Every pass of the network begins with them: the copy costs little
 * beside the pass, and no caller has to track when weights change.
 *
 * @param elements size of the flat buffer, see `ParameterTable`
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
