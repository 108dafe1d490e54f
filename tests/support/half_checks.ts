/** Checks of products of operands in float16 that accumulate in float32, against the reference. */
import {
  directForward,
  directInputGradient,
  directWeightGradient,
} from "../../kernels/products/conv2d_direct.ts";
import { type Conv2dShape, tapsOf } from "../../kernels/products/conv2d_shape.ts";
import { matmul, type MatmulShape } from "../../kernels/products/matmul.ts";
import type { KernelTarget } from "../../kernels/target.ts";
import { assertClose } from "./close.ts";
import {
  addedUp,
  backwardScratch,
  bound,
  CONV2D,
  emptyLikelihoodSums,
  packWeight,
  pixels,
} from "./conv2d_checks.ts";
import type { HostArray } from "./gpu.ts";
import { packChannels, unpackChannels } from "./layout.ts";
import { FLOAT16 } from "./storage.ts";
import {
  columnSums,
  conv2dInputGradientReference,
  conv2dReference,
  conv2dWeightGradientReference,
} from "../reference/conv2d.ts";
import { noise } from "../reference/differences.ts";
import { matmulReference } from "../reference/matmul.ts";

/** Numbers in [-1, 1), rounded to float16. */
export const halfValues = (count: number, seed: number) => FLOAT16.rounded(noise(count, seed));

/** Values in the device's layout. */
const pack = (data: ArrayLike<number>, channels: number) => FLOAT16.array(packChannels(data, channels));

const weightsOf = (s: Conv2dShape) => halfValues(tapsOf(s) * s.inChannels * s.outChannels, 2);
const packedWeights = (s: Conv2dShape) => FLOAT16.array(packWeight(Float32Array.from(weightsOf(s)), s));

/** Checks the forward pass with bias, row bias and residual, and returns y. */
export async function checkHalfForward(target: KernelTarget, s: Conv2dShape): Promise<HostArray> {
  const x = halfValues(s.batch * s.inHeight * s.inWidth * s.inChannels, 1);
  // A bias is float32, which the sum of all must show.
  const bias = Float32Array.from(noise(s.outChannels, 4), (v) => 1e-3 * v);
  const rowBias = Float32Array.from(noise(s.batch * s.outChannels, 5));
  const residual = halfValues(pixels(s) * s.outChannels, 3);
  const perSample = s.outHeight * s.outWidth * s.outChannels;
  const expected = conv2dReference(s, x, weightsOf(s)).map((y, i) => {
    const o = i % s.outChannels;
    return y + bias[o] + rowBias[Math.floor(i / perSample) * s.outChannels + o] + residual[i];
  });
  const y = FLOAT16.empty(pack(residual, s.outChannels).length);
  const buffers = {
    ...{ x: pack(x, s.inChannels), weight: packedWeights(s), bias: packChannels(bias, s.outChannels) },
    ...{ rowBias: { of: packChannels(rowBias, s.outChannels), first: 0, width: s.outChannels } },
    ...{ residual: pack(residual, s.outChannels), y, scratch: [] },
  };
  await FLOAT16.run(directForward<HostArray>(target, s, buffers, "test"));
  const tolerance = FLOAT16.stored(bound(tapsOf(s) * s.inChannels));
  assertClose(unpackChannels(y, s.outChannels), expected, tolerance, "y");
  return y;
}

/** Checks the accumulated input gradient, and returns it. */
export async function checkHalfInputGradient(target: KernelTarget, s: Conv2dShape): Promise<HostArray> {
  const dy = halfValues(pixels(s) * s.outChannels, 3);
  const before = halfValues(s.batch * s.inHeight * s.inWidth * s.inChannels, 1);
  const addend = pack(before, s.inChannels);
  const dx = FLOAT16.empty(addend.length);
  const buffers = { dy: pack(dy, s.outChannels), weight: packedWeights(s), addend, dx };
  await FLOAT16.run(directInputGradient<HostArray>(target, s, buffers, "test"));
  const expected = conv2dInputGradientReference(s, dy, weightsOf(s)).map((v, i) => v + before[i]);
  const tolerance = FLOAT16.stored(bound(tapsOf(s) * s.outChannels));
  assertClose(unpackChannels(dx, s.inChannels), expected, tolerance, "dx");
  return dx;
}

/** Checks the gradients of weights and bias, which are float32, and returns the former. */
export async function checkHalfWeightGradient(target: KernelTarget, s: Conv2dShape): Promise<Float32Array> {
  const x = halfValues(s.batch * s.inHeight * s.inWidth * s.inChannels, 1);
  const dy = halfValues(pixels(s) * s.outChannels, 3);
  const dw = new Float32Array(packedWeights(s).length).fill(NaN);
  const way = { passes: CONV2D, target };
  const sums = emptyLikelihoodSums(way, s);
  const [parts] = backwardScratch(way, s);
  const buffers = { x: pack(x, s.inChannels), dy: pack(dy, s.outChannels), dw, sums, parts };
  await FLOAT16.run(directWeightGradient<HostArray>(target, s, buffers, "test"));
  const expected = packWeight(Float32Array.from(conv2dWeightGradientReference(s, x, dy)), s);
  assertClose(dw, expected, bound(pixels(s)), "dw");
  assertClose(addedUp(sums, s), columnSums(dy, s.outChannels), bound(pixels(s)), "db");
  return dw;
}

const padded = (count: number) => 4 * Math.ceil(count / 4);

/** `batch` matrices, one after the other. */
function matrices(rows: number, columns: number, transposed = false) {
  const rowStride = padded(columns);
  return { rowStride, batchStride: rows * rowStride, headStride: rows * rowStride, transposed };
}

/** Two products of matrices that follow one another. */
export function batchedProduct(
  m: number,
  n: number,
  k: number,
  transposedA: boolean,
  transposedB: boolean,
): MatmulShape {
  const a = transposedA ? matrices(k, m, true) : matrices(m, k);
  const b = transposedB ? matrices(n, k, true) : matrices(k, n);
  return { batch: 2, heads: 1, m, n, k, alpha: -2, a, b, c: matrices(m, n) };
}

/** Checks a product with an addend, and returns it. */
export async function checkHalfMatmul(target: KernelTarget, s: MatmulShape): Promise<HostArray> {
  const [a, b] = [s.a, s.b].map((layout, i) => halfValues(s.batch * layout.batchStride, 1 + i));
  const size = s.batch * s.c.batchStride;
  const ones = new Float64Array(Math.max(a.length, b.length)).fill(1);
  const unit = matmulReference({ ...s, k: 1, alpha: 1 }, ones, ones, undefined, size);
  const addend = halfValues(size, 3).map((value, i) => value * unit[i]);
  const c = FLOAT16.empty(size);
  const operands = { a: FLOAT16.array(a), b: FLOAT16.array(b), addend: FLOAT16.array(addend), c };
  await FLOAT16.run(matmul<HostArray>(target, s, operands, "test"));
  const { absolute } = bound(s.k);
  const tolerance = FLOAT16.stored({ absolute: Math.abs(s.alpha) * absolute });
  assertClose(c, matmulReference(s, a, b, addend, size), tolerance, "c");
  return c;
}

/** Checks a product of scores with two heads, slices of `size` channels of one tensor. */
export async function checkHalfHeads(target: KernelTarget, tokens: number, size: number): Promise<void> {
  const slices = { rowStride: padded(2 * size), batchStride: tokens * padded(2 * size), headStride: size };
  const row = padded(tokens);
  const scores = { rowStride: row, batchStride: 2 * tokens * row, headStride: tokens * row };
  const s: MatmulShape = {
    ...{ batch: 1, heads: 2, m: tokens, n: size, k: tokens, alpha: 0.5 },
    ...{ a: { ...scores, transposed: false }, b: { ...slices, transposed: false }, c: slices },
  };
  const [a, b] = [halfValues(scores.batchStride, 1), halfValues(slices.batchStride, 2)];
  const c = FLOAT16.empty(slices.batchStride);
  const operands = { a: FLOAT16.array(a), b: FLOAT16.array(b), c };
  await FLOAT16.run(matmul<HostArray>(target, s, operands, "test"));
  const expected = matmulReference(s, a, b, undefined, c.length);
  assertClose(c, expected, FLOAT16.stored(bound(tokens)), "c");
}

/** Checks sums of `terms` positive products. */
export async function checkHalfLongSum(target: KernelTarget, terms: number): Promise<void> {
  const s = { ...batchedProduct(5, 6, terms, false, true), alpha: 1 / 64 };
  const [a, b] = [s.a, s.b].map((layout, i) => halfValues(s.batch * layout.batchStride, 1 + i).map(Math.abs));
  const c = FLOAT16.empty(s.batch * s.c.batchStride);
  await FLOAT16.run(matmul<HostArray>(target, s, { a: FLOAT16.array(a), b: FLOAT16.array(b), c }, "test"));
  assertClose(c, matmulReference(s, a, b, undefined, c.length), { absolute: 0, relative: 2 ** -10 }, "c");
}
