/**
 * Launchers of direct convolutions: each pass is one implicit matrix product (see conv2d_source.ts and
 * conv2d_weight_source.ts).
 *
 * @module
 */
import {
  type Conv2dBackwardBuffers,
  type Conv2dForwardBuffers,
  type Conv2dShape,
  flopsOf,
  isFlat,
  type RowBiasBuffer,
  tapsOf,
} from "./conv2d_shape.ts";
import { forwardProblem, inputGradientProblem } from "./conv2d_source.ts";
import { planWeightGradient, sumParams, weightGradientForm } from "./conv2d_weight_plan.ts";
import { SUM_PARTS, weightGradientProblem } from "./conv2d_weight_source.ts";
import { gemmGrid, gemmKernel, type GemmSize, quads } from "./gemm.ts";
import type { GemmProblem } from "./gemm_problem.ts";
import { itemLaunch } from "./items.ts";
import { biasedMatmul } from "./matmul.ts";
import { type Launch, launch } from "../source.ts";
import { spatialSum } from "../spatial_sum.ts";
import type { KernelTarget } from "../target.ts";

/** Additional parameters of products that read a concatenation from its two tensors. */
function joinedParams({ firstChannels }: Conv2dShape): Record<string, number> {
  return firstChannels === undefined ? {} : { first_c4: quads(firstChannels) };
}

/** Sizes of a product, without optional operands. */
export function windowParams(s: Conv2dShape): Record<string, number> {
  return {
    batch: s.batch,
    in_h: s.inHeight,
    in_w: s.inWidth,
    in_c4: quads(s.inChannels),
    out_h: s.outHeight,
    out_w: s.outWidth,
    out_c4: quads(s.outChannels),
    taps: tapsOf(s),
    window_w: s.kernelWidth,
    stride: s.stride,
    pad_top: s.padTop,
    pad_left: s.padLeft,
    sample_rows: s.outHeight * s.outWidth,
    has_bias: 0,
    has_row_bias: 0,
    row_bias_first: 0,
    row_bias_row: 0,
    has_addend: 0,
  };
}

/** Launch of a product. */
export function product<B>(
  target: KernelTarget,
  problem: GemmProblem,
  size: GemmSize,
  params: Record<string, number>,
  buffers: Record<string, B | undefined>,
  options: { label: string; flops: number },
): Launch<B> {
  const kernel = gemmKernel(target, problem, size);
  const shape = { ...params, rows: size.rows, columns: size.columns / kernel.tile.width };
  return launch(kernel.source, "main", shape, buffers, gemmGrid(kernel, size), options);
}

/** Parameters and buffers of the output of a forward product. */
export function forwardOutputOf<B>(
  { bias, rowBias, residual, y }: Pick<Conv2dForwardBuffers<B>, "bias" | "rowBias" | "residual" | "y">,
  unused: B,
) {
  return {
    params: {
      has_bias: Number(bias !== undefined),
      has_row_bias: Number(rowBias !== undefined),
      row_bias_first: rowBias?.first ?? 0,
      row_bias_row: 4 * quads(rowBias?.width ?? 0),
      has_addend: Number(residual !== undefined),
    },
    // All declared buffers must be bound; absent operands are not read.
    buffers: { bias: bias ?? unused, row_bias: rowBias?.of ?? unused, residual: residual ?? unused, y },
  };
}

/**
 * y[n,oy,ox,o] = bias[o] + sum over ky,kx,i of x[n, oy*s+ky-padTop, ox*s+kx-padLeft, i] w[ky,kx,i,o]
 * (+ rowBias[n,o]) (+ residual[n,oy,ox,o]), and ReLU of it if the shape says so.
 */
export function directForward<B>(
  target: KernelTarget,
  shape: Conv2dShape,
  { x, xSecond, weight, ...others }: Conv2dForwardBuffers<B>,
  label: string,
): Launch<B>[] {
  if (runsAsMatmul(target, shape, xSecond)) {
    return flatForward(target, shape, { x, weight, ...others }, label);
  }
  const rows = shape.batch * shape.outHeight * shape.outWidth;
  const output = forwardOutputOf(others, weight);
  const params = { ...windowParams(shape), ...joinedParams(shape), ...output.params };
  const buffers = { ...output.buffers, x, x_second: xSecond, weight };
  const depth = tapsOf(shape) * 4 * quads(shape.inChannels);
  const turn = 4 * quads(shape.firstChannels ?? shape.inChannels);
  const size = { rows, columns: 4 * quads(shape.outChannels), depth, turn, places: 1 };
  const form = xSecond !== undefined ? "joined" : isFlat(shape) ? "flat" : "window";
  return [
    product(target, forwardProblem(form, shape.relu), size, params, buffers, {
      label,
      flops: flopsOf(shape),
    }),
  ];
}

/** True for 1x1 convolutions on a software adapter, which compiles one pipeline for them and for plain products. */
function runsAsMatmul({ path }: KernelTarget, shape: Conv2dShape, second: unknown): boolean {
  return path === "subgroup" && isFlat(shape) && second === undefined && !shape.relu;
}

function flatForward<B>(
  target: KernelTarget,
  shape: Conv2dShape,
  { x, weight, bias, rowBias, residual, y }: Omit<Conv2dForwardBuffers<B>, "scratch">,
  label: string,
): Launch<B>[] {
  const sampleRows = shape.outHeight * shape.outWidth;
  const [from, to] = [4 * quads(shape.inChannels), 4 * quads(shape.outChannels)];
  const matrix = (columns: number) => {
    return { rowStride: columns, batchStride: 0, headStride: 0, transposed: false };
  };
  const sizes = { batch: 1, heads: 1, m: shape.batch * sampleRows, n: to, k: from, alpha: 1 };
  return biasedMatmul(
    target,
    { ...sizes, a: matrix(from), b: matrix(to), c: matrix(to) },
    { a: x, b: weight, c: y, addend: residual },
    { bias, rowBias, sampleRows },
    { label, flops: flopsOf(shape) },
  );
}

/** `conv2dBackward` by implicit products. */
export function directBackward<B>(
  target: KernelTarget,
  shape: Conv2dShape,
  { x, xSecond, weight, dy, dw, sums, dx, addend, rowBias, scratch: [parts] }: Conv2dBackwardBuffers<B>,
  label: string,
): Launch<B>[] {
  return [
    ...directWeightGradient(target, shape, { x, xSecond, dy, dw, sums, parts }, label),
    ...dx === undefined ? [] : directInputGradient(target, shape, { dy, weight, addend, dx }, label),
    ...rowBias === undefined ? [] : rowBiasGradient(shape, dy, rowBias, label),
  ];
}

/** Gradient of a bias per sample. */
export function rowBiasGradient<B>(
  { batch, outHeight, outWidth, outChannels }: Conv2dShape,
  dy: B,
  { of, first, width }: RowBiasBuffer<B>,
  label: string,
): Launch<B>[] {
  const shape = { batch, spatial: outHeight * outWidth, channels: outChannels, first, width };
  return spatialSum(shape, { dy, dx: of }, label);
}

/** dx[n,iy,ix,i] = sum of dy * w over all products of the forward pass that contain x[n,iy,ix,i] (+ addend). */
export function directInputGradient<B>(
  target: KernelTarget,
  shape: Conv2dShape,
  { dy, weight, addend, dx }: { dy: B; weight: B; addend?: B; dx: B },
  label: string,
): Launch<B>[] {
  const { batch, stride } = shape;
  // Rows of a strided convolution are padded to a multiple of the stride.
  const rows = batch * stride ** 2 * Math.ceil(shape.inHeight / stride) * Math.ceil(shape.inWidth / stride);
  const form = isFlat(shape) ? "flat" : stride > 1 ? "strided" : "window";
  const params = { ...windowParams(shape), has_addend: Number(addend !== undefined) };
  const buffers = { dy, weight, addend: addend ?? weight, dx };
  const turn = 4 * quads(shape.outChannels);
  const depth = tapsOf(shape) * turn;
  const size = { rows, columns: 4 * quads(shape.inChannels), depth, turn, places: 1 };
  return [
    product(target, inputGradientProblem(form), size, params, buffers, { label, flops: flopsOf(shape) }),
  ];
}

/** dw[ky,kx,i,o] = sum over n,oy,ox of x[n, oy*s+ky-padTop, ox*s+kx-padLeft, i] dy[n,oy,ox,o], and sums of dy. */
export function directWeightGradient<B>(
  target: KernelTarget,
  shape: Conv2dShape,
  { x, xSecond, dy, dw, sums, parts: scratch }: { x: B; xSecond?: B; dy: B; dw: B; sums: B; parts?: B },
  label: string,
): Launch<B>[] {
  const plan = planWeightGradient(target, shape);
  const { rows, columns, width, share, parts } = plan;
  const params = { ...windowParams(shape), ...joinedParams(shape), ...sumParams(plan, shape.outWidth) };
  const problem = weightGradientProblem(weightGradientForm(target, shape));
  const options = { label, flops: flopsOf(shape) };
  const size = { rows, columns, depth: share * width, turn: width, places: parts };
  const buffers = { x, x_second: xSecond, dy, sums_out: sums };
  const run = (out: B) => product(target, problem, size, params, { ...buffers, out }, options);
  if (scratch === undefined) return [run(dw)];
  const sum = { items: rows * columns / 4, parts };
  const combines = target.path === "tile";
  return [run(scratch), itemLaunch(SUM_PARTS, sum, { parts: scratch, dw }, { label, combines })];
}

/** Rows of the sums of {@linkcode directBackward}: parts of the sum over pixels. */
export function directSumRows(target: KernelTarget, shape: Conv2dShape): number {
  return planWeightGradient(target, shape).parts;
}

/** Sizes of the scratch buffers of {@linkcode directBackward} in floats. */
export function directBackwardScratch(target: KernelTarget, shape: Conv2dShape): number[] {
  const { rows, columns, parts } = planWeightGradient(target, shape);
  return parts === 1 ? [] : [parts * rows * columns];
}
