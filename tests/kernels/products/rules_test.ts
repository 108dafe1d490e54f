/**
 * The rules for GPUs, which hold where nobody has tuned, against the choices that autotuning made on an H200 for all presets
 * (`h200_choices.json`). It may have chosen layouts that exist no longer.
 */
import assert from "node:assert/strict";
import { conv2dBackward, conv2dBackwardScratch, conv2dForward } from "../../../kernels/products/conv2d.ts";
import { tileLayouts, tileName } from "../../../kernels/products/gemm_layouts.ts";
import { matmul } from "../../../kernels/products/matmul.ts";
import type { Staged } from "../../../kernels/products/gemm_tile.ts";
import type { GemmSize } from "../../../kernels/products/gemm_problem.ts";
import type { Launch } from "../../../kernels/source.ts";
import type { KernelTarget } from "../../../kernels/target.ts";
import { batchedProduct } from "../../support/half_checks.ts";
import { shape } from "../../support/conv2d_checks.ts";
import { type HostArray, TILE } from "../../support/gpu.ts";
import measured from "./h200_choices.json" with { type: "json" };

/** One product: `KERNEL ROWSxCOLUMNSxDEPTH TURN PLACES LAYOUT`; see {@linkcode GemmSize}. */
interface Product {
  readonly kernel: string;
  readonly size: GemmSize;
  readonly layout: string;
}

const PRODUCTS = measured.layouts.map((line): Product => {
  const [kernel, size, turn, places, layout] = line.split(" ");
  const [rows, columns, depth] = size.split("x").map(Number);
  return { kernel, size: { rows, columns, depth, turn: Number(turn), places: Number(places) }, layout };
});

/** Properties that staging in workgroup memory depends on. */
function operandsOf(kernel: string): Staged {
  const lines = (name: "a" | "b") =>
    kernel.startsWith("conv2d_backward_weight") ||
    (name === "a" ? kernel === "matmul_tn" : !/matmul_nt|backward_input/.test(kernel));
  const along = (name: "a" | "b") => ({ along: lines(name) ? "lines" : "k" }) as const;
  return { a: along("a"), b: along("b"), columnSums: kernel.startsWith("conv2d_backward_weight") };
}

/** Share of the products, weighted by operations, for which the rule has the measured layout. */
function agreement(products: readonly Product[]): number {
  const weight = ({ size: { rows, columns, depth, places } }: Product) => rows * columns * depth * places;
  const total = (some: readonly Product[]) => some.reduce((sum, product) => sum + weight(product), 0);
  return total(
    products.filter(({ kernel, size, layout }) =>
      tileName(tileLayouts(operandsOf(kernel), size)[0]) === layout
    ),
  ) /
    total(products);
}

Deno.test("the default layouts of products on GPUs are those that were the fastest on an H200", () => {
  assert.ok(agreement(PRODUCTS) >= 0.9, `all: ${agreement(PRODUCTS)}`);
  // Some of these went to layouts within a few per cent.
  for (const kernel of new Set(PRODUCTS.map(({ kernel }) => kernel))) {
    const share = agreement(PRODUCTS.filter((product) => product.kernel === kernel));
    assert.ok(share >= 0.7, `${kernel}: ${share}`);
  }
});

Deno.test("layouts of products on GPUs suit the size of the result", () => {
  const candidates = (rows: number, columns: number, { turn = 1024, places = 1 } = {}) =>
    tileLayouts(operandsOf("matmul_nn"), { rows, columns, depth: 1024, turn, places }).map(tileName);
  assert.equal(candidates(131072, 128)[0], "tile_64x64x16_64");
  assert.equal(candidates(1024, 1024)[0], "tile_64x64x16_64");
  assert.equal(candidates(512, 512)[0], "tile_32x32x32_64");
  assert.equal(candidates(512, 512, { places: 4 })[0], "tile_64x64x16_64");
  assert.equal(candidates(131072, 4)[0], "tile_64x32x8_64_db");
  assert.equal(candidates(16, 256)[0], "tile_32x32x32_64");
  assert.equal(candidates(16, 256, { turn: 16 })[0], "tile_32x32x16_64_db");
  for (
    const [rows, columns, places] of [[16, 256, 1], [1, 1, 1], [256, 256, 128], [131072, 4, 1], [36, 128, 64]]
  ) {
    const names = candidates(rows, columns, { places });
    assert.ok(names.length >= 2 && names.length <= 5, `${names}`);
    assert.equal(new Set(names).size, names.length);
    if (rows <= 32) assert.ok(names.every((name) => name.startsWith("tile_32x32")), `${names}`);
  }
});

Deno.test("a layout or an algorithm that does not exist is an error that names the choice, and those that do", () => {
  const target: KernelTarget = { ...TILE, choose: () => "tile_1x1" };
  const none = new Float32Array(4);
  const operands = { a: none, b: none, c: none };
  assert.throws(
    () => matmul(target, batchedProduct(512, 512, 512, false, false), operands, "test"),
    /^RangeError: choice of matmul_nn 512x512x512 512 2: expected one of tile_32x32x32_64, .*tile_128x128x16_256.*, got "tile_1x1"$/,
  );
  assert.throws(
    () =>
      conv2dForward(
        target,
        shape(3, 1, [1, 16, 16, 32], 32),
        { x: none, weight: none, y: none, scratch: [] },
        "test",
      ),
    /^RangeError: choice of conv2d_forward 16x16 32>32 3\/1: expected one of winograd4, direct, got "tile_1x1"$/,
  );
});

Deno.test("layouts of products of a concatenation are chosen by where it is split, too", () => {
  const none = new Float32Array(4);
  const requested = (firstChannels: number) => {
    const keys: string[] = [];
    const choose = (key: string, [first]: readonly string[]) => (keys.push(key), first);
    const s = { ...shape(1, 1, [2, 8, 8, 48], 16), firstChannels };
    const operands = { x: none, xSecond: none, weight: none, y: none, scratch: [] };
    conv2dForward<HostArray>({ ...TILE, choose }, s, operands, "test");
    return keys;
  };
  const [few, many] = [requested(16), requested(32)];
  assert.ok(few.length > 0);
  assert.deepEqual(few.filter((key) => many.includes(key)), []);
});

/** Kernel names of a pass's default algorithm on a GPU, given as `conv2d_PASS [BATCHx]HEIGHTxWIDTH IN>OUT 3/1`. */
function kernelsOf(choice: string): string[] {
  const [pass, size, channels] = choice.split(" ");
  const [width, height, batch = 128] = size.split("x").map(Number).reverse();
  const [from, to] = channels.split(">").map(Number);
  const s = shape(3, 1, [batch, height, width, from], to);
  const none = new Float32Array(4);
  const scratch = [none, none, none, none, none];
  const operands = { x: none, weight: none, scratch };
  const forward = () => conv2dForward<HostArray>(TILE, s, { ...operands, y: none }, "");
  // One choice for both gradients.
  const backward = () =>
    conv2dBackward<HostArray>(TILE, s, { ...operands, dy: none, dw: none, dx: none, sums: none }, "");
  const launches: Record<string, () => Launch<HostArray>[]> = {
    ...{ conv2d_forward: forward, conv2d_backward_input: backward, conv2d_backward_weight: backward },
  };
  return launches[pass]().map(({ kernel }) => kernel.name);
}

Deno.test("3x3 convolutions of stride 1 take the algorithm that was the fastest on an H200", () => {
  const operations = (choice: string) => {
    const [, size, channels] = choice.split(" ");
    return size.split("x").concat(channels.split(">")).reduce((product, value) => product * Number(value), 1);
  };
  let [agreed, all] = [0, 0];
  for (const choice of measured.algorithms) {
    const algorithm = kernelsOf(choice).some((name) => name.startsWith("winograd4")) ? "winograd4" : "direct";
    all += operations(choice);
    if (choice.endsWith(algorithm)) agreed += operations(choice);
  }
  assert.ok(agreed / all >= 0.95, `${agreed / all}`);
});

Deno.test("autotuning compares algorithms on GPUs only where channels are few", () => {
  const asked = (channels: number) => {
    const candidates: (readonly string[])[] = [];
    const choose = (key: string, names: readonly string[]) => {
      if (key.startsWith("conv2d_forward ") && names.includes("direct")) candidates.push(names);
      return names[0];
    };
    const s = shape(3, 1, [2, 16, 16, channels], 128);
    const none = new Float32Array(4);
    const buffers = { x: none, weight: none, y: none, scratch: [none, none, none] };
    conv2dForward({ ...TILE, choose }, s, buffers, "");
    return candidates;
  };
  assert.deepEqual(asked(32), [["winograd4", "direct"]]);
  assert.deepEqual(asked(64), []);
});

Deno.test("the parts of a 1x1 convolution's weight gradient occupy a GPU; a dense layer has one", () => {
  const launches = (batch: number, side: number, channels: number) => {
    const s = shape(1, 1, [batch, side, side, channels], channels);
    const none = new Float32Array(4);
    const scratch = conv2dBackwardScratch(TILE, s, false).map(() => none);
    const operands = { x: none, dy: none, weight: none };
    return conv2dBackward<HostArray>(TILE, s, { ...operands, dw: none, sums: none, scratch }, "");
  };
  const [product, sum] = launches(128, 16, 256);
  assert.equal(product.kernel.name, "conv2d_backward_weight_flat_tile_64x64x16_64");
  assert.deepEqual(product.workgroups, [4, 4, 64]);
  assert.equal(sum.kernel.name, "conv2d_sum_parts");
  assert.equal(launches(128, 1, 512).length, 1);
});
