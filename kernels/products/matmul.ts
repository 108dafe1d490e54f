/**
 * Launcher of batched matrix products over strided layouts, such as attention with heads as channel slices of NHWC tensors.
 *
 * @module
 */
import { gemmGrid, gemmKernel, quads } from "./gemm.ts";
import type { RowBiasBuffer } from "./conv2d_shape.ts";
import { ADD, ADD_BIASES, type MatmulEpilogue, matmulProblem, SOFTMAX_GRADIENT } from "./matmul_source.ts";
import { type Launch, launch } from "../source.ts";
import type { KernelTarget } from "../target.ts";

/** Strides of the matrices of all (batch, head) pairs, in elements. */
export interface MatmulOutput {
  /** First element; default 0. */
  first?: number;
  rowStride: number;
  batchStride: number;
  headStride: number;
}

/** Input matrix: element (row, column) at row*rowStride + column or, transposed, at column*rowStride + row. */
export interface MatmulInput extends MatmulOutput {
  transposed: boolean;
}

/** Shape of a batched product: C [m, n] from A [m, k] and B [k, n]. */
export interface MatmulShape {
  batch: number;
  heads: number;
  m: number;
  n: number;
  k: number;
  a: MatmulInput;
  b: MatmulInput;
  c: MatmulOutput;
  alpha: number;
}

/** Buffers of {@linkcode matmul}. */
export interface MatmulBuffers<B> {
  a: B;
  b: B;
  c: B;
  /** Same layout as c. */
  addend?: B;
}

/** Operands that {@linkcode biasedMatmul} adds. */
export interface BiasBuffers<B> {
  /** [n], float32. */
  readonly bias?: B | undefined;
  /** A bias for each `sampleRows` rows of C. */
  readonly rowBias?: RowBiasBuffer<B> | undefined;
  readonly sampleRows: number;
}

/**
 * C[b,h][i,j] = alpha * sum over k of A[b,h][i,k] B[b,h][k,j] (+ addend[b,h][i,j]).
 *
 * Rows of C are padded to a multiple of 4 elements: up to three columns past the last are written as zero. If heads are
 * slices of one row (headStride < rowStride), the padding follows the last head; else that of every head.
 */
export function matmul<B>(
  target: KernelTarget,
  shape: MatmulShape,
  { a, b, c, addend }: MatmulBuffers<B>,
  label: string,
): Launch<B>[] {
  // All declared buffers must be bound; an absent addend is not read.
  const buffers = { a, b, c, addend: addend ?? a };
  const hasAddend = Number(addend !== undefined);
  return sharesPipeline(target, shape)
    ? biasedMatmul(target, shape, { a, b, c, addend }, { sampleRows: 1 }, { label })
    : [product<B>(target, shape, ADD, buffers, { has_addend: hasAddend }, { label })];
}

/**
 * True on a software adapter for products without and with biases, so that it compiles one pipeline for both; the branches cost it
 * nothing.
 */
function sharesPipeline({ path }: KernelTarget, shape: MatmulShape): boolean {
  return path === "subgroup" && !shape.a.transposed && !shape.b.transposed && !isScalar(shape);
}

/**
 * C[i,j] = alpha * sum over k of A[i,k] B[k,j] (+ bias[j]) (+ rowBias[i / sampleRows, j]) (+ addend[i,j]).
 *
 * @param options `flops`: default 2 per multiply-add
 */
export function biasedMatmul<B>(
  target: KernelTarget,
  shape: MatmulShape,
  { a, b, c, addend }: MatmulBuffers<B>,
  { bias, rowBias, sampleRows }: BiasBuffers<B>,
  options: ProductOptions,
): Launch<B>[] {
  const buffers = { a, b, c, addend: addend ?? a, bias: bias ?? a, row_bias: rowBias?.of ?? a };
  const params = {
    ...{ has_bias: Number(bias !== undefined), has_row_bias: Number(rowBias !== undefined) },
    ...{ has_addend: Number(addend !== undefined), sample_rows: sampleRows },
    ...{ row_bias_first: rowBias?.first ?? 0, row_bias_row: 4 * quads(rowBias?.width ?? 0) },
  };
  return [product<B>(target, shape, ADD_BIASES, buffers, params, options)];
}

/** Buffers of {@linkcode softmaxGradientProduct}. */
export interface SoftmaxGradientBuffers<B> {
  a: B;
  b: B;
  c: B;
  /** Same layout as c. */
  weights: B;
  /** [batch, heads, m], float32. */
  dots: B;
}

/**
 * C[b,h][i,j] = alpha * weights[b,h][i,j] * (sum over k of A[b,h][i,k] B[b,h][k,j] - dots[b,h][i]), with C padded as by
 * {@linkcode matmul}.
 */
export function softmaxGradientProduct<B>(
  target: KernelTarget,
  shape: MatmulShape,
  buffers: SoftmaxGradientBuffers<B>,
  label: string,
): Launch<B>[] {
  return [product<B>(target, shape, SOFTMAX_GRADIENT, { ...buffers }, { has_addend: 0 }, { label })];
}

/** Description of a launch. */
interface ProductOptions {
  readonly label: string;
  readonly flops?: number;
}

function product<B>(
  target: KernelTarget,
  shape: MatmulShape,
  epilogue: MatmulEpilogue,
  buffers: Record<string, B>,
  operands: Record<string, number>,
  { label, flops }: ProductOptions,
): Launch<B> {
  const { batch, heads, m, n, k, alpha } = shape;
  const sliced = isSliced(shape);
  const rowEnd = sliced ? (heads - 1) * shape.c.headStride + n : n;
  const padded = n + (4 - rowEnd % 4) % 4;
  const problem = matmulProblem({
    transposedA: shape.a.transposed,
    transposedB: shape.b.transposed,
    epilogue,
    scalar: isScalar(shape),
  });
  const size = { rows: m, columns: padded, depth: k, turn: k, places: batch * heads };
  const kernel = gemmKernel(target, problem, size);
  const params = {
    ...{ heads, m, n, k, alpha },
    columns: Math.ceil(padded / kernel.tile.width),
    padded_n: padded,
    sliced: Number(sliced),
    ...operands,
    ...strides("a", shape.a),
    ...strides("b", shape.b),
    ...strides("c", shape.c),
  };
  return launch(kernel.source, "main", params, buffers, gemmGrid(kernel, size), {
    label,
    flops: flops ?? 2 * batch * heads * m * n * k,
  });
}

/** True if heads are slices of one row of C. */
function isSliced({ heads, c }: MatmulShape): boolean {
  return heads > 1 && c.headStride < c.rowStride;
}

/** True if elements must be accessed one by one: with heads as slices, a quad past the end of a head would overwrite the next. */
function isScalar(shape: MatmulShape): boolean {
  return ![shape.a, shape.b, shape.c].every(isAligned) || (isSliced(shape) && shape.n % 4 !== 0);
}

function isAligned({ first = 0, rowStride, batchStride, headStride }: MatmulOutput): boolean {
  return first % 4 === 0 && rowStride % 4 === 0 && batchStride % 4 === 0 && headStride % 4 === 0;
}

function strides(
  name: string,
  { first = 0, rowStride, batchStride, headStride }: MatmulOutput,
): Record<string, number> {
  return {
    [`${name}_first`]: first,
    [`${name}_row`]: rowStride,
    [`${name}_batch`]: batchStride,
    [`${name}_head`]: headStride,
  };
}
