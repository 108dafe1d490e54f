import assert from "node:assert/strict";
import { Forecast } from "../../lib/train/forecast.ts";
import { planRun, type RunPlan } from "../../lib/train/run_plan.ts";
import { SOFTWARE } from "../support/adapters.ts";
import { microOptions } from "../support/train/micro.ts";

/** A run of four steps an epoch, `step` of them done. */
function planAt(step: number, options: Parameters<typeof microOptions>[0]): RunPlan {
  const plan = planRun(microOptions(options), SOFTWARE);
  plan.progress.step = step;
  plan.progress.history = Array.from({ length: Math.floor(step / 4) }, (_, i) => (
    { epoch: i + 1, step: 4 * i + 4, trainLoss: 1, valLoss: 1, seconds: 1 }
  ));
  return plan;
}

Deno.test("steps, and the validations, grids and evaluations to come, as long as the last ones took", () => {
  const secondsLeft = (step: number, options: object) => {
    const forecast = new Forecast(planAt(step, options), { grid: 100, evaluation: 60 });
    forecast.stepped(3, 6);
    forecast.validated(10);
    forecast.drawn(1000);
    forecast.evaluated(100);
    return forecast.secondsLeft;
  };
  // 12 steps in three epochs, a grid after each
  assert.equal(secondsLeft(1, { epochs: 3, sampleEvery: 1 }), 22 + 30 + 3000);
  assert.equal(secondsLeft(5, { epochs: 3, sampleEvery: 1 }), 14 + 20 + 2000);
  assert.equal(secondsLeft(12, { epochs: 3, sampleEvery: 1 }), 0);
  // grids after the second and the last
  assert.equal(secondsLeft(1, { epochs: 3, sampleEvery: 2 }), 22 + 30 + 2000);
  assert.equal(secondsLeft(9, { epochs: 3, sampleEvery: 2 }), 6 + 10 + 1000);
  assert.equal(secondsLeft(1, { epochs: 3, sampleEvery: 0 }), 22 + 30);
  // evaluations after the second and the last
  assert.equal(secondsLeft(1, { epochs: 3, sampleEvery: 0, evaluateEvery: 2 }), 22 + 30 + 200);
  assert.equal(secondsLeft(9, { epochs: 3, sampleEvery: 0, evaluateEvery: 2 }), 6 + 10 + 100);
  // an epoch that the run ends in has its validation, too
  assert.equal(secondsLeft(1, { epochs: 3, steps: 6, sampleEvery: 0 }), 10 + 20);
});

Deno.test("before the first validation, grid and evaluation, they are taken for forward passes", () => {
  const forecast = new Forecast(planAt(0, { epochs: 1, sampleEvery: 1, evaluateEvery: 1 }), {
    grid: 48,
    evaluation: 60,
  });
  assert.ok(Number.isNaN(forecast.secondsLeft));
  forecast.stepped(1, 8); // 8 images: 1 second each, so 1/3 for a forward pass
  assert.ok(
    Math.abs(forecast.secondsLeft - (4 * 8 + 4 / 3 + 48 / 3 + 60 / 3)) < 1e-9,
    `${forecast.secondsLeft}`,
  );
});

Deno.test("the speed is that of the last half minute, and not of the first steps", () => {
  const forecast = new Forecast(planAt(0, { epochs: 1000, sampleEvery: 0 }), { grid: 0, evaluation: 0 });
  const perStep = () => {
    forecast.validated(0);
    return forecast.secondsLeft / 4000;
  };
  forecast.stepped(1, 100);
  assert.equal(perStep(), 100);
  forecast.stepped(1, 1);
  assert.equal(perStep(), 1, "the first steps compiled kernels");
  for (let i = 0; i < 5; i++) forecast.stepped(1, 2);
  for (let i = 0; i < 40; i++) forecast.stepped(2, 1);
  assert.equal(perStep(), 0.5);
});
