/** 1x1 convolutions of a concatenation that is not stored. */
import assert from "node:assert/strict";
import { directForward, directWeightGradient } from "../../../kernels/products/conv2d_direct.ts";
import type { Conv2dShape } from "../../../kernels/products/conv2d_shape.ts";
import type { KernelTarget } from "../../../kernels/target.ts";
import { assertClose } from "../../support/close.ts";
import {
  backwardScratch,
  bound,
  CONV2D,
  describe,
  emptyLikelihoodSums,
  packWeight,
  pixels,
  shape,
} from "../../support/conv2d_checks.ts";
import { type HostArray, onMatrices, testTargets, TILE } from "../../support/gpu.ts";
import { halfValues } from "../../support/half_checks.ts";
import { packChannels } from "../../support/layout.ts";
import { assertSame } from "../../support/same.ts";
import { FLOAT16, STORAGES } from "../../support/storage.ts";

const CASES: [Conv2dShape, first: number][] = [
  [shape(1, 1, [2, 5, 7, 10], 6), 4],
  [shape(1, 1, [3, 9, 11, 70], 33), 64],
  [shape(1, 1, [2, 16, 16, 96], 64), 32],
  [shape(1, 1, [1, 1, 1, 24], 3), 12],
];

/** Channels of the parts, in the device's layout. */
function operands(s: Conv2dShape, first: number, array: (values: ArrayLike<number>) => HostArray) {
  const values = halfValues(pixels(s) * s.inChannels, 1);
  const channels = (from: number, to: number) => {
    const inside = (i: number) => i % s.inChannels >= from && i % s.inChannels < to;
    return array(packChannels(values.filter((_, i) => inside(i)), to - from));
  };
  return {
    whole: { x: channels(0, s.inChannels) },
    parts: { x: channels(0, first), xSecond: channels(first, s.inChannels) },
    weight: array(packWeight(Float32Array.from(halfValues(s.inChannels * s.outChannels, 2)), s)),
    dy: array(packChannels(halfValues(pixels(s) * s.outChannels, 3), s.outChannels)),
  };
}

const TARGETS: KernelTarget[] = [
  ...(await testTargets()).flatMap((target) => [target, { ...target, half: true }]),
  onMatrices({ ...TILE, half: true }),
];

for (const target of TARGETS) {
  const name = `${target.path}${target.half ? " in float16" : ""}${
    target.matrices ? " on matrix units" : ""
  }`;
  for (const [s, first] of CASES) {
    Deno.test(`a convolution of a concatenation in two tensors is that of a copy, at ${first}: ${describe(s)} ${name}`, async () => {
      const storage = STORAGES.find(({ half }) => half === (target.half ?? false))!;
      const { whole, parts, weight, dy } = operands(s, first, storage.array);
      const results = async (x: { x: HostArray; xSecond?: HostArray }, shape: Conv2dShape) => {
        const way = { passes: CONV2D, target };
        const y = storage.empty(dy.length);
        const dw = new Float32Array(weight.length).fill(NaN);
        const sums = emptyLikelihoodSums(way, shape);
        const [scratch] = backwardScratch(way, shape);
        await storage.run([
          ...directForward<HostArray>(target, shape, { ...x, weight, y, scratch: [] }, "forward"),
          ...directWeightGradient<HostArray>(target, shape, { ...x, dy, dw, sums, parts: scratch }, "dw"),
        ]);
        return { y, dw, sums };
      };
      const copy = await results(whole, s);
      const read = await results(parts, { ...s, firstChannels: first });
      assertSame(read.dw, copy.dw, "dw");
      assertSame(read.sums, copy.sums, "sums");
      // Matrix units add up 16 channels at a time, in each part from its first on.
      if (target.matrices && first % 16 !== 0) {
        assertClose(read.y, copy.y, FLOAT16.stored(bound(s.inChannels)), "y");
      } else assertSame(read.y, copy.y, "y");
    });
  }
}

for (const target of TARGETS) {
  const storage = STORAGES.find(({ half }) => half === (target.half ?? false))!;
  const name = `${target.path}${storage.suffix}${target.matrices ? " on matrix units" : ""}`;
  Deno.test(`a convolution of a concatenation in two tensors gives an image the same bits in any batch: ${name}`, async () => {
    // No multiple of 16 channels ends where the first tensor does.
    const s = { ...shape(1, 1, [5, 6, 7, 44], 20), firstChannels: 20 };
    const { parts, weight, dy } = operands(s, s.firstChannels, storage.array);
    const forward = async (shape: Conv2dShape, x: typeof parts, count: number, layout: number) => {
      const y = storage.empty(count);
      const chosen: KernelTarget = { ...target, choose: (_, names) => names.at(layout)! };
      const launches = directForward<HostArray>(chosen, shape, { ...x, weight, y, scratch: [] }, "forward");
      await storage.run(launches);
      return { y, kernels: launches.map(({ kernel }) => kernel.name) };
    };
    const last = (values: HostArray) => values.slice(4 * values.length / 5);
    const image = { x: last(parts.x), xSecond: last(parts.xSecond) };
    // Large batches get other layouts, except on software adapters; these two compile fast.
    const together = await forward(s, parts, dy.length, target.matrices ? 1 : -1);
    const alone = await forward({ ...s, batch: 1 }, image, dy.length / 5, 0);
    if (target.path === "tile") assert.notDeepEqual(alone.kernels, together.kernels);
    assertSame(alone.y, last(together.y), "last image");
  });
}
