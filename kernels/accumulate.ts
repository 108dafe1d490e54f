/**
 * Launcher of `accumulate.wgsl`: addition of gradients over micro-batches.
 *
 * @module
 */
import { grid1d, type Launch, launch } from "./source.ts";
import { accumulateKernel } from "./sources.ts";

/** Buffers of {@linkcode accumulate}: flat, float32, of the same length. */
export interface AccumulateBuffers<B> {
  readonly addend: B;
  /** In and out. */
  readonly sum: B;
}

/**
 * Starts or continues a sum of gradients.
 *
 * @param elements floats in each buffer, a multiple of 4
 * @param add true to add to what is in `sum`, false to replace it
 */
export function accumulate<B>(elements: number, add: boolean, buffers: AccumulateBuffers<B>): Launch<B>[] {
  const blocks = elements / 4;
  const params = { blocks, add: add ? 1 : 0 };
  return [launch(accumulateKernel, "accumulate", params, { ...buffers }, grid1d(blocks, 64))];
}
