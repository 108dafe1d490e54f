/** Every layout for GPUs, whichever of them a rule would pick for products as small as these. */
import assert from "node:assert/strict";
import { directInputGradient, directWeightGradient } from "../../../kernels/products/conv2d_direct.ts";
import type { Conv2dShape } from "../../../kernels/products/conv2d_shape.ts";
import { supports, TILE_LAYOUTS, tileLayouts, tileName } from "../../../kernels/products/gemm_layouts.ts";
import { padding } from "../../../kernels/products/gemm_stage.ts";
import { threadsOf, workgroupBytes } from "../../../kernels/products/gemm_tile.ts";
import { range } from "../../../kernels/range.ts";
import { matmul, type MatmulShape } from "../../../kernels/products/matmul.ts";
import type { Launch } from "../../../kernels/source.ts";
import type { KernelTarget } from "../../../kernels/target.ts";
import { assertClose } from "../../support/close.ts";
import { type HostArray, runOnArrays, testGpu, TILE } from "../../support/gpu.ts";
import {
  columnSums,
  conv2dInputGradientReference,
  conv2dWeightGradientReference,
} from "../../reference/conv2d.ts";
import { noise as noise64 } from "../../reference/differences.ts";
import { matmulReference } from "../../reference/matmul.ts";
import {
  addedUp,
  backwardScratch,
  bound,
  CONV2D,
  emptyLikelihoodSums,
  pixels,
  shape,
  withAlgorithm,
} from "../../support/conv2d_checks.ts";

/** Names of the layouts for operands along these directions. */
const namesFor = (a: "k" | "lines", b: "k" | "lines", columnSums = false) =>
  TILE_LAYOUTS.filter((layout) => supports({ a: { along: a }, b: { along: b }, columnSums }, layout)).map(
    tileName,
  );

const noise = (count: number, seed: number) => Float32Array.from(noise64(count, seed));

/** Runs launches that are laid out as `name` says. */
async function runAs(name: string, launches: (target: KernelTarget) => Launch<HostArray>[]): Promise<void> {
  const all = launches({ ...TILE, choose: () => name });
  assert.ok(all[0].kernel.name.endsWith(name), `${all[0].kernel.name} is not ${name}`);
  await runOnArrays(await testGpu(), all);
}

/** Checks that what each layout gives is the same, bit for bit, as the first one's. */
function sameBits(): (result: Float32Array, name: string) => void {
  let first: { result: Float32Array; name: string } | undefined;
  return (result, name) => {
    first ??= { result, name };
    assert.deepEqual(result, first.result, `${name} against ${first.name}`);
  };
}

// More rows and columns than the largest tile has, and no multiples of any; five quads of k a tap, which is less than one
// stage, or several, the last of them partly filled.
const strided: Conv2dShape = {
  ...{ batch: 3, inHeight: 9, inWidth: 7, inChannels: 140, outHeight: 4, outWidth: 3, outChannels: 20 },
  ...{ kernelHeight: 3, kernelWidth: 3, stride: 2, padTop: 0, padLeft: 0 },
};

// Both operands along k, rows that are renumbered, taps.
const sameInputGradient = sameBits();
for (const name of namesFor("k", "k")) {
  Deno.test(`strided conv2d backward_input matches reference, the same bits in every layout: ${name}`, async () => {
    const s = strided;
    const dy = noise(s.batch * s.outHeight * s.outWidth * s.outChannels, 3);
    const weight = noise(9 * s.inChannels * s.outChannels, 2);
    const addend = noise(s.batch * s.inHeight * s.inWidth * s.inChannels, 1);
    const dx = addend.slice().fill(NaN);
    await runAs(
      name,
      (target) => directInputGradient(target, s, { dy, weight, addend, dx }, "test"),
    );
    const expected = conv2dInputGradientReference(s, dy, weight).map((v, i) => v + addend[i]);
    assertClose(dx, expected, bound(9 * s.outChannels), "dx");
    sameInputGradient(dx, name);
  });
}

// Both operands along lines, column sums; turns of two quads, the second not full.
const window: Conv2dShape = {
  ...{ batch: 2, inHeight: 6, inWidth: 7, inChannels: 20, outHeight: 6, outWidth: 7, outChannels: 140 },
  ...{ kernelHeight: 3, kernelWidth: 3, stride: 1, padTop: 1, padLeft: 1 },
};

const sameWeightGradient = sameBits();
for (const name of namesFor("lines", "lines", true)) {
  Deno.test(`conv2d backward_weight matches reference, the same bits in every layout: ${name}`, async () => {
    const s = window;
    const x = noise(pixels(s) * s.inChannels, 1);
    const dy = noise(pixels(s) * s.outChannels, 3);
    const dw = new Float32Array(9 * s.inChannels * s.outChannels).fill(NaN);
    const way = { passes: CONV2D, target: withAlgorithm(TILE, "direct") };
    const sums = emptyLikelihoodSums(way, s);
    const [parts] = backwardScratch(way, s);
    await runAs(name, (target) => directWeightGradient(target, s, { x, dy, dw, sums, parts }, "test"));
    assertClose(dw, conv2dWeightGradientReference(s, x, dy), bound(pixels(s)), "dw");
    assertClose(addedUp(sums, s), columnSums(dy, s.outChannels), bound(pixels(s)), "db");
    sameWeightGradient(dw, name);
  });
}

// A turn on a GPU is as many rows of an image as fit 256 pixels: all, a divisor of them, one, and one that is longer.
for (
  const [height, width, stride] of [[6, 5, 1], [24, 20, 1], [9, 7, 2], [7, 130, 1], [2, 300, 1]] as const
) {
  Deno.test(`conv2d backward_weight matches reference, whatever the size of images: ${height}x${width} stride=${stride}`, async () => {
    const s = shape(3, stride, [3, height, width, 4], 8);
    const x = noise(s.batch * height * width * s.inChannels, 1);
    const dy = noise(pixels(s) * s.outChannels, 3);
    const dw = new Float32Array(9 * s.inChannels * s.outChannels).fill(NaN);
    const way = { passes: CONV2D, target: withAlgorithm(TILE, "direct") };
    const sums = emptyLikelihoodSums(way, s);
    const [parts] = backwardScratch(way, s);
    await runOnArrays(await testGpu(), directWeightGradient(TILE, s, { x, dy, dw, sums, parts }, "test"));
    assertClose(dw, conv2dWeightGradientReference(s, x, dy), bound(pixels(s)), "dw");
    assertClose(addedUp(sums, s), columnSums(dy, s.outChannels), bound(pixels(s)), "db");
  });
}

// A along k and B along lines, as in a convolution's forward pass; no taps; one turn and many. What is particular to a layout
// is in the tests above (a pipeline takes llvmpipe seconds to compile).
for (const k of [3, 44]) {
  const same = sameBits();
  const [batch, m, n] = [2, 132, 140];
  const matrix = (rows: number, columns: number) => {
    const rowStride = 4 * Math.ceil(columns / 4);
    return { rowStride, batchStride: rows * rowStride, headStride: 0, transposed: false };
  };
  const s: MatmulShape = {
    ...{ batch, heads: 1, m, n, k, alpha: 0.5 },
    ...{ a: matrix(m, k), b: matrix(k, n), c: matrix(m, n) },
  };
  for (const name of ["tile_128x64x8_64_db", "tile_64x64x16_64", "tile_256x8x8_64", "tile_32x32x32_64"]) {
    Deno.test(`matmul matches reference, the same bits in every layout: k=${k} ${name}`, async () => {
      const [a, b] = [noise(batch * s.a.batchStride, 1), noise(batch * s.b.batchStride, 2)];
      const c = new Float32Array(batch * s.c.batchStride).fill(NaN);
      await runAs(name, (target) => matmul(target, s, { a, b, c }, "test"));
      assertClose(c, matmulReference(s, a, b, undefined, c.length), bound(k), "c");
      same(c, name);
    });
  }
}

Deno.test("the layouts keep to the limits that all devices have", () => {
  for (const layout of TILE_LAYOUTS) assert.ok(threadsOf(layout) <= 256, tileName(layout));
  for (const [a, b] of [["k", "k"], ["k", "lines"], ["lines", "lines"]] as const) {
    for (const columnSums of [false, true]) {
      for (const side of [1, 40, 100, 1e3, 1e5]) {
        const problem = { a: { along: a }, b: { along: b }, columnSums };
        const candidates = tileLayouts(problem, {
          rows: side,
          columns: side,
          depth: 64,
          turn: 64,
          places: 9,
        });
        for (const layout of candidates) {
          assert.ok(workgroupBytes(problem, layout) <= 16384, tileName(layout));
        }
      }
    }
  }
});

Deno.test("eight threads that stage operands along k write to different banks", () => {
  for (const quads of [2, 4, 8]) {
    const { quad, column } = padding(quads);
    for (const lines of [32, 64, 128, 256]) {
      const places = range(8).map((thread) => {
        const [k, line] = [thread % quads, Math.floor(thread / quads)];
        const width = lines / 4 + column;
        return { a: k * (lines + quad.a) + line, b: k * (4 * width + quad.b) + line % 4 * width };
      });
      for (const name of ["a", "b"] as const) {
        assert.equal(new Set(places.map((place) => place[name] % 8)).size, 8, `${name} ${lines} ${quads}`);
      }
    }
  }
});

Deno.test("names tell the layouts apart", () => {
  assert.equal(new Set(TILE_LAYOUTS.map(tileName)).size, TILE_LAYOUTS.length);
});
