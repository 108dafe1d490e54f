import assert from "node:assert/strict";
import { drawBatchForward } from "../../kernels/draw_batch.ts";
import { ScheduleRowLayout } from "../../kernels/records/layouts.ts";
import { STREAM } from "../../kernels/records/step_state.ts";
import { type HostArray, runOnArrays, testGpu } from "../support/gpu.ts";
import { drawReference, type DrawReferenceInput } from "../reference/draw_batch.ts";
import { packBytes, stepWords } from "../support/step.ts";

const ordinary: DrawReferenceInput = {
  batch: 5,
  count: 5,
  position: 0,
  step: 0,
  stream: STREAM.training,
  key: [7, 9],
  order: Uint32Array.from({ length: 50 }, (_, i) => (i * 17 + 3) % 50),
  labels: Uint8Array.from({ length: 50 }, (_, i) => (i * 7) % 10),
  timesteps: levels(1000),
  classes: 10,
  labelDropout: 0.1,
  flip: true,
};

/** Time inputs of a continuous process, not its row numbers. */
function levels(count: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: count }, (_, level) => level / 8 - 3);
}

/** Rows of the schedule with these time inputs, and nothing else. */
function scheduleOf(timesteps: ArrayLike<number>): Float32Array<ArrayBuffer> {
  const stride = ScheduleRowLayout.bytes / 4;
  const rows = new Float32Array(stride * timesteps.length);
  for (let i = 0; i < timesteps.length; i++) rows[stride * i] = timesteps[i];
  return rows;
}

async function draw(input: DrawReferenceInput) {
  const { batch, timesteps } = input;
  const draws = new Uint32Array(3 * batch);
  const timestep = new Float32Array(batch);
  const label = new Uint32Array(batch);
  const [seedLo, seedHi] = input.key;
  await runOnArrays(
    await testGpu(),
    drawBatchForward<HostArray>({ ...input, levels: timesteps.length }, {
      step_state: stepWords({ ...input, seedLo, seedHi }),
      order: Uint32Array.from(input.order),
      labels: packBytes(Uint8Array.from(input.labels)),
      schedule: scheduleOf(timesteps),
      draws,
      timestep,
      label,
    }),
  );
  return Array.from({ length: batch }, (_, n) => {
    const [image, level, flip] = draws.subarray(3 * n, 3 * n + 3);
    return { image, level, timestep: timestep[n], flip, label: label[n] };
  });
}

const cases: Record<string, Partial<DrawReferenceInput>> = {
  "first batch of an epoch": {},
  "in the middle of an epoch": { position: 23, step: 7 },
  "a short last batch of 2 of 5": { position: 48, count: 2, step: 9 },
  "one sample": { batch: 1, count: 1 },
  "more samples than a workgroup: 70": {
    batch: 70,
    count: 70,
    order: Uint32Array.from({ length: 70 }, (_, i) => i % 50),
  },
  "validation: own stream, no flips, no dropout": {
    stream: STREAM.validation,
    flip: false,
    labelDropout: 0,
    step: 3,
  },
  "unconditional: every label is null": { labelDropout: 1 },
  "stratified: 5 of 1000": { stratified: true },
  "stratified: more samples than a workgroup, more than levels": {
    batch: 130,
    count: 130,
    order: Uint32Array.from({ length: 130 }, (_, i) => i % 50),
    timesteps: levels(97),
    stratified: true,
  },
  "stratified: the largest numbers": {
    batch: 65_535,
    count: 65_535,
    order: new Uint32Array(65_535),
    timesteps: levels(100_000),
    stratified: true,
  },
  "largest step, seed and timestep count": {
    step: 2 ** 32 - 1,
    key: [2 ** 32 - 1, 2 ** 21 - 1],
    timesteps: levels(2 ** 20),
  },
};

for (const [name, change] of Object.entries(cases)) {
  Deno.test(`draw_batch matches reference: ${name}`, async () => {
    const input = { ...ordinary, ...change };
    assert.deepEqual(await draw(input), drawReference(input));
  });
}

Deno.test("draw_batch fills up a short batch with its first image", async () => {
  const drawn = await draw({ ...ordinary, position: 48, count: 2 });
  const { order } = ordinary;
  assert.deepEqual(drawn.map(({ image }) => image), [order[48], order[49], order[48], order[48], order[48]]);
});

Deno.test("draw_batch draws every timestep, half the flips and a tenth of the null labels: N=20000", async () => {
  const batch = 20000;
  const order = new Uint32Array(batch);
  const drawn = await draw({ ...ordinary, batch, count: batch, order, timesteps: levels(20) });
  const share = (of: (d: (typeof drawn)[0]) => boolean) => drawn.filter(of).length / batch;
  // Five standard deviations of a binomial share.
  const within = (actual: number, p: number) =>
    assert.ok(Math.abs(actual - p) < 5 * Math.sqrt(p * (1 - p) / batch), `share ${actual}, expected ${p}`);
  within(share(({ label }) => label === 10), 0.1);
  within(share(({ flip }) => flip === 1), 0.5);
  for (let t = 0; t < 20; t++) within(share(({ level }) => level === t), 1 / 20);
  within(share(({ flip, label }) => flip === 1 && label === 10), 0.05);
});

Deno.test("draw_batch draws every stratum once, all of it, and every level equally often", async () => {
  const counts = new Array<number>(20).fill(0);
  for (let step = 0; step < 200; step++) {
    const drawn = await draw({
      ...ordinary,
      batch: 4,
      count: 4,
      timesteps: levels(20),
      stratified: true,
      step,
    });
    assert.deepEqual(drawn.map(({ level }) => Math.floor(level / 5)), [0, 1, 2, 3]);
    for (const { level } of drawn) counts[level]++;
  }
  // 40 of 200 on average in each of 5 levels of a stratum; five standard deviations.
  for (const count of counts) assert.ok(Math.abs(count - 40) < 5 * Math.sqrt(200 * 0.2 * 0.8), `${counts}`);
});

Deno.test("draw_batch draws anew each step", async () => {
  const first = await draw({ ...ordinary, labelDropout: 0 });
  const second = await draw({ ...ordinary, labelDropout: 0, step: 1 });
  assert.notDeepEqual(first.map(({ level }) => level), second.map(({ level }) => level));
  assert.deepEqual(first.map(({ image }) => image), second.map(({ image }) => image));
});
