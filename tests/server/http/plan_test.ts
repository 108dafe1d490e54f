import { RectifiedFlow } from "../../../lib/diffusion/rectified_flow.ts";
import assert from "node:assert/strict";
import { allowedClasses, checkPictureSize, planQuery } from "../../../server/http/plan.ts";
import type { ServedModel } from "../../../server/engine/engine.ts";
import type { ProblemError } from "../../../server/http/problem.ts";
import { defaultSettings } from "../../../server/settings.ts";
import { checkSteps } from "../../../lib/diffusion/sampler.ts";
import { NoiseSchedule } from "../../../lib/diffusion/schedule.ts";
import { presetConfig } from "../../../lib/model/presets.ts";
import type { GenerateOptions } from "../../../lib/sampling/request.ts";
import { imageMetadata } from "../../../lib/sampling/metadata.ts";
import { fakeModel } from "../../support/server/fake_engine.ts";

Deno.test("any takes the class of the seed, the same for one image as for many", () => {
  const model = fakeModel();
  const many = planQuery({ class: "any", seed: 8, count: 4 }, model, defaultSettings);
  assert.deepEqual(many.labels, [8, 9, 0, 1]);
  assert.deepEqual(planQuery({ class: "ANY", seed: 10 }, model, defaultSettings).labels, [0]);
  const unconditional = fakeModel({ config: presetConfig("tiny", 0), classes: [] });
  const none = planQuery({ seed: 8, count: 2 }, unconditional, { ...defaultSettings, guidance: 3 });
  assert.deepEqual([none.labels, none.guidance], [[0, 0], 1]);
});

Deno.test("a picture says how it was made; that it was in mixed precision, too, since that is another picture", () => {
  const query = { class: "cat", seed: 8, count: 2, steps: 5, sampler: "ddim", eta: 0.5 } as const;
  const of = (model: ServedModel) =>
    imageMetadata(planQuery(query, model, defaultSettings), { ...model, model: model.id }, 1);
  const facts = {
    model: "fake-model-step-100",
    model_digest: "0123456789abcdef",
    class: "cat",
    seed: 9,
    sampler: "ddim",
    steps: 5,
    spacing: "leading",
    eta: 0.5,
  };
  assert.deepEqual(of(fakeModel()), { ...facts, guidance: 2 });
  const mixed = fakeModel({ precision: "mixed" });
  assert.deepEqual(of(mixed), { ...facts, guidance: 2, precision: "mixed" });
});

Deno.test("the server's settings fill in what a request leaves out", () => {
  const settings = { ...defaultSettings, steps: 20, sampler: "ddpm", guidance: 3.5 } as const;
  const { steps, sampler, guidance } = planQuery({ class: "cat" }, fakeModel(), settings);
  assert.deepEqual({ steps, sampler, guidance }, { steps: 20, sampler: "ddpm", guidance: 3.5 });
  assert.equal(planQuery({ class: "none" }, fakeModel(), settings).guidance, 1);
  const own = planQuery({ class: "cat", steps: 5, sampler: "ddim", guidance: 1 }, fakeModel(), settings);
  assert.deepEqual([own.steps, own.sampler, own.guidance], [5, "ddim", 1]);
});

Deno.test("without a seed, seeds differ and have 32 bits", () => {
  const seeds = Array.from({ length: 20 }, () => planQuery({}, fakeModel(), defaultSettings).seed);
  assert.equal(new Set(seeds).size, 20);
  assert.ok(seeds.every((seed) => seed >= 0 && seed < 2 ** 32));
});

Deno.test("a picture larger than allowed is refused with the largest scale that fits", () => {
  const size = { height: 300, width: 200 };
  checkPictureSize(size, 1, 13);
  assert.throws(() => checkPictureSize(size, 1, 14), (error: ProblemError) => {
    assert.deepEqual(error.errors[0].field, "scale");
    assert.match(error.errors[0].allowed, /^at most 13 /);
    return true;
  });
  checkPictureSize(size, 4, 6);
  assert.throws(() => checkPictureSize(size, 4, 7), /at most 6 for 4 images/);
  assert.throws(() => checkPictureSize({ height: 1000, width: 1000 }, 64, 1), /count: expected fewer images/);
  checkPictureSize({ height: 32, width: 32 }, 1, 16, 30);
  assert.throws(() => checkPictureSize({ height: 32, width: 32 }, 4, 16, 30), /an animation of 30 frames/);
});

Deno.test("classes are listed by name, number and word", () => {
  assert.deepEqual(allowedClasses({ ...fakeModel(), classes: ["a", "b"] }), [
    "a",
    "b",
    "0",
    "1",
    "any",
    "none",
  ]);
});

Deno.test("a class asked for by number is that one, whatever the classes are called", () => {
  const named = (classes: string[]) => fakeModel({ classes, config: presetConfig("tiny", classes.length) });
  const labels = (classes: string[], wanted: string) =>
    planQuery({ class: wanted, count: 2, seed: 1 }, named(classes), defaultSettings).labels;
  assert.deepEqual(labels(["None", "ox"], "0"), [0, 0]);
  assert.deepEqual(labels(["ox", "ox"], "1"), [1, 1]);
});

Deno.test("a limit of steps that the model's steps_offset rules out leaves the default at fewer", () => {
  const model = fakeModel({ schedule: new NoiseSchedule({ stepsOffset: 2 }) });
  const settings = { ...defaultSettings, sampler: "ddpm" as const, maxSteps: 500 };
  assert.throws(() => checkSteps(model.schedule, settings.maxSteps), /499 or 501/);
  const { steps } = planQuery({ class: "cat" }, model, settings);
  assert.equal(steps, 499);
});

Deno.test("a model without a maximum of its own has the server's, before anything is planned", () => {
  let planned = 0;
  class Counting extends RectifiedFlow {
    override level(timestep: number) {
      planned++;
      return super.level(timestep);
    }
    override levelOfSigma(sigma: number) {
      planned++;
      return super.levelOfSigma(sigma);
    }
  }
  const model = fakeModel({ schedule: new Counting() });
  const { image, mask } = { image: new Float32Array(32 * 32 * 3), mask: new Float32Array(32 * 32).fill(1) };
  const refused = (request: GenerateOptions, message: RegExp) => {
    assert.throws(
      () => planQuery({ class: "cat", sampler: "euler", ...request }, model, defaultSettings),
      message,
    );
    assert.equal(planned, 0);
  };
  refused({ steps: 10_001 }, /^ProblemError: steps: expected a whole number from 1 to 10000, got 10001/);
  const edit = { image, mask, resamplings: 50, jump: 1 };
  refused(
    { steps: 10_000, edit },
    /resamplings: expected fewer, since they take 499951 and .* is 10000 network/,
  );
  assert.equal(
    planQuery({ class: "cat", sampler: "euler", steps: 200, edit }, model, defaultSettings).evaluations,
    9951,
  );
});

Deno.test("passes of RePaint over the default steps are counted before anything is planned", () => {
  let planned = 0;
  class Counting extends NoiseSchedule {
    override level(timestep: number) {
      planned++;
      return super.level(timestep);
    }
  }
  const model = fakeModel({ schedule: new Counting() });
  const edit = {
    image: new Float32Array(32 * 32 * 3),
    mask: new Float32Array(32 * 32).fill(1),
    resamplings: 50,
  };
  const plan = (request: GenerateOptions, settings = defaultSettings) =>
    planQuery({ class: "cat", edit, ...request }, model, settings);
  const many = /resamplings: expected fewer, since they take 49510 and .* is 10000 network/;
  assert.throws(() => plan({ sampler: "ddpm" }), many);
  assert.throws(() => plan({}, { ...defaultSettings, steps: 1000 }), many);
  assert.equal(planned, 0);
  assert.equal(plan({}).sampler, "ddim");
  assert.ok(planned > 0);
});

Deno.test("a limit of steps is one of evaluations: samplers that evaluate twice a step have half as many", () => {
  const settings = { ...defaultSettings, steps: 25, maxSteps: 20 };
  const plan = (request: GenerateOptions) => planQuery({ class: "cat", ...request }, fakeModel(), settings);
  assert.deepEqual([plan({ sampler: "heun" }).steps, plan({ sampler: "heun" }).evaluations], [10, 19]);
  assert.equal(plan({ sampler: "unipc", steps: 20 }).evaluations, 20);
  assert.throws(
    () => plan({ sampler: "edm", steps: 11 }),
    /a whole number from 1 to 10, since edm evaluates the network twice a step/,
  );
});
