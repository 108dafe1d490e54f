import assert from "node:assert/strict";
import { Generator } from "../../lib/sampling/generator.ts";
import type { ImageJob } from "../../lib/sampling/image_job.ts";
import { type BatchTurn, RunningBatch, type RunningBatchOptions } from "../../lib/sampling/running_batch.ts";
import { networkRows } from "../../lib/diffusion/guidance.ts";
import {
  planSampling,
  type SamplerName,
  samplerNames,
  type SamplerSettings,
} from "../../lib/diffusion/sampler.ts";
import { NoiseSchedule } from "../../lib/diffusion/schedule.ts";
import { ConfigError } from "../../lib/errors.ts";
import type { Gpu } from "../../lib/gpu/device.ts";
import { createBuffer, destroyBuffer } from "../../lib/gpu/memory.ts";
import { type UNetConfig, unetConfig } from "../../lib/model/config.ts";
import { unetParameters } from "../../lib/model/network.ts";
import { inPrecision, PRECISIONS } from "../../lib/model/precision.ts";
import { goldenWeights } from "../golden/tensors.ts";
import { testGpu } from "../support/gpu.ts";
import { CLASS_NETWORK, CLASSES } from "../support/networks.ts";

const ROWS = 7;

const schedule = new NoiseSchedule();
const plans = [
  { sampler: "ddim", steps: 3, eta: undefined },
  { sampler: "ddpm", steps: 6, eta: undefined },
  { sampler: "ddim", steps: 9, eta: 0.5 },
  // Those with a history, or two evaluations a step
  { sampler: "unipc", steps: 6, eta: undefined },
  { sampler: "dpm++2m-sde", steps: 5, eta: undefined },
  { sampler: "heun", steps: 3, eta: undefined },
  { sampler: "euler-ancestral", steps: 4, eta: undefined },
] as const;

async function withBatch(
  body: (batch: RunningBatch, gpu: Gpu, weights: GPUBuffer) => Promise<void>,
  config: UNetConfig = CLASS_NETWORK,
  { nullClass, precision }: Pick<RunningBatchOptions, "nullClass" | "precision"> = {},
): Promise<void> {
  const gpu = await testGpu();
  const before = { used: gpu.memory.used, live: gpu.memory.live };
  const table = unetParameters(config, precision);
  const weights = createBuffer(gpu, 4 * table.elements, "weights");
  gpu.device.queue.writeBuffer(weights, 0, goldenWeights("generator", table));
  const batch = await RunningBatch.build(gpu, {
    config,
    schedule,
    weights,
    rows: ROWS,
    nullClass,
    precision,
  });
  await body(batch, gpu, weights);
  batch.destroy();
  destroyBuffer(gpu, weights);
  assert.deepEqual({ used: gpu.memory.used, live: gpu.memory.live }, before, "something was not freed");
}

/** Images that differ in plan, class, guidance and seed. */
function image(id: number): ImageJob {
  const guidance = [1, 2, 0, 1.5][id % 4];
  return { id, label: id % (CLASSES + 1), seed: 1000 + id, guidance, ...plans[id % plans.length] };
}

/** Images that differ in negative class, mixture, interval and rescaling, too. */
function anyImage(id: number): ImageJob {
  const label = id % (CLASSES + 1);
  const mixture = [{ label, weight: 2 }, { label: (id + 1) % CLASSES, weight: 1 + id }];
  const guided = [
    {},
    { negative: (id + 2) % CLASSES, guidanceInterval: [0.1 * id, 10] as const },
    { label: mixture, guidanceRescale: 0.7 },
    { guidanceInterval: [0, 1 + id] as const, guidanceRescale: 0.3 },
  ][id % 4];
  const guidance = [3, 2, 0.5, 1][Math.floor(id / 4) % 4];
  return { ...image(id), guidance, ...guided };
}

function planOf({ sampler, steps, eta }: Pick<ImageJob, "sampler" | "steps" | "eta">) {
  return planSampling(sampler, schedule, { steps, eta });
}

function alone(generator: Generator, image: ImageJob) {
  return generator.draw([image], planOf(image)).then(({ images }) => images);
}

for (const precision of PRECISIONS) {
  Deno.test(`an image has the same bits alone and in a batch that others join and leave${inPrecision(precision)}`, () =>
    withBatch(
      async (batch, gpu, weights) => {
        const generator = await Generator.build(gpu, {
          config: CLASS_NETWORK,
          weights,
          slots: 1,
          imageRows: 3,
          precision,
        });
        const waiting = Array.from({ length: 24 }, (_, id) => anyImage(id));
        const removed = new Set([3, 8, 9, 17]);
        const finished = new Map<number, Float32Array>();
        const occupancy = new Set<number>();
        for (let turn = 0; finished.size < 20; turn++) {
          assert.ok(turn < 200, "the batch does not finish its images");
          // One or two join at a time, so that most are at different steps.
          for (let n = 0; n <= turn % 2; n++) {
            const next = waiting[0];
            if (next && batch.rowsInUse + networkRows(next) <= ROWS) batch.add(waiting.shift()!);
          }
          if (batch.size === 0) continue;
          // One step a turn, then long turns.
          const done = await batch.turn(turn < 20 ? 0 : 50);
          occupancy.add(done.programRows);
          for (const { id, data } of done.finished) finished.set(id, data);
          for (const id of removed) batch.remove(id);
        }
        assert.ok(occupancy.size > 2, `programs of ${[...occupancy]} rows`);
        for (const [id, data] of finished) {
          assert.ok(!removed.has(id), `image ${id} was removed`);
          assert.deepEqual(data, await alone(generator, anyImage(id)), `image ${id}`);
        }
        assert.equal(batch.size, 0);
        generator.destroy();
      },
      CLASS_NETWORK,
      { precision },
    ));
}

Deno.test("each sampler, with settings of its own, has the same bits alone and in a batch of all the others", () =>
  withBatch(async (batch) => {
    const own: Partial<Record<SamplerName, SamplerSettings>> = {
      ddpm: { variance: "fixed_small" },
      ddim: { eta: 0.7 },
      edm: { churn: 2 },
    };
    const jobs = samplerNames.map((sampler, id): ImageJob => {
      return {
        id,
        label: id % CLASSES,
        seed: 60 + id,
        guidance: 1,
        sampler,
        steps: 3 + id % 3,
        ...own[sampler],
      };
    });
    const drawn = async (jobs: readonly ImageJob[]) => {
      const images = new Map<number, Float32Array>();
      // One joins at a time, so that all are at different steps.
      for (const waiting = [...jobs]; waiting.length + batch.size > 0;) {
        if (waiting[0] && batch.rowsInUse < ROWS) batch.add(waiting.shift()!);
        for (const { id, data } of (await batch.turn(0)).finished) images.set(id, data);
      }
      return images;
    };
    const together = await drawn(jobs);
    for (const job of jobs) {
      assert.deepEqual(together.get(job.id), (await drawn([job])).get(job.id), job.sampler);
    }
  }));

Deno.test("a turn ends at the next requested frame, and frames are those of the trajectory", () =>
  withBatch(async (batch, gpu, weights) => {
    const generator = await Generator.build(gpu, { config: CLASS_NETWORK, weights, slots: 1, imageRows: 2 });
    const { steps } = plans[2];
    for (const kind of ["predicted", "noisy"] as const) {
      const wanted: ImageJob = { ...image(1), ...plans[2], frames: { kind, at: [0, 4, 5] } };
      const at = wanted.frames!.at;
      batch.add(wanted);
      const turns: BatchTurn[] = [];
      while (batch.size > 0) turns.push(await batch.turn(60_000));
      const frames = turns.flatMap((turn) => turn.frames);
      assert.deepEqual(frames.map(({ id, step }) => [id, step]), at.map((step) => [1, step]));
      const { noisy, previews } = await generator.draw([wanted], planOf(wanted), { previewAt: at });
      const expected = kind === "noisy" ? noisy : previews;
      frames.forEach(({ data }, i) => assert.deepEqual(data, expected[i], `${kind} ${i}`));
      const [last] = turns[turns.length - 1].finished;
      assert.deepEqual([last.id, last.step], [1, steps - 1]);
      assert.deepEqual(last.data, await alone(generator, wanted));
      assert.equal(turns.reduce((sum, turn) => sum + turn.steps, 0), steps);
      assert.ok(turns.length >= 4 && turns.length < steps, `${turns.length} turns`);
    }
    generator.destroy();
  }));

Deno.test("images may leave and join while a turn is running", () =>
  withBatch(async (batch, gpu, weights) => {
    const generator = await Generator.build(gpu, { config: CLASS_NETWORK, weights, slots: 1, imageRows: 2 });
    const [first, second, third] = [image(0), { ...image(4), ...plans[0] }, image(8)];
    batch.add(first);
    batch.add(second);
    const results: BatchTurn[] = [await batch.turn(0), await batch.turn(0)];
    const last = batch.turn(0);
    // Both would finish in this turn.
    assert.equal(batch.remove(first.id), true);
    batch.add(third);
    await assert.rejects(batch.turn(0), /another turn is running/);
    results.push(await last);
    assert.deepEqual(results.map((turn) => turn.finished.map(({ id }) => id)), [[], [], [second.id]]);
    assert.deepEqual(results[2].finished[0].data, await alone(generator, second));
    while (batch.size > 0) results.push(await batch.turn(0));
    assert.deepEqual(results.at(-1)?.finished[0].data, await alone(generator, third));
    assert.equal(batch.remove(first.id), false);
    generator.destroy();
  }));

Deno.test("an image that is parked and resumed, whenever and however often, has the bits of one drawn alone", () =>
  withBatch(async (batch, gpu, weights) => {
    const generator = await Generator.build(gpu, { config: CLASS_NETWORK, weights, slots: 1, imageRows: 2 });
    const images = Array.from(
      { length: 9 },
      (_, id): ImageJob => ({ ...image(id), ...plans[1 + id % (plans.length - 1)] }),
    );
    const waiting = [...images];
    const parked: number[] = [];
    const finished = new Map<number, Float32Array>();
    let parkings = 0;
    for (let turn = 0; finished.size < images.length; turn++) {
      assert.ok(turn < 300, "the batch does not finish its images");
      while (waiting.length > 0 && batch.rowsInUse <= ROWS - 2) batch.add(waiting.shift()!);
      while (parked.length > 0 && batch.rowsInUse <= ROWS - 2) batch.resume(parked.shift()!);
      const before = batch.size;
      const turning = batch.turn(0);
      // Every other one is set aside while the device works, at times in its last step.
      const id = images[(turn * 5) % images.length].id;
      if (turn % 2 === 0 && batch.park(id)) {
        parkings++;
        parked.push(id);
        assert.equal(batch.size, before - 1);
        assert.equal(batch.park(id), false, "it is parked already");
      }
      const done = await turning;
      for (const { id, data } of done.finished) {
        finished.set(id, data);
        if (parked.includes(id)) parked.splice(parked.indexOf(id), 1);
      }
      assert.equal(batch.parked, parked.length);
      if (turn % 2 === 1 && batch.size > 1) {
        const next = done.images.find((id) => batch.park(id));
        if (next !== undefined) parked.push(next), parkings++;
      }
    }
    assert.ok(parkings > 10, `${parkings} times`);
    for (const [id, data] of finished) {
      assert.deepEqual(data, await alone(generator, images[id]), `image ${id}`);
    }
    generator.destroy();
  }));

Deno.test("a parked image keeps its history while another takes its slot, and takes it to its new one", () =>
  withBatch(async (batch, gpu, weights) => {
    const generator = await Generator.build(gpu, { config: CLASS_NETWORK, weights, slots: 1 });
    const unipc = (id: number): ImageJob => ({ ...image(id), guidance: 1, sampler: "unipc", steps: 8 });
    const [first, second] = [unipc(0), unipc(1)];
    batch.add(first);
    for (let step = 0; step < 4; step++) assert.equal((await batch.turn(0)).steps, 1);
    batch.park(first.id);
    batch.add(second);
    for (let step = 0; step < 3; step++) assert.equal((await batch.turn(0)).steps, 1);
    batch.resume(first.id);
    const finished = new Map<number, Float32Array>();
    while (batch.size > 0) {
      for (const { id, data } of (await batch.turn(0)).finished) finished.set(id, data);
    }
    for (const each of [first, second]) {
      assert.deepEqual(finished.get(each.id), await alone(generator, each), `image ${each.id}`);
    }
    generator.destroy();
  }));

Deno.test("parked images take no rows, keep their numbers and can be removed", () =>
  withBatch(async (batch) => {
    for (const id of [1, 5, 9]) batch.add({ ...image(id), guidance: 2 });
    await batch.turn(0);
    assert.equal(batch.park(5), true);
    assert.deepEqual([batch.size, batch.parked, batch.rowsInUse], [2, 1, 4]);
    assert.throws(
      () => batch.add(image(5)),
      /^ConfigError: id: expected a number that no image in the batch has/,
    );
    batch.add({ ...image(13), guidance: 2 });
    assert.throws(() => batch.resume(5), /^ConfigError: rows: expected at most 1, which are free/);
    assert.deepEqual([batch.park(99), batch.resume(99), batch.resume(1)], [false, false, false]);
    assert.equal(batch.remove(5), true);
    assert.deepEqual([batch.remove(5), batch.resume(5), batch.parked], [false, false, 0]);
    assert.equal(batch.park(1), true); // is freed with the batch
  }));

Deno.test("outside an interval of guidance an image takes one row, though two are reserved, and a turn ends there", () =>
  withBatch(async (batch, gpu, weights) => {
    const generator = await Generator.build(gpu, { config: CLASS_NETWORK, weights, slots: 1, imageRows: 2 });
    const sigmas = planOf(plans[2]).map(({ noiseRatio }) => noiseRatio);
    const wanted: ImageJob = { ...image(1), ...plans[2], guidanceInterval: [sigmas[6], sigmas[3]] };
    batch.add({ ...image(0), ...plans[2] });
    await batch.turn(0); // the other image is one step ahead
    batch.add(wanted);
    const turns: BatchTurn[] = [];
    while (batch.size > 0) {
      if (turns.length < 7) assert.equal(batch.rowsInUse, 3);
      turns.push(await batch.turn(turns.length < 6 ? 0 : 60_000));
    }
    assert.deepEqual(turns.map(({ rows }) => rows), [2, 2, 2, 3, 3, 3, 2, 1]);
    assert.deepEqual(turns.map(({ programRows }) => programRows), [2, 2, 2, 3, 3, 3, 2, 1]);
    assert.deepEqual(turns.map(({ steps }) => steps), [1, 1, 1, 1, 1, 1, 2, 1]);
    assert.deepEqual(turns[7].finished[0].data, await alone(generator, wanted));

    // A long turn over the whole trajectory is three.
    batch.add(wanted);
    const steps: number[] = [];
    while (batch.size > 0) steps.push((await batch.turn(60_000)).steps);
    assert.deepEqual(steps, [3, 3, 3]);
    generator.destroy();
  }));

Deno.test("the smallest recorded batch that holds the rows runs", () =>
  withBatch(async (batch) => {
    const rows: number[] = [];
    for (const id of [0, 4, 8, 12, 16, 20]) {
      batch.add({ ...image(id), guidance: 1, ...plans[2] });
      const turn = await batch.turn(0);
      assert.deepEqual([turn.rows, turn.images.at(-1), turn.steps], [rows.length + 1, id, 1]);
      rows.push(turn.programRows);
    }
    assert.deepEqual(rows, [1, 2, 3, 4, 6, 6]);
    assert.equal(batch.rowsInUse, 6);
    batch.remove(0);
    batch.remove(4);
    assert.equal((await batch.turn(0)).programRows, 4);
  }));

Deno.test("an image that does not fit into a batch is refused, naming why", () =>
  withBatch(async (batch) => {
    const refused = (change: Partial<ImageJob>, message: RegExp) =>
      assert.throws(() => batch.add({ ...image(0), ...change }), (error) => {
        assert.ok(error instanceof ConfigError);
        assert.match(error.message, message);
        return true;
      });
    refused({ negative: 6 }, /^label: expected a whole number from 0 to 5, got 6$/);
    refused({ label: [{ label: -1, weight: 1 }] }, /^label: expected a whole number from 0 to 5, got -1$/);
    refused({ label: 6 }, /^label: expected a whole number from 0 to 5, got 6$/);
    refused({ seed: 2 ** 53 }, /^seed: expected a whole number of 0 or more, got 9007199254740992$/);
    refused({ guidance: NaN }, /^guidance: expected a number from 0 to 100, got NaN$/);
    refused({ steps: 0 }, /^steps: expected a whole number from 1 to 1000, got 0$/);
    refused(
      { sampler: "ddpm", variance: "learned_range" },
      /^variance: expected fixed_small or fixed_large: this network has 3 output channels/,
    );
    refused(
      { frames: { kind: "noisy", at: [3] } },
      /^frames.at: expected a whole number from 0 to 2, got 3$/,
    );
    for (const id of [1, 5, 9]) batch.add({ ...image(id), guidance: 2 });
    refused({ id: 5 }, /^id: expected a number that no image in the batch has, got 5$/);
    refused({ guidance: 2 }, /^rows: expected at most 1, which are free in the batch, got 2$/);
    batch.add(image(0));
    refused({ id: 100 }, /^rows: expected at most 0/);
    assert.deepEqual([batch.size, batch.rowsInUse], [4, 7]);
    await batch.turn(0);
    for (const id of [0, 1, 5, 9]) batch.remove(id);
    await assert.rejects(batch.turn(0), /a turn needs an image/);
  }));

Deno.test("a network without classes refuses guidance, and a batch needs a row", async () => {
  await withBatch(async (batch, gpu, weights) => {
    assert.throws(() => batch.add({ ...image(1), label: 0 }), /^ConfigError: guidance: expected 1, since/);
    batch.add({ ...image(0), label: 0 });
    while (batch.size > 0) await batch.turn(1000);
    await assert.rejects(
      RunningBatch.build(gpu, { config: batchConfig, schedule, weights, rows: 0 }),
      /^ConfigError: rows: expected a whole number of 1 or more, got 0$/,
    );
  }, batchConfig);
});

Deno.test("a class table without a null row takes every row for a class, and refuses guidance", () =>
  withBatch(
    async (batch) => {
      batch.add({ ...image(0), label: CLASSES });
      assert.throws(
        () => batch.add({ ...image(1), label: 0 }),
        (error) =>
          error instanceof ConfigError && error.field === "guidance" && /no row for/.test(error.message),
      );
      while (batch.size > 0) await batch.turn(1000);
    },
    CLASS_NETWORK,
    { nullClass: false },
  ));

const batchConfig = unetConfig({ ...CLASS_NETWORK, numClassEmbeds: null });
