import assert from "node:assert/strict";
import { ConfigError, ShapeError } from "../../lib/errors.ts";
import {
  applyStep,
  mostSteps,
  planSampling,
  type SamplerName,
  type SamplerOptions,
  startState,
} from "../../lib/diffusion/sampler.ts";
import { estimates } from "../../lib/diffusion/forward_process.ts";
import { noClip } from "../../lib/diffusion/samplers/step.ts";
import { NoiseSchedule } from "../../lib/diffusion/schedule.ts";
import { goldenValues } from "../golden/formula.ts";

interface Trajectory {
  sampler: SamplerName;
  steps: number;
  gain: number;
  eta?: number;
  tables: "float64" | "float32";
  config: Record<string, unknown>;
  timesteps: number[];
  recorded: { step: number; x: number[]; x0: number[] }[];
}

interface Spacing {
  spacing: "leading" | "trailing" | "linspace";
  total: number;
  steps: number;
  offset: number;
  timesteps: number[];
}

const golden: { trajectories: Record<string, Trajectory>; spacings: Record<string, Spacing> } = JSON.parse(
  await Deno.readTextFile(new URL("../golden/schedulers.json", import.meta.url)),
);

const WIDTH = 16;

/** Both sides in float64; errors of the last digit grow by at most 1 / sqrt(acp_T), about 160, a step. */
const EXACT = 1e-9;
/** diffusers with its float32 tables: 1 - acp has lost up to four digits at small timesteps. */
const SHIPPED = 2e-4;

function assertNear(actual: ArrayLike<number>, expected: number[], tolerance: number, what: string): void {
  for (const [i, value] of expected.entries()) {
    const bound = tolerance * Math.max(1, Math.abs(value));
    assert.ok(Math.abs(actual[i] - value) <= bound, `${what} [${i}]: ${actual[i]}, expected ${value}`);
  }
}

for (const [name, run] of Object.entries(golden.trajectories)) {
  Deno.test(`sampling follows diffusers step by step: ${name}`, () => {
    const plan = planSampling(run.sampler, NoiseSchedule.fromDiffusers(run.config), {
      steps: run.steps,
      eta: run.eta,
    });
    assert.deepEqual(plan.map((step) => step.timestep), run.timesteps);
    const tolerance = run.tables === "float32" ? SHIPPED : EXACT;
    const outs = goldenValues("schedulers", "out", WIDTH * run.steps);
    const noises = goldenValues("schedulers", "noise", WIDTH * run.steps);
    let state = startState(goldenValues("schedulers", "x", WIDTH).map((value) => 1.7 * value));
    for (const [k, step] of plan.entries()) {
      const at = (i: number) => WIDTH * k + i;
      const out = state.x.map((value, i) => run.gain * value + 0.5 * outs[at(i)]);
      const noise = state.x.map((_, i) => k === plan.length - 1 ? 0 : Math.sqrt(3) * noises[at(i)]);
      state = applyStep(step, state, out, noise);
      const recorded = run.recorded.find((entry) => entry.step === k);
      if (!recorded) continue;
      assertNear(state.h1, recorded.x0, tolerance, `x_0 at step ${k}`);
      assertNear(state.x, recorded.x, tolerance, `x after step ${k}`);
    }
  });
}

Deno.test("timesteps are spaced as diffusers spaces them, ties and single steps included", () => {
  for (
    const [name, { spacing, total, steps, offset, timesteps: expected }] of Object.entries(golden.spacings)
  ) {
    const schedule = new NoiseSchedule({
      timestepSpacing: spacing,
      numTrainTimesteps: total,
      stepsOffset: offset,
    });
    const plan = planSampling("ddim", schedule, { steps });
    assert.deepEqual(plan.map(({ timestep }) => timestep), expected, name);
  }
});

Deno.test("with every timestep, ddim at eta 1 adds the noise of ddpm with the small variance", () => {
  const schedule = new NoiseSchedule({ varianceType: "fixed_small" });
  const ddim = planSampling("ddim", schedule, { steps: 1000, eta: 1 });
  for (const [k, step] of planSampling("ddpm", schedule, { steps: 1000 }).entries()) {
    assert.ok(Math.abs(step.sigma - ddim[k].sigma) < 1e-12);
    const { epsFromOut } = estimates(schedule, schedule.level(step.timestep));
    assert.equal(epsFromOut, 1);
    // Same mean too: x_0 enters directly in both, and through x in one and through the noise in the other.
    const cumprod = schedule.alphasCumprod[step.timestep];
    const x0Weight = (s: typeof step) => s.nextFromX0 - s.nextFromOut * Math.sqrt(cumprod / (1 - cumprod));
    const xWeight = (s: typeof step) => s.nextFromX + s.nextFromOut / Math.sqrt(1 - cumprod);
    assert.ok(Math.abs(x0Weight(step) - x0Weight(ddim[k])) < 1e-10, `x_0 at ${step.timestep}`);
    assert.ok(Math.abs(xWeight(step) - xWeight(ddim[k])) < 1e-10, `x at ${step.timestep}`);
  }
});

Deno.test("the variance of a ddpm step is beta_t or the posterior's when no timestep is skipped", () => {
  for (const varianceType of ["fixed_large", "fixed_small"] as const) {
    const schedule = new NoiseSchedule({ varianceType });
    for (
      const { timestep, sigma, nextFromX0, nextFromX } of planSampling("ddpm", schedule, { steps: 1000 })
        .slice(0, -1)
    ) {
      const variance = varianceType === "fixed_large" ? schedule.betas : schedule.posteriorVariance;
      assert.ok(Math.abs(sigma ** 2 - variance[timestep]) < 1e-12);
      assert.ok(Math.abs(nextFromX0 - schedule.posteriorMeanX0[timestep]) < 1e-10);
      assert.ok(Math.abs(nextFromX - schedule.posteriorMeanXt[timestep]) < 1e-10);
    }
  }
});

Deno.test("clip overrides the schedule; without clipping the bound is the largest float32", () => {
  const clipped = (clip: number | false | undefined, options = {}) =>
    planSampling("ddim", new NoiseSchedule(options), { steps: 2, clip })[0].clip;
  assert.equal(clipped(undefined, { clipSampleRange: 0.7 }), 0.7);
  assert.equal(clipped(undefined, { clipSample: false }), noClip);
  assert.equal(clipped(false), noClip);
  assert.equal(clipped(2.5), 2.5);
  assert.equal(Math.fround(noClip), noClip);
});

Deno.test("options out of range are refused by name", () => {
  const wrong: [string, SamplerName, SamplerOptions][] = [
    ["steps", "ddpm", { steps: 0 }],
    ["steps", "ddpm", { steps: 1001 }],
    ["steps", "ddim", { steps: 2.5 }],
    ["steps", "ddim", { steps: NaN }],
    ["eta", "ddim", { steps: 10, eta: -0.1 }],
    ["eta", "ddim", { steps: 10, eta: 1.1 }],
    ["eta", "ddim", { steps: 10, eta: NaN }],
    ["eta", "ddpm", { steps: 10, eta: 0 }],
    ["clip", "ddpm", { steps: 10, clip: 0 }],
    ["clip", "ddim", { steps: 10, clip: Infinity }],
    ["sampler", "toString" as SamplerName, { steps: 10 }],
  ];
  for (const [field, sampler, options] of wrong) {
    assert.throws(
      () => planSampling(sampler, new NoiseSchedule(), options),
      (error) => error instanceof ConfigError && error.field === field,
      `${field} of ${sampler} with ${JSON.stringify(options)}`,
    );
  }
});

Deno.test("steps that the offset pushes beyond the schedule are refused, naming those that fit", () => {
  const message = (schedule: NoiseSchedule, steps: number): string => {
    try {
      planSampling("ddim", schedule, { steps });
      return "";
    } catch (error) {
      assert.ok(error instanceof ConfigError && error.field === "steps");
      return error.allowed;
    }
  };
  const one = new NoiseSchedule({ stepsOffset: 1 });
  assert.equal(
    message(one, 1000),
    "a whole number from 1 to 999, since the model's steps_offset is 1",
  );
  const ten = new NoiseSchedule({ stepsOffset: 10 });
  assert.equal(message(ten, 498), "495 or 501, the nearest that the model's steps_offset allows");
  assert.deepEqual([mostSteps(one), mostSteps(ten), mostSteps(ten, 498)], [999, 990, 495]);
  for (const schedule of [one, ten, new NoiseSchedule({ stepsOffset: 999 })]) {
    for (let steps = 1; steps <= 1000; steps++) {
      const fits = (steps - 1) * Math.floor(1000 / steps) + schedule.config.stepsOffset < 1000;
      assert.equal(message(schedule, steps) === "", fits, `${steps} steps`);
    }
  }
});

Deno.test("applyStep keeps the history, leaves its input alone, and refuses lengths that differ and noise that is missing", () => {
  const [step] = planSampling("ddpm", new NoiseSchedule(), { steps: 10 });
  const out = Float32Array.of(0.1, 0.2);
  const noise = Float32Array.of(0.5, -0.5);
  const state = startState(Float64Array.of(1, 2));
  const after = applyStep(step, state, out, noise);
  assert.deepEqual([[...state.x], [...state.h1]], [[1, 2], [0, 0]]);
  assert.equal(applyStep(step, after, out, noise).h2, after.h1);
  assert.throws(() => applyStep(step, state, out), ShapeError);
  assert.throws(() => applyStep(step, state, Float32Array.of(1), noise), ShapeError);
  assert.throws(() => applyStep({ ...step, logSigmaRange: 1 }, state, out, noise), /variance has none/);
});
