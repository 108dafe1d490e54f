import assert from "node:assert/strict";
import { crossEntropyBackward, crossEntropyForward } from "../../kernels/cross_entropy.ts";
import { encodeLossScale } from "../../kernels/loss_scale.ts";
import {
  crossEntropyGradientReference,
  crossEntropyReference,
  type CrossEntropyReferenceInput,
} from "../reference/cross_entropy.ts";
import { assertClose } from "../support/close.ts";
import type { HostArray } from "../support/gpu.ts";
import { packChannels, unpackChannels } from "../support/layout.ts";
import { stepWords } from "../support/step.ts";
import { FLOAT16, FLOAT32, STORAGES } from "../support/storage.ts";

interface Case {
  batch: number;
  classes: number;
  smoothing?: number;
  count?: number;
  gradientScale?: number;
  /** Size of the logits. */
  size?: number;
}

function inputs({ batch, classes, smoothing = 0, count = batch, gradientScale = 1, size = 3 }: Case) {
  return {
    logits: Array.from({ length: batch * classes }, (_, i) => size * Math.sin(i * 1.7)),
    labels: Uint32Array.from({ length: batch }, (_, n) => (7 * n + 3) % classes),
    ...{ classes, smoothing, count, gradientScale },
  } satisfies CrossEntropyReferenceInput;
}

/** @param lossScale what the gradient is multiplied by, if by anything */
async function run(shape: Case, storage = FLOAT32, lossScale?: number) {
  const all = inputs(shape);
  const input = { ...all, logits: [...storage.rounded(all.logits)] };
  const logits = storage.array(packChannels(input.logits, shape.classes));
  const loss_per_sample = new Float32Array(shape.batch).fill(7);
  const gradient = storage.empty(logits.length);
  const operands = { step_state: stepWords({ count: input.count }), logits, labels: input.labels };
  const others = { goodSteps: 0, skippedSteps: 0, biasCorrection1: 0, biasCorrection2: 0 };
  const scale = lossScale === undefined
    ? {}
    : { loss_scale: new Uint32Array(encodeLossScale({ scale: lossScale, ...others })) };
  const sizes = { ...input, batch: shape.batch };
  await storage.run([
    ...crossEntropyForward<HostArray>(sizes, { ...operands, loss_per_sample }),
    ...crossEntropyBackward<HostArray>(sizes, { ...operands, gradient, ...scale }),
  ]);
  return { input, loss_per_sample, gradient: unpackChannels(gradient, shape.classes) };
}

const cases: Case[] = [
  { batch: 5, classes: 10 },
  { batch: 3, classes: 10, smoothing: 0.1 },
  { batch: 70, classes: 7, smoothing: 0.2, gradientScale: 0.25 },
  { batch: 4, classes: 8, smoothing: 1 },
  { batch: 1, classes: 1 },
  { batch: 2, classes: 1000, smoothing: 0.1 },
  { batch: 6, classes: 10, smoothing: 0.1, count: 2 },
  { batch: 6, classes: 10, smoothing: 0.1, size: 1e4 },
];

for (const storage of STORAGES) {
  for (const shape of cases) {
    Deno.test(`cross_entropy matches reference: ${JSON.stringify(shape)}${storage.suffix}`, async () => {
      const { input, loss_per_sample, gradient } = await run(shape, storage);
      // Logarithm and exponential are good to a few units in the last place, and so are the sums.
      const arithmetic = { absolute: 1e-6, relative: 1e-6 };
      assertClose(loss_per_sample, crossEntropyReference(input), arithmetic, "loss_per_sample");
      const expected = crossEntropyGradientReference(input);
      assertClose(gradient, expected, storage.stored({ absolute: 3e-7, relative: 1e-6 }), "gradient");
    });
  }
}

Deno.test("cross_entropy's gradient is multiplied by the loss scale in float16", async () => {
  const { input, gradient } = await run({ batch: 3, classes: 10, smoothing: 0.1 }, FLOAT16, 2 ** 12);
  const expected = crossEntropyGradientReference(input).map((value) => 2 ** 12 * value);
  assertClose(gradient, expected, FLOAT16.stored({ absolute: 0, relative: 1e-6 }), "gradient");
});

Deno.test("cross_entropy's reference gradient matches central differences: [3,5]", () => {
  const input = { ...inputs({ batch: 3, classes: 5, smoothing: 0.3, count: 2 }), gradientScale: 0.5 };
  const lossAt = (i: number, shift: number) => {
    const logits = input.logits.map((value, at) => at === i ? value + shift : value);
    return input.gradientScale * crossEntropyReference({ ...input, logits }).reduce((a, b) => a + b) /
      input.count;
  };
  const differences = input.logits.map((_, i) => (lossAt(i, 1e-4) - lossAt(i, -1e-4)) / 2e-4);
  assertClose(crossEntropyGradientReference(input), differences, { absolute: 1e-8 }, "gradient");
});

Deno.test("cross_entropy ignores NaN in the filler samples of a short batch", async () => {
  const logits = packChannels(inputs({ batch: 2, classes: 6 }).logits, 6);
  logits.fill(NaN, 8);
  const loss_per_sample = new Float32Array(2).fill(NaN);
  const gradient = new Float32Array(16).fill(NaN);
  const operands = { step_state: stepWords({ count: 1 }), logits, labels: Uint32Array.of(1, 2) };
  const shape = { batch: 2, classes: 6, smoothing: 0.1 };
  await FLOAT32.run([
    ...crossEntropyForward<HostArray>(shape, { ...operands, loss_per_sample }),
    ...crossEntropyBackward<HostArray>(shape, { ...operands, gradient }),
  ]);
  assert.ok(loss_per_sample[0] > 0);
  assert.equal(loss_per_sample[1], 0);
  assert.ok(gradient.subarray(8).every((value) => value === 0));
});
