/**
 * Global gradient norm, clipping factor and NaN/Inf flag; see grad_norm.wgsl.
 *
 * @module
 */
import { type Launch, launch } from "./source.ts";
import { gradNormKernel } from "./sources.ts";
import { findStructs, parseFields, SCALAR_BYTES } from "./struct.ts";

/** Enough invocations to fill a large GPU; more would only make the second stage longer. */
const MAX_PARTIALS = 65536;
/** vec4s that one invocation should have at least. */
const BLOCKS_PER_PARTIAL = 16;

/** Bytes of one invocation's `Partial`; 64 of them keep windows of the scratch aligned. */
const PARTIAL_BYTES = SCALAR_BYTES *
  parseFields("Partial", findStructs(gradNormKernel.code).get("Partial")!).length;

/** What the norm is for. */
export interface GradNormOptions {
  /** Largest norm that is left unclipped; 0 clips nothing. */
  readonly maxNorm: number;
  /** True: once a step was not finite, no later step updates anything. False: only the steps at fault are skipped. */
  readonly sticky: boolean;
}

/** Buffers of {@linkcode gradNormPartials} and {@linkcode gradNormFinish}. */
export interface GradNormBuffers<B> {
  readonly step_state: B;
  readonly gradients: B;
  /** Scratch of {@linkcode gradNormScratchBytes}. */
  readonly partials: B;
  /** Out: a `Health` record, zeros before the first step. */
  readonly health: B;
  /** In and out: the step's record, after `recordLoss` has written the loss there. */
  readonly train_log: B;
}

/** Bytes of the partial sums of so many gradients. */
export function gradNormScratchBytes(elements: number): number {
  return PARTIAL_BYTES * invocations(elements);
}

/**
 * Sums of squares of a flat buffer, or of a window of one that is too large to bind whole.
 *
 * @param elements floats of the window, a multiple of 4
 * @param buffers the window of the gradients and its {@linkcode gradNormScratchBytes} of scratch
 */
export function gradNormPartials<B>(
  elements: number,
  buffers: Pick<GradNormBuffers<B>, "gradients" | "partials">,
): Launch<B>[] {
  const count = invocations(elements);
  const params = { blocks: elements / 4, invocations: count, sticky: 0, max_norm: 0 };
  return [launch(gradNormKernel, "partial_sums", params, { ...buffers }, [count / 64, 1, 1])];
}

/**
 * The norm from its partial sums, and with it whether and how the optimizer may go on.
 *
 * @param partialBytes bytes of scratch that {@linkcode gradNormPartials} has filled, over all windows
 */
export function gradNormFinish<B>(
  { maxNorm, sticky }: GradNormOptions,
  partialBytes: number,
  buffers: Omit<GradNormBuffers<B>, "gradients">,
): Launch<B>[] {
  const params = {
    blocks: 0,
    invocations: partialBytes / PARTIAL_BYTES,
    sticky: sticky ? 1 : 0,
    max_norm: maxNorm,
  };
  return [launch(gradNormKernel, "finish", params, { ...buffers }, [1, 1, 1])];
}

function invocations(elements: number): number {
  return Math.min(MAX_PARTIALS, 64 * Math.ceil(elements / (4 * BLOCKS_PER_PARTIAL * 64)));
}
