/**
 * Launcher of `softmax.wgsl`: softmax over the rows of attention scores.
 *
 * @module
 */
import { grid1d, type Launch, launch } from "./source.ts";
import { softmaxKernel } from "./sources.ts";

/** Shape of the attention scores. */
export interface SoftmaxShape {
  readonly rows: number;
  /** Values per row, T, without padding. */
  readonly length: number;
  /** Row stride Tp in elements: a multiple of 4, at least `length`. */
  readonly stride: number;
}

/** Rows per workgroup: 64 invocations, eight per row. */
const ROWS_PER_WORKGROUP = 8;

/**
 * `y_j = exp(x_j) / sum_k exp(x_k)` within each row, with the row's maximum subtracted first.
 *
 * @param buffers `x`, `y` [rows, Tp]; padding of `x` is ignored, that of `y` is written zero
 */
export function softmaxForward<B>(
  { rows, length, stride }: SoftmaxShape,
  { x, y }: { x: B; y: B },
  label = "softmax",
): Launch<B>[] {
  const params = { rows, length, columns: stride / 4 };
  return [launch(softmaxKernel, "forward", params, { x, y }, grid1d(rows, ROWS_PER_WORKGROUP), { label })];
}
