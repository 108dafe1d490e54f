import assert from "node:assert/strict";
import { lossBackward, lossForward, recordLossForward } from "../../kernels/loss.ts";
import { encodeLossScale } from "../../kernels/loss_scale.ts";
import { LogRecordLayout } from "../../kernels/records/layouts.ts";
import { decodeLog, encodeScheduleTables } from "../../kernels/records/training.ts";
import { assertClose } from "../support/close.ts";
import { type HostArray, runOnArrays, testGpu } from "../support/gpu.ts";
import { packChannels, unpackChannels } from "../support/layout.ts";
import { lossGradientReference, lossReference, type LossReferenceInput } from "../reference/loss.ts";
import { stepWords } from "../support/step.ts";
import { FLOAT16, FLOAT32, type Storage } from "../support/storage.ts";

const weights = [1, 0.25, 3];
const zeros = weights.map(() => 0);
const schedule = encodeScheduleTables({
  timestep: zeros,
  signal: zeros,
  noise: zeros,
  targetFromX0: zeros,
  targetFromNoise: zeros,
  weight: weights,
});

interface Case {
  batch: number;
  pixels: number;
  channels: number;
  count?: number;
  gradientScale?: number;
  size?: number;
  delta?: number;
}

function inputs(
  { batch, pixels, channels, count = batch, gradientScale = 1, size = 1, delta = Infinity }: Case,
) {
  const elements = batch * pixels * channels;
  return {
    prediction: Array.from({ length: elements }, (_, i) => size * Math.sin(i * 1.7)),
    targets: Array.from({ length: elements }, (_, i) => size * Math.cos(i * 0.9)),
    weights: Array.from({ length: batch }, (_, n) => weights[n % 3]),
    count,
    gradientScale,
    delta,
  } satisfies LossReferenceInput;
}

const LOG_WORDS = LogRecordLayout.bytes / 4;

/** @param lossScale what the gradient is multiplied by, if by anything */
async function run(
  shape: Case,
  log: HostArray = new Uint32Array(LOG_WORDS),
  state = {},
  storage: Storage = FLOAT32,
  lossScale?: number,
) {
  const all = inputs(shape);
  const input = { ...all, prediction: [...storage.rounded(all.prediction)] };
  const prediction = storage.array(packChannels(input.prediction, shape.channels));
  const loss_per_sample = new Float32Array(shape.batch).fill(7);
  const gradient = storage.empty(prediction.length);
  const step_state = stepWords({ count: input.count, ...state });
  const words = (scale: number) =>
    new Uint32Array(
      encodeLossScale({ scale, goodSteps: 0, skippedSteps: 0, biasCorrection1: 0, biasCorrection2: 0 }),
    );
  const operands = {
    step_state,
    draws: Uint32Array.from({ length: 3 * shape.batch }, (_, i) => i % 3 === 1 ? ((i - 1) / 3) % 3 : 0),
    schedule,
    prediction,
    targets: packChannels(input.targets, shape.channels),
  };
  const scale = lossScale === undefined ? {} : { loss_scale: words(lossScale) };
  await storage.run([
    ...lossForward<HostArray>(shape, { ...operands, loss_per_sample }),
    ...lossBackward<HostArray>(shape, { ...operands, gradient, ...scale }),
    ...recordLossForward<HostArray>(shape.batch, { step_state, loss_per_sample, train_log: log }),
  ]);
  return { input, loss_per_sample, gradient, log: decodeLog(log.slice().buffer) };
}

const cases: Case[] = [
  { batch: 3, pixels: 64, channels: 3 },
  { batch: 2, pixels: 35, channels: 6 },
  { batch: 1, pixels: 1, channels: 1 },
  { batch: 4, pixels: 1024, channels: 3, gradientScale: 0.25 },
  { batch: 5, pixels: 35, channels: 3, count: 2 },
  { batch: 2, pixels: 16, channels: 4, size: 1e15 },
  { batch: 3, pixels: 35, channels: 3, delta: 0.5 },
  { batch: 2, pixels: 64, channels: 6, count: 1, delta: 1.25, gradientScale: 0.5 },
];

for (const shape of cases) {
  Deno.test(`the loss matches reference: ${JSON.stringify(shape)}`, async () => {
    const { input, loss_per_sample, gradient, log } = await run(shape);
    const losses = lossReference(input);
    // Sums of up to 3,072 float32 squares; a gradient is one difference, rounded.
    assertClose(loss_per_sample, losses, { absolute: 0, relative: 1e-5 }, "loss_per_sample");
    const expected = lossGradientReference(input);
    assertClose(
      unpackChannels(gradient, shape.channels),
      expected,
      { absolute: 0, relative: 1e-6 },
      "gradient",
    );
    assertClose(
      [log[0].lossSum],
      [losses.reduce((a, b) => a + b)],
      { absolute: 0, relative: 1e-5 },
      "lossSum",
    );
    assert.equal(log[0].count, input.count);
  });
}

for (const shape of cases.filter(({ size }) => size === undefined)) {
  Deno.test(`the loss's gradient is multiplied by the loss scale: ${JSON.stringify(shape)} in float16`, async () => {
    const { input, loss_per_sample, gradient } = await run(shape, undefined, {}, FLOAT16, 2 ** 12);
    assertClose(loss_per_sample, lossReference(input), { absolute: 0, relative: 1e-5 }, "loss_per_sample");
    const expected = lossGradientReference(input).map((value) => 2 ** 12 * value);
    const tolerance = FLOAT16.stored({ absolute: 0, relative: 1e-6 });
    assertClose(unpackChannels(gradient, shape.channels), expected, tolerance, "gradient");
  });
}

Deno.test("the reference's gradient matches central differences, also of Huber's loss: [3,5]", () => {
  for (const delta of [Infinity, 0.7]) {
    const input = { ...inputs({ batch: 3, pixels: 5, channels: 1, count: 2, delta }), gradientScale: 0.5 };
    const lossAt = (i: number, shift: number) => {
      const prediction = input.prediction.map((value, at) => at === i ? value + shift : value);
      const total = lossReference({ ...input, prediction }).reduce((a, b) => a + b);
      return input.gradientScale * total / input.count;
    };
    const differences = input.prediction.map((_, i) => (lossAt(i, 1e-4) - lossAt(i, -1e-4)) / 2e-4);
    assertClose(lossGradientReference(input), differences, { absolute: 1e-10 }, "gradient");
  }
});

Deno.test("the loss ignores NaN in the filler samples of a short batch", async () => {
  const shape = { batch: 2, pixels: 4, channels: 3 };
  const prediction = packChannels(inputs(shape).prediction, 3);
  prediction.fill(NaN, 16);
  const loss_per_sample = new Float32Array(2);
  const gradient = new Float32Array(32);
  const operands = {
    step_state: stepWords({ count: 1 }),
    draws: new Uint32Array(6),
    schedule,
    prediction,
    targets: new Float32Array(32),
  };
  await runOnArrays(await testGpu(), [
    ...lossForward<HostArray>(shape, { ...operands, loss_per_sample }),
    ...lossBackward<HostArray>(shape, { ...operands, gradient }),
  ]);
  assert.ok(loss_per_sample[0] > 0);
  assert.equal(loss_per_sample[1], 0);
  assert.ok(gradient.subarray(16).every((value) => value === 0));
});

Deno.test("recordLoss writes its own slot and adds up micro-batches there", async () => {
  const shape = { batch: 3, pixels: 4, channels: 3 };
  const log = new Uint32Array(3 * LOG_WORDS).fill(0x3f800000);
  await run(shape, log, { logSlot: 1 });
  const { input } = await run({ ...shape, count: 2 }, log, { logSlot: 1, accumulate: 1 });
  const [before, record, after] = decodeLog(log.slice().buffer);
  const sum = (count: number) => lossReference({ ...input, count }).reduce((a, b) => a + b);
  assertClose([record.lossSum], [sum(3) + sum(2)], { absolute: 1e-6 }, "lossSum");
  assert.deepEqual([record.count, record.gradientNorm, record.nonFinite], [5, 0, false]);
  assert.deepEqual([before.lossSum, after.lossSum], [1, 1]);
});
