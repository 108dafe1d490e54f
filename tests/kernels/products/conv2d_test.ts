import assert from "node:assert/strict";
import {
  conv2dBackwardScratch,
  conv2dForward,
  conv2dForwardScratch,
  type Conv2dShape,
} from "../../../kernels/products/conv2d.ts";
import type { Launch } from "../../../kernels/source.ts";
import type { KernelTarget } from "../../../kernels/target.ts";
import { assertClose } from "../../support/close.ts";
import { type HostArray, runOnArrays, testGpu, testTargets, TILE } from "../../support/gpu.ts";
import { packChannels } from "../../support/layout.ts";
import {
  conv2dInputGradientReference,
  conv2dReference,
  conv2dWeightGradientReference,
} from "../../reference/conv2d.ts";
import { differences } from "../../reference/differences.ts";
import {
  backwardScratch,
  checkForward,
  checkGradients,
  CONV2D,
  describe,
  emptyLikelihoodSums,
  gradients,
  inputs,
  packWeight,
  pixels,
  shape,
  SHAPES,
  type Way,
  weights,
  withAlgorithm,
} from "../../support/conv2d_checks.ts";

const DIRECT = (target: KernelTarget): Way => ({ passes: CONV2D, target: withAlgorithm(target, "direct") });
const WAYS = (await testTargets()).map(DIRECT);

/** Launches of the gradients, of which only dx is of interest. */
function inputGradient(
  way: Way,
  s: Conv2dShape,
  operands: Record<"dy" | "weight" | "dx", Float32Array>,
): Launch<HostArray>[] {
  const others = { x: operands.dy, dw: operands.weight.slice(), sums: emptyLikelihoodSums(way, s) };
  const scratch = backwardScratch(way, s);
  return way.passes.backward<HostArray>(way.target, s, { ...operands, ...others, scratch }, "backward");
}

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

for (const way of WAYS) {
  const { target } = way;
  for (const s of SHAPES) {
    Deno.test(`conv2d forward matches reference: ${describe(s)} ${target.path}`, () => checkForward(way, s));

    Deno.test(`conv2d gradients match reference: ${describe(s)} ${target.path}`, () =>
      checkGradients(way, s));
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
      ...conv2dForward(target, s, { x, weight, y, scratch: [] }, "forward"),
      ...inputGradient(way, s, { dy: x, weight, dx }),
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
        ...conv2dForward(WAYS[0].target, shape, { x, weight, y, scratch: [] }, "forward"),
        ...inputGradient(WAYS[0], shape, { dy: x, weight, dx }),
      ]);
      return [y, dx];
    };
    const last = 2 * x.length / 3;
    const together = (await pass(s, x)).map((result) => result.slice(last));
    assert.deepEqual(await pass(single, x.slice(last)), together);
  });
}

// Transformed weights larger than a binding; images padded to whole parts; parts of weight gradients, by either algorithm.
const NEAR_LIMIT = [
  shape(3, 1, [1, 4, 4, 1024], 1024),
  shape(3, 1, [7, 64, 64, 512], 512),
  shape(3, 1, [32, 32, 32, 768], 768),
  shape(3, 1, [32, 64, 64, 512], 256),
  shape(3, 2, [256, 16, 16, 1024], 1024),
];
for (const target of [TILE, { ...TILE, half: true }, { path: "subgroup", subgroupSize: 8 } as const]) {
  for (const s of NEAR_LIMIT) {
    const name = `${describe(s)} ${target.path}${"half" in target ? " float16" : ""}`;
    Deno.test(`workspace of a convolution fits the binding that WebGPU guarantees: ${name}`, () => {
      const sizes = [...conv2dForwardScratch(target, s), ...conv2dBackwardScratch(target, s, true)];
      assert.ok(4 * Math.max(0, ...sizes) <= 2 ** 27, `${sizes} floats`);
    });
  }
}

// Enough pixels for the large tiles of the GPU's layout.
const large = shape(1, 1, [8, 32, 32, 64], 64);
Deno.test(`conv2d gradients match reference in large tiles: ${describe(large)} tile`, async () => {
  await checkGradients(DIRECT(TILE), large);
});
