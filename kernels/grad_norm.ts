/**
 * Global gradient norm, clipping factor and NaN/Inf flag; see grad_norm.wgsl.
 *
 * @module
 */
import { type Launch, launch } from "./source.ts";
import { grad_norm } from "./sources.ts";

/** Enough invocations to fill a large GPU; more would only make the second stage longer. */
const MAX_PARTIALS = 65536;
/** vec4s that one invocation should have at least. */
const BLOCKS_PER_PARTIAL = 16;

/** What the norm is for. */
export interface GradNormOptions {
  /** Floats in the flat gradient buffer, a multiple of 4. */
  readonly elements: number;
  /** Largest norm that is left unclipped; 0 clips nothing. */
  readonly maxNorm: number;
  /** True: once a step was not finite, no later step updates anything. False: only the steps at fault are skipped. */
  readonly sticky: boolean;
}

/** Buffers of {@linkcode gradNorm}. */
export interface GradNormBuffers<B> {
  readonly step_state: B;
  readonly gradients: B;
  /** Scratch of {@linkcode gradNormScratchBytes}. */
  readonly partials: B;
  /** Out: `HEALTH_BYTES`, zeros before the first step. */
  readonly health: B;
  /** In and out: the step's record, after `recordLoss` has written the loss there. */
  readonly train_log: B;
}

/** Bytes of the scratch buffer of {@linkcode gradNorm}. */
export function gradNormScratchBytes(elements: number): number {
  return 8 * invocations(elements);
}

/** Computes the norm, and with it whether and how the optimizer may go on. */
export function gradNorm<B>(options: GradNormOptions, buffers: GradNormBuffers<B>): Launch<B>[] {
  const { elements, maxNorm, sticky } = options;
  const { step_state, gradients, partials, health, train_log } = buffers;
  const count = invocations(elements);
  const params = { blocks: elements / 4, invocations: count, sticky: sticky ? 1 : 0, max_norm: maxNorm };
  return [
    launch(grad_norm, "partial_sums", params, { gradients, partials }, [count / 64, 1, 1]),
    launch(grad_norm, "finish", params, { step_state, partials, health, train_log }, [1, 1, 1]),
  ];
}

function invocations(elements: number): number {
  return Math.min(MAX_PARTIALS, 64 * Math.ceil(elements / (4 * BLOCKS_PER_PARTIAL * 64)));
}
