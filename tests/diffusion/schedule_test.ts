import assert from "node:assert/strict";
import { ConfigError } from "../../lib/errors.ts";
import { estimates } from "../../lib/diffusion/forward_process.ts";
import { NoiseSchedule } from "../../lib/diffusion/schedule.ts";

interface GoldenTable {
  config: Record<string, unknown>;
  timesteps: number[];
  betas: number[];
  alphasCumprod: number[];
  shippedAlphasCumprod: number[];
  smallVariance: number[];
}

const golden: Record<string, GoldenTable> =
  JSON.parse(await Deno.readTextFile(new URL("../golden/schedulers.json", import.meta.url))).tables;

/** Both sides compute in float64 from the same formulas; the file keeps 13 digits. */
const EXACT = 1e-11;
/** diffusers' shipped tables are float32; its cosine schedule ends with alpha = 1 - 0.999, which keeps five digits. */
const SHIPPED = 2e-5;

function assertRelative(actual: number, expected: number, tolerance: number, what: string): void {
  assert.ok(
    actual === expected || Math.abs(actual - expected) <= tolerance * Math.abs(expected),
    `${what}: ${actual}, expected ${expected}`,
  );
}

for (const [name, table] of Object.entries(golden)) {
  Deno.test(`NoiseSchedule has the tables of diffusers' ${name} schedule`, () => {
    const schedule = NoiseSchedule.fromDiffusers(table.config);
    for (const [i, t] of table.timesteps.entries()) {
      assertRelative(schedule.betas[t], table.betas[i], EXACT, `beta ${t}`);
      assertRelative(schedule.alphasCumprod[t], table.alphasCumprod[i], EXACT, `acp ${t}`);
      assertRelative(schedule.alphasCumprod[t], table.shippedAlphasCumprod[i], SHIPPED, `shipped acp ${t}`);
      // diffusers floors the variance at 1e-20; 1 - acp cancels up to four digits at small t.
      const variance = Math.max(schedule.posteriorVariance[t], 1e-20);
      assertRelative(variance, table.smallVariance[i], 1e-9, `posterior variance ${t}`);
    }
  });
}

Deno.test("the posterior's mean and variance agree with Bayes' rule on the forward process", () => {
  for (const betaSchedule of ["linear", "scaled-linear", "cosine", "sigmoid", "laplace"] as const) {
    const { alphas, betas, alphasCumprod, posteriorMeanX0, posteriorMeanXt, posteriorVariance } =
      new NoiseSchedule({
        betaSchedule,
      });
    for (const t of [1, 2, 300, 998, 999]) {
      // q(x_{t-1} | x_0) and q(x_t | x_{t-1}) as Gaussians in x_{t-1}: precisions add, means are weighted by precision.
      const prior = 1 / (1 - alphasCumprod[t - 1]);
      const likelihood = alphas[t] / betas[t];
      const precision = prior + likelihood;
      assertRelative(posteriorVariance[t], 1 / precision, 1e-9, `${betaSchedule} variance ${t}`);
      assertRelative(
        posteriorMeanX0[t],
        Math.sqrt(alphasCumprod[t - 1]) * prior / precision,
        1e-9,
        `x_0 ${t}`,
      );
      assertRelative(posteriorMeanXt[t], likelihood / Math.sqrt(alphas[t]) / precision, 1e-9, `x_t ${t}`);
    }
    assertRelative(posteriorMeanX0[0], 1, 1e-9, `${betaSchedule} x_0 at the first timestep`);
    assert.deepEqual([posteriorMeanXt[0], posteriorVariance[0]], [0, 0]);
  }
});

Deno.test("the default is the reference schedule: T = 1000, linear 1e-4 to 0.02, fixed large variance, clipping to 1", () => {
  const { betas, config } = new NoiseSchedule();
  assert.equal(betas.length, 1000);
  assert.equal(betas[0], 1e-4);
  assert.equal(betas[999], 0.02);
  assert.deepEqual(
    [
      config.varianceType,
      config.objective,
      config.clipSample,
      config.clipSampleRange,
      config.timestepSpacing,
    ],
    ["fixed_large", "epsilon", true, 1, "leading"],
  );
});

Deno.test("toDiffusers and fromDiffusers are inverse, for fields that differ from every default", () => {
  const options = {
    numTrainTimesteps: 77,
    betaStart: 0.002,
    betaEnd: 0.3,
    betaSchedule: "scaled-linear",
    betas: null,
    zeroTerminalSnr: true,
    varianceType: "fixed_large",
    clipSample: false,
    clipSampleRange: 2,
    objective: "v",
    timestepSpacing: "trailing",
    stepsOffset: 1,
    setAlphaToOne: false,
  } as const;
  const json = JSON.parse(JSON.stringify(new NoiseSchedule(options).toDiffusers()));
  assert.equal(json._class_name, "DDPMScheduler");
  assert.deepEqual([json.beta_schedule, json.prediction_type], ["scaled_linear", "v_prediction"]);
  assert.deepEqual({ ...NoiseSchedule.fromDiffusers(json).config }, options);
});

Deno.test("the public checkpoint's scheduler_config.json is read, absent fields as diffusers takes them", () => {
  const { config } = NoiseSchedule.fromDiffusers({
    _class_name: "DDPMScheduler",
    _diffusers_version: "0.1.1",
    beta_end: 0.02,
    beta_schedule: "linear",
    beta_start: 0.0001,
    clip_sample: true,
    num_train_timesteps: 1000,
    trained_betas: null,
    variance_type: "fixed_large",
  });
  assert.deepEqual({ ...config }, { ...new NoiseSchedule().config });
  assert.equal(
    NoiseSchedule.fromDiffusers({ _class_name: "DDIMScheduler" }).config.varianceType,
    "fixed_small",
  );
});

Deno.test("an unsupported value is refused by the name of its field in the file", () => {
  const wrong: [string, unknown][] = [
    ["_class_name", "FlowMatchEulerDiscreteScheduler"],
    ["_class_name", "toString"],
    ["_class_name", null],
    ["beta_schedule", "exp"],
    ["beta_start", 0],
    ["beta_end", 1],
    ["beta_end", 0.00001],
    ["num_train_timesteps", 1],
    ["num_train_timesteps", 10.5],
    ["variance_type", "learned"],
    ["variance_type", "fixed_large_log"],
    ["prediction_type", "flow"],
    ["timestep_spacing", "karras"],
    ["steps_offset", -1],
    ["clip_sample", 1],
    ["clip_sample_range", 0],
    ["clip_sample_range", "1"],
    ["trained_betas", [0.1, 0.2]],
    ["thresholding", true],
    ["rescale_betas_zero_snr", true],
    ["use_flow_sigmas", true],
  ];
  for (const [field, value] of wrong) {
    assert.throws(
      () => NoiseSchedule.fromDiffusers({ _class_name: "DDPMScheduler", [field]: value }),
      (error) => error instanceof ConfigError && error.field === field,
      field,
    );
  }
  for (const json of [null, [], "x", 3]) assert.throws(() => NoiseSchedule.fromDiffusers(json), ConfigError);
});

Deno.test("variances that draw NaN in diffusers are refused with the reason", () => {
  const refusals = [["learned", /root of what the network adds/], [
    "fixed_large_log",
    /fixed_large is what was meant/,
  ]] as const;
  for (const [variance_type, why] of refusals) {
    assert.throws(
      () => NoiseSchedule.fromDiffusers({ _class_name: "DDPMScheduler", variance_type }),
      (error) => error instanceof ConfigError && why.test(error.message),
      variance_type,
    );
  }
});

Deno.test("fixed_small_log is the variance fixed_small, and is written as that", () => {
  const json = { _class_name: "DDPMScheduler", variance_type: "fixed_small_log" };
  const schedule = NoiseSchedule.fromDiffusers(json);
  assert.equal(schedule.toDiffusers().variance_type, "fixed_small");
});

/** The schedule of a file of a scheduler, and what was noted about it. */
function read(json: Record<string, unknown>) {
  const notes: string[] = [];
  const { config } = NoiseSchedule.fromDiffusers(json, (note) => void notes.push(note));
  return { config, notes };
}

Deno.test("fields that other versions of diffusers wrote are ignored, those with a value with a note", () => {
  const plain = read({ _class_name: "DDPMScheduler" });
  assert.deepEqual(plain.notes, []);
  const left = { timestep_values: null, predict_epsilon: true, tensor_format: null, sample_max_value: 1 };
  assert.deepEqual(read({ _class_name: "DDPMScheduler", ...left }), plain);
  const { config, notes } = read({ _class_name: "DDIMScheduler", skip_prk_steps: true, hasOwnProperty: 1 });
  assert.deepEqual(config, plain.config);
  assert.deepEqual(notes, ["fields without a meaning here are ignored: skip_prk_steps, hasOwnProperty"]);
});

Deno.test("null means the default, and off for a switch", () => {
  const nulls = { beta_start: null, beta_schedule: null, prediction_type: null, variance_type: null };
  assert.deepEqual(read({ _class_name: "DDPMScheduler", ...nulls }), read({ _class_name: "DDPMScheduler" }));
  const { config } = read({ _class_name: "DDIMScheduler", clip_sample: null, set_alpha_to_one: null });
  assert.deepEqual([config.clipSample, config.setAlphaToOne], [false, false]);
});

Deno.test("predict_epsilon false means that the image is predicted, and must not be contradicted", () => {
  const old = { _class_name: "DDPMScheduler", predict_epsilon: false };
  assert.equal(read(old).config.objective, "x0");
  assert.equal(read({ ...old, prediction_type: "v_prediction" }).config.objective, "v");
  assert.throws(
    () => read({ ...old, prediction_type: "epsilon" }),
    (error) => error instanceof ConfigError && error.field === "predict_epsilon",
  );
});

Deno.test("other schedulers give their noise schedule, with a note that their sampler is not used", () => {
  const { config, notes } = read({
    _class_name: "PNDMScheduler",
    beta_end: 0.01,
    prediction_type: "v_prediction",
    skip_prk_steps: true,
    steps_offset: 1,
  });
  assert.deepEqual([config.betaEnd, config.objective, config.stepsOffset], [0.01, "v", 1]);
  assert.deepEqual(notes, [
    "the noise schedule is that of its PNDMScheduler, the sampler one of this project's own",
  ]);
  const heun = read({ _class_name: "HeunDiscreteScheduler" }).config;
  assert.deepEqual([heun.betaStart, heun.betaEnd], [0.00085, 0.012]);
  assert.equal(read({ _class_name: "LCMScheduler" }).config.betaSchedule, "scaled-linear");
});

Deno.test("betas of one's own are diffusers' trained_betas, whatever schedule stands beside them", () => {
  const betas = [0.1, 0.2, 0.5];
  const schedule = new NoiseSchedule({ betaSchedule: "custom", betas, numTrainTimesteps: 3 });
  assert.deepEqual([...schedule.betas], betas);
  const json = schedule.toDiffusers();
  assert.deepEqual([json.trained_betas, json.beta_schedule], [betas, "linear"]);
  assert.deepEqual(NoiseSchedule.fromDiffusers({ ...json, beta_schedule: "laplace" }), schedule);
  const wrong: [object, string][] = [
    [{ trained_betas: betas }, "trained_betas"], // 1000 timesteps
    [{ trained_betas: [0.1, 0, 0.5], num_train_timesteps: 3 }, "trained_betas"],
    [{ trained_betas: [0.1, 1, 0.5], num_train_timesteps: 3 }, "trained_betas"],
    [{ trained_betas: 0.1 }, "trained_betas"],
  ];
  for (const [json, field] of wrong) {
    assert.throws(
      () => NoiseSchedule.fromDiffusers(json),
      (error) => error instanceof ConfigError && error.field === field,
    );
  }
  assert.throws(
    () => new NoiseSchedule({ betas }),
    (error) => error instanceof ConfigError && error.field === "betas",
  );
});

Deno.test("zero terminal SNR leaves nothing of the image at the last timestep, and the first as it was", () => {
  const plain = new NoiseSchedule({ objective: "v" });
  const schedule = new NoiseSchedule({ objective: "v", zeroTerminalSnr: true });
  assert.equal(schedule.alphasCumprod[999], 0);
  assertRelative(schedule.alphasCumprod[0], plain.alphasCumprod[0], 1e-12, "acp 0");
  assert.equal(schedule.sigmaMax, Infinity);
  const last = { timestep: 999, signal: 0, noise: 1 };
  assert.deepEqual([schedule.level(999), schedule.levelOfSigma(Infinity)], [last, last]);
  assert.deepEqual(schedule.level(998.5), { ...last, timestep: 998.5 });
  const high = schedule.levelOfSigma(1e6); // between the last two timesteps
  assert.ok(high.timestep === 998 && high.signal > 0 && high.noise < 1);
  // The last estimate of x_0 comes from the output alone (equation of v at signal 0).
  assert.deepEqual(estimates(schedule, last), { x0FromX: 0, x0FromOut: -1, epsFromX: 1, epsFromOut: 0 });
  for (const table of [schedule.posteriorMeanX0, schedule.posteriorMeanXt, schedule.posteriorVariance]) {
    assert.ok(table.every(Number.isFinite));
  }
  assert.throws(
    () => new NoiseSchedule({ zeroTerminalSnr: true }),
    /zeroTerminalSnr: expected .*pure noise says nothing of the image, got true/,
  );
});

Deno.test("the constructor refuses wrong options by their own names", () => {
  assert.throws(
    () => new NoiseSchedule({ betaEnd: NaN }),
    (error) => error instanceof ConfigError && error.field === "betaEnd",
  );
  assert.throws(
    () => new NoiseSchedule({ steps: 3 } as object),
    (error) => error instanceof ConfigError && error.field === "steps",
  );
});

Deno.test("betas that leave nothing of the image, or add no noise, are refused by the first such timestep", () => {
  const refused = (options: ConstructorParameters<typeof NoiseSchedule>[0]) => {
    try {
      new NoiseSchedule(options);
    } catch (error) {
      assert.ok(error instanceof ConfigError);
      return error.message;
    }
  };
  const custom = (betas: number[]) =>
    ({ betaSchedule: "custom", betas, numTrainTimesteps: betas.length }) as const;
  const faint = /less than 1e-30 of the signal is left at timestep \d+, got /;
  assert.match(
    refused({ numTrainTimesteps: 100_000 })!,
    /^numTrainTimesteps: expected fewer timesteps .*, got 100000$/,
  );
  for (const zeroTerminalSnr of [false, true]) {
    const options = { objective: "v", zeroTerminalSnr } as const;
    assert.ok(refused({ ...options, numTrainTimesteps: 100_000 }));
    assert.match(
      refused({ ...options, ...custom(Array(200).fill(0.9)) })!,
      zeroTerminalSnr ? /^betas: / : faint,
    );
    assert.match(refused({ ...options, ...custom([1e-20, 0.1]) })!, /^betas: .*timestep 0 has none/);
    assert.equal(refused({ ...options, numTrainTimesteps: 10_000 }), undefined);
  }
});
