import assert from "node:assert/strict";
import type { Conv2dShape } from "../../../kernels/products/conv2d.ts";
import type { Launch } from "../../../kernels/source.ts";
import type { KernelTarget } from "../../../kernels/target.ts";
import {
  winogradApplies,
  winogradForward,
  winogradForwardScratch,
} from "../../../kernels/products/winograd.ts";
import { winogradBackward, winogradBackwardScratch } from "../../../kernels/products/winograd_gradients.ts";
import type { WinogradOptions } from "../../../kernels/products/winograd_plan.ts";
import {
  INPUT_GRADIENT,
  MATRICES,
  type Matrix,
  TILE_SIDE,
  transpose,
  type WinogradMatrices,
} from "../../../kernels/products/winograd_matrices.ts";
import { assertClose } from "../../support/close.ts";
import { type HostArray, runOnArrays, testGpu, testTargets, TILE } from "../../support/gpu.ts";
import { noise } from "../../reference/differences.ts";
import { winogradBound } from "../../support/winograd_bound.ts";
import {
  backwardScratch,
  checkForward,
  checkGradients,
  CONV2D,
  describe,
  emptyLikelihoodSums,
  forwardScratch,
  gradients,
  inputs,
  packWeight,
  type Passes,
  pixels,
  shape,
  SHAPES,
  type Way,
  weights,
  windowed,
} from "../../support/conv2d_checks.ts";

const SUBGROUP: KernelTarget = { path: "subgroup", subgroupSize: 8 };

const passes = (options?: WinogradOptions): Passes => ({
  forward: (target, s, buffers, label) => winogradForward(target, s, buffers, label, options),
  forwardScratch: (target, s) => winogradForwardScratch(target, s, options),
  backward: (target, s, buffers, label) => winogradBackward(target, s, buffers, label, options),
  backwardScratch: (target, s, withDx) => winogradBackwardScratch(target, s, withDx, options),
  sumRows: (_, s) => s.batch,
});

const WAYS = (await testTargets()).map((target) => ({
  ...{ name: target.path, target, passes: passes(), tolerance: winogradBound },
  // Fewer tiles in a slice, so that small images have several slices.
  sliced: { target, passes: passes({ sliceFloats: 2 ** 16 }), tolerance: winogradBound },
}));

const product = (matrix: Matrix, values: ArrayLike<number>) =>
  matrix.map((row) => row.reduce((sum, c, i) => sum + c * values[i], 0));

Deno.test("the matrices of Winograd give a convolution and its weight gradient", () => {
  const { inputs, weights, outputs } = MATRICES;
  const [x, w, dy] = [noise(TILE_SIDE + 2, 1), noise(3, 2), noise(TILE_SIDE, 3)];
  const points = product(inputs, x);
  const terms = product(weights, w).map((v, i) => v * points[i]);
  const y = Array.from(dy, (_, i) => [0, 1, 2].reduce((sum, k) => sum + x[i + k] * w[k], 0));
  assertClose(product(outputs, terms), y, { absolute: 1e-13 }, "y");
  const gradient = product(transpose(outputs), dy).map((v, i) => v * points[i]);
  const dw = [0, 1, 2].map((k) => dy.reduce((sum, v, i) => sum + v * x[i + k], 0));
  assertClose(product(transpose(weights), gradient), dw, { absolute: 1e-13 }, "dw");
});

Deno.test("the matrices of Winograd give the input gradient of a convolution over several tiles", () => {
  const { weights, outputs } = MATRICES;
  const [w, dy] = [noise(3, 4), noise(3 * TILE_SIDE, 5)];
  const u = product(weights, w);
  const products = [0, 1, 2].map((t) =>
    product(transpose(outputs), dy.slice(t * TILE_SIDE, (t + 1) * TILE_SIDE)).map((v, i) => v * u[i])
  );
  const middle = [products[0].at(-1)!, ...products[1], products[2][0]];
  // Output p reads inputs p - 1 to p + 1.
  const dx = Array.from(
    { length: TILE_SIDE },
    (_, i) => [0, 1, 2].reduce((sum, k) => sum + w[k] * dy[TILE_SIDE + i - k + 1], 0),
  );
  assertClose(product(INPUT_GRADIENT, middle), dx, { absolute: 1e-13 }, "dx");
});

/** M values M^T. */
const bothSides = (matrix: Matrix, values: Matrix) =>
  transpose(transpose(values.map((row) => product(matrix, row))).map((row) => product(matrix, row)));

/** Largest error of a tile's results that wrong matrices cause, with 4 channels of noise (or 4 tiles) to add up. */
function errorOf(wrong: WinogradMatrices, gradient: boolean): number {
  const square = (side: number, seed: number) =>
    Array.from({ length: side }, (_, i) => [...noise(side, 100 * seed + i)]);
  const result = ({ inputs, weights, outputs }: WinogradMatrices) => {
    const sums = square(TILE_SIDE + 2, 0).map((row) => row.map(() => 0));
    for (let term = 0; term < 4; term++) {
      const x = bothSides(inputs, square(TILE_SIDE + 2, 1 + term));
      const other = gradient
        ? bothSides(transpose(outputs), square(TILE_SIDE, 11 + term))
        : bothSides(weights, square(3, 21 + term));
      sums.forEach((row, i) => row.forEach((_, j) => row[j] += x[i][j] * other[i][j]));
    }
    return bothSides(gradient ? transpose(weights) : outputs, sums).flat();
  };
  const [expected, changed] = [result(MATRICES), result(wrong)];
  return Math.max(...expected.map((v, i) => Math.abs(v - changed[i])));
}

Deno.test("the error bound of Winograd shows a coefficient that is off by a thousandth", () => {
  const s = shape(3, 1, [1, 2 * TILE_SIDE, 2 * TILE_SIDE, 4], 4);
  for (const name of ["inputs", "weights", "outputs"] as const) {
    MATRICES[name].forEach((row, i) =>
      row.forEach((c, j) => {
        if (c === 0) return;
        const changed = MATRICES[name].map((row, k) =>
          row.map((value, l) => k === i && l === j ? 1.001 * value : value)
        );
        for (const result of ["forward", "weight_gradient"] as const) {
          const { absolute } = winogradBound(result, s);
          const change = errorOf({ ...MATRICES, [name]: changed }, result === "weight_gradient");
          assert.ok(change > absolute, `${name}[${i}][${j}] ${result}: ${change}, allowed ${absolute}`);
        }
      })
    );
  }
});

const PASSES = ["forward", "backward"] as const;

type Pass = typeof PASSES[number];

/** Launches whose buffers are arrays of nothing. */
function launches({ passes, target }: Way, pass: Pass, s: Conv2dShape): Launch<HostArray>[] {
  const none = new Float32Array(4);
  const nones = (counts: number[]) => counts.map(() => none);
  const operands = { x: none, weight: none };
  if (pass === "forward") {
    const scratch = nones(passes.forwardScratch(target, s));
    return passes.forward(target, s, { ...operands, y: none, scratch }, "");
  }
  const scratch = nones(passes.backwardScratch(target, s, true));
  const results = { dw: none, sums: none, dx: none };
  return passes.backward(target, s, { ...operands, dy: none, ...results, scratch }, "");
}

const byRule = (pass: Pass, s: Conv2dShape) =>
  launches({ passes: CONV2D, target: SUBGROUP }, pass, s).some(({ kernel }) =>
    kernel.name.startsWith("winograd")
  );

for (const pass of PASSES) {
  Deno.test(`winograd is the rule for ${pass} of large images with many channels only`, () => {
    const rule = (size: number[], channels: number) => byRule(pass, shape(3, 1, size, channels));
    assert.ok(rule([4, 16, 16, 64], 64));
    assert.ok(rule([1, 32, 32, 64], 128));
    assert.ok(!rule([1, 4, 4, 256], 256));
    assert.ok(!rule([4, 32, 32, 3], 128));
    assert.ok(!byRule(pass, shape(3, 2, [4, 32, 32, 64], 64)));
    assert.ok(!byRule(pass, shape(1, 1, [4, 32, 32, 64], 64)));
  });

  Deno.test(`winograd is not the rule for ${pass} of images whose transform exceeds a binding`, () => {
    const s = shape(3, 1, [1, 64, 64, 64], 64);
    const bytes = 4 * 36 * 16 * 16 * 64;
    for (const target of [SUBGROUP, TILE]) {
      const names = (bindingBytes: number) =>
        launches({ passes: CONV2D, target: { ...target, bindingBytes } }, pass, s).map((l) => l.kernel.name);
      assert.ok(names(bytes).some((name) => name.startsWith("winograd")));
      assert.ok(!names(bytes - 4).some((name) => name.startsWith("winograd")));
    }
  });

  Deno.test(`winograd counts the operations of ${pass} by definition`, () => {
    const s = shape(3, 1, [2, 19, 21, 4], 132);
    const expected = (pass === "forward" ? 2 : 4) * 9 * pixels(s) * 4 * 132;
    for (const way of WAYS.flatMap((way) => [way, way.sliced])) {
      const flops = launches(way, pass, s).reduce((sum, launch) => sum + launch.flops, 0);
      assert.ok(Math.abs(flops / expected - 1) < 1e-12, `${flops} operations, expected ${expected}`);
    }
  });
}

Deno.test("a batch that divides evenly into parts of a weight gradient is not padded", () => {
  const target = { ...TILE, bindingBytes: 2 ** 31 };
  for (const batch of [1, 12, 100, 128]) {
    const [gradients] = winogradBackwardScratch(
      target,
      shape(3, 1, [batch, 32, 32, 64], 64),
      true,
    );
    assert.equal(gradients, 36 * batch * 64 * 64, `${batch} images`);
  }
});

Deno.test("winograd or not does not depend on the batch in the forward pass", () => {
  for (const side of [1, 4, 8, 13, 16, 32]) {
    for (const channels of [16, 32, 64, 256]) {
      const pick = (batch: number) => byRule("forward", shape(3, 1, [batch, side, side, channels], channels));
      for (const batch of [2, 3, 16]) assert.equal(pick(batch), pick(1), `${side} ${channels} ${batch}`);
    }
  }
});

for (const target of [SUBGROUP, TILE]) {
  Deno.test(`the algorithm of a forward pass is chosen without its batch, so a tuned choice holds for every batch: ${target.path}`, () => {
    const asked = (pass: Pass, batch: number) => {
      const questions: [key: string, candidates: readonly string[]][] = [];
      const choose = (key: string, candidates: readonly string[]) => {
        if (candidates.includes("direct")) questions.push([key, candidates]);
        return candidates[0];
      };
      const s = shape(3, 1, [batch, 16, 16, 32], 32);
      launches({ passes: CONV2D, target: { ...target, choose } }, pass, s);
      return questions;
    };
    assert.ok(asked("forward", 1).length > 0);
    assert.deepEqual(asked("forward", 1), asked("forward", 128));
    assert.notDeepEqual(asked("backward", 1), asked("backward", 128));
  });
}

// An image of more tiles than the limit of a part of the sum, in float32.
const LARGE = shape(3, 1, [1, 130, 131, 4], 8);
// Three slices of 5, 5 and 3 images of 27 tiles; on the tile path each is two parts of 3 images, the last padded.
const SLICED = shape(3, 1, [13, 33, 9, 12], 12);

// Without padding: more input pixels than tiles of output have, on all sides; and tiles that end with the image.
const UNPADDED = [[3, 11, 8, 12], [1, 6, 6, 4], [2, 3, 14, 20]]
  .map((x) => windowed([3, 3], 1, [0, 0], [0, 0], x, 16));

for (const { name, sliced, ...plain } of WAYS) {
  for (const s of UNPADDED) {
    Deno.test(`winograd forward without padding matches reference: ${describe(s)} ${name}`, async () => {
      assert.deepEqual(PASSES.map((pass) => winogradApplies(pass, s)), [true, false]);
      await checkForward(plain, s);
    });
  }

  const cases = [
    ...SHAPES.filter((s) => winogradApplies("backward", s)),
    shape(3, 1, [2, 16, 16, 64], 64),
    LARGE,
    SLICED,
  ];
  for (
    const [s, way, how] of [...cases.map((s) => [s, plain, name] as const), [
      SLICED,
      sliced,
      `${name} sliced`,
    ]] as const
  ) {
    Deno.test(`winograd forward matches reference: ${describe(s)} ${how}`, () => checkForward(way, s));

    Deno.test(`winograd gradients match reference: ${describe(s)} ${how}`, () => checkGradients(way, s));
  }

  Deno.test(`winograd passes non-finite pixels to all that see them, and not beyond their tiles: ${name}`, async () => {
    const s = shape(3, 1, [2, 9, 9, 4], 4);
    const x = inputs(s);
    x[0] = Infinity;
    const y = x.slice().fill(0);
    const dx = y.slice();
    const weight = weights(s);
    const { passes, target } = plain;
    const forward = { x, weight, y, scratch: forwardScratch(plain, s) };
    const gradients = {
      dw: weight.slice(),
      sums: emptyLikelihoodSums(plain, s),
      dx,
      scratch: backwardScratch(plain, s),
    };
    await runOnArrays(await testGpu(), [
      ...passes.forward(target, s, forward, "forward"),
      ...passes.backward<HostArray>(target, s, { x, dy: x, weight, ...gradients }, "backward"),
    ]);
    for (const result of [y, dx]) {
      for (let pixel = 0; pixel < pixels(s); pixel++) {
        const [column, row] = [pixel % 9, Math.floor(pixel / 9)];
        const finite = result.slice(4 * pixel, 4 * pixel + 4).every(Number.isFinite);
        if (row < 2 && column < 2) assert.ok(!finite, `pixel ${pixel} sees a pixel that is not finite`);
        if (row >= TILE_SIDE || column >= TILE_SIDE) assert.ok(finite, `pixel ${pixel} is of another tile`);
      }
    }
  });

  Deno.test(`winograd gives an image the same bits in any batch, and in every run: ${name}`, async () => {
    const s = shape(3, 1, [5, 17, 14, 8], 20);
    const [x, weight] = [inputs(s), packWeight(weights(s), s)];
    const run = async ({ passes, target }: Way, s: Conv2dShape, x: Float32Array) => {
      const y = new Float32Array(pixels(s) * s.outChannels);
      const operands = { x, weight, y, scratch: forwardScratch({ passes, target }, s) };
      await runOnArrays(await testGpu(), passes.forward<HostArray>(target, s, operands, "forward"));
      return y;
    };
    const together = await run(plain, s, x);
    assert.deepEqual(await run(plain, s, x), together);
    assert.deepEqual(await run(sliced, s, x), together);
    const alone = await run(plain, { ...s, batch: 1 }, x.slice(4 * x.length / 5));
    assert.deepEqual(alone, together.slice(4 * together.length / 5));
  });

  Deno.test(`winograd gives the same gradients in every run: ${name}`, async () => {
    const { passes, target } = sliced;
    const [x, dy, weight] = [inputs(SLICED), gradients(SLICED), weights(SLICED)];
    const run = async () => {
      const results = { dw: weight.slice(), sums: emptyLikelihoodSums(sliced, SLICED), dx: x.slice() };
      const operands = { x, dy, weight, scratch: backwardScratch(sliced, SLICED) };
      await runOnArrays(
        await testGpu(),
        passes.backward<HostArray>(target, SLICED, { ...operands, ...results }, "gradients"),
      );
      return Object.values(results);
    };
    assert.deepEqual(await run(), await run());
  });
}
