/** Kernels that a software adapter shares or keeps short, because compiling them is most of the time to a first image. */
import assert from "node:assert/strict";
import { groupNormBackward, groupNormForward } from "../../../kernels/group_norm.ts";
import { conv2dForward } from "../../../kernels/products/conv2d.ts";
import { matmul, type MatmulShape } from "../../../kernels/products/matmul.ts";
import { winogradForward } from "../../../kernels/products/winograd.ts";
import type { Launch } from "../../../kernels/source.ts";
import type { KernelTarget } from "../../../kernels/target.ts";
import { pipelineCacheKey } from "../../../lib/gpu/pipeline.ts";
import { shape } from "../../support/conv2d_checks.ts";
import { TILE } from "../../support/gpu.ts";

const SOFTWARE: KernelTarget = { path: "subgroup", subgroupSize: 8 };

const pipelines = (launches: readonly Launch<unknown>[]) =>
  launches.map(({ kernel, entry, constants, buffers }) =>
    pipelineCacheKey(kernel, entry, constants, Object.keys(buffers))
  );

function product(rows: number, transposed = false): MatmulShape {
  const matrix = { rowStride: 64, batchStride: 0, headStride: 0 };
  const sizes = { batch: 1, heads: 1, m: rows, n: 64, k: 64, alpha: 1 };
  return {
    ...sizes,
    a: { ...matrix, transposed: false },
    b: { ...matrix, transposed },
    c: matrix,
  };
}

const BUFFERS = { a: 1, b: 2, c: 3 };

Deno.test("a software adapter has one pipeline for products and 1x1 convolutions, with any operands", () => {
  const flat = shape(1, 1, [2, 8, 8, 64], 64);
  const operands = { x: 1, weight: 2, y: 3, scratch: [] };
  const rowBias = { of: 5, first: 64, width: 128 };
  const keys = pipelines([
    ...matmul(SOFTWARE, product(128), BUFFERS, "product"),
    ...matmul(SOFTWARE, product(128), { ...BUFFERS, addend: 4 }, "product"),
    ...conv2dForward(SOFTWARE, flat, operands, "convolution"),
    ...conv2dForward(SOFTWARE, flat, { ...operands, bias: 4, rowBias, residual: 6 }, "convolution"),
  ]);
  assert.equal(keys.length, 4);
  assert.equal(new Set(keys).size, 1);
});

Deno.test("a software adapter has one pipeline for scores of few and of many positions", () => {
  const scores = (length: number) => ({ ...product(length, true), n: length });
  const keys = pipelines(
    [16, 256].flatMap((length) => matmul(SOFTWARE, scores(length), BUFFERS, "scores")),
  );
  assert.equal(new Set(keys).size, 1);
});

Deno.test("a software adapter has one pipeline a pass for norms with and without an activation; a GPU has two", () => {
  const keysOf = (path: KernelTarget["path"], pass: "forward" | "backward") =>
    new Set(pipelines(([undefined, "silu"] as const).flatMap((activation) => {
      const norm = { batch: 2, spatial: 64, channels: 64, groups: 32, eps: 1e-6, activation, path };
      return pass === "forward"
        ? groupNormForward(norm, { x: 1, gamma: 2, beta: 3, stats: 4, y: 5 })
        : groupNormBackward(norm, { x: 1, stats: 2, dy: 3, dx: 4, sums: 5 });
    }))).size;
  assert.deepEqual([keysOf("subgroup", "forward"), keysOf("subgroup", "backward")], [1, 1]);
  assert.deepEqual([keysOf("tile", "forward"), keysOf("tile", "backward")], [2, 2]);
});

Deno.test("Winograd's forward transforms load, and output tiles store, a few values at a time on a software adapter", () => {
  const accesses = (target: KernelTarget) => {
    const buffers = { x: 1, weight: 2, y: 3, scratch: [4, 5, 6] };
    const launches = winogradForward(target, shape(3, 1, [2, 16, 16, 64], 64), buffers, "convolution");
    return launches.filter(({ kernel }) => /input|output/.test(kernel.name))
      .map(({ kernel: { code } }) => code.match(/\b(image|transformed|products)\[/g)!.length);
  };
  assert.deepEqual(accesses(SOFTWARE), [12 + 36, 12 + 1]);
  assert.deepEqual(accesses(TILE), [36 + 36, 36 + 1]);
});
