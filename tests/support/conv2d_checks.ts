/** Checks of the passes of a convolution by a given algorithm, against the reference. */
import assert from "node:assert/strict";
import {
  conv2dBackwardInput,
  conv2dBackwardWeight,
  conv2dForward,
  type Conv2dPass,
  conv2dScratch,
  type Conv2dShape,
} from "../../kernels/products/conv2d.ts";
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
  [batch, inHeight, inWidth, inChannels]: readonly number[],
  outChannels: number,
): Conv2dShape {
  const pad = kernel === 3 && stride === 1 ? 1 : 0;
  const padAll = kernel === 1 ? 0 : stride === 1 ? 2 : 1;
  const out = (size: number) => Math.floor((size + padAll - kernel) / stride) + 1;
  return {
    ...{ batch, inHeight, inWidth, inChannels, outChannels, kernel, stride, padTop: pad, padLeft: pad },
    outHeight: out(inHeight),
    outWidth: out(inWidth),
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
];

export const describe = (s: Conv2dShape) =>
  `x=[${s.batch},${s.inHeight},${s.inWidth},${s.inChannels}] ` +
  `w=[${s.kernel},${s.kernel},${s.inChannels},${s.outChannels}] stride=${s.stride}`;

export const pixels = (s: Conv2dShape) => s.batch * s.outHeight * s.outWidth;
export const inputs = (s: Conv2dShape) => noise(s.batch * s.inHeight * s.inWidth * s.inChannels, 1);
export const weights = (s: Conv2dShape) => noise(s.kernel ** 2 * s.inChannels * s.outChannels, 2);
export const gradients = (s: Conv2dShape) => noise(pixels(s) * s.outChannels, 3);

/** Logical [k,k,I,O] -> padded [k,k,Ip,Op]. */
export function packWeight(weight: Float32Array, s: Conv2dShape): Float32Array {
  const rows = packChannels(weight, s.outChannels);
  const width = rows.length / (s.kernel ** 2 * s.inChannels);
  const padded = 4 * Math.ceil(s.inChannels / 4);
  const out = new Float32Array(s.kernel ** 2 * padded * width);
  for (let tap = 0; tap < s.kernel ** 2; tap++) {
    const from = tap * s.inChannels * width;
    out.set(rows.subarray(from, from + s.inChannels * width), tap * padded * width);
  }
  return out;
}

/** The target with an algorithm forced where it is a candidate. */
export function withAlgorithm(target: KernelTarget, algorithm: string): KernelTarget {
  return { ...target, choose: (_, names) => names.includes(algorithm) ? algorithm : names[0] };
}

/** The three passes of an algorithm, and their workspace. */
export interface Passes {
  forward: typeof conv2dForward;
  backwardInput: typeof conv2dBackwardInput;
  backwardWeight: typeof conv2dBackwardWeight;
  scratch: typeof conv2dScratch;
}

/** The passes that networks use. */
export const CONV2D: Passes = {
  forward: conv2dForward,
  backwardInput: conv2dBackwardInput,
  backwardWeight: conv2dBackwardWeight,
  scratch: conv2dScratch,
};

/** An algorithm on a target. */
export interface Way {
  readonly passes: Passes;
  readonly target: KernelTarget;
  /** Error bound of a pass; default that of a direct convolution. */
  readonly tolerance?: (pass: Conv2dPass, s: Conv2dShape) => Tolerance;
}

/** Workspace of a pass, filled with NaN: its contents must not matter. */
export function scratch({ passes, target }: Way, pass: Conv2dPass, s: Conv2dShape): Float32Array[] {
  return passes.scratch(target, pass, s).map((count) => new Float32Array(count).fill(NaN));
}

/**
 * Error bound of float32 sums of `terms` products of numbers in [-1, 1): every partial sum stays within a few
 * sqrt(terms), and each of `terms` roundings is at most 2^-24 of it; random roundings add up like sqrt(terms).
 */
export const bound = (terms: number): Tolerance => ({ absolute: 4 * terms * 2 ** -24 + 2 ** -22 });

function toleranceOf({ tolerance }: Way, pass: Conv2dPass, s: Conv2dShape, terms: number): Tolerance {
  return tolerance?.(pass, s) ?? bound(terms);
}

/** Packs row biases of `width` channels, of which `count` from the fifth on are used; the padding of these must be zero. */
function packRowBias(rowBiases: Float32Array, width: number, count: number): Float32Array {
  const used = 4 * Math.ceil(count / 4);
  return packChannels(rowBiases, width).map((value, i) => {
    const channel = i % (4 * Math.ceil(width / 4)) - 4;
    return channel >= count && channel < used ? 0 : value;
  });
}

/** Checks the forward pass, plain and with bias, row bias and residual. */
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
  const fused = plain.slice();
  const operands = {
    x: packChannels(x, s.inChannels),
    weight: packWeight(w, s),
    scratch: scratch(way, "forward", s),
  };
  const rowBias = { of: packRowBias(rowBiases, width, s.outChannels), first: 4, width };
  const added = { bias: pack(bias), rowBias, residual: pack(residual) };
  await runOnArrays(await testGpu(), [
    ...passes.forward(target, s, { ...operands, y: plain }, "plain"),
    ...passes.forward(target, s, { ...operands, ...added, y: fused }, "fused"),
  ]);
  const tolerance = toleranceOf(way, "forward", s, s.kernel ** 2 * s.inChannels);
  assertClose(unpackChannels(plain, s.outChannels), expected, tolerance, "y");
  assertClose(unpackChannels(fused, s.outChannels), full, tolerance, "y with bias, rowBias, residual");
}

/** Checks the input gradient, written and accumulated. */
export async function checkInputGradient(way: Way, s: Conv2dShape): Promise<void> {
  const { passes, target } = way;
  const w = weights(s);
  const dy = gradients(s);
  const before = inputs(s);
  const expected = conv2dInputGradientReference(s, dy, w);
  const addend = packChannels(before, s.inChannels);
  const dx = addend.slice().fill(NaN);
  const sum = dx.slice();
  const operands = {
    dy: packChannels(dy, s.outChannels),
    weight: packWeight(w, s),
    scratch: scratch(way, "backward_input", s),
  };
  await runOnArrays(await testGpu(), [
    ...passes.backwardInput(target, s, { ...operands, dx }, "plain"),
    ...passes.backwardInput(target, s, { ...operands, addend, dx: sum }, "added"),
  ]);
  const tolerance = toleranceOf(way, "backward_input", s, s.kernel ** 2 * s.outChannels);
  assertClose(unpackChannels(dx, s.inChannels), expected, tolerance, "dx");
  assertClose(
    unpackChannels(sum, s.inChannels),
    expected.map((v, i) => v + before[i]),
    tolerance,
    "dx + addend",
  );
}

/** Checks the weight gradient, with and without the bias gradient. */
export async function checkWeightGradient(way: Way, s: Conv2dShape): Promise<void> {
  const { passes, target } = way;
  const [x, dy] = [inputs(s), gradients(s)];
  const dw = packWeight(weights(s), s).fill(NaN);
  const db = packChannels(noise(s.outChannels, 6), s.outChannels).fill(NaN);
  const again = dw.slice();
  const operands = {
    x: packChannels(x, s.inChannels),
    dy: packChannels(dy, s.outChannels),
    scratch: scratch(way, "backward_weight", s),
  };
  await runOnArrays(await testGpu(), [
    ...passes.backwardWeight(target, s, { ...operands, dw, db }, "with bias"),
    ...passes.backwardWeight(target, s, { ...operands, dw: again }, "without bias"),
  ]);
  const expected = packWeight(Float32Array.from(conv2dWeightGradientReference(s, x, dy)), s);
  assertClose(dw, expected, toleranceOf(way, "backward_weight", s, pixels(s)), "dw");
  assert.deepEqual(again, dw, "the same sums in the same order");
  assertClose(unpackChannels(db, s.outChannels), columnSums(dy, s.outChannels), bound(pixels(s)), "db");
  for (let i = 0; i < dw.length; i++) if (expected[i] === 0) assert.equal(dw[i], 0, `padding of dw at ${i}`);
}
