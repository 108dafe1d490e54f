/** Checks of the passes of a convolution by a given algorithm, against the reference. */
import assert from "node:assert/strict";
import {
  conv2dBackward,
  conv2dBackwardScratch,
  conv2dForward,
  conv2dForwardScratch,
  type Conv2dShape,
  conv2dSumRows,
} from "../../kernels/products/conv2d.ts";
import { tapsOf } from "../../kernels/products/conv2d_shape.ts";
import type { KernelTarget } from "../../kernels/target.ts";
import { assertClose, type Tolerance } from "./close.ts";
import { runOnArrays, testGpu } from "./gpu.ts";
import { packChannels, unpackChannels } from "./layout.ts";
import {
  columnSums,
  conv2dInputGradientReference,
  conv2dReference,
  conv2dWeightGradientReference,
} from "../reference/conv2d.ts";
import { noise as noise64 } from "../reference/differences.ts";

const noise = (count: number, seed: number) => Float32Array.from(noise64(count, seed));

/** A convolution of x [N,H,W,I] to O channels with diffusers' padding. */
export function shape(
  kernel: 1 | 3,
  stride: 1 | 2,
  x: readonly number[],
  outChannels: number,
): Conv2dShape {
  const pad = kernel === 3 && stride === 1 ? 1 : 0;
  const after = kernel === 3 ? 1 : 0;
  return windowed([kernel, kernel], stride, [pad, pad], [after, after], x, outChannels);
}

type Pair = readonly [vertical: number, horizontal: number];

/** A convolution with any window and padding before and after the image. */
export function windowed(
  [kernelHeight, kernelWidth]: Pair,
  stride: 1 | 2,
  [padTop, padLeft]: Pair,
  after: Pair,
  [batch, inHeight, inWidth, inChannels]: readonly number[],
  outChannels: number,
): Conv2dShape {
  return {
    ...{
      batch,
      inHeight,
      inWidth,
      inChannels,
      outChannels,
      kernelHeight,
      kernelWidth,
      stride,
      padTop,
      padLeft,
    },
    outHeight: Math.floor((inHeight + padTop + after[0] - kernelHeight) / stride) + 1,
    outWidth: Math.floor((inWidth + padLeft + after[1] - kernelWidth) / stride) + 1,
  };
}

export const SHAPES: Conv2dShape[] = [
  shape(3, 1, [2, 8, 8, 3], 4),
  shape(3, 1, [1, 5, 7, 6], 3),
  shape(3, 1, [2, 1, 1, 5], 9),
  shape(3, 1, [3, 9, 6, 20], 36),
  shape(3, 1, [2, 16, 16, 32], 64),
  shape(3, 1, [2, 4, 4, 72], 40),
  shape(3, 2, [2, 8, 8, 8], 12),
  shape(3, 2, [1, 7, 5, 3], 6),
  shape(3, 2, [2, 9, 12, 16], 33),
  shape(1, 1, [1, 1, 1, 1], 1),
  shape(1, 1, [16, 1, 1, 32], 128),
  shape(1, 1, [1, 1, 1, 130], 70),
  shape(1, 1, [2, 5, 7, 6], 11),
  shape(1, 1, [2, 16, 16, 64], 32),
  // Results with few columns have layouts of their own.
  ...[3, 4, 8, 12, 16, 20].map((channels) => shape(3, 1, [2, 5, 7, channels], channels)),
  ...[4, 12].map((channels) => shape(3, 2, [4, 9, 7, channels], channels)),
  ...[3, 16].flatMap((few) => [shape(1, 1, [2, 5, 7, 40], few), shape(1, 1, [2, 5, 7, few], 40)]),
  // Other windows and paddings, as of Inception: without padding, long and narrow, 5x5; and with more on one side.
  windowed([3, 3], 1, [0, 0], [0, 0], [2, 7, 6, 20], 24),
  windowed([3, 3], 2, [0, 0], [0, 0], [2, 8, 9, 12], 20),
  windowed([1, 7], 1, [0, 3], [0, 3], [2, 5, 6, 16], 20),
  windowed([7, 1], 1, [3, 0], [3, 0], [1, 6, 5, 5], 33),
  windowed([1, 3], 1, [0, 1], [0, 1], [2, 3, 4, 8], 8),
  windowed([5, 5], 1, [2, 2], [2, 2], [1, 7, 8, 12], 16),
  windowed([2, 3], 2, [1, 0], [0, 2], [2, 5, 7, 6], 7),
];

export const describe = (s: Conv2dShape) =>
  `x=[${s.batch},${s.inHeight},${s.inWidth},${s.inChannels}] ` +
  `w=[${s.kernelHeight},${s.kernelWidth},${s.inChannels},${s.outChannels}] stride=${s.stride} ` +
  `y=[${s.outHeight},${s.outWidth}]`;

export const pixels = (s: Conv2dShape) => s.batch * s.outHeight * s.outWidth;
export const inputs = (s: Conv2dShape) => noise(s.batch * s.inHeight * s.inWidth * s.inChannels, 1);
export const weights = (s: Conv2dShape) => noise(tapsOf(s) * s.inChannels * s.outChannels, 2);
export const gradients = (s: Conv2dShape) => noise(pixels(s) * s.outChannels, 3);

/** Logical [k,k,I,O] -> padded [k,k,Ip,Op]. */
export function packWeight(weight: Float32Array, s: Conv2dShape): Float32Array {
  const rows = packChannels(weight, s.outChannels);
  const width = rows.length / (tapsOf(s) * s.inChannels);
  const padded = 4 * Math.ceil(s.inChannels / 4);
  const out = new Float32Array(tapsOf(s) * padded * width);
  for (let tap = 0; tap < tapsOf(s); tap++) {
    const from = tap * s.inChannels * width;
    out.set(rows.subarray(from, from + s.inChannels * width), tap * padded * width);
  }
  return out;
}

/** The target with an algorithm forced where it is a candidate. */
export function withAlgorithm(target: KernelTarget, algorithm: string): KernelTarget {
  return { ...target, choose: (_, names) => names.includes(algorithm) ? algorithm : names[0] };
}

/** The passes of an algorithm, and their workspace. */
export interface Passes {
  forward: typeof conv2dForward;
  forwardScratch: typeof conv2dForwardScratch;
  backward: typeof conv2dBackward;
  backwardScratch: typeof conv2dBackwardScratch;
  sumRows: typeof conv2dSumRows;
}

/** The passes that networks use. */
export const CONV2D: Passes = {
  forward: conv2dForward,
  forwardScratch: conv2dForwardScratch,
  backward: conv2dBackward,
  backwardScratch: conv2dBackwardScratch,
  sumRows: conv2dSumRows,
};

/** A result of a convolution with an error bound of its own. */
export type Conv2dResult = "forward" | "input_gradient" | "weight_gradient";

/** An algorithm on a target. */
export interface Way {
  readonly passes: Passes;
  readonly target: KernelTarget;
  /** Error bound of a result; default that of a direct convolution. */
  readonly tolerance?: (result: Conv2dResult, s: Conv2dShape) => Tolerance;
}

const poisoned = (counts: number[]) => counts.map((count) => new Float32Array(count).fill(NaN));

/** Workspace of the forward pass, filled with NaN: its contents must not matter. */
export function forwardScratch({ passes, target }: Way, s: Conv2dShape): Float32Array[] {
  return poisoned(passes.forwardScratch(target, s));
}

/** Workspace of the gradients, likewise. */
export function backwardScratch({ passes, target }: Way, s: Conv2dShape, withDx = true): Float32Array[] {
  return poisoned(passes.backwardScratch(target, s, withDx));
}

/** Sums of dy, to be written. */
export function emptyLikelihoodSums({ passes, target }: Way, s: Conv2dShape): Float32Array {
  return new Float32Array(passes.sumRows(target, s) * 4 * Math.ceil(s.outChannels / 4)).fill(NaN);
}

/** Gradient of the bias. */
export function addedUp(sums: Float32Array, s: Conv2dShape): Float64Array {
  return columnSums(unpackChannels(sums, s.outChannels), s.outChannels);
}

/**
 * Error bound of float32 sums of `terms` products of numbers in [-1, 1): every partial sum stays within a few
 * sqrt(terms), and each of `terms` roundings is at most 2^-24 of it; random roundings add up like sqrt(terms).
 */
export const bound = (terms: number): Tolerance => ({ absolute: 4 * terms * 2 ** -24 + 2 ** -22 });

function toleranceOf({ tolerance }: Way, of: Conv2dResult, s: Conv2dShape, terms: number): Tolerance {
  return tolerance?.(of, s) ?? bound(terms);
}

/** Packs row biases of `width` channels, of which `count` from the fifth on are used; the padding of these must be zero. */
function packRowBias(rowBiases: Float32Array, width: number, count: number): Float32Array {
  const used = 4 * Math.ceil(count / 4);
  return packChannels(rowBiases, width).map((value, i) => {
    const channel = i % (4 * Math.ceil(width / 4)) - 4;
    return channel >= count && channel < used ? 0 : value;
  });
}

/** Checks the forward pass, plain, with bias, row bias and residual, and with ReLU after those. */
export async function checkForward(way: Way, s: Conv2dShape): Promise<void> {
  const { passes, target } = way;
  const [x, w] = [inputs(s), weights(s)];
  const bias = noise(s.outChannels, 4);
  // Channels from the fifth on of a wider tensor.
  const width = 4 + 4 * Math.ceil(s.outChannels / 4) + 3;
  const rowBiases = noise(s.batch * width, 5);
  const residual = gradients(s);
  const expected = conv2dReference(s, x, w);
  const perSample = s.outHeight * s.outWidth * s.outChannels;
  const full = expected.map((y, i) => {
    const o = i % s.outChannels;
    return y + bias[o] + rowBiases[Math.floor(i / perSample) * width + 4 + o] + residual[i];
  });
  const pack = (data: Float32Array) => packChannels(data, s.outChannels);
  const plain = pack(residual).fill(NaN);
  const [fused, rectified] = [plain.slice(), plain.slice()];
  const operands = {
    x: packChannels(x, s.inChannels),
    weight: packWeight(w, s),
    scratch: forwardScratch(way, s),
  };
  const rowBias = { of: packRowBias(rowBiases, width, s.outChannels), first: 4, width };
  const added = { bias: pack(bias), rowBias, residual: pack(residual) };
  await runOnArrays(await testGpu(), [
    ...passes.forward(target, s, { ...operands, y: plain }, "plain"),
    ...passes.forward(target, s, { ...operands, ...added, y: fused }, "fused"),
    ...passes.forward(target, { ...s, relu: true }, { ...operands, ...added, y: rectified }, "rectified"),
  ]);
  const tolerance = toleranceOf(way, "forward", s, tapsOf(s) * s.inChannels);
  assertClose(unpackChannels(plain, s.outChannels), expected, tolerance, "y");
  assertClose(unpackChannels(fused, s.outChannels), full, tolerance, "y with bias, rowBias, residual");
  assert.deepEqual(rectified, fused.map((y) => Math.max(y, 0)), "ReLU of the same");
}

/** Checks all gradients; and that the others stay the same where dx or the gradient of the row bias is not wanted. */
export async function checkGradients(way: Way, s: Conv2dShape): Promise<void> {
  const { passes, target } = way;
  const [x, w, dy] = [inputs(s), weights(s), gradients(s)];
  const addend = packChannels(noise(x.length, 7), s.inChannels);
  const operands = {
    x: packChannels(x, s.inChannels),
    weight: packWeight(w, s),
    dy: packChannels(dy, s.outChannels),
  };
  // The row bias is a few channels of a larger tensor, which must stay as it is elsewhere.
  const [first, width] = [8, s.outChannels + 13];
  const rows = packChannels(noise(s.batch * width, 8), width);
  const results = (withDx: boolean) => ({
    ...{ dw: operands.weight.slice().fill(NaN), sums: emptyLikelihoodSums(way, s) },
    scratch: backwardScratch(way, s, withDx),
  });
  const dx = addend.slice().fill(NaN);
  const added = dx.slice();
  const rowBias = rows.slice();
  const [all, plain, least] = [results(true), results(true), results(false)];
  await runOnArrays(await testGpu(), [
    ...passes.backward(
      target,
      s,
      { ...operands, ...all, dx: added, addend, rowBias: { of: rowBias, first, width } },
      "all",
    ),
    ...passes.backward(target, s, { ...operands, ...plain, dx }, "dx without addend"),
    ...passes.backward(target, s, { ...operands, ...least }, "no dx"),
  ]);
  const expected = conv2dInputGradientReference(s, dy, w);
  const before = unpackChannels(addend, s.inChannels);
  const tolerance = toleranceOf(way, "input_gradient", s, tapsOf(s) * s.outChannels);
  assertClose(unpackChannels(dx, s.inChannels), expected, tolerance, "dx");
  assertClose(
    unpackChannels(added, s.inChannels),
    expected.map((v, i) => v + before[i]),
    tolerance,
    "dx + addend",
  );

  const expectedDw = packWeight(Float32Array.from(conv2dWeightGradientReference(s, x, dy)), s);
  assertClose(all.dw, expectedDw, toleranceOf(way, "weight_gradient", s, pixels(s)), "dw");
  expectedDw.forEach((v, i) => v === 0 && assert.equal(all.dw[i], 0, `padding of dw at ${i}`));
  assertClose(addedUp(all.sums, s), columnSums(dy, s.outChannels), bound(pixels(s)), "db");
  for (const others of [plain, least]) {
    assert.deepEqual(others.dw, all.dw, "the same sums in the same order");
    assert.deepEqual(others.sums, all.sums, "the same sums in the same order");
  }

  const perImage = s.outHeight * s.outWidth;
  for (let n = 0; n < s.batch; n++) {
    const line = (of: Float32Array) => of.slice(n * rows.length / s.batch, (n + 1) * rows.length / s.batch);
    const ofImage = dy.slice(n * perImage * s.outChannels, (n + 1) * perImage * s.outChannels);
    const end = first + 4 * Math.ceil(s.outChannels / 4);
    const got = unpackChannels(line(rowBias).slice(first, end), s.outChannels);
    assertClose(got, columnSums(ofImage, s.outChannels), bound(perImage), `row bias of image ${n}`);
    assert.deepEqual(line(rowBias).slice(0, first), line(rows).slice(0, first), "channels before");
    assert.deepEqual(line(rowBias).slice(end), line(rows).slice(end), "channels after");
  }
}
