import assert from "node:assert/strict";
import { planSampling, type SamplerName, samplerNames } from "../../../lib/diffusion/sampler.ts";
import { NoiseSchedule } from "../../../lib/diffusion/schedule.ts";
import { ConfigError } from "../../../lib/errors.ts";
import { createBuffer, destroyBuffer } from "../../../lib/gpu/memory.ts";
import { unetParameters } from "../../../lib/model/network.ts";
import { planImage } from "../../../lib/sampling/edits/edit_plan.ts";
import { checkEdit, type ImageEdit, stepsRun } from "../../../lib/sampling/edits/image_edit.ts";
import type { ImageJob } from "../../../lib/sampling/image_job.ts";
import { initialNoise } from "../../../lib/sampling/initial_noise.ts";
import { RunningBatch } from "../../../lib/sampling/running_batch.ts";
import { goldenWeights } from "../../golden/tensors.ts";
import { samplingNoise } from "../../reference/sampler_step.ts";
import { assertClose } from "../../support/close.ts";
import { testGpu } from "../../support/gpu.ts";
import { CLASS_NETWORK } from "../../support/networks.ts";

const PIXELS = 8 * 4;
const schedule = new NoiseSchedule();
const image = Float32Array.from({ length: 3 * PIXELS }, (_, i) => Math.sin(i));
const maskOf = (value: number) => new Float32Array(PIXELS).fill(value);
/** The upper half is kept. */
const lowerHalf = Float32Array.from({ length: PIXELS }, (_, i) => Number(i >= PIXELS / 2));

function job(id: number, sampler: SamplerName, steps: number, edit?: ImageEdit): ImageJob {
  return { id, label: 1, guidance: 1, seed: 40 + id, sampler, steps, edit };
}

async function withBatch(body: (batch: RunningBatch) => Promise<void>): Promise<void> {
  const gpu = await testGpu();
  const table = unetParameters(CLASS_NETWORK);
  const weights = createBuffer(gpu, 4 * table.elements, "weights");
  gpu.device.queue.writeBuffer(weights, 0, goldenWeights("generator", table));
  const batch = await RunningBatch.build(gpu, { config: CLASS_NETWORK, schedule, weights, rows: 4 });
  await body(batch);
  batch.destroy();
  destroyBuffer(gpu, weights);
}

/** Draws images together; `between` may park and resume them after each turn of one step. */
async function drawn(
  batch: RunningBatch,
  jobs: readonly ImageJob[],
  between: (turn: number) => void = () => {},
): Promise<Map<number, Float32Array>> {
  for (const one of jobs) batch.add(one);
  const images = new Map<number, Float32Array>();
  for (let turn = 0; batch.size + batch.parked > 0; turn++) {
    for (const { id, data } of (await batch.turn(0)).finished) images.set(id, data);
    between(turn);
  }
  return images;
}

Deno.test("for every sampler, a mask of ones draws the plain image to the bit, one of zeros gives the known image", () =>
  withBatch(async (batch) => {
    for (const sampler of samplerNames) {
      const of = (id: number, edit?: ImageEdit) => ({ ...job(id, sampler, 3, edit), seed: 7 });
      const images = await drawn(batch, [
        of(0),
        of(1, { image, mask: maskOf(1) }),
        of(2, { image, mask: maskOf(0) }),
        of(3, { image, strength: 1 }),
      ]);
      assert.deepEqual(images.get(1), images.get(0), sampler);
      assert.deepEqual(images.get(2), image, sampler);
      assert.deepEqual(images.get(3), images.get(0), `${sampler}: strength 1`);
    }
  }));

Deno.test("what is kept is the given image to the bit, and the rest is drawn anew", () =>
  withBatch(async (batch) => {
    const half = PIXELS / 2 * 3;
    const edits = [{}, { strength: 0.5 }, { resamplings: 3, jump: 2 }];
    const jobs = edits.map((edit, id) => job(id, "ddim", 6, { image, mask: lowerHalf, ...edit }));
    const images = await drawn(batch, jobs);
    for (const data of images.values()) {
      assert.deepEqual(data.subarray(0, half), image.subarray(0, half));
      assert.ok(data.subarray(half).every((value, i) => Number.isFinite(value) && value !== image[half + i]));
    }
    assert.equal(new Set([...images.values()].map(String)).size, edits.length);
  }));

Deno.test("an image of strength below 1 starts from the noisy given image at a later level", () =>
  withBatch(async (batch) => {
    const distances: number[] = [];
    for (const strength of [0.1, 0.4, 0.8]) {
      const wanted = job(0, "euler", 10, { image, strength });
      const plan = planImage(schedule, wanted);
      const all = planSampling("euler", schedule, { steps: 10 });
      assert.deepEqual(
        plan.map(({ timestep }) => timestep),
        all.slice(-10 * strength).map((step) => step.timestep),
      );
      const data = (await drawn(batch, [wanted])).get(0)!;
      distances.push(Math.hypot(...data.map((value, i) => value - image[i])));
    }
    assert.ok(distances[0] < 0.1 * Math.min(distances[1], distances[2]), `distances ${distances}`);
  }));

Deno.test("the noise of an edited image is that of its seed", () => {
  for (const [seed, channels] of [[5, 3], [2 ** 40, 4], [0, 6]]) {
    const key: [number, number] = [seed % 2 ** 32, Math.floor(seed / 2 ** 32)];
    const expected = samplingNoise(PIXELS, channels, 2 ** 32 - 1, key);
    assertClose([...initialNoise(seed, PIXELS, channels)], expected, { absolute: 1e-6 }, `seed ${seed}`);
  }
});

Deno.test("edited images have the same bits alone and among others, moved, parked and resumed; others have theirs", () =>
  withBatch(async (batch) => {
    const jobs = [
      job(0, "ddpm", 2),
      job(1, "euler-ancestral", 6, { image, mask: lowerHalf }),
      job(2, "dpm++2m", 8, { image: image.map((value) => -value), mask: maskOf(0.3), strength: 0.7 }),
      job(3, "ddim", 6),
    ];
    const together = await drawn(batch, jobs, (turn) => {
      // The first image leaves after two steps, so that the last moves into its slot.
      if (turn === 0) assert.ok(batch.park(1) && batch.park(2));
      if (turn === 2) assert.ok(batch.resume(2) && batch.resume(1));
    });
    for (const one of jobs) {
      assert.deepEqual(together.get(one.id), (await drawn(batch, [one])).get(one.id), `image ${one.id}`);
    }
  }));

Deno.test("strengths round down to whole steps as in diffusers, but to no fewer than one", () => {
  const cases = [[25, 0.6], [100, 0.29], [10, 0.7], [25, 0.5], [10, 0.01], [3, 1]] as const;
  assert.deepEqual(cases.map(([steps, strength]) => stepsRun(steps, strength)), [15, 29, 7, 12, 1, 3]);
});

const mask = lowerHalf;
const faults: readonly (readonly [string, ImageEdit, SamplerName, string, RegExp])[] = [
  [
    "an image of another size",
    { image: image.slice(3) },
    "ddim",
    "image",
    /8 x 4 x 3 = 96 values, got "93 values"/,
  ],
  [
    "a mask of another size",
    { image, mask: maskOf(1).slice(5) },
    "ddim",
    "mask",
    /8 x 4 = 32 values, got "27/,
  ],
  ["an image that is not finite", { image: image.map(() => NaN) }, "ddim", "image", /numbers/],
  ["a mask out of range", { image, mask: maskOf(255) }, "ddim", "mask", /from 0 \(kept\) to 1/],
  ["strength 0", { image, strength: 0 }, "ddim", "strength", /above 0 and at most 1/],
  ["strength as text", { image, strength: "0.5" as unknown as number }, "ddim", "strength", /got "0.5"/],
  ["a strength that is no number", { image, strength: NaN }, "ddim", "strength", /above 0 and at most 1/],
  ["strength above 1", { image, strength: 1.1 }, "ddim", "strength", /above 0 and at most 1/],
  ["too many passes", { image, mask, resamplings: 51 }, "ddim", "resamplings", /from 1 to 50/],
  ["passes without a mask", { image, resamplings: 2 }, "ddim", "resamplings", /1 without a mask/],
  [
    "a sampler with a history",
    { image, mask, resamplings: 2 },
    "dpm++2m",
    "resamplings",
    /ddpm, ddim, euler, euler-a/,
  ],
  [
    "two evaluations a step",
    { image, mask, resamplings: 2 },
    "heun",
    "resamplings",
    /ddpm, ddim, euler, euler-a/,
  ],
  [
    "a jump over all steps",
    { image, mask, resamplings: 2, jump: 10 },
    "ddim",
    "jump",
    /fewer than the 10 steps/,
  ],
  ["one step", { image, mask, resamplings: 2, strength: 0.1 }, "ddim", "resamplings", /one step/],
];

for (const [name, edit, sampler, field, message] of faults) {
  Deno.test(`an edit with ${name} is refused, naming ${field}`, () => {
    assert.throws(
      () => checkEdit(edit, { config: CLASS_NETWORK }, { sampler, steps: 10 }),
      (error: unknown) => {
        assert.ok(error instanceof ConfigError);
        assert.equal(error.field, field);
        assert.match(error.message, message);
        return true;
      },
    );
  });
}
