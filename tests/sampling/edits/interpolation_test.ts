import assert from "node:assert/strict";
import { inversionSteps } from "../../../lib/diffusion/inversion.ts";
import { RectifiedFlow } from "../../../lib/diffusion/rectified_flow.ts";
import { planSampling, samplerNames } from "../../../lib/diffusion/sampler.ts";
import { NoiseSchedule } from "../../../lib/diffusion/schedule.ts";
import { ConfigError } from "../../../lib/errors.ts";
import { imageSize } from "../../../lib/model/config.ts";
import type { DiffusionModel } from "../../../lib/sampling/diffusion_model.ts";
import { changeClass } from "../../../lib/sampling/edits/class_change.ts";
import { interpolateImages, interpolateSeeds, slerp } from "../../../lib/sampling/edits/interpolation.ts";
import { invertBy, planInversion } from "../../../lib/sampling/edits/inversion.ts";
import type { SlotImage } from "../../../lib/sampling/slot_image.ts";
import { withScheduler } from "../../support/scheduled_model.ts";

/** An untrained network that predicts `v`, whose errors do not grow with the noise. */
const SCHEDULER = { _class_name: "DDIMScheduler", prediction_type: "v_prediction", clip_sample: true };

async function withModel(
  body: (model: DiffusionModel, images: Float32Array<ArrayBuffer>[]) => Promise<void>,
): Promise<void> {
  await withScheduler(SCHEDULER, async (model) => {
    const [height, width] = imageSize(model.config);
    const image = (phase: number) =>
      Float32Array.from({ length: 3 * height * width }, (_, i) => 0.7 * Math.sin(i / 5 + phase));
    await body(model, [image(0), image(1)]);
  });
}

/** Root of the mean squared difference. */
function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return Math.sqrt(
    Array.from(a, (value, i) => (value - b[i]) ** 2).reduce((sum, square) => sum + square, 0) / a.length,
  );
}

Deno.test("an inverted image is drawn again: the error is of first order in the step, and small for every deterministic sampler", () =>
  withModel(async (model, [image]) => {
    const error = async (steps: number, sampler: "ddim" | "heun") => {
      const { plan } = planInversion(model, { sampler, steps, guidance: 1, class: 0 });
      const [start] = await invertBy(model, [image], 0, plan);
      const back = await model.draw([{ label: 0, guidance: 1, seed: 9, start }], plan);
      return distance(back, image);
    };
    const errors = [await error(20, "ddim"), await error(80, "ddim")];
    assert.ok(errors[1] < errors[0] / 2.5 && errors[1] < 0.05, `errors ${errors}`);
    assert.ok(await error(40, "heun") < 0.1);
  }));

Deno.test("inversion of an image that the network knows ends at its noise: x = signal x_0 + noise eps all the way up", () => {
  const process = new NoiseSchedule({ objective: "v" });
  const [x0, eps] = [0.4, -1.3];
  for (
    const sampler of samplerNames.filter((name) => !["ddpm", "euler-ancestral", "dpm++2m-sde"].includes(name))
  ) {
    const plan = planSampling(sampler, process, { steps: 12, clip: false });
    const steps = inversionSteps(process, plan);
    let x = steps[0].level.signal * x0;
    for (const [k, step] of steps.entries()) {
      // The network's output is that for (x_0, eps), which the estimates of both hold from the second step on.
      const { fromX0, fromNoise } = process.target(step.level);
      const seen = k === 0 ? (x - step.level.noise * eps) / step.level.signal : x0;
      x = step.nextFromX * x + step.nextFromOut * (fromX0 * seen + fromNoise * eps);
      const expected = step.next.signal * x0 + step.next.noise * eps;
      assert.ok(Math.abs(x - expected) < 1e-9, `${sampler}, step ${k}: ${x}, expected ${expected}`);
    }
    assert.deepEqual(steps.at(-1)!.next, plan[0].level);
  }
});

Deno.test("inversion visits all levels of a plan, also those that share a whole timestep", () => {
  const process = new NoiseSchedule({ objective: "v" });
  const plan = planSampling("ddim", process, { steps: 50, spacing: "exponential", clip: false });
  assert.ok(new Set(plan.map(({ timestep }) => timestep)).size < 50, "some share one");
  const levels = inversionSteps(process, plan).map(({ next }) => next);
  assert.deepEqual(levels, plan.map(({ level }) => level).toReversed());
});

Deno.test("inversion in one step to a level without signal is finite", () => {
  const process = new RectifiedFlow();
  const plan = planSampling("euler", process, { steps: 1, clip: false });
  assert.equal(plan[0].level.signal, 0);
  for (const step of inversionSteps(process, plan)) {
    const weights = [step.nextFromX0, step.nextFromX, step.nextFromOut, step.x0FromX, step.x0FromOut];
    assert.ok(weights.every(Number.isFinite), `weights ${weights}`);
  }
});

Deno.test("slerp keeps the norm of vectors of equal norm, halves the angle, and is exact at both ends", () => {
  const [a, b] = [Float32Array.of(3, 0, 4), Float32Array.of(0, 5, 0)];
  assert.deepEqual([slerp(a, b, 0), slerp(a, b, 1)], [a, b]);
  const middle = slerp(a, b, 0.5);
  assert.ok(Math.abs(Math.hypot(...middle) - 5) < 1e-6);
  assert.ok(Math.abs(distance(middle, a) - distance(middle, b)) < 1e-6);
  assert.deepEqual(slerp(a, a, 0.3), a);
  assert.deepEqual(slerp(new Float32Array(3), b, 0.5), Float32Array.of(0, 2.5, 0));
});

Deno.test("frames between two seeds begin and end with the images of the seeds, to the bit, and change gradually", () =>
  withModel(async (model) => {
    const options = { class: 1, steps: 4, guidance: 2, sampler: "dpm++2m" } as const;
    const frames = await interpolateSeeds(model, { ...options, seeds: [3, 8], frames: 5 });
    for (const [index, seed] of [[0, 3], [4, 8]]) {
      const alone = await model.generate({ ...options, seed });
      assert.deepEqual(frames.at(index).pixels, alone.pixels, `seed ${seed}`);
    }
    const apart = distance(frames.at(0).pixels, frames.at(4).pixels);
    for (let i = 1; i < 5; i++) assert.ok(distance(frames.at(i).pixels, frames.at(i - 1).pixels) < apart);
    assert.deepEqual(frames.metadata.map(({ interpolation }) => interpolation), [0, 0.25, 0.5, 0.75, 1]);
    assert.deepEqual([frames.metadata[2].seed, frames.metadata[2].to_seed], [3, 8]);
  }));

Deno.test("frames between two images begin and end near them", () =>
  withModel(async (model, images) => {
    const [first, second] = images;
    const reported: [number, number][] = [];
    const frames = await interpolateImages(model, {
      ...{ images: [first, second], frames: 3, class: 0, steps: 40 },
      onStep: (done, total) => void reported.push([done, total]),
    });
    const bytes = (image: Float32Array) => image.map((value) => 127.5 * (value + 1));
    for (const [index, image] of [[0, first], [2, second]] as const) {
      assert.ok(distance(frames.at(index).pixels, bytes(image)) < 0.15 * 127.5, `frame ${index}`);
    }
    assert.deepEqual([reported.length, reported[0], reported.at(-1)], [80, [1, 80], [80, 80]]);
  }));

Deno.test("frames between two images have guidance 1, also where the option is there but undefined", () =>
  withModel(async (model, [first, second]) => {
    const options = { class: 0, steps: 2, frames: 2, images: [first, second] } as const;
    for (const given of [{}, { guidance: undefined }, { guidance: 3 }]) {
      const { metadata } = await interpolateImages(model, { ...options, ...given });
      assert.deepEqual([metadata[0].guidance, metadata[0].strength], [given.guidance ?? 1, 1]);
    }
  }));

Deno.test("a change of class starts from the noise of the image; to the same class it draws the image again", () =>
  withModel(async (model, [image]) => {
    const options = { image, from: 0, class: [0, 1], steps: 40, guidance: 1 };
    const changed = await changeClass(model, options);
    const bytes = image.map((value) => 127.5 * (value + 1));
    const [same, other] = [0, 1].map((i) => distance(changed.at(i).pixels, bytes));
    assert.ok(same < 0.15 * 127.5 && other > same, `distances ${same} and ${other}`);
    const weak = await changeClass(model, { ...options, class: 1, strength: 0.1 });
    assert.ok(distance(weak.pixels, bytes) < other, "a weak change keeps more of the image");
    const settings = [changed, weak].map(({ metadata }) => {
      const { class: name, from, strength } = metadata.at(-1)!;
      return [name, from, strength];
    });
    const [source, target] = model.classes;
    assert.deepEqual(settings, [[target, source, 1], [target, source, 0.1]]);
  }));

Deno.test("what would add noise, and what is out of range, is refused by name", () =>
  withModel(async (model, [image]) => {
    const base = { seeds: [1, 2] as const, frames: 3, steps: 4 };
    const mask = new Float32Array(image.length / 3);
    const plan = planSampling("ddim", model.schedule, { steps: 2 });
    const draw = (given: Partial<SlotImage>) =>
      model.draw([{ label: 0, guidance: 1, seed: 0, ...given }], plan);
    const refused: readonly (readonly [string, () => Promise<unknown>])[] = [
      ["sampler", () => interpolateSeeds(model, { ...base, sampler: "ddpm" })],
      ["eta", () => interpolateSeeds(model, { ...base, sampler: "ddim", eta: 1 })],
      ["churn", () => interpolateSeeds(model, { ...base, sampler: "edm", churn: 2 })],
      ["frames", () => interpolateSeeds(model, { ...base, frames: 1 })],
      ["seeds", () => interpolateSeeds(model, { ...base, seeds: [1, -2] })],
      ["class", () => interpolateSeeds(model, { ...base, class: [0, 1] })],
      ["strength", () => changeClass(model, { image, class: 1, strength: 0 })],
      ["from", () => changeClass(model, { image, class: 1, from: "yak" })],
      ["image", () => changeClass(model, { image: image.slice(1), class: 1, steps: 4 })],
      ["start", () => draw({ start: image.slice(1) })],
      ["known.image", () => draw({ known: { image: image.slice(1), mask } })],
      ["known.mask", () => draw({ known: { image, mask: image } })],
    ];
    for (const [field, edit] of refused) {
      await assert.rejects(edit, (error: unknown) => {
        assert.ok(error instanceof ConfigError, String(error));
        assert.equal(error.field, field, error.message);
        return true;
      });
    }
  }));
