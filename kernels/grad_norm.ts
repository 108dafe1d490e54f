/**
 * Launchers of `grad_norm.wgsl`: global gradient norm, clipping factor and NaN/Inf check.
 *
 * @module
 */
import { type Launch, launch } from "./source.ts";
import { gradNormKernel } from "./sources.ts";
import { findStructs, parseFields, SCALAR_BYTES } from "./struct.ts";

/** Fills a large GPU; more would lengthen the second stage. */
const MAX_PARTIALS = 65536;
/** Minimum vec4s per invocation. */
const BLOCKS_PER_PARTIAL = 16;

/** Bytes of a `Partial`; a workgroup's 64 keep windows of the scratch buffer aligned. */
const PARTIAL_BYTES = SCALAR_BYTES *
  parseFields("Partial", findStructs(gradNormKernel.code).get("Partial")!).length;

/** Options of clipping and skipping. */
export interface GradNormOptions {
  /** Norm above which gradients are clipped; 0 disables clipping. */
  readonly maxNorm: number;
  /** True: after a non-finite step, all later steps are skipped too. False: only non-finite steps are skipped. */
  readonly sticky: boolean;
}

/** Buffers of {@linkcode gradNormPartials} and {@linkcode gradNormFinish}. */
export interface GradNormBuffers<B> {
  readonly step_state: B;
  readonly gradients: B;
  /** Scratch of {@linkcode gradNormScratchBytes} bytes. */
  readonly partials: B;
  /** Out: a `Health` record, zeros before the first step. */
  readonly health: B;
  /** In and out: the step's record, with the loss written by `recordLoss`. */
  readonly train_log: B;
}

/** Bytes of scratch for the partial sums of a window of gradients. */
export function gradNormScratchBytes(elements: number): number {
  return PARTIAL_BYTES * invocations(elements);
}

/**
 * Partial sums of squares of a flat buffer, or of a window of one that exceeds the binding limit.
 *
 * @param elements floats in the window, a multiple of 4
 * @param buffers window of the gradients, and its {@linkcode gradNormScratchBytes} of scratch
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
 * Norm, clipping factor and NaN/Inf flag from the partial sums.
 *
 * @param partialBytes bytes of scratch written by {@linkcode gradNormPartials}, over all windows
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
