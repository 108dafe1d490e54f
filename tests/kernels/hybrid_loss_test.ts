import assert from "node:assert/strict";
import { hybridLossBackward, hybridLossForward } from "../../kernels/hybrid_loss.ts";
import { encodeLossScale } from "../../kernels/loss_scale.ts";
import { NO_DELTA } from "../../kernels/loss.ts";
import { encodeVarianceRows } from "../../kernels/records/training.ts";
import { learnedVarianceRows } from "../../lib/diffusion/learned_variance.ts";
import { NoiseSchedule } from "../../lib/diffusion/schedule.ts";
import {
  hybridLossGradientReference,
  hybridLossReference,
  type HybridLossReferenceInput,
} from "../reference/hybrid_loss.ts";
import { assertClose } from "../support/close.ts";
import type { HostArray } from "../support/gpu.ts";
import { packChannels, unpackChannels } from "../support/layout.ts";
import { stepWords } from "../support/step.ts";
import { FLOAT16, FLOAT32, type Storage } from "../support/storage.ts";

const schedule = new NoiseSchedule();
const rows = learnedVarianceRows(schedule, new Float32Array(1000).fill(1).map((_, t) => 1 + t / 1000));

interface Case {
  levels: number[];
  pixels: number;
  channels: number;
  count?: number;
  gradientScale?: number;
  delta?: number;
}

/** x_0 on and between the ends of the range, noised; predictions that miss by up to 1.5 and v from -1 to 1. */
function inputs(
  { levels, pixels, channels, count = levels.length, gradientScale = 1, delta = Infinity }: Case,
): HybridLossReferenceInput {
  const elements = levels.length * pixels * channels;
  const x0 = Array.from(
    { length: elements },
    (_, i) => i % 5 === 0 ? 1 : i % 7 === 0 ? -1 : (i * 37 % 255) / 127.5 - 1,
  );
  const eps = Array.from({ length: elements }, (_, i) => 1.5 * Math.sin(i * 1.7));
  const level = (i: number) => schedule.level(levels[Math.floor(i / (pixels * channels))]);
  return {
    prediction: Array.from({ length: 2 * elements }, (_, j) => {
      const [pixel, lane] = [Math.floor(j / (2 * channels)), j % (2 * channels)];
      if (lane >= channels) return Math.cos(j * 2.3);
      return eps[pixel * channels + lane] + 1.5 * Math.cos(j * 0.9);
    }),
    targets: eps,
    xt: x0.map((value, i) => level(i).signal * value + level(i).noise * eps[i]),
    ...{ rows, levels, channels, count, gradientScale, delta, boundScale: 1.4 },
  };
}

async function run(shape: Case, storage: Storage, lossScale?: number) {
  const all = inputs(shape);
  const input = {
    ...all,
    prediction: [...storage.rounded(all.prediction)],
    xt: [...storage.rounded(all.xt)],
  };
  const batch = shape.levels.length;
  const prediction = storage.array(packChannels(input.prediction, 2 * shape.channels));
  const loss_per_sample = new Float32Array(batch).fill(7);
  const gradient = storage.empty(prediction.length);
  const operands = {
    step_state: stepWords({ count: input.count }),
    draws: Uint32Array.from(shape.levels.flatMap((level) => [0, level, 0])),
    variances: encodeVarianceRows(rows),
    prediction,
    targets: packChannels(input.targets, shape.channels),
    x_t: storage.array(packChannels(input.xt, shape.channels)),
  };
  const options = {
    batch,
    ...{ pixels: shape.pixels, channels: shape.channels, gradientScale: input.gradientScale },
    ...{ delta: Math.min(input.delta, NO_DELTA), boundScale: input.boundScale },
  };
  const state = {
    scale: lossScale ?? 1,
    goodSteps: 0,
    skippedSteps: 0,
    biasCorrection1: 0,
    biasCorrection2: 0,
  };
  const scale = lossScale === undefined ? {} : { loss_scale: new Uint32Array(encodeLossScale(state)) };
  await storage.run([
    ...hybridLossForward<HostArray>(options, { ...operands, loss_per_sample }),
    ...hybridLossBackward<HostArray>(options, { ...operands, gradient, ...scale }),
  ]);
  return { input, loss_per_sample, gradient };
}

const cases: Case[] = [
  { levels: [1, 500, 999], pixels: 35, channels: 3 },
  { levels: [0, 0], pixels: 64, channels: 3 },
  { levels: [0, 20], pixels: 6, channels: 1, gradientScale: 0.25, delta: 0.5 },
  { levels: [7, 0, 3], pixels: 5, channels: 4, count: 2 },
];

for (const shape of cases) {
  Deno.test(`hybrid loss matches reference: ${JSON.stringify(shape)}`, async () => {
    const { input, loss_per_sample, gradient } = await run(shape, FLOAT32);
    assertClose(
      loss_per_sample,
      hybridLossReference(input),
      { absolute: 0, relative: 2e-5 },
      "loss_per_sample",
    );
    const expected = hybridLossGradientReference(input);
    const largest = Math.max(...expected.map(Math.abs));
    // Unpacking checks that padding lanes are zero. The share of a byte cancels in float32.
    const tolerance = { absolute: 1e-4 * largest, relative: 1e-4 };
    assertClose(unpackChannels(gradient, 2 * shape.channels), expected, tolerance, "gradient");
  });
}

Deno.test("the gradient of the hybrid loss is multiplied by the loss scale in float16", async () => {
  const { input, loss_per_sample, gradient } = await run(cases[0], FLOAT16, 2 ** 8);
  assertClose(
    loss_per_sample,
    hybridLossReference(input),
    { absolute: 0, relative: 2e-5 },
    "loss_per_sample",
  );
  const expected = hybridLossGradientReference(input).map((value) => 2 ** 8 * value);
  const tolerance = FLOAT16.stored({ absolute: 1e-6, relative: 1e-4 });
  assertClose(unpackChannels(gradient, 6), expected, tolerance, "gradient");
});

Deno.test("a perfect prediction with v = -1 costs nothing in the bound, and v between the bounds has its divergence", () => {
  const input = inputs({ levels: [400], pixels: 1, channels: 1 });
  const at = (v: number) => hybridLossReference({ ...input, prediction: [input.targets[0], v] })[0];
  assert.ok(Math.abs(at(-1)) < 1e-12);
  // KL of normal distributions of one mean, variances beta~ and beta
  const ratio = schedule.posteriorVariance[400] / schedule.betas[400];
  assert.ok(Math.abs(at(1) - 1.4 * 0.5 * (ratio - 1 - Math.log(ratio))) < 1e-12);
});
