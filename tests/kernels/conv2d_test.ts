import assert from "node:assert/strict";
import {
  conv2dBackwardInput,
  conv2dBackwardWeight,
  conv2dBackwardWeightScratch,
  conv2dForward,
  type Conv2dShape,
} from "../../kernels/conv2d.ts";
import type { KernelTarget } from "../../kernels/target.ts";
import { assertClose } from "../close.ts";
import { runOnArrays, testGpu, testTargets, TILE } from "../gpu.ts";
import { packChannels, unpackChannels } from "../layout.ts";
import {
  columnSums,
  conv2dInputGradientReference,
  conv2dReference,
  conv2dWeightGradientReference,
} from "../reference/conv2d.ts";
import { differences, noise as noise64 } from "../reference/differences.ts";

const TARGETS = await testTargets();

const noise = (count: number, seed: number) => Float32Array.from(noise64(count, seed));

/** A convolution of x [N,H,W,I] to O channels with diffusers' padding. */
function shape(
  kernel: 1 | 3,
  stride: 1 | 2,
  [batch, inHeight, inWidth, inChannels]: number[],
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

const SHAPES: Conv2dShape[] = [
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
  // Results of few columns have layouts of their own.
  ...[3, 4, 8, 12, 16, 20].map((channels) => shape(3, 1, [2, 5, 7, channels], channels)),
  ...[4, 12].map((channels) => shape(3, 2, [4, 9, 7, channels], channels)),
  ...[3, 16].flatMap((few) => [shape(1, 1, [2, 5, 7, 40], few), shape(1, 1, [2, 5, 7, few], 40)]),
];

const describe = (s: Conv2dShape) =>
  `x=[${s.batch},${s.inHeight},${s.inWidth},${s.inChannels}] ` +
  `w=[${s.kernel},${s.kernel},${s.inChannels},${s.outChannels}] stride=${s.stride}`;

const pixels = (s: Conv2dShape) => s.batch * s.outHeight * s.outWidth;
const inputs = (s: Conv2dShape) => noise(s.batch * s.inHeight * s.inWidth * s.inChannels, 1);
const weights = (s: Conv2dShape) => noise(s.kernel ** 2 * s.inChannels * s.outChannels, 2);
const gradients = (s: Conv2dShape) => noise(pixels(s) * s.outChannels, 3);

/** Logical [k,k,I,O] -> [k,k,Ip,Op]. */
function packWeight(weight: Float32Array, s: Conv2dShape): Float32Array {
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

/**
 * float32 sums of `terms` products of numbers in [-1, 1): every partial sum stays within a few sqrt(terms), and each of
 * `terms` roundings is at most 2^-24 of it; the roundings are random, so that they add up like sqrt(terms).
 */
const bound = (terms: number) => ({ absolute: 4 * terms * 2 ** -24 + 2 ** -22 });

Deno.test("the reference gradients of conv2d agree with central differences", () => {
  for (
    const s of [shape(3, 1, [2, 3, 4, 2], 3), shape(3, 2, [1, 5, 4, 2], 2), shape(1, 1, [2, 2, 1, 3], 2)]
  ) {
    const x = Float64Array.from(inputs(s));
    const w = Float64Array.from(weights(s));
    const dy = gradients(s);
    const y = () => conv2dReference(s, x, w);
    // The loss is linear in x and in w: differences are exact up to float64 rounding over the step.
    assertClose(conv2dInputGradientReference(s, dy, w), differences(y, x, dy), { absolute: 1e-9 }, "dx");
    assertClose(conv2dWeightGradientReference(s, x, dy), differences(y, w, dy), { absolute: 1e-9 }, "dw");
  }
});

/** Runs the input gradient with and without an earlier one to add to, and compares both with the reference. */
async function checkInputGradient(target: KernelTarget, s: Conv2dShape): Promise<void> {
  const w = weights(s);
  const dy = gradients(s);
  const before = inputs(s);
  const expected = conv2dInputGradientReference(s, dy, w);
  const addend = packChannels(before, s.inChannels);
  const dx = addend.slice().fill(NaN);
  const sum = dx.slice();
  const operands = { dy: packChannels(dy, s.outChannels), weight: packWeight(w, s) };
  await runOnArrays(await testGpu(), [
    ...conv2dBackwardInput(target, s, { ...operands, dx }, "plain"),
    ...conv2dBackwardInput(target, s, { ...operands, addend, dx: sum }, "added"),
  ]);
  const tolerance = bound(s.kernel ** 2 * s.outChannels);
  assertClose(unpackChannels(dx, s.inChannels), expected, tolerance, "dx");
  assertClose(
    unpackChannels(sum, s.inChannels),
    expected.map((v, i) => v + before[i]),
    tolerance,
    "dx + addend",
  );
}

/** Runs the weight gradient with and without the bias's, and compares both with the reference. */
async function checkWeightGradient(target: KernelTarget, s: Conv2dShape): Promise<void> {
  const [x, dy] = [inputs(s), gradients(s)];
  const dw = packWeight(weights(s), s).fill(NaN);
  const db = packChannels(noise(s.outChannels, 6), s.outChannels).fill(NaN);
  const scratch = new Float32Array(conv2dBackwardWeightScratch(target, s)).fill(NaN);
  const again = dw.slice();
  const operands = { x: packChannels(x, s.inChannels), dy: packChannels(dy, s.outChannels), scratch };
  await runOnArrays(await testGpu(), [
    ...conv2dBackwardWeight(target, s, { ...operands, dw, db }, "with bias"),
    ...conv2dBackwardWeight(target, s, { ...operands, dw: again }, "without bias"),
  ]);
  const expected = packWeight(Float32Array.from(conv2dWeightGradientReference(s, x, dy)), s);
  assertClose(dw, expected, bound(pixels(s)), "dw");
  assert.deepEqual(again, dw, "the same sums in the same order");
  assertClose(unpackChannels(db, s.outChannels), columnSums(dy, s.outChannels), bound(pixels(s)), "db");
  for (let i = 0; i < dw.length; i++) if (expected[i] === 0) assert.equal(dw[i], 0, `padding of dw at ${i}`);
}

for (const target of TARGETS) {
  for (const s of SHAPES) {
    Deno.test(`conv2d forward matches reference: ${describe(s)} ${target.path}`, async () => {
      const [x, w] = [inputs(s), weights(s)];
      const bias = noise(s.outChannels, 4);
      const rowBias = noise(s.batch * s.outChannels, 5);
      const residual = gradients(s);
      const expected = conv2dReference(s, x, w);
      const perSample = s.outHeight * s.outWidth * s.outChannels;
      const full = expected.map((y, i) => {
        const o = i % s.outChannels;
        return y + bias[o] + rowBias[Math.floor(i / perSample) * s.outChannels + o] + residual[i];
      });
      const pack = (data: Float32Array) => packChannels(data, s.outChannels);
      const plain = pack(residual).fill(NaN);
      const fused = plain.slice();
      const operands = { x: packChannels(x, s.inChannels), weight: packWeight(w, s) };
      await runOnArrays(await testGpu(), [
        ...conv2dForward(target, s, { ...operands, y: plain }, "plain"),
        ...conv2dForward(
          target,
          s,
          { ...operands, bias: pack(bias), rowBias: pack(rowBias), residual: pack(residual), y: fused },
          "fused",
        ),
      ]);
      const tolerance = bound(s.kernel ** 2 * s.inChannels);
      assertClose(unpackChannels(plain, s.outChannels), expected, tolerance, "y");
      assertClose(unpackChannels(fused, s.outChannels), full, tolerance, "y with bias, rowBias, residual");
    });

    Deno.test(`conv2d backward_input matches reference: ${describe(s)} ${target.path}`, () =>
      checkInputGradient(target, s));

    Deno.test(`conv2d backward_weight matches reference: ${describe(s)} ${target.path}`, () =>
      checkWeightGradient(target, s));
  }

  Deno.test(`conv2d passes non-finite pixels only to the pixels that see them: ${target.path}`, async () => {
    const s = shape(3, 1, [2, 4, 5, 8], 8);
    const x = packChannels(inputs(s), s.inChannels);
    // The first element is also what a lane outside the image has at hand.
    x[0] = Infinity;
    const y = new Float32Array(pixels(s) * s.outChannels);
    const dx = y.slice();
    const weight = packWeight(weights(s), s);
    await runOnArrays(await testGpu(), [
      ...conv2dForward(target, s, { x, weight, y }, "forward"),
      ...conv2dBackwardInput(target, s, { dy: x, weight, dx }, "backward"),
    ]);
    const reached = new Set([0, 1, 5, 6]);
    for (const result of [y, dx]) {
      const finite = Array.from(result).map((value) => Number.isFinite(value));
      for (let pixel = 0; pixel < pixels(s); pixel++) {
        const channels = finite.slice(pixel * 8, pixel * 8 + 8);
        assert.ok(channels.every((ok) => ok !== reached.has(pixel)), `pixel ${pixel}: ${channels}`);
      }
    }
  });
}

// Alone, an image of the second size falls short of the tall tile, and with it of the narrow one.
for (const [side, channels] of [[8, 16], [4, 8]]) {
  const s = shape(3, 1, [3, side, side, channels], channels);
  Deno.test(`conv2d gives an image the same bits in any batch: ${describe(s)}`, async () => {
    const single = { ...s, batch: 1 };
    const x = packChannels(inputs(s), channels);
    const weight = packWeight(weights(s), s);
    const pass = async (shape: Conv2dShape, x: Float32Array) => {
      const [y, dx] = [x.slice(), x.slice()];
      await runOnArrays(await testGpu(), [
        ...conv2dForward(TARGETS[0], shape, { x, weight, y }, "forward"),
        ...conv2dBackwardInput(TARGETS[0], shape, { dy: x, weight, dx }, "backward"),
      ]);
      return [y, dx];
    };
    const last = 2 * x.length / 3;
    const together = (await pass(s, x)).map((result) => result.slice(last));
    assert.deepEqual(await pass(single, x.slice(last)), together);
  });
}

// Enough pixels for the large tiles of the GPU's layout.
const large = shape(1, 1, [8, 32, 32, 64], 64);
Deno.test(`conv2d gradients match reference in large tiles: ${describe(large)} tile`, async () => {
  await checkInputGradient(TILE, large);
  await checkWeightGradient(TILE, large);
});
