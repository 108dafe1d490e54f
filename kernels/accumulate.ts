/**
 * Adding up gradients over micro-batches; see accumulate.wgsl.
 *
 * @module
 */
import { grid1d, type Launch, launch } from "./source.ts";
import { accumulateKernel } from "./sources.ts";

/** Buffers of {@linkcode accumulate}, flat and of the same length. */
export interface AccumulateBuffers<B> {
  readonly step_state: B;
  /** Of this micro-batch. */
  readonly gradients: B;
  /** In and out: of the optimizer step so far. */
  readonly sum: B;
}

/**
 * Starts or continues a sum of gradients, as the step state's `accumulate` says.
 *
 * @param elements floats in each buffer, a multiple of 4
 */
export function accumulate<B>(elements: number, buffers: AccumulateBuffers<B>): Launch<B>[] {
  const blocks = elements / 4;
  return [launch(accumulateKernel, "accumulate", { blocks }, { ...buffers }, grid1d(blocks, 64))];
}
