/** Products of operands in float16, which accumulate in float32: errors are those of float32 and of storing the result. */
import assert from "node:assert/strict";
import { tapsOf } from "../../../kernels/products/conv2d_shape.ts";
import { matmul } from "../../../kernels/products/matmul.ts";
import type { KernelTarget } from "../../../kernels/target.ts";
import { describe, shape } from "../../support/conv2d_checks.ts";
import { type HostArray, testTargets, TILE } from "../../support/gpu.ts";
import {
  batchedProduct,
  checkHalfForward,
  checkHalfHeads,
  checkHalfInputGradient,
  checkHalfLongSum,
  checkHalfMatmul,
  checkHalfWeightGradient,
  halfValues,
} from "../../support/half_checks.ts";
import { FLOAT16, FLOAT32, type Storage } from "../../support/storage.ts";

const HALF = (await testTargets()).map((target): KernelTarget => ({ ...target, half: true }));

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
    if (target.path === "tile" && tapsOf(s) === 1) continue;
    const name = `${describe(s)} ${target.path}`;
    Deno.test(`conv2d forward in float16 matches reference: ${name}`, async () => {
      await checkHalfForward(target, s);
    });
    Deno.test(`conv2d backward_input in float16 matches reference: ${name}`, async () => {
      await checkHalfInputGradient(target, s);
    });
    Deno.test(`conv2d backward_weight in float16 matches reference: ${name}`, async () => {
      await checkHalfWeightGradient(target, s);
    });
  }
}

for (const target of HALF) {
  for (const [transposedA, transposedB] of [[false, false], [false, true], [true, false], [true, true]]) {
    if (target.path === "tile" && transposedA) continue;
    for (const [m, n, k] of [[1, 1, 1], [41, 9, 10], [35, 22, 70]]) {
      const product = `${transposedA ? "A^T" : "A"} ${transposedB ? "B^T" : "B"}`;
      const s = batchedProduct(m, n, k, transposedA, transposedB);
      Deno.test(`matmul in float16 matches reference: ${product} [${m},${k}]x[${k},${n}] ${target.path}`, async () => {
        await checkHalfMatmul(target, s);
      });
    }
  }

  // Heads whose slices begin anywhere: elements are read and written one by one.
  if (target.path === "subgroup") {
    Deno.test(`matmul in float16 matches reference: heads of 3 channels ${target.path}`, async () => {
      await checkHalfHeads(target, 35, 3);
    });
  }

  // Were they all added up in float16, the sum would stop growing at 2^11 times the size of a term.
  Deno.test(`a long sum of products in float16 keeps the precision of a short one: ${target.path}`, async () => {
    await checkHalfLongSum(target, 8192);
  });
}

// One layout for each size of a thread's block is enough to compile.
let bits: HostArray | undefined;
for (const name of ["tile_128x128x16_256", "tile_64x32x8_64_db", "tile_32x32x32_64"]) {
  Deno.test(`products in float16 are those of float32, rounded, the same bits in every layout: ${name}`, async () => {
    const target: KernelTarget = { ...TILE, choose: () => name };
    const s = batchedProduct(132, 140, 44, false, true);
    const [a, b] = [s.a, s.b].map((layout, i) => halfValues(s.batch * layout.batchStride, 1 + i));
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
