import assert from "node:assert/strict";
import { STREAM } from "../../kernels/records/step_state.ts";
import { imageDataset } from "../../lib/data/image_dataset.ts";
import { epochIsOver, planRun, trainingState, validationState } from "../../lib/train/run_plan.ts";
import { SOFTWARE } from "../support/adapters.ts";
import { microOptions, patternImages } from "../support/train/micro.ts";

Deno.test("training and validation images are apart, and all of the data set", () => {
  const { images, trainImages, validationImages } = planRun(microOptions(), SOFTWARE);
  assert.deepEqual([trainImages, validationImages], [36, 4]);
  assert.deepEqual([...images].sort((a, b) => a - b), Array.from({ length: 40 }, (_, i) => i));
});

Deno.test("a split that the data set comes with is kept, and a limit shrinks both parts of it", () => {
  const validation = Uint32Array.from({ length: 10 }, (_, i) => 4 * i + 1);
  const data = imageDataset({ ...patternImages(40), validation });
  const whole = planRun(microOptions({ data }), SOFTWARE);
  assert.deepEqual([whole.trainImages, whole.validationImages], [30, 10]);
  assert.deepEqual([...whole.images.subarray(30)], [...validation]);
  assert.ok(whole.images.subarray(0, 30).every((index) => index % 4 !== 1));
  const limited = planRun(microOptions({ data, limit: 15 }), SOFTWARE);
  assert.deepEqual([limited.trainImages, limited.validationImages], [15, 5]);
  assert.ok(limited.images.subarray(15).every((index) => index % 4 === 1));
});

Deno.test("an epoch's micro-batches read its order from end to end, each with random numbers of its own", () => {
  const plan = planRun(microOptions({ batch: 4, accumulate: 2 }), SOFTWARE);
  assert.equal(plan.stepsPerEpoch, 4);
  const states = Array.from({ length: 16 }, (_, i) => trainingState(plan, i >> 1, i & 1));
  assert.deepEqual(states.map(({ position }) => position), [
    0,
    4,
    8,
    12,
    16,
    20,
    24,
    28,
    0,
    4,
    8,
    12,
    16,
    20,
    24,
    28,
  ]);
  assert.deepEqual(states.map(({ step }) => step), Array.from({ length: 16 }, (_, i) => i));
  assert.deepEqual(states.map(({ logSlot }) => logSlot), Array.from({ length: 16 }, (_, i) => i >> 1));
  assert.deepEqual(
    states.map(({ accumulate }) => accumulate),
    Array.from({ length: 16 }, (_, i) => i % 2),
  );
  assert.ok(
    states.every(({ stream, count, seedLo }) => stream === STREAM.training && count === 4 && seedLo === 5),
  );
});

Deno.test("the rate rises over the warm-up, the average's decay with the steps, both to what was set", () => {
  const plan = planRun(microOptions({ lr: 0.01, warmup: 4, ema: 0.9 }), SOFTWARE);
  const rates = [0, 1, 3, 100].map((step) => trainingState(plan, step, 0).learningRate);
  assert.deepEqual(rates, [0.0025, 0.005, 0.01, 0.01]);
  const decays = [0, 9, 1000].map((step) => trainingState(plan, step, 0).emaDecay);
  assert.deepEqual(decays, [2 / 11, 11 / 20, 0.9]);
  const { biasCorrection1, biasCorrection2 } = trainingState(plan, 1, 0);
  assert.deepEqual([biasCorrection1, biasCorrection2], [1 - 0.9 ** 2, 1 - 0.999 ** 2]);
  assert.equal(trainingState(planRun(microOptions({ warmup: 0 }), SOFTWARE), 0, 0).learningRate, 2e-3);
});

Deno.test("validation reads its images from end to end, the last batch as many as are left", () => {
  const plan = planRun(microOptions({ data: patternImages(110) }), SOFTWARE);
  const [first, last] = [validationState(plan, 0), validationState(plan, 1)];
  assert.deepEqual([first.position, first.count, last.position, last.count], [0, 8, 8, 3]);
  assert.deepEqual([first.step, last.step], [0, 1]);
  assert.ok([first, last].every(({ stream, accumulate }) => stream === STREAM.validation && !accumulate));
});

Deno.test("steps end a run before its epochs do, not after", () => {
  const total = (options: object) => planRun(microOptions(options), SOFTWARE).totalSteps;
  assert.deepEqual([
    total({ epochs: 3 }),
    total({ epochs: 3, steps: 5 }),
    total({ epochs: 3, steps: 50 }),
    total({ epochs: null, steps: 50 }),
  ], [
    12,
    5,
    12,
    50,
  ]);
});

Deno.test("images without classes are a data set for an unconditional network", () => {
  const data = { ...patternImages(40, 1), classes: [] };
  assert.equal(planRun(microOptions({ data }), SOFTWARE).settings.model.numClassEmbeds, null);
});

Deno.test("an epoch is over from its last step until its record is made", () => {
  const plan = planRun(microOptions({ steps: 6 }), SOFTWARE);
  const over = (step: number, ...recorded: number[]) =>
    epochIsOver({
      ...plan,
      progress: {
        ...plan.progress,
        step,
        history: recorded.map((step) => ({ epoch: 1, step, trainLoss: 1, valLoss: 1, seconds: 1 })),
      },
    });
  assert.deepEqual([over(0), over(3), over(4), over(4, 4), over(5, 4), over(6, 4), over(6, 4, 6)], [
    ...[false, false, true, false, false, true, false],
  ]);
});
