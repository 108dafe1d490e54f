/**
 * The large tiles that GPUs spend nearly all of their time in: products have to be far larger than those of
 * conv2d_test.ts and matmul_test.ts before they are chosen.
 */
import assert from "node:assert/strict";
import {
  conv2dBackwardInput,
  conv2dBackwardWeight,
  conv2dBackwardWeightScratch,
  conv2dForward,
  type Conv2dShape,
} from "../../kernels/conv2d.ts";
import { matmul, type MatmulShape } from "../../kernels/matmul.ts";
import type { Launch } from "../../kernels/source.ts";
import type { KernelTarget } from "../../kernels/target.ts";
import { assertClose } from "../close.ts";
import { type HostArray, runOnArrays, testGpu } from "../gpu.ts";
import {
  columnSums,
  conv2dInputGradientReference,
  conv2dReference,
  conv2dWeightGradientReference,
} from "../reference/conv2d.ts";
import { noise as noise64 } from "../reference/differences.ts";
import { matmulReference } from "../reference/matmul.ts";

const TARGET: KernelTarget = { path: "tile", subgroupSize: 0 };

const noise = (count: number, seed: number) => Float32Array.from(noise64(count, seed));

/** float32 sums of `terms` products in [-1, 1), as in conv2d_test.ts. */
const bound = (terms: number) => ({ absolute: 4 * terms * 2 ** -24 + 2 ** -22 });

async function runLarge(launches: Launch<HostArray>[]): Promise<void> {
  assert.match(launches[0].kernel.name, /_tile_64x64$/, "the product is too small to be of use here");
  await runOnArrays(await testGpu(), launches);
}

/** A 3x3 convolution. Channels are multiples of 4, so that arrays need no padding; not of 64, so that tiles are cut off. */
function shape(
  stride: 1 | 2,
  [batch, inHeight, inWidth, inChannels]: readonly number[],
  outChannels: number,
): Conv2dShape {
  const pad = stride === 1 ? 1 : 0;
  const [outHeight, outWidth] = [inHeight, inWidth].map((size) => Math.floor(size / stride));
  const sizes = { batch, inHeight, inWidth, inChannels, outHeight, outWidth, outChannels };
  return { ...sizes, kernel: 3, stride, padTop: pad, padLeft: pad };
}

const describe = (s: Conv2dShape) =>
  `x=[${s.batch},${s.inHeight},${s.inWidth},${s.inChannels}] ` +
  `w=[3,3,${s.inChannels},${s.outChannels}] stride=${s.stride}`;

const weightsOf = (s: Conv2dShape) => noise(9 * s.inChannels * s.outChannels, 2);
const pixelsOf = (s: Conv2dShape) => s.batch * s.outHeight * s.outWidth;

for (const s of [shape(1, [5, 29, 29, 8], 68), shape(2, [8, 64, 64, 4], 36)]) {
  Deno.test(`conv2d forward matches reference in large tiles: ${describe(s)}`, async () => {
    const [x, weight] = [noise(s.batch * s.inHeight * s.inWidth * s.inChannels, 1), weightsOf(s)];
    const y = new Float32Array(pixelsOf(s) * s.outChannels).fill(NaN);
    await runLarge(conv2dForward<HostArray>(TARGET, s, { x, weight, y }, "test"));
    assertClose(y, conv2dReference(s, x, weight), bound(9 * s.inChannels), "y");
  });
}

for (const s of [shape(1, [5, 29, 29, 68], 8), shape(2, [8, 64, 65, 36], 4)]) {
  Deno.test(`conv2d backward_input matches reference in large tiles: ${describe(s)}`, async () => {
    const [dy, weight] = [noise(pixelsOf(s) * s.outChannels, 3), weightsOf(s)];
    const dx = new Float32Array(s.batch * s.inHeight * s.inWidth * s.inChannels).fill(NaN);
    await runLarge(conv2dBackwardInput<HostArray>(TARGET, s, { dy, weight, dx }, "test"));
    const expected = conv2dInputGradientReference(s, dy, weight);
    assertClose(dx, expected, bound(9 * s.outChannels), "dx");
  });
}

for (const s of [shape(1, [3, 11, 10, 132], 132)]) {
  Deno.test(`conv2d backward_weight matches reference in large tiles: ${describe(s)}`, async () => {
    const x = noise(s.batch * s.inHeight * s.inWidth * s.inChannels, 1);
    const dy = noise(pixelsOf(s) * s.outChannels, 3);
    const dw = new Float32Array(9 * s.inChannels * s.outChannels).fill(NaN);
    const db = new Float32Array(s.outChannels).fill(NaN);
    const scratch = new Float32Array(conv2dBackwardWeightScratch(TARGET, s)).fill(NaN);
    await runLarge(conv2dBackwardWeight<HostArray>(TARGET, s, { x, dy, dw, db, scratch }, "test"));
    assertClose(dw, conv2dWeightGradientReference(s, x, dy), bound(pixelsOf(s)), "dw");
    assertClose(db, columnSums(dy, s.outChannels), bound(pixelsOf(s)), "db");
  });
}

// Both operands along k, and neither: each of the other products mixes the two.
for (const [transposedA, transposedB] of [[false, true], [true, false]]) {
  const product = transposedB ? "A B^T" : "A^T B";
  Deno.test(`matmul matches reference in large tiles: ${product} batch=32 [132,44]x[44,68]`, async () => {
    const [batch, m, n, k] = [32, 132, 68, 44];
    const layout = (rows: number, columns: number) => {
      const stride = rows * columns;
      return { rowStride: columns, batchStride: stride, headStride: stride };
    };
    const s: MatmulShape = {
      ...{ batch, heads: 1, m, n, k, alpha: 0.5 },
      a: { ...(transposedA ? layout(k, m) : layout(m, k)), transposed: transposedA },
      b: { ...(transposedB ? layout(n, k) : layout(k, n)), transposed: transposedB },
      c: layout(m, n),
    };
    const [a, b] = [noise(batch * m * k, 1), noise(batch * k * n, 2)];
    const c = new Float32Array(batch * m * n).fill(NaN);
    await runLarge(matmul<HostArray>(TARGET, s, { a, b, c }, "test"));
    assertClose(c, matmulReference(s, a, b, undefined, c.length), bound(k), "c");
  });
}
