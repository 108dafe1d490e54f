/** 1x1 convolutions of a concatenation that is not stored. */
import { directForward, directWeightGradient } from "../../../kernels/products/conv2d_direct.ts";
import type { Conv2dShape } from "../../../kernels/products/conv2d_shape.ts";
import type { KernelTarget } from "../../../kernels/target.ts";
import { assertClose } from "../../support/close.ts";
import {
  backwardScratch,
  bound,
  CONV2D,
  describe,
  emptySums,
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
        const sums = emptySums(way, shape);
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
