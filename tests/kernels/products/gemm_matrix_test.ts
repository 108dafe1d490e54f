/** Products on matrix units, emulated: every index, edge and epilogue is that of the kernels for real ones. */
import assert from "node:assert/strict";
import { directForward } from "../../../kernels/products/conv2d_direct.ts";
import {
  allMatrixLayouts,
  matrixLayoutName,
  matrixLayouts,
} from "../../../kernels/products/gemm_matrix_layouts.ts";
import type { MatrixLayout } from "../../../kernels/products/gemm_matrix_tile.ts";
import type { Conv2dShape } from "../../../kernels/products/conv2d_shape.ts";
import type { KernelTarget, MatrixShape, MatrixUnits } from "../../../kernels/target.ts";
import { describe, shape } from "../../support/conv2d_checks.ts";
import { type HostArray, testGpu } from "../../support/gpu.ts";
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
import { FLOAT16 } from "../../support/storage.ts";

const { maxComputeWorkgroupStorageSize: workgroupBytes } = (await testGpu()).limits;

/** Emulated units whose subgroups have `subgroupSize` lanes. */
function emulated(
  subgroupSize: number,
  [rows, columns, depth]: readonly [number, number, number],
): MatrixUnits {
  const shapes: MatrixShape[] = [{ rows, columns, depth }];
  return { dialect: "emulation", subgroupSize, shapes };
}

const NVIDIA = emulated(32, [16, 16, 16]);

function target(units: MatrixUnits, layout?: string): KernelTarget {
  const choose = layout === undefined ? {} : { choose: () => layout };
  return { path: "tile", subgroupSize: 0, half: true, matrices: units, workgroupBytes, ...choose };
}

const SHAPES = [
  shape(3, 1, [2, 1, 1, 5], 9),
  shape(3, 1, [3, 9, 6, 20], 36),
  shape(3, 2, [2, 9, 12, 16], 33),
  shape(1, 1, [1, 1, 1, 1], 1),
  shape(1, 1, [1, 1, 1, 130], 70),
  shape(1, 1, [2, 16, 16, 64], 32),
];

for (const s of SHAPES) {
  Deno.test(`conv2d forward on matrix units matches reference: ${describe(s)}`, async () => {
    await checkHalfForward(target(NVIDIA), s);
  });
  Deno.test(`conv2d backward_input on matrix units matches reference: ${describe(s)}`, async () => {
    await checkHalfInputGradient(target(NVIDIA), s);
  });
  Deno.test(`conv2d backward_weight on matrix units matches reference: ${describe(s)}`, async () => {
    await checkHalfWeightGradient(target(NVIDIA), s);
  });
}

for (const [transposedA, transposedB] of [[false, false], [false, true], [true, false], [true, true]]) {
  for (const [m, n, k] of [[1, 1, 1], [41, 9, 10], [35, 22, 70]]) {
    const product = `${transposedA ? "A^T" : "A"} ${transposedB ? "B^T" : "B"}`;
    Deno.test(`matmul on matrix units matches reference: ${product} [${m},${k}]x[${k},${n}]`, async () => {
      await checkHalfMatmul(target(NVIDIA), batchedProduct(m, n, k, transposedA, transposedB));
    });
  }
}

/** Compares the bits of all calls with those of the first. */
function sameBits() {
  let first: HostArray | undefined;
  return (bits: HostArray, name: string) => {
    first ??= bits;
    assert.deepEqual(bits, first, name);
  };
}

// More than one tile of the largest layout in both directions, and k that no stage divides.
const WIDE: Conv2dShape = shape(3, 1, [2, 9, 9, 20], 140);
// Each tile once with its longest stages, and the last one, with the shortest.
const all = allMatrixLayouts(NVIDIA, workgroupBytes);
const tile = ({ rows, columns, subgroups }: MatrixLayout) => [rows, columns, ...subgroups].join();
const names = all.filter((layout, i) =>
  i === all.length - 1 || all.findIndex((other) => tile(other) === tile(layout)) === i
).map(matrixLayoutName);
const [sameForward, sameGradient, sameProduct] = [sameBits(), sameBits(), sameBits()];
for (const name of names) {
  Deno.test(`products on matrix units match reference, the same bits in every layout: ${name}`, async () => {
    sameForward(await checkHalfForward(target(NVIDIA, name), WIDE), name);
    sameGradient(await checkHalfWeightGradient(target(NVIDIA, name), WIDE), name);
    sameProduct(await checkHalfMatmul(target(NVIDIA, name), batchedProduct(132, 140, 44, false, true)), name);
  });
}

Deno.test("an image has the same bits on matrix units in every batch and layout", async () => {
  const [images, side, channels, to] = [3, 7, 20, 36];
  const x = FLOAT16.array(halfValues(images * side * side * channels, 1));
  const weight = FLOAT16.array(halfValues(9 * channels * to, 2));
  const run = async (layout: string, from: number, batch: number) => {
    const y = FLOAT16.empty(batch * side * side * to);
    const size = side * side * channels;
    const operands = { x: x.slice(from * size, (from + batch) * size), weight, y, scratch: [] };
    const s = shape(3, 1, [batch, side, side, channels], to);
    await FLOAT16.run(directForward<HostArray>(target(NVIDIA, layout), s, operands, "test"));
    return y;
  };
  const [small, large] = [names[names.length - 1], names[0]];
  const together = await run(large, 0, images);
  for (let image = 0; image < images; image++) {
    const alone = await run(small, image, 1);
    assert.deepEqual(together.slice(image * alone.length, (image + 1) * alone.length), alone);
  }
});

// Those of AMD's larger GPUs have 64 lanes.
for (const lanes of [8, 16, 64, 128]) {
  Deno.test(`layouts for subgroups of ${lanes} lanes have work for every thread, and at most 256 threads`, async () => {
    for (const size of [[8, 8, 8], [16, 16, 16], [32, 32, 16]] as const) {
      for (const layout of allMatrixLayouts(emulated(lanes, size), workgroupBytes)) {
        const { rows, columns, depth, subgroups } = layout;
        const name = `${matrixLayoutName(layout)} ${size}`;
        const threads = lanes * subgroups[0] * subgroups[1];
        assert.ok(threads <= 256, name);
        for (const lines of [rows, columns]) assert.equal(lines * depth / 4 % threads, 0, name);
        assert.equal(rows / subgroups[0] % size[0] + columns / subgroups[1] % size[1], 0, name);
      }
    }
    const units = emulated(lanes, [16, 16, 16]);
    const smallest = allMatrixLayouts(units, workgroupBytes).map(matrixLayoutName).at(-1)!;
    await checkHalfMatmul(target(units, smallest), batchedProduct(41, 37, 44, false, true));
  });
}

const VENDORS = { Apple: emulated(32, [8, 8, 8]), Intel: emulated(16, [8, 16, 16]) };
for (const [vendor, units] of Object.entries(VENDORS)) {
  Deno.test(`products in matrices of ${vendor}'s size match reference`, async () => {
    const layout = matrixLayoutName(allMatrixLayouts(units, workgroupBytes)[0]);
    for (const transposed of [false, true]) {
      await checkHalfMatmul(target(units, layout), batchedProduct(132, 140, 44, transposed, !transposed));
    }
  });
}

// Heads whose slices begin anywhere: elements are read and written one by one.
Deno.test("matmul on matrix units matches reference: heads of 3 channels", async () => {
  await checkHalfHeads(target(NVIDIA), 35, 3);
});

// Were they added up in float16, the sum would stop growing at 2^11 times the size of a term.
Deno.test("a long sum on matrix units keeps the precision of a short one", async () => {
  await checkHalfLongSum(target(NVIDIA), 8192);
});

Deno.test("layouts for matrix units suit the result, the outer loop and the workgroup's memory", () => {
  const candidates = (rows: number, columns: number, { turn = 128, places = 1, bytes = 49152 } = {}) =>
    matrixLayouts(NVIDIA, bytes, { rows, columns, depth: 1024, turn, places }).map(matrixLayoutName);
  assert.equal(candidates(131072, 128)[0], "matrix_128x128x32_128_db");
  assert.equal(candidates(8192, 256)[0], "matrix_128x64x32_128_db");
  assert.equal(candidates(2048, 256)[0], "matrix_32x32x64_128_db");
  assert.equal(candidates(2048, 256, { places: 8 })[0], "matrix_128x128x32_128_db");
  assert.equal(candidates(131072, 4)[0], "matrix_128x32x32_128_db");
  assert.equal(candidates(131072, 128, { turn: 4 })[0], "matrix_128x128x16_128");
  assert.equal(candidates(131072, 128, { bytes: 16384 })[0], "matrix_128x64x16_128");
  for (const [rows, columns] of [[131072, 128], [1, 1], [131072, 4], [36, 128], [512, 512]]) {
    const names = candidates(rows, columns);
    assert.ok(names.length >= 2 && names.length <= 5, `${names}`);
    assert.equal(new Set(names).size, names.length);
  }
});

Deno.test("products take the largest matrices that have a layout for every product, and none without", () => {
  const sizes = [
    ...[[16, 16, 16], [16, 8, 16], [16, 8, 8], [8, 8, 8], [8, 16, 16], [4, 4, 4], [32, 32, 16], [64, 16, 16]],
    ...[[16, 16, 32], [16, 8, 32], [64, 64, 16], [64, 64, 32], [2, 16, 16], [16, 2, 16], [16, 16, 2], [
      12,
      16,
      16,
    ]],
  ] as const;
  const turns = [1, 15, 16, 17, 32, 64, 1000];
  const unusable: string[] = [];
  for (const bytes of [16384, 49152]) {
    for (const lanes of [8, 16, 32, 64, 128]) {
      for (const [rows, columns, depth] of sizes) {
        const units = emulated(lanes, [rows, columns, depth]);
        const all = allMatrixLayouts(units, bytes).map(matrixLayoutName);
        const candidates = (turn: number) =>
          matrixLayouts(units, bytes, { rows: 512, columns: 96, depth: turn, places: 1, turn })
            .map(matrixLayoutName);
        if (all.length === 0) {
          if (lanes === 32 && bytes === 16384) unusable.push([rows, columns, depth].join("x"));
          assert.throws(() => candidates(64), RangeError);
        } else {
          for (const turn of turns) {
            assert.ok(candidates(turn).length > 0);
            assert.deepEqual(candidates(turn).filter((name) => !all.includes(name)), []);
          }
        }
        // Beside one that has layouts, a size that has none costs nothing.
        const both = { ...units, shapes: [{ rows, columns, depth }, { rows: 16, columns: 16, depth: 16 }] };
        assert.ok(allMatrixLayouts({ ...both, subgroupSize: 32 }, bytes).length > 0);
      }
    }
  }
  assert.deepEqual(unusable.sort(), [
    ...[
      "12x16x16",
      "16x16x2",
      "16x16x32",
      "16x2x16",
      "16x8x32",
      "2x16x16",
      "64x16x16",
      "64x64x16",
      "64x64x32",
    ],
  ]);
  const offered = [[64, 64, 16], [8, 8, 8], [16, 16, 32], [16, 16, 16]] as const;
  const mixed = { ...NVIDIA, shapes: offered.flatMap((size) => emulated(32, size).shapes) };
  for (const { shape } of allMatrixLayouts(mixed)) {
    assert.deepEqual(shape, { rows: 16, columns: 16, depth: 16 });
  }
});
