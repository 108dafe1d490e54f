/**
 * Launchers of multi-head attention (Vaswani et al. 2017), forward and backward: products over slices of one tensor that holds
 * q, k and v side by side, and a softmax between them.
 *
 * With p = softmax(s), s = scale q k^T and y = p v, the backward pass (Dao et al. 2022, FlashAttention, appendix B.2) needs no
 * sum over a row of scores, because it equals a sum over a head's channels:
 *
 *   ds_ij = p_ij (dp_ij - sum_k dp_ik p_ik) = p_ij (dp_ij - dy_i . y_i)      dp = dy v^T
 *
 * so the product that computes dp writes the gradient of the scores.
 *
 * @module
 */
import { headDots } from "./head_dots.ts";
import { matmul, type MatmulShape, softmaxGradientProduct } from "./products/matmul.ts";
import { softmaxForward } from "./softmax.ts";
import type { Launch } from "./source.ts";
import type { KernelTarget } from "./target.ts";

/** Shape of an attention layer. */
export interface AttentionShape {
  readonly batch: number;
  /** Positions per image. */
  readonly length: number;
  /** Channels of all heads together, a multiple of `heads`. */
  readonly channels: number;
  readonly heads: number;
}

/** Rows of scores: one for each position of each head. */
export function scoreRows({ batch, heads, length }: AttentionShape): number {
  return batch * heads * length;
}

/**
 * `y = softmax(scale q k^T) v` for each head, with `scale = 1 / sqrt(channels / heads)`.
 *
 * @param buffers `qkv` [N, T, 3 Cp]: q, k, v; `scores` workspace and `weights` result [N, heads, T, Tp]; `y` [N, T, Cp]
 */
export function attentionForward<B>(
  target: KernelTarget,
  shape: AttentionShape,
  { qkv, scores, weights, y }: { qkv: B; scores: B; weights: B; y: B },
  label: string,
): Launch<B>[] {
  const { length } = shape;
  const { toScores, toImage, q, k, v, image, matrix } = layouts(shape);
  return [
    ...matmul<B>(
      target,
      { ...toScores, a: rows(q), b: columns(k), c: matrix, alpha: scaleOf(shape) },
      { a: qkv, b: qkv, c: scores },
      `${label}.qk`,
    ),
    ...softmaxForward(
      { rows: scoreRows(shape), length, stride: padded(length) },
      { x: scores, y: weights },
      label,
    ),
    ...matmul<B>(
      target,
      { ...toImage, a: rows(matrix), b: rows(v), c: image },
      { a: weights, b: qkv, c: y },
      `${label}.pv`,
    ),
  ];
}

/**
 * Gradient of {@linkcode attentionForward}.
 *
 * @param buffers `qkv`, `y`, `weights` of the forward pass, `dy` like `y`, `dqkv` like `qkv`; workspace `dots`,
 *   {@linkcode scoreRows} floats, and `dscores` like `weights`
 */
export function attentionBackward<B>(
  target: KernelTarget,
  shape: AttentionShape,
  { qkv, y, weights, dy, dqkv, dots, dscores }: Record<
    "qkv" | "y" | "weights" | "dy" | "dqkv" | "dots" | "dscores",
    B
  >,
  label: string,
): Launch<B>[] {
  const { toScores, toImage, q, k, v, image, matrix } = layouts(shape);
  return [
    ...matmul<B>(
      target,
      { ...toImage, a: columns(matrix), b: rows(image), c: v },
      { a: weights, b: dy, c: dqkv },
      `${label}.dv`,
    ),
    ...headDots(shape, { y, dy, dots }, `${label}.dots`),
    // Applies the scale of the scores once, for both products below.
    ...softmaxGradientProduct<B>(
      target,
      { ...toScores, a: rows(image), b: columns(v), c: matrix, alpha: scaleOf(shape) },
      { a: dy, b: qkv, weights, dots, c: dscores },
      `${label}.dscores`,
    ),
    ...matmul<B>(
      target,
      { ...toImage, a: rows(matrix), b: rows(k), c: q },
      { a: dscores, b: qkv, c: dqkv },
      `${label}.dq`,
    ),
    ...matmul<B>(
      target,
      { ...toImage, a: columns(matrix), b: rows(q), c: k },
      { a: dscores, b: qkv, c: dqkv },
      `${label}.dk`,
    ),
  ];
}

/** Strides of the operands; a head is a slice of the channels, and the scores of all heads are contiguous. */
function layouts({ batch, length, channels, heads }: AttentionShape) {
  const size = channels / heads;
  const width = padded(channels);
  const slice = (parts: number, part: number) => ({
    first: part * width,
    rowStride: parts * width,
    batchStride: length * parts * width,
    headStride: size,
  });
  const stride = padded(length);
  const product: Pick<MatmulShape, "batch" | "heads" | "alpha"> = { batch, heads, alpha: 1 };
  return {
    image: slice(1, 0),
    q: slice(3, 0),
    k: slice(3, 1),
    v: slice(3, 2),
    matrix: {
      first: 0,
      rowStride: stride,
      batchStride: heads * length * stride,
      headStride: length * stride,
    },
    toScores: { ...product, m: length, n: length, k: size },
    toImage: { ...product, m: length, n: size, k: length },
  };
}

/** Reads a matrix row by row. */
function rows<L>(layout: L): L & { transposed: false } {
  return { ...layout, transposed: false };
}

/** Reads a matrix transposed. */
function columns<L>(layout: L): L & { transposed: true } {
  return { ...layout, transposed: true };
}

function scaleOf({ channels, heads }: AttentionShape): number {
  return 1 / Math.sqrt(channels / heads);
}

function padded(count: number): number {
  return 4 * Math.ceil(count / 4);
}
