/** Products of operands in float16, which accumulate in float32: errors are those of float32 and of storing the result. */
import assert from "node:assert/strict";
import {
  directBackwardInput,
  directBackwardWeight,
  directForward,
  directScratch,
} from "../../../kernels/products/conv2d_direct.ts";
import type { Conv2dShape } from "../../../kernels/products/conv2d_shape.ts";
import { matmul, type MatmulShape } from "../../../kernels/products/matmul.ts";
import type { KernelTarget } from "../../../kernels/target.ts";
import { assertClose } from "../../support/close.ts";
import { type HostArray, testTargets, TILE } from "../../support/gpu.ts";
import { packChannels, unpackChannels } from "../../support/layout.ts";
import {
  columnSums,
  conv2dInputGradientReference,
  conv2dReference,
  conv2dWeightGradientReference,
} from "../../reference/conv2d.ts";
import { noise } from "../../reference/differences.ts";
import { matmulReference } from "../../reference/matmul.ts";
import { FLOAT16, FLOAT32, type Storage } from "../../support/storage.ts";
import { bound, describe, packWeight, pixels, shape } from "../../support/conv2d_checks.ts";

const HALF = (await testTargets()).map((target): KernelTarget => ({ ...target, half: true }));

const values = (count: number, seed: number) => FLOAT16.rounded(noise(count, seed));

/** Values in the device's layout. */
const pack = (data: ArrayLike<number>, channels: number) => FLOAT16.array(packChannels(data, channels));

const weightsOf = (s: Conv2dShape) => values(s.kernel ** 2 * s.inChannels * s.outChannels, 2);
const packedWeights = (s: Conv2dShape) => FLOAT16.array(packWeight(Float32Array.from(weightsOf(s)), s));

async function checkForward(target: KernelTarget, s: Conv2dShape): Promise<void> {
  const x = values(s.batch * s.inHeight * s.inWidth * s.inChannels, 1);
  // A bias is float32, which the sum of all must show.
  const bias = Float32Array.from(noise(s.outChannels, 4), (v) => 1e-3 * v);
  const rowBias = values(s.batch * s.outChannels, 5);
  const residual = values(pixels(s) * s.outChannels, 3);
  const perSample = s.outHeight * s.outWidth * s.outChannels;
  const expected = conv2dReference(s, x, weightsOf(s)).map((y, i) => {
    const o = i % s.outChannels;
    return y + bias[o] + rowBias[Math.floor(i / perSample) * s.outChannels + o] + residual[i];
  });
  const y = FLOAT16.empty(pack(residual, s.outChannels).length);
  const buffers = {
    ...{ x: pack(x, s.inChannels), weight: packedWeights(s), bias: packChannels(bias, s.outChannels) },
    ...{ rowBias: { of: pack(rowBias, s.outChannels), first: 0, width: s.outChannels } },
    ...{ residual: pack(residual, s.outChannels), y, scratch: [] },
  };
  await FLOAT16.run(directForward<HostArray>(target, s, buffers, "test"));
  const tolerance = FLOAT16.stored(bound(s.kernel ** 2 * s.inChannels));
  assertClose(unpackChannels(y, s.outChannels), expected, tolerance, "y");
}

async function checkInputGradient(target: KernelTarget, s: Conv2dShape): Promise<void> {
  const dy = values(pixels(s) * s.outChannels, 3);
  const before = values(s.batch * s.inHeight * s.inWidth * s.inChannels, 1);
  const addend = pack(before, s.inChannels);
  const dx = FLOAT16.empty(addend.length);
  const buffers = { dy: pack(dy, s.outChannels), weight: packedWeights(s), addend, dx, scratch: [] };
  await FLOAT16.run(directBackwardInput<HostArray>(target, s, buffers, "test"));
  const expected = conv2dInputGradientReference(s, dy, weightsOf(s)).map((v, i) => v + before[i]);
  const tolerance = FLOAT16.stored(bound(s.kernel ** 2 * s.outChannels));
  assertClose(unpackChannels(dx, s.inChannels), expected, tolerance, "dx");
}

/** Returns dw, which is float32, as is db. */
async function checkWeightGradient(target: KernelTarget, s: Conv2dShape): Promise<Float32Array> {
  const x = values(s.batch * s.inHeight * s.inWidth * s.inChannels, 1);
  const dy = values(pixels(s) * s.outChannels, 3);
  const dw = new Float32Array(packedWeights(s).length).fill(NaN);
  const db = packChannels(new Float32Array(s.outChannels).fill(NaN), s.outChannels);
  const scratch = directScratch(target, "backward_weight", s).map((size) => new Float32Array(size).fill(NaN));
  const buffers = { x: pack(x, s.inChannels), dy: pack(dy, s.outChannels), dw, db, scratch };
  await FLOAT16.run(directBackwardWeight<HostArray>(target, s, buffers, "test"));
  const expected = packWeight(Float32Array.from(conv2dWeightGradientReference(s, x, dy)), s);
  assertClose(dw, expected, bound(pixels(s)), "dw");
  assertClose(unpackChannels(db, s.outChannels), columnSums(dy, s.outChannels), bound(pixels(s)), "db");
  return dw;
}

const SHAPES = [
  shape(3, 1, [2, 1, 1, 5], 9),
  shape(3, 1, [3, 9, 6, 20], 36),
  shape(3, 1, [2, 5, 7, 12], 16),
  shape(3, 1, [2, 5, 7, 3], 4),
  shape(3, 2, [2, 9, 12, 16], 33),
  shape(1, 1, [1, 1, 1, 1], 1),
  shape(1, 1, [1, 1, 1, 130], 70),
  shape(1, 1, [2, 16, 16, 64], 32),
];

for (const target of HALF) {
  for (const s of SHAPES) {
    // The problems are the same text in both layouts; llvmpipe takes seconds to compile one for tiles.
    if (target.path === "tile" && s.kernel === 1) continue;
    const name = `${describe(s)} ${target.path}`;
    Deno.test(`conv2d forward in float16 matches reference: ${name}`, () => checkForward(target, s));
    Deno.test(`conv2d backward_input in float16 matches reference: ${name}`, () =>
      checkInputGradient(target, s));
    Deno.test(`conv2d backward_weight in float16 matches reference: ${name}`, async () => {
      await checkWeightGradient(target, s);
    });
  }
}

const padded = (count: number) => 4 * Math.ceil(count / 4);

/** `batch` matrices, one after the other. */
function matrices(rows: number, columns: number, transposed = false) {
  const rowStride = padded(columns);
  return { rowStride, batchStride: rows * rowStride, headStride: rows * rowStride, transposed };
}

function productOf(m: number, n: number, k: number, transposedA: boolean, transposedB: boolean): MatmulShape {
  const a = transposedA ? matrices(k, m, true) : matrices(m, k);
  const b = transposedB ? matrices(n, k, true) : matrices(k, n);
  return { batch: 2, heads: 1, m, n, k, alpha: -2, a, b, c: matrices(m, n) };
}

async function checkMatmul(target: KernelTarget, s: MatmulShape): Promise<HostArray> {
  const [a, b] = [s.a, s.b].map((layout, i) => values(s.batch * layout.batchStride, 1 + i));
  const size = s.batch * s.c.batchStride;
  const ones = new Float64Array(Math.max(a.length, b.length)).fill(1);
  const unit = matmulReference({ ...s, k: 1, alpha: 1 }, ones, ones, undefined, size);
  const addend = values(size, 3).map((value, i) => value * unit[i]);
  const c = FLOAT16.empty(size);
  const operands = { a: FLOAT16.array(a), b: FLOAT16.array(b), addend: FLOAT16.array(addend), c };
  await FLOAT16.run(matmul<HostArray>(target, s, operands, "test"));
  const { absolute } = bound(s.k);
  const tolerance = FLOAT16.stored({ absolute: Math.abs(s.alpha) * absolute });
  assertClose(c, matmulReference(s, a, b, addend, size), tolerance, "c");
  return c;
}

for (const target of HALF) {
  for (const [transposedA, transposedB] of [[false, false], [false, true], [true, false], [true, true]]) {
    if (target.path === "tile" && transposedA) continue;
    for (const [m, n, k] of [[1, 1, 1], [41, 9, 10], [35, 22, 70]]) {
      const product = `${transposedA ? "A^T" : "A"} ${transposedB ? "B^T" : "B"}`;
      const s = productOf(m, n, k, transposedA, transposedB);
      Deno.test(`matmul in float16 matches reference: ${product} [${m},${k}]x[${k},${n}] ${target.path}`, async () => {
        await checkMatmul(target, s);
      });
    }
  }

  // Heads whose slices begin anywhere: elements are read and written one by one.
  if (target.path === "subgroup") {
    Deno.test(`matmul in float16 matches reference: heads of 3 channels ${target.path}`, async () => {
      const [tokens, size] = [35, 3];
      const slices = { rowStride: 8, batchStride: tokens * 8, headStride: size };
      const scores = { rowStride: 36, batchStride: 2 * tokens * 36, headStride: tokens * 36 };
      const s: MatmulShape = {
        ...{ batch: 1, heads: 2, m: tokens, n: size, k: tokens, alpha: 0.5 },
        ...{ a: { ...scores, transposed: false }, b: { ...slices, transposed: false }, c: slices },
      };
      const [a, b] = [values(scores.batchStride, 1), values(slices.batchStride, 2)];
      const c = FLOAT16.empty(slices.batchStride);
      const operands = { a: FLOAT16.array(a), b: FLOAT16.array(b), c };
      await FLOAT16.run(matmul<HostArray>(target, s, operands, "test"));
      const expected = matmulReference(s, a, b, undefined, c.length);
      assertClose(c, expected, FLOAT16.stored(bound(tokens)), "c");
    });
  }

  // Were they all added up in float16, the sum would stop growing at 2^11 times the size of a term.
  Deno.test(`a long sum of products in float16 keeps the precision of a short one: ${target.path}`, async () => {
    const s = { ...productOf(5, 6, 8192, false, true), alpha: 1 / 64 };
    const [a, b] = [s.a, s.b].map((layout, i) => values(s.batch * layout.batchStride, 1 + i).map(Math.abs));
    const c = FLOAT16.empty(s.batch * s.c.batchStride);
    await FLOAT16.run(matmul<HostArray>(target, s, { a: FLOAT16.array(a), b: FLOAT16.array(b), c }, "test"));
    assertClose(c, matmulReference(s, a, b, undefined, c.length), { absolute: 0, relative: 2 ** -10 }, "c");
  });
}

// One layout for each size of a thread's block is enough to compile.
let bits: HostArray | undefined;
for (const name of ["tile_128x128x16_256", "tile_64x32x8_64_db", "tile_32x32x32_64"]) {
  Deno.test(`products in float16 are those of float32, rounded, the same bits in every layout: ${name}`, async () => {
    const target: KernelTarget = { ...TILE, choose: () => name };
    const s = productOf(132, 140, 44, false, true);
    const [a, b] = [s.a, s.b].map((layout, i) => values(s.batch * layout.batchStride, 1 + i));
    const run = async (target: KernelTarget, storage: Storage) => {
      const c = storage.empty(s.batch * s.c.batchStride);
      const operands = { a: storage.array(a), b: storage.array(b), c };
      await storage.run(matmul<HostArray>(target, s, operands, "test"));
      return c;
    };
    const single = await run(target, FLOAT32);
    const half = await run({ ...target, half: true }, FLOAT16);
    // A device may round a number to either neighbour in float16.
    half.forEach((v, i) =>
      assert.ok(Math.abs(v - single[i]) <= 2 ** -10 * Math.abs(single[i]), `${v} ${single[i]}`)
    );
    bits ??= half;
    assert.deepEqual(half, bits);
  });
}
