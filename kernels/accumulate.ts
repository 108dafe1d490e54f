/**
 * Launcher of `accumulate.wgsl`: gradient accumulation over micro-batches.
 *
 * @module
 */
import { grid1d, type Launch, launch } from "./source.ts";
import { accumulateKernel } from "./sources.ts";

/** Buffers of {@linkcode accumulate}; gradients and sum are flat float32 buffers of the same length. */
export interface AccumulateBuffers<B> {
  readonly step_state: B;
  /** Gradients of this micro-batch. */
  readonly gradients: B;
  /** In and out: sum over the optimizer step so far. */
  readonly sum: B;
}

/**
 * Starts or continues a sum of gradients, depending on the step state's `accumulate`.
 *
 * @param elements floats in each buffer, a multiple of 4
 */
export function accumulate<B>(elements: number, buffers: AccumulateBuffers<B>): Launch<B>[] {
  const blocks = elements / 4;
  return [launch(accumulateKernel, "accumulate", { blocks }, { ...buffers }, grid1d(blocks, 64))];
}
