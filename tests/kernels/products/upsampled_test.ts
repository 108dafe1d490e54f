/** 3x3 convolutions of an upsampled image that is not stored. */
import assert from "node:assert/strict";
import {
  conv2dBackward,
  conv2dBackwardScratch,
  conv2dForward,
  conv2dForwardScratch,
  type Conv2dShape,
} from "../../../kernels/products/conv2d.ts";
import {
  upsampledBackward,
  upsampledBackwardScratch,
  upsampledForward,
  upsampledForwardScratch,
  upsampledSumRows,
} from "../../../kernels/products/conv2d_upsampled.ts";
import type { Choose, KernelTarget } from "../../../kernels/target.ts";
import { upsampleBackward, upsampleForward } from "../../../kernels/upsample.ts";
import { assertClose, type Tolerance } from "../../support/close.ts";
import {
  addedUp,
  bound,
  CONV2D,
  describe,
  emptyLikelihoodSums,
  packWeight,
  pixels,
  shape,
  withAlgorithm,
} from "../../support/conv2d_checks.ts";
import { type HostArray, onMatrices, testTargets, TILE } from "../../support/gpu.ts";
import { halfValues } from "../../support/half_checks.ts";
import { packChannels, unpackChannels } from "../../support/layout.ts";
import { assertSame } from "../../support/same.ts";
import { FLOAT16, FLOAT32, type Storage, STORAGES } from "../../support/storage.ts";
import {
  columnSums,
  conv2dInputGradientReference,
  conv2dReference,
  conv2dWeightGradientReference,
} from "../../reference/conv2d.ts";
import { noise } from "../../reference/differences.ts";
import { type Shape4, upsampleGradientReference, upsampleReference } from "../../reference/upsample.ts";

/** Shapes of the convolution, with the size of the upsampled image. */
const SHAPES = [
  shape(3, 1, [2, 2, 2, 5], 9),
  shape(3, 1, [3, 10, 6, 20], 36),
  shape(3, 1, [2, 16, 16, 32], 64),
  shape(3, 1, [1, 40, 36, 8], 12),
];

const TARGETS: KernelTarget[] = [
  ...(await testTargets()).flatMap((target) => [target, { ...target, half: true }]),
  onMatrices({ ...TILE, half: true }),
];

/** Operands as numbers, rounded to float16, and sums that the kernels must give. */
function problem(s: Conv2dShape) {
  const small: Shape4 = [s.batch, s.inHeight / 2, s.inWidth / 2, s.inChannels];
  const x = halfValues(s.batch * s.inHeight * s.inWidth * s.inChannels / 4, 1);
  const weight = halfValues(9 * s.inChannels * s.outChannels, 2);
  const dy = halfValues(pixels(s) * s.outChannels, 3);
  const bias = halfValues(s.outChannels, 4);
  const rowBias = Float32Array.from(noise(s.batch * s.outChannels, 5));
  const [residual, addend] = [halfValues(dy.length, 6), halfValues(x.length, 7)];
  const large = upsampleReference(small, x);
  const perImage = dy.length / s.batch;
  return {
    ...{ x, weight, dy, bias, rowBias, residual, addend },
    y: conv2dReference(s, large, weight).map((value, i) => {
      const o = i % s.outChannels;
      return value + bias[o]! + rowBias[Math.floor(i / perImage) * s.outChannels + o]! + residual[i]!;
    }),
    dx: upsampleGradientReference(small, conv2dInputGradientReference(s, dy, weight))
      .map((value, i) => value + addend[i]!),
    dw: conv2dWeightGradientReference(s, large, dy),
    ofRows: Array.from(
      { length: s.batch },
      (_, n) => [...columnSums(dy.slice(n * perImage, (n + 1) * perImage), s.outChannels)],
    ).flat(),
  };
}

/** Likewise in the device's layout. */
function packed(s: Conv2dShape, of: ReturnType<typeof problem>, { array }: Storage) {
  const pack = (values: ArrayLike<number>, channels: number) => array(packChannels(values, channels));
  return {
    ...{ x: pack(of.x, s.inChannels), addend: pack(of.addend, s.inChannels) },
    weight: array(packWeight(Float32Array.from(of.weight), s)),
    bias: packChannels(of.bias, s.outChannels),
    ...{ dy: pack(of.dy, s.outChannels), residual: pack(of.residual, s.outChannels) },
    rowBias: { of: packChannels(of.rowBias, s.outChannels), first: 0, width: s.outChannels },
  };
}

const scratch = (sizes: readonly number[]) => sizes.map((size) => new Float32Array(size).fill(NaN));

/** Stored results whose sums have `terms` terms; in float16, sums of weights are rounded once, too, by 2^-12 of up to 4. */
function tolerance(storage: Storage, terms: number): Tolerance {
  const { absolute } = bound(terms);
  const ofWeights = storage.half ? 6 * 2 ** -12 * Math.sqrt(4 * terms / 9) : 0;
  return storage.stored({ absolute: absolute + ofWeights });
}

for (const target of TARGETS) {
  const storage = STORAGES.find(({ half }) => half === (target.half ?? false))!;
  const way = `${target.path}${storage.suffix}${target.matrices ? " on matrix units" : ""}`;
  for (const large of SHAPES) {
    const s = { ...large, upsampled: true };
    Deno.test(`a convolution of an upsampled image matches reference: ${describe(s)} ${way}`, async () => {
      const want = problem(s);
      const { bias, residual, rowBias, addend, dy, ...operands } = packed(s, want, storage);
      const [y, dx] = [storage.empty(dy.length), storage.empty(addend.length)];
      const ofRows = { ...rowBias, of: FLOAT32.empty(rowBias.of.length) };
      const dw = new Float32Array(operands.weight.length).fill(NaN);
      const width = 4 * Math.ceil(s.outChannels / 4);
      const sums = new Float32Array(upsampledSumRows(target, s) * width).fill(NaN);
      await storage.run([
        ...upsampledForward<HostArray>(target, s, {
          ...{ ...operands, bias, residual, rowBias, y },
          scratch: scratch(upsampledForwardScratch(target, s)),
        }, "forward"),
        ...upsampledBackward<HostArray>(target, s, {
          ...{ ...operands, dy, addend, dw, sums, dx, rowBias: ofRows },
          scratch: scratch(upsampledBackwardScratch(target, s, true)),
        }, "backward"),
      ]);
      const sumOf = (terms: number) => tolerance(storage, terms);
      assertClose(unpackChannels(y, s.outChannels), want.y, sumOf(9 * s.inChannels), "y");
      assertClose(unpackChannels(dx, s.inChannels), want.dx, sumOf(36 * s.outChannels), "dx");
      assertClose(dw, packWeight(Float32Array.from(want.dw), s), bound(pixels(s)), "dw");
      assertClose(addedUp(sums, s), columnSums(want.dy, s.outChannels), bound(pixels(s)), "db");
      const perImage = bound(s.outHeight * s.outWidth);
      assertClose(unpackChannels(ofRows.of, s.outChannels), want.ofRows, perImage, "row bias");
    });
  }
}

/** Ways to compute a forward pass, with the number of scratch buffers that tells the algorithm. */
const FORWARD_WAYS: Record<
  string,
  [target: KernelTarget, storage: Storage, algorithm: string, buffers: number]
> = {
  "on matrix units": [onMatrices({ ...TILE, half: true }), FLOAT16, "direct", 1],
  "direct": [TILE, FLOAT32, "direct", 1],
  "by Winograd": [TILE, FLOAT32, "winograd4", 3],
};
for (const [way, [target, storage, algorithm, buffers]] of Object.entries(FORWARD_WAYS)) {
  Deno.test(`a convolution of an upsampled image gives an image the same bits in any batch: ${way}`, async () => {
    const one = { ...shape(3, 1, [1, 16, 16, 16], 24), upsampled: true };
    const { x, weight, dy } = packed(one, problem(one), storage);
    const pass = async (batch: number, layout: 0 | 1) => {
      const s = { ...one, batch };
      const choose: Choose = (_, names) => names.includes(algorithm) ? algorithm : names[layout];
      const [images, y] = [x, dy].map(({ length }) => storage.empty(batch * length)) as [
        HostArray,
        HostArray,
      ];
      for (let n = 0; n < batch; n++) images.set(x, n * x.length);
      const sizes = conv2dForwardScratch({ ...target, choose }, s);
      assert.equal(sizes.length, buffers);
      const operands = { x: images, weight, y, scratch: scratch(sizes) };
      const launches = conv2dForward<HostArray>({ ...target, choose }, s, operands, "forward");
      await storage.run(launches);
      return { y, kernels: launches.map(({ kernel }) => kernel.name) };
    };
    // Large batches get other layouts.
    const [alone, together] = [await pass(1, 0), await pass(5, 1)];
    assert.notDeepEqual(alone.kernels, together.kernels);
    for (let n = 0; n < 5; n++) {
      assertSame(together.y.slice(n * dy.length, (n + 1) * dy.length), alone.y, `image ${n}`);
    }
  });
}

for (const target of (await testTargets()).map((target) => withAlgorithm(target, "winograd4"))) {
  const large = shape(3, 1, [3, 12, 20, 20], 36);
  Deno.test(`a Winograd convolution of an upsampled image is that of a copy: ${describe(large)} ${target.path}`, async () => {
    const s = { ...large, upsampled: true };
    const { addend, dy, rowBias: _, ...operands } = packed(s, problem(s), FLOAT32);
    const image = new Float32Array(4 * operands.x.length).fill(NaN);
    const results = () => ({
      y: FLOAT32.empty(dy.length),
      dw: FLOAT32.empty(operands.weight.length),
      dx: FLOAT32.empty(addend.length),
      sums: emptyLikelihoodSums({ passes: CONV2D, target }, s),
    });
    const [read, copied] = [results(), results()];
    const largeGradient = image.slice();
    const launches = (shape: Conv2dShape, x: HostArray, { y, dw, dx, sums }: typeof read) => {
      const ofForward = conv2dForwardScratch(target, shape);
      const ofBackward = conv2dBackwardScratch(target, shape, true);
      assert.ok(ofForward.length > 1, "by Winograd");
      const gradient = shape.upsampled ? { dx, addend } : { dx: largeGradient };
      return [
        ...conv2dForward<HostArray>(target, shape, { ...operands, x, y, scratch: scratch(ofForward) }, "y"),
        ...conv2dBackward<HostArray>(target, shape, {
          ...{ x, dy, weight: operands.weight, dw, sums, ...gradient },
          scratch: scratch(ofBackward),
        }, "dx"),
      ];
    };
    const plane = { batch: s.batch, height: s.inHeight / 2, width: s.inWidth / 2, channels: s.inChannels };
    await FLOAT32.run([
      ...launches(s, operands.x, read),
      ...upsampleForward<HostArray>(plane, { x: operands.x, y: image }),
      ...launches(large, image, copied),
      ...upsampleBackward<HostArray>(plane, { dy: largeGradient, addend, dx: copied.dx }),
    ]);
    for (const [name, values] of Object.entries(read)) {
      assertSame(values, copied[name as keyof typeof copied], name);
    }
  });
}
