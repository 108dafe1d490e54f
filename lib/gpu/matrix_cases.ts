/**
 * Small odd-sized problems, one or more for each kind of kernel that runs on matrix units, for the check of a device's units.
 *
 * All operands are whole numbers so small that every product and sum is exact in float32 in any order, and every result is a
 * number of its type: results of correct units equal those of the emulation.
 *
 * - Results in float16: operands are at most {@linkcode SMALL}, and sums have at most 180 terms. With biases and addends they
 *   are below 2^11, halved sums in attention below 2^10.
 * - Weight gradients, in float32: one operand is at most {@linkcode WIDE}, all that float16 can hold exactly, so that units with
 *   a shorter mantissa or sums in float16 are found; sums of 343 terms are below 2^22, of an upsampled image's 1,372 below 2^24.
 *
 * @module
 */
import {
  directBackwardScratch,
  directForward,
  directInputGradient,
  directSumRows,
  directWeightGradient,
} from "../../kernels/products/conv2d_direct.ts";
import { type Conv2dShape, tapsOf } from "../../kernels/products/conv2d_shape.ts";
import {
  upsampledBackward,
  upsampledBackwardScratch,
  upsampledForward,
  upsampledForwardScratch,
  upsampledSumRows,
} from "../../kernels/products/conv2d_upsampled.ts";
import {
  matmul,
  type MatmulInput,
  type MatmulShape,
  softmaxGradientProduct,
} from "../../kernels/products/matmul.ts";
import type { Launch } from "../../kernels/source.ts";
import { storedIn } from "../../kernels/storage.ts";
import type { KernelTarget } from "../../kernels/target.ts";
import type { HostArray } from "./host_arrays.ts";

/** Launches of a problem for a target that stores float16, with operands; results are NaN. */
export type MatrixCase = (target: KernelTarget) => Launch<HostArray>[];

/** Largest operand of results in float16. */
const SMALL = 3;
/** Largest operand of results in float32. */
const WIDE = 2047;

/** Channels of convolutions, no multiples of 4: fewer than a tile's columns, and more than the largest tile's. */
const [FEW, MANY] = [19, 133];

/** Pixels of a side and images: 343 pixels are split into two parts of different length in a weight gradient. */
const [SIDE, IMAGES] = [7, 7];

/** Rows more than the largest tile has, for attention and dense layers. */
const ROWS = 133;

type Convolution = Omit<Conv2dShape, "inChannels" | "outChannels">;

/** A convolution with the padding of the networks. */
function convolution(kernel: 1 | 3, stride: 1 | 2, side: number, batch: number): Convolution {
  const padding = kernel === 3 && stride === 1 ? 1 : 0;
  const out = stride === 1 ? side : Math.floor((side - 2) / stride) + 1;
  return {
    ...{ batch, inHeight: side, inWidth: side, outHeight: out, outWidth: out, stride },
    ...{ kernelHeight: kernel, kernelWidth: kernel, padTop: padding, padLeft: padding },
  };
}

/** Products of attention with heads of `size` channels. */
function attention(size: number, suffix: string): Record<string, readonly MatrixCase[]> {
  const heads = 2;
  const width = padded(heads * size);
  const slice = (parts: number, part: number) => ({
    ...{ first: part * width, rowStride: parts * width, batchStride: ROWS * parts * width },
    headStride: size,
  });
  const row = padded(ROWS);
  const scores = { first: 0, rowStride: row, batchStride: heads * ROWS * row, headStride: ROWS * row };
  const product = { batch: 2, heads, alpha: 0.5 };
  const toScores = { ...product, m: ROWS, n: ROWS, k: size, c: scores };
  const toImage = { ...product, m: ROWS, n: size, k: ROWS };
  const rows = (layout: Omit<MatmulInput, "transposed">) => ({ ...layout, transposed: false });
  const columns = (layout: Omit<MatmulInput, "transposed">) => ({ ...layout, transposed: true });
  return {
    [`matmul_nt${suffix}`]: [productOf({ ...toScores, a: rows(slice(3, 0)), b: columns(slice(3, 1)) })],
    [`matmul_nn${suffix}`]: [
      productOf({ ...toImage, a: rows(scores), b: rows(slice(3, 2)), c: slice(1, 0) }, true),
    ],
    [`matmul_tn${suffix}`]: [
      productOf({ ...toImage, a: columns(scores), b: rows(slice(1, 0)), c: slice(3, 2) }),
    ],
    [`matmul_nt${suffix}_softmax_gradient`]: [
      softmaxGradient({ ...toScores, a: rows(slice(1, 0)), b: columns(slice(3, 2)) }),
    ],
  };
}

function forward(convolution: Convolution): MatrixCase {
  const shape = { ...convolution, inChannels: FEW, outChannels: MANY };
  return (target) => {
    const rows = pixelsOut(shape);
    const y = results16(rows * padded(MANY));
    const rowBias = { of: whole16(shape.batch * padded(MANY + 8), 4), first: 8, width: MANY + 8 };
    const operands = {
      ...{ ...inputs(shape), weight: weights(shape, 2) },
      ...{ bias: whole32(padded(MANY), 3), rowBias, residual: whole16(y.length, 5), y, scratch: [] },
    };
    return directForward<HostArray>(target, shape, operands, LABEL);
  };
}

function inputGradient(convolution: Convolution): MatrixCase {
  const shape = { ...convolution, inChannels: MANY, outChannels: FEW };
  return (target) => {
    const dx = results16(pixelsIn(shape) * padded(MANY));
    const operands = {
      ...{ dy: whole16(pixelsOut(shape) * padded(FEW), 1), weight: weights(shape, 2) },
      ...{ addend: whole16(dx.length, 3), dx },
    };
    return directInputGradient<HostArray>(target, shape, operands, LABEL);
  };
}

/** @param limitX and `limitDy`: largest operands */
function weightGradient(convolution: Convolution, limitX: number, limitDy: number): MatrixCase {
  const shape = { ...convolution, inChannels: FEW, outChannels: MANY };
  return (target) => {
    const [parts] = directBackwardScratch(target, shape).map(results32);
    const operands = {
      ...inputs(shape, limitX),
      dy: whole16(pixelsOut(shape) * padded(MANY), 2, limitDy),
      dw: results32(tapsOf(shape) * padded(FEW) * padded(MANY)),
      sums: results32(directSumRows(target, shape) * padded(MANY)),
      parts,
    };
    return directWeightGradient<HostArray>(target, shape, operands, LABEL);
  };
}

function upsampledOutput(target: KernelTarget): Launch<HostArray>[] {
  const shape = { ...UPSAMPLED, inChannels: FEW, outChannels: MANY };
  const operands = {
    ...{ x: whole16(pixelsIn(shape) / 4 * padded(FEW), 1), weight: weights(shape, 2) },
    ...{ bias: whole32(padded(MANY), 3), y: results16(pixelsOut(shape) * padded(MANY)) },
    scratch: upsampledForwardScratch(target, shape).map(results32),
  };
  return storedIn(true, upsampledForward<HostArray>(target, shape, operands, LABEL));
}

/** A sum has four times the terms of other input gradients, so operands are at most 1. */
function upsampledInputGradient(target: KernelTarget): Launch<HostArray>[] {
  const shape = { ...UPSAMPLED, inChannels: MANY, outChannels: FEW };
  const dx = results16(pixelsIn(shape) / 4 * padded(MANY));
  const all = upsampledBackward<HostArray>(target, shape, {
    ...{ x: dx, dy: whole16(pixelsOut(shape) * padded(FEW), 1, 1), weight: weights(shape, 2, 1) },
    ...{ dw: results32(9 * padded(FEW) * padded(MANY)), sums: results32(padded(FEW)) },
    ...{ addend: whole16(dx.length, 3), dx },
    scratch: upsampledBackwardScratch(target, shape, true).map(results32),
  }, LABEL);
  // The first two are those of the weight gradient.
  return storedIn(true, all.slice(2));
}

function upsampledWeightGradient(target: KernelTarget): Launch<HostArray>[] {
  const shape = { ...UPSAMPLED, inChannels: FEW, outChannels: MANY };
  const weight = weights(shape, 3);
  const all = upsampledBackward<HostArray>(target, shape, {
    x: whole16(pixelsIn(shape) / 4 * padded(FEW), 1, WIDE),
    ...{ dy: whole16(pixelsOut(shape) * padded(MANY), 2), weight, dw: results32(weight.length) },
    sums: results32(upsampledSumRows(target, shape) * padded(MANY)),
    scratch: upsampledBackwardScratch(target, shape, false).map(results32),
  }, LABEL);
  return storedIn(true, all);
}

function productOf(shape: MatmulShape, withAddend = false): MatrixCase {
  return (target) => {
    const c = results16(sizeOf(shape, "c"));
    const operands = { a: whole16(sizeOf(shape, "a"), 1), b: whole16(sizeOf(shape, "b"), 2), c };
    const addend = withAddend ? { addend: whole16(c.length, 3) } : {};
    return matmul<HostArray>(target, shape, { ...operands, ...addend }, LABEL);
  };
}

function softmaxGradient(shape: MatmulShape): MatrixCase {
  return (target) => {
    const c = results16(sizeOf(shape, "c"));
    const operands = { a: whole16(sizeOf(shape, "a"), 1), b: whole16(sizeOf(shape, "b"), 2), c };
    const dots = whole32(shape.batch * shape.heads * shape.m, 4);
    return softmaxGradientProduct<HostArray>(
      target,
      shape,
      { ...operands, weights: whole16(c.length, 3), dots },
      LABEL,
    );
  };
}

const LABEL = "check of matrix units";

const padded = (count: number) => 4 * Math.ceil(count / 4);
const pixelsIn = ({ batch, inHeight, inWidth }: Convolution) => batch * inHeight * inWidth;
const pixelsOut = ({ batch, outHeight, outWidth }: Convolution) => batch * outHeight * outWidth;
const sizeOf = ({ batch, ...operands }: MatmulShape, name: "a" | "b" | "c") =>
  batch * operands[name].batchStride;

/** x of a convolution, and the second tensor of a concatenation. */
function inputs({ inChannels, firstChannels = inChannels, ...s }: Conv2dShape, limit = SMALL) {
  const x = whole16(pixelsIn(s) * padded(firstChannels), 1, limit);
  if (firstChannels === inChannels) return { x };
  return { x, xSecond: whole16(pixelsIn(s) * padded(inChannels - firstChannels), 6, limit) };
}

function weights(
  shape: Conv2dShape,
  seed: number,
  limit = SMALL,
): Float16Array {
  return whole16(tapsOf(shape) * padded(shape.inChannels) * padded(shape.outChannels), seed, limit);
}

const results16 = (count: number) => new Float16Array(count).fill(NaN);
const results32 = (count: number) => new Float32Array(count).fill(NaN);
const whole16 = (count: number, seed: number, limit = SMALL) => new Float16Array(whole(count, seed, limit));
const whole32 = (count: number, seed: number) => new Float32Array(whole(count, seed, SMALL));

/** Whole numbers from `-limit` to `limit` without a pattern: a hash of their places (MurmurHash3's finalizer). */
function whole(count: number, seed: number, limit: number): Int16Array {
  return Int16Array.from({ length: count }, (_, i) => {
    let h = Math.imul(i + 1, 0x9e3779b1) ^ Math.imul(seed, 0x85ebca6b);
    h = Math.imul(h ^ h >>> 16, 0x85ebca6b);
    h = Math.imul(h ^ h >>> 13, 0xc2b2ae35);
    return ((h ^ h >>> 16) >>> 0) % (2 * limit + 1) - limit;
  });
}

/** Convolutions by form, with channels to set. */
const WINDOW = convolution(3, 1, SIDE, IMAGES);
const STRIDED = convolution(3, 2, 2 * SIDE + 1, IMAGES);
const FLAT = convolution(1, 1, SIDE, IMAGES);
/** Of a concatenation, read from its two tensors. */
const JOINED = { ...FLAT, firstChannels: 8 };
/** Of {@linkcode IMAGES} of {@linkcode SIDE} pixels, upsampled. */
const UPSAMPLED = { ...convolution(3, 1, 2 * SIDE, IMAGES), upsampled: true };
const DENSE = convolution(1, 1, 1, ROWS);

/** Kinds of kernels by the names of their problems, each with what it is tried on. */
export const MATRIX_CASES: Readonly<Record<string, readonly MatrixCase[]>> = {
  conv2d_forward: [forward(WINDOW), forward(STRIDED)],
  conv2d_forward_flat: [forward(FLAT), forward(DENSE)],
  conv2d_forward_joined: [forward(JOINED)],
  conv2d_forward_upsampled: [upsampledOutput],
  conv2d_backward_input_upsampled: [upsampledInputGradient],
  conv2d_backward_weight_upsampled: [upsampledWeightGradient],
  conv2d_backward_input_window: [inputGradient(WINDOW)],
  conv2d_backward_input_strided: [inputGradient(STRIDED)],
  conv2d_backward_input_flat: [inputGradient(FLAT), inputGradient(DENSE)],
  conv2d_backward_weight_rows: [weightGradient(WINDOW, WIDE, SMALL), weightGradient(STRIDED, WIDE, SMALL)],
  conv2d_backward_weight_flat: [weightGradient(FLAT, SMALL, WIDE), weightGradient(DENSE, SMALL, WIDE)],
  conv2d_backward_weight_joined: [weightGradient(JOINED, SMALL, WIDE)],
  ...attention(20, ""),
  // Heads that begin between vectors.
  ...attention(19, "_scalar"),
};
