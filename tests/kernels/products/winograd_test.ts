import assert from "node:assert/strict";
import type { Conv2dPass, Conv2dShape } from "../../../kernels/products/conv2d.ts";
import type { Launch } from "../../../kernels/source.ts";
import type { KernelTarget } from "../../../kernels/target.ts";
import {
  type Winograd,
  winogradApplies,
  winogradBackwardInput,
  winogradBackwardWeight,
  winogradForward,
  winogradScratch,
} from "../../../kernels/products/winograd.ts";
import {
  type Matrix,
  transpose,
  type WinogradMatrices,
  winogradMatrices,
  type WinogradTile,
} from "../../../kernels/products/winograd_matrices.ts";
import { assertClose } from "../../support/close.ts";
import { type HostArray, runOnArrays, testGpu, testTargets, TILE } from "../../support/gpu.ts";
import { noise } from "../../reference/differences.ts";
import { winogradBound } from "../../support/winograd_bound.ts";
import {
  checkForward,
  checkInputGradient,
  checkWeightGradient,
  CONV2D,
  describe,
  gradients,
  inputs,
  packWeight,
  type Passes,
  pixels,
  scratch,
  shape,
  SHAPES,
  type Way,
  weights,
} from "../../support/conv2d_checks.ts";

const SUBGROUP: KernelTarget = { path: "subgroup", subgroupSize: 8 };

const passes = (how: Winograd): Passes => ({
  forward: (target, s, buffers, label) => winogradForward(target, how, s, buffers, label),
  backwardInput: (target, s, buffers, label) => winogradBackwardInput(target, how, s, buffers, label),
  backwardWeight: (target, s, buffers, label) => winogradBackwardWeight(target, how, s, buffers, label),
  scratch: (target, pass, s) => winogradScratch(target, how, pass, s),
});

const within = (tile: WinogradTile): Pick<Way, "tolerance"> => ({
  tolerance: (pass, s) => winogradBound(winogradMatrices(tile), pass, s),
});

const WAYS = (await testTargets()).flatMap((target) =>
  ([2, 4] as const).map((tile) => ({
    ...{ target, tile, passes: passes({ tile }), name: `F(${tile}x${tile}) ${target.path}`, ...within(tile) },
    // Fewer tiles in a slice, so that small images have several slices.
    sliced: { target, passes: passes({ tile, sliceFloats: 2 ** 16 }), ...within(tile) },
  }))
);

const product = (matrix: Matrix, values: ArrayLike<number>) =>
  matrix.map((row) => row.reduce((sum, c, i) => sum + c * values[i], 0));

for (const tile of [2, 4] as const) {
  Deno.test(`the matrices of F(${tile}, 3) give a convolution and its weight gradient`, () => {
    const { inputs, weights, outputs } = winogradMatrices(tile);
    const [x, w, dy] = [noise(tile + 2, 1), noise(3, 2), noise(tile, 3)];
    const points = product(inputs, x);
    const terms = product(weights, w).map((v, i) => v * points[i]);
    const y = Array.from(dy, (_, i) => [0, 1, 2].reduce((sum, k) => sum + x[i + k] * w[k], 0));
    assertClose(product(outputs, terms), y, { absolute: 1e-13 }, "y");
    const gradient = product(transpose(outputs), dy).map((v, i) => v * points[i]);
    const dw = [0, 1, 2].map((k) => dy.reduce((sum, v, i) => sum + v * x[i + k], 0));
    assertClose(product(transpose(weights), gradient), dw, { absolute: 1e-13 }, "dw");
  });
}

/** M values M^T. */
const bothSides = (matrix: Matrix, values: Matrix) =>
  transpose(transpose(values.map((row) => product(matrix, row))).map((row) => product(matrix, row)));

/** Largest change of a tile's results that other matrices cause, with 4 channels of noise (or 4 tiles) to add up. */
function difference(right: WinogradMatrices, wrong: WinogradMatrices, gradient: boolean): number {
  const square = (side: number, seed: number) =>
    Array.from({ length: side }, (_, i) => [...noise(side, 100 * seed + i)]);
  const tile = right.outputs.length;
  const result = ({ inputs, weights, outputs }: WinogradMatrices) => {
    const sums = square(tile + 2, 0).map((row) => row.map(() => 0));
    for (let term = 0; term < 4; term++) {
      const x = bothSides(inputs, square(tile + 2, 1 + term));
      const other = gradient
        ? bothSides(transpose(outputs), square(tile, 11 + term))
        : bothSides(weights, square(3, 21 + term));
      sums.forEach((row, i) => row.forEach((_, j) => row[j] += x[i][j] * other[i][j]));
    }
    return bothSides(gradient ? transpose(weights) : outputs, sums).flat();
  };
  const [expected, changed] = [result(right), result(wrong)];
  return Math.max(...expected.map((v, i) => Math.abs(v - changed[i])));
}

for (const tile of [2, 4] as const) {
  Deno.test(`the error bound of F(${tile}x${tile}) shows a coefficient that is off by a thousandth`, () => {
    const right = winogradMatrices(tile);
    const s = shape(3, 1, [1, 2 * tile, 2 * tile, 4], 4);
    for (const name of ["inputs", "weights", "outputs"] as const) {
      right[name].forEach((row, i) =>
        row.forEach((c, j) => {
          if (c === 0) return;
          const changed = right[name].map((row, k) =>
            row.map((value, l) => k === i && l === j ? 1.001 * value : value)
          );
          const wrong = { ...right, [name]: changed };
          for (const pass of ["forward", "backward_weight"] as const) {
            const { absolute } = winogradBound(right, pass, s);
            const change = difference(right, wrong, pass === "backward_weight");
            assert.ok(change > absolute, `${name}[${i}][${j}] ${pass}: ${change}, allowed ${absolute}`);
          }
        })
      );
    }
  });
}

const PASSES: readonly Conv2dPass[] = ["forward", "backward_input", "backward_weight"];

/** Launches whose buffers are arrays of nothing. */
function launches(way: Way, pass: Conv2dPass, s: Conv2dShape): Launch<HostArray>[] {
  const none = new Float32Array(4);
  const { passes, target } = way;
  const work = { scratch: passes.scratch(target, pass, s).map(() => none), weight: none };
  if (pass === "forward") return passes.forward(target, s, { x: none, y: none, ...work }, "");
  if (pass === "backward_input") return passes.backwardInput(target, s, { dy: none, dx: none, ...work }, "");
  return passes.backwardWeight(target, s, { x: none, dy: none, dw: none, db: none, ...work }, "");
}

const byRule = (pass: Conv2dPass, s: Conv2dShape) =>
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

  Deno.test(`winograd counts the operations of ${pass} by definition`, () => {
    const s = shape(3, 1, [2, 19, 21, 4], 132);
    const expected = 2 * 9 * pixels(s) * 4 * 132;
    for (const way of WAYS.flatMap((way) => [way, way.sliced])) {
      const flops = launches(way, pass, s).reduce((sum, launch) => sum + launch.flops, 0);
      assert.ok(Math.abs(flops / expected - 1) < 1e-12, `${flops} operations, expected ${expected}`);
    }
  });
}

Deno.test("winograd or not does not depend on the batch in the forward pass", () => {
  for (const side of [1, 4, 8, 13, 16, 32]) {
    for (const channels of [16, 32, 64, 256]) {
      const pick = (batch: number) => byRule("forward", shape(3, 1, [batch, side, side, channels], channels));
      for (const batch of [2, 3, 16]) assert.equal(pick(batch), pick(1), `${side} ${channels} ${batch}`);
    }
  }
});

for (const target of [SUBGROUP, TILE]) {
  Deno.test(`which algorithm a forward pass takes is asked with nothing of its batch, so that a tuned one keeps the promise: ${target.path}`, () => {
    const asked = (pass: Conv2dPass, batch: number) => {
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
    assert.notDeepEqual(asked("backward_input", 1), asked("backward_input", 128));
  });
}

// More tiles than one part of a weight gradient's sum has.
const PARTS = shape(3, 1, [1, 130, 131, 4], 8);
// Three slices of 81 tiles (F(4x4)), which are two parts each on the tile path.
const SLICED = shape(3, 1, [2, 42, 43, 12], 20);

for (const { name, tile, sliced, ...plain } of WAYS) {
  const cases = [...SHAPES.filter(winogradApplies), shape(3, 1, [2, 16, 16, 64], 64), PARTS];
  for (
    const [s, way, how] of [...cases.map((s) => [s, plain, name] as const), [
      SLICED,
      sliced,
      `${name} sliced`,
    ]] as const
  ) {
    Deno.test(`winograd forward matches reference: ${describe(s)} ${how}`, () => checkForward(way, s));

    Deno.test(`winograd backward_input matches reference: ${describe(s)} ${how}`, () =>
      checkInputGradient(way, s));

    Deno.test(`winograd backward_weight matches reference: ${describe(s)} ${how}`, () =>
      checkWeightGradient(way, s));
  }

  Deno.test(`winograd passes non-finite pixels to all that see them, and not beyond their tiles: ${name}`, async () => {
    const s = shape(3, 1, [2, 9, 9, 4], 4);
    const x = inputs(s);
    x[0] = Infinity;
    const y = x.slice().fill(0);
    const dx = y.slice();
    const weight = weights(s);
    const { passes, target } = plain;
    const forward = { x, weight, y, scratch: scratch(plain, "forward", s) };
    const backward = { dy: x, weight, dx, scratch: scratch(plain, "backward_input", s) };
    await runOnArrays(await testGpu(), [
      ...passes.forward(target, s, forward, "forward"),
      ...passes.backwardInput(target, s, backward, "backward"),
    ]);
    for (const result of [y, dx]) {
      for (let pixel = 0; pixel < pixels(s); pixel++) {
        const [column, row] = [pixel % 9, Math.floor(pixel / 9)];
        const finite = result.slice(4 * pixel, 4 * pixel + 4).every(Number.isFinite);
        if (row < 2 && column < 2) assert.ok(!finite, `pixel ${pixel} sees a pixel that is not finite`);
        if (row >= tile || column >= tile) assert.ok(finite, `pixel ${pixel} is of another tile`);
      }
    }
  });

  Deno.test(`winograd gives an image the same bits in any batch, and in every run: ${name}`, async () => {
    const s = shape(3, 1, [5, 17, 14, 8], 20);
    const [x, weight] = [inputs(s), packWeight(weights(s), s)];
    const run = async ({ passes, target }: Way, s: Conv2dShape, x: Float32Array) => {
      const y = new Float32Array(pixels(s) * s.outChannels);
      const operands = { x, weight, y, scratch: scratch({ passes, target }, "forward", s) };
      await runOnArrays(await testGpu(), passes.forward<HostArray>(target, s, operands, "forward"));
      return y;
    };
    const together = await run(plain, s, x);
    assert.deepEqual(await run(plain, s, x), together);
    assert.deepEqual(await run(sliced, s, x), together);
    const alone = await run(plain, { ...s, batch: 1 }, x.slice(4 * x.length / 5));
    assert.deepEqual(alone, together.slice(4 * together.length / 5));
  });

  Deno.test(`winograd gives the same weight gradient in every run: ${name}`, async () => {
    const { passes, target } = sliced;
    const [x, dy] = [inputs(SLICED), gradients(SLICED)];
    const run = async () => {
      const [dw, db] = [new Float32Array(9 * 12 * 20), new Float32Array(20)];
      const operands = { x, dy, dw, db, scratch: scratch(sliced, "backward_weight", SLICED) };
      await runOnArrays(
        await testGpu(),
        passes.backwardWeight<HostArray>(target, SLICED, operands, "weight"),
      );
      return [dw, db];
    };
    assert.deepEqual(await run(), await run());
  });
}
