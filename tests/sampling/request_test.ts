import assert from "node:assert/strict";
import { EdmProcess } from "../../lib/diffusion/edm_process.ts";
import { RectifiedFlow } from "../../lib/diffusion/rectified_flow.ts";
import { planSampling, type SamplerName, samplerNames } from "../../lib/diffusion/sampler.ts";
import { NoiseSchedule } from "../../lib/diffusion/schedule.ts";
import { ConfigError } from "../../lib/errors.ts";
import {
  defaultSteps,
  type DrawDefaults,
  type DrawPlan,
  type GenerateOptions,
  type ModelFacts,
  planDraw,
} from "../../lib/sampling/request.ts";
import { editMetadata } from "../../lib/sampling/metadata.ts";
import { imageSize } from "../../lib/model/config.ts";
import { hasNullClass } from "../../lib/sampling/class_choice.ts";
import { microNetwork } from "../support/train/micro.ts";

const schedule = new NoiseSchedule();
const animals: ModelFacts = {
  config: microNetwork({ numClassEmbeds: 4 }),
  schedule,
  classes: ["cat", "Cat", "3"],
};
const unconditional: ModelFacts = { config: microNetwork(), schedule, classes: [] };

function refusal(options: GenerateOptions, model = animals): string {
  let message = "";
  assert.throws(() => planDraw(options, model), (error: Error) => {
    message = error.message;
    return error instanceof ConfigError;
  });
  return message;
}

Deno.test("defaults: one image, no class, 15 steps of UniPC, guidance where there is a class", () => {
  assert.deepEqual(planDraw({}, animals), {
    labels: [3],
    steps: 15,
    evaluations: 15,
    sampler: "unipc",
    spacing: "karras",
    guidance: 1,
    imageRows: 1,
    imageWork: 15,
    seed: 0,
    batch: 64,
  });
  const { guidance, imageRows, labels } = planDraw({ class: ["cat", null], count: 2 }, animals);
  assert.deepEqual([guidance, imageRows, labels], [2, 2, [0, 0, 3, 3]]);
  assert.equal(planDraw({ sampler: "ddpm" }, animals).steps, 1000);
  const short = { ...animals, schedule: new NoiseSchedule({ numTrainTimesteps: 10 }) };
  assert.equal(planDraw({}, short).steps, 10);
  assert.deepEqual(planDraw({}, unconditional).labels, [0]);
});

Deno.test("the sampler is the request's, else the caller's default, else that of the model's configuration", () => {
  const euler: ModelFacts = { ...animals, sampling: { sampler: "euler", spacing: "karras" } };
  const chosen = (options: GenerateOptions, model = euler, defaults: DrawDefaults = {}) => {
    const { sampler, spacing, steps, evaluations } = planDraw(options, model, defaults);
    return [sampler, spacing, steps, evaluations];
  };
  assert.deepEqual(chosen({}), ["euler", "karras", 15, 15]);
  assert.deepEqual(chosen({}, euler, { sampler: "unipc" }), ["unipc", "karras", 15, 15]);
  assert.deepEqual(chosen({ sampler: "heun" }), ["heun", "karras", 8, 15]);
  assert.deepEqual(chosen({ sampler: "edm", steps: 5 }), ["edm", "karras", 5, 9]);
  assert.deepEqual(chosen({ spacing: "trailing" }), ["euler", "trailing", 15, 15]);
  const flow: ModelFacts = { ...animals, schedule: new RectifiedFlow() };
  assert.deepEqual(chosen({}, flow), ["unipc", "trailing", 15, 15]);
  assert.deepEqual(chosen({ sampler: "ddpm" }, flow), ["ddpm", "trailing", 15, 15]);
  assert.deepEqual(chosen({}, { ...animals, schedule: new EdmProcess() }), ["unipc", "karras", 15, 15]);
});

Deno.test("an edit with resamplings takes ddim where the default sampler cannot repeat its steps", () => {
  const [height, width] = imageSize(animals.config);
  const image = new Float32Array(3 * height * width);
  const edit = { image, mask: new Float32Array(height * width).fill(1), resamplings: 2 };
  const chosen = (options: GenerateOptions, model = animals, defaults: DrawDefaults = {}) => {
    const { sampler, spacing } = planDraw({ edit, ...options }, model, defaults);
    return [sampler, spacing];
  };
  assert.deepEqual(chosen({}), ["ddim", "leading"]);
  assert.deepEqual(chosen({ edit: { ...edit, resamplings: 1 } }), ["unipc", "karras"]);
  assert.deepEqual(chosen({ sampler: "euler" }), ["euler", "linspace"]);
  const configured = (sampler: "heun" | "euler"): ModelFacts => {
    return { ...animals, sampling: { sampler, spacing: "karras" } };
  };
  assert.deepEqual(chosen({}, configured("heun")), ["ddim", "leading"]);
  assert.deepEqual(chosen({}, configured("euler")), ["euler", "karras"], "the model's own can repeat");
  assert.deepEqual(chosen({}, animals, { sampler: "dpm++2m" }), ["ddim", "leading"], "a server's default");
  assert.match(refusal({ edit, sampler: "unipc" }), /^resamplings: expected 1 with unipc/);
  assert.equal(
    refusal({ edit: { ...edit, resamplings: undefined, jump: 5 } }),
    "jump: expected no value without resamplings above 1, got 5",
  );
});

Deno.test("settings of another sampler, or that the model lacks, are refused by name", () => {
  assert.match(refusal({ churn: 1 }), /^churn: expected no value with sampler unipc, only with edm, got 1/);
  assert.match(
    refusal({ sampler: "ddpm", variance: "learned_range" }),
    /^variance: expected fixed_small or fixed_large: this network has 3 output channels/,
  );
  const learning = { ...animals, schedule: new NoiseSchedule({ varianceType: "learned_range" }) };
  assert.match(
    refusal({ sampler: "ddpm" }, learning),
    /^variance: expected fixed_small .* got "?learned_range/,
  );
  assert.equal(planDraw({ sampler: "ddpm", variance: "fixed_small" }, learning).variance, "fixed_small");
  assert.equal(planDraw({ sampler: "ddim" }, learning).sampler, "ddim");
  assert.match(
    refusal({ spacing: "trailing" }, { ...animals, schedule: new EdmProcess() }),
    /^spacing: expected karras, exponential, log-snr: this model was trained on noise levels, not timesteps/,
  );
  assert.match(refusal({ spacing: "kaRas" as "karras" }), /did you mean karras/);
});

Deno.test("a network with a table of timesteps takes samplers that visit whole ones", () => {
  const config = microNetwork({ numClassEmbeds: 4, timeEmbeddingType: "learned", numTrainTimesteps: 1000 });
  const model = { ...animals, config };
  const whole: GenerateOptions[] = [
    ...["ddpm", "ddim", "dpm++2m", "dpm++2m-sde", "unipc"].map((sampler) => ({
      sampler: sampler as SamplerName,
    })),
    { sampler: "euler", spacing: "trailing", steps: 10 },
    { sampler: "dpm++2m", spacing: "karras" },
  ];
  for (const options of whole) planDraw(options, model);
  assert.match(
    refusal({ sampler: "heun" }, model),
    /^sampler: expected ddpm, .* the network has learned whole timesteps only, not [\d.]+, got "?heun/,
  );
});

Deno.test("guidance 0 and 1 evaluate the network once; any scale but 1 needs a class or a negative class", () => {
  const rows = (options: GenerateOptions, model = animals) => planDraw(options, model).imageRows;
  assert.equal(rows({ class: 0, guidance: 1 }), 1);
  assert.equal(rows({ class: 0, guidance: 0 }), 1);
  assert.equal(rows({ class: 0, guidance: 3 }), 2);
  assert.equal(rows({ guidance: 1 }, unconditional), 1);
  assert.match(refusal({ guidance: 2 }), /^guidance: expected 1 where no class is requested, got 2$/);
});

Deno.test("any takes the class of the seed, the same for one image as for many", () => {
  const labels = (options: GenerateOptions, model = animals) => planDraw(options, model).labels;
  assert.deepEqual(labels({ class: "any", seed: 8, count: 4 }), [2, 0, 1, 2]);
  assert.deepEqual(labels({ class: "ANY", seed: 10 }), [1]);
  assert.deepEqual(labels({ class: ["any", "Cat", "any"], seed: 1, count: 2 }), [1, 2, 1, 1, 2, 0]);
  assert.equal(planDraw({ class: "any" }, animals).guidance, 2);
  const none = planDraw({ class: "any", seed: 8, count: 2 }, unconditional);
  assert.deepEqual([none.labels, none.guidance], [[0, 0], 1]);
});

Deno.test("a class table without a null row has no guidance, no image of no class, and any class by default", () => {
  const full: ModelFacts = { ...animals, classes: ["cat", "Cat", "3", "3b"] };
  assert.deepEqual([hasNullClass(animals), hasNullClass(full), hasNullClass(unconditional)], [
    true,
    false,
    false,
  ]);
  const { labels, guidance } = planDraw({ count: 5, seed: 2 }, full, { guidance: 3 });
  assert.deepEqual({ labels, guidance }, { labels: [2, 3, 0, 1, 2], guidance: 1 });
  assert.deepEqual(planDraw({ class: "3b", guidance: 1 }, full).labels, [3]);
  for (const guidance of [0, 2]) {
    assert.equal(
      refusal({ class: "cat", guidance }, full),
      'guidance: expected 1, since the class table of this model has no row for "no class", ' +
        `got ${guidance}`,
    );
  }
  for (const choice of [null, "none"]) {
    assert.equal(
      refusal({ class: choice }, full),
      "class: expected cat, Cat, 3, 3b, a number from 0 to 3, or any; this model's class table has no row for no class, " +
        'got "none"',
    );
  }
});

Deno.test("defaults hold where the model and the request allow them", () => {
  const defaults = { sampler: "ddpm", steps: 5000, guidance: 3.5 } as const;
  const { steps, sampler, guidance } = planDraw({ class: "cat" }, animals, defaults);
  assert.deepEqual({ steps, sampler, guidance }, { steps: 1000, sampler: "ddpm", guidance: 3.5 });
  assert.equal(planDraw({}, animals, defaults).guidance, 1);
  const own = planDraw({ class: "cat", steps: 5, sampler: "ddim", guidance: 1 }, animals, defaults);
  assert.deepEqual([own.steps, own.sampler, own.guidance], [5, "ddim", 1]);
  const offset = { ...animals, schedule: new NoiseSchedule({ stepsOffset: 1 }) };
  assert.equal(planDraw({}, offset, defaults).steps, 999);
  assert.match(
    refusal({ steps: 1000, sampler: "ddim" }, offset),
    /^steps: expected a whole number from 1 to 999, since/,
  );
});

Deno.test("by default ddpm takes every step that the schedule has room for, others 15 or fewer", () => {
  const defaults = (options: object) => {
    const schedule = new NoiseSchedule(options);
    return (["ddpm", "ddim", "unipc"] as const).map((sampler) => defaultSteps({ sampler }, schedule));
  };
  assert.deepEqual(defaults({}), [1000, 15, 15]);
  assert.deepEqual(defaults({ numTrainTimesteps: 4000 }), [4000, 15, 15]);
  assert.deepEqual(defaults({ stepsOffset: 1 }), [999, 15, 15]);
  assert.deepEqual(defaults({ stepsOffset: 1, timestepSpacing: "trailing" }), [1000, 15, 15]);
  assert.deepEqual(defaults({ numTrainTimesteps: 15, stepsOffset: 1 }), [14, 14, 15]);
  assert.deepEqual(defaults({ numTrainTimesteps: 2, stepsOffset: 1 }), [1, 1, 2]);
});

Deno.test("a network whose output is not a picture is refused", () => {
  const drawing = (channels: object) => ({ ...unconditional, config: microNetwork(channels) });
  assert.equal(planDraw({}, drawing({ inChannels: 1, outChannels: 1 })).steps, 15);
  assert.match(
    refusal({}, drawing({ inChannels: 4, outChannels: 4 })),
    /^in_channels: expected 1 \(grey\) or 3 \(RGB\)/,
  );
  assert.match(
    refusal({}, drawing({ outChannels: 5 })),
    /^out_channels: expected 3, as in_channels, or 6 with a learned variance, got 5$/,
  );
});

Deno.test("a number out of range is refused by name, value and what is allowed", () => {
  const cases: [GenerateOptions, string][] = [
    [{ count: 0 }, "count: expected a whole number from 1 to 4096, got 0"],
    [{ count: 4097 }, "count: expected a whole number from 1 to 4096, got 4097"],
    [{ steps: 1001 }, "steps: expected a whole number from 1 to 1000, got 1001"],
    [{ steps: 1001, sampler: "ddim" }, "steps: expected a whole number from 1 to 1000, got 1001"],
    [{ steps: 0.5 }, "steps: expected a whole number from 1 to 1000, got 0.5"],
    [{ batch: NaN }, "batch: expected a whole number from 1 to 4096, got NaN"],
    [{ seed: -1 }, `seed: expected a whole number from 0 to ${2 ** 53 - 2}, got -1`],
    [
      { seed: 2 ** 53 - 3, count: 4 },
      `seed: expected a whole number from 0 to ${2 ** 53 - 5}, got ${2 ** 53 - 3}`,
    ],
    [
      { sampler: "eulr" as "ddim" },
      `sampler: expected ${samplerNames.join(", ")} (did you mean euler?), got "eulr"`,
    ],
    [{ class: 0, guidance: -1 }, "guidance: expected a number from 0 to 100, got -1"],
    [{ class: 0, guidance: NaN }, "guidance: expected a number from 0 to 100, got NaN"],
    [{ class: 0, guidance: 1e39 }, "guidance: expected a number from 0 to 100, got 1e+39"],
  ];
  for (const [options, message] of cases) assert.equal(refusal(options), message);
});

Deno.test("a negative class takes the place of no class, which the model then need not have", () => {
  const away = planDraw({ class: "cat", negativeClass: "3" }, animals);
  assert.deepEqual([away.guidance, away.negative, away.imageRows], [2, 2, 2]);
  assert.equal(planDraw({ class: "cat", negativeClass: null }, animals).negative, 3);
  assert.equal(planDraw({ negativeClass: "cat", guidance: 3 }, animals).guidance, 3); // no class, away from cat
  const full: ModelFacts = { ...animals, classes: ["cat", "Cat", "3", "3b"] };
  assert.deepEqual(planDraw({ class: "cat", negativeClass: 1 }, full, { guidance: 4 }).guidance, 4);
  assert.equal(
    refusal({ class: "cat", negativeClass: "catt" }),
    'negativeClass: expected cat, Cat, 3, a number from 0 to 2, or none (did you mean cat or Cat?), got "catt"',
  );
  assert.match(refusal({ negativeClass: "any" }), /^negativeClass: expected cat/);
  assert.match(
    refusal({ negativeClass: 0 }, unconditional),
    /^negativeClass: expected none, since this model/,
  );
});

Deno.test("an image's rows are its classes, the negative one included where it is another", () => {
  const rows = (options: GenerateOptions) => planDraw(options, animals).imageRows;
  assert.equal(rows({ class: "cat:0.6,3:0.4" }), 3);
  assert.equal(rows({ class: "cat:0.6,3:0.4", guidance: 1 }), 2);
  assert.equal(rows({ class: "cat:0.6,3:0.4", negativeClass: "3" }), 2);
  assert.equal(rows({ class: "cat", negativeClass: "cat" }), 1);
  assert.equal(rows({ class: ["cat", "cat:0.6,3:0.4", "none"] }), 3);
});

Deno.test("an image's work is its rows in all steps, one outside an interval of guidance", () => {
  const work = (options: GenerateOptions) => {
    const { imageRows, imageWork } = planDraw({ class: "cat", steps: 10, ...options }, animals);
    return [imageRows, imageWork];
  };
  assert.deepEqual(work({ guidance: 3, sampler: "heun" }), [2, 38]);
  assert.deepEqual(work({ guidance: 1 }), [1, 10]);
  assert.deepEqual(work({ guidance: 3 }), [2, 20]);
  assert.deepEqual(work({ guidance: 3, guidanceInterval: [0, Infinity] }), [2, 20]);
  const sigmas = planSampling("ddim", schedule, { steps: 10 }).map(({ noiseRatio }) => noiseRatio);
  const ddim = { sampler: "ddim", guidanceInterval: [sigmas[8], sigmas[2]] } as const;
  assert.deepEqual(work({ ...ddim, guidance: 3 }), [2, 16]);
  assert.deepEqual(work({ ...ddim, class: "cat:1,3:1" }), [3, 26]);
  assert.match(refusal({ class: 0, guidanceInterval: [2, 1] }), /^guidanceInterval: expected two ratios/);
});

Deno.test("an edit's evaluations are the steps that it runs, resamplings included, and its metadata says so", () => {
  const [height, width] = imageSize(animals.config);
  const image = new Float32Array(3 * height * width);
  const mask = new Float32Array(height * width).fill(0.25);
  const planned = (options: GenerateOptions) =>
    planDraw({ class: "cat", guidance: 2, steps: 20, ...options }, animals);
  const facts = (plan: DrawPlan) => [plan.evaluations, plan.imageWork, editMetadata(plan)];
  assert.deepEqual(facts(planned({})), [20, 40, {}]);
  assert.deepEqual(facts(planned({ edit: { image } })), [12, 24, { strength: 0.6 }]);
  assert.deepEqual(facts(planned({ edit: { image, strength: 0.3 }, sampler: "heun" })), [11, 22, {
    strength: 0.3,
  }]);
  const share = "25 % drawn anew";
  assert.deepEqual(facts(planned({ edit: { image, mask } })), [20, 40, { strength: 1, mask: share }]);
  const sigmas = planSampling("ddim", schedule, { steps: 20 }).map(({ noiseRatio }) => noiseRatio);
  const lastTen: GenerateOptions = { sampler: "ddim", guidanceInterval: [0, sigmas[10]] };
  const { imageWork } = planned({ edit: { image, mask, resamplings: 3 }, ...lastTen });
  assert.equal(imageWork, 40 + 28, "three passes over steps 10 to 18, and the last step, are guided");
  const repainted = planned({ edit: { image, mask, resamplings: 3 }, sampler: "ddim" });
  assert.deepEqual(facts(repainted), [40, 80, { strength: 1, mask: share, resamplings: 3, jump: 10 }]);
  assert.match(
    refusal({ edit: { image: image.slice(1) } }),
    /^image: expected 8 x 8 x 3 = 192 values, got/,
  );
});
