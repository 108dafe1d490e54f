import assert from "node:assert/strict";
import { LR_SCHEDULES, lrFactor, type LrSchedule } from "../../lib/train/lr_schedule.ts";
import { planRun, trainingState } from "../../lib/train/run_plan.ts";
import { SOFTWARE } from "../support/adapters.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { microOptions, ofType, run, stateOf } from "../support/train/micro.ts";

const WARMUP = 4;
const TOTAL = 12;

function rates(schedule: LrSchedule, warmup = WARMUP, total = TOTAL): number[] {
  return Array.from({ length: total }, (_, i) => lrFactor(schedule, i + 1, { warmup, total }));
}

function assertRates(actual: number[], expected: number[]): void {
  assert.equal(actual.length, expected.length);
  actual.forEach((rate, i) => assert.ok(Math.abs(rate - expected[i]!) < 1e-15, `step ${i + 1}: ${rate}`));
}

Deno.test("each schedule rises over the warm-up and then follows its equation", () => {
  const rise = [1 / 4, 2 / 4, 3 / 4, 1];
  assertRates(rates("constant"), [...rise, ...Array(8).fill(1)]);
  assertRates(rates("linear"), [...rise, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]);
  const cosine = (share: number) => (1 + Math.cos(Math.PI * share)) / 2;
  assertRates(rates("cosine"), [...rise, ...[0, 1, 2, 3, 4, 5, 6, 7].map((i) => cosine(i / 8))]);
  assertRates(rates("inverse-sqrt"), [
    ...rise,
    ...[5, 6, 7, 8, 9, 10, 11, 12].map((t) => Math.sqrt(4 / t)),
  ]);
});

Deno.test("no step of a run has rate 0 or more than the full rate, for any warm-up", () => {
  for (const schedule of LR_SCHEDULES) {
    for (const warmup of [0, 1, 11, 12, 100]) {
      const all = rates(schedule, warmup);
      assert.ok(all.every((rate) => rate > 0 && rate <= 1), `${schedule}, warm-up ${warmup}: ${all}`);
    }
    assert.equal(rates(schedule, 0)[0], 1);
  }
});

Deno.test("a run's steps have the rates of its schedule, times its learning rate", () => {
  const plan = planRun(microOptions({ lr: 0.01, warmup: 2, lrSchedule: "linear", steps: 6 }), SOFTWARE);
  const learningRates = [0, 1, 2, 3, 4, 5].map((step) => trainingState(plan, step, 0).learningRate);
  assertRates(learningRates, [0.005, 0.01, 0.01, 0.0075, 0.005, 0.0025]);
});

Deno.test("a run with a decaying rate that was interrupted and resumed is the run that never was", async () => {
  await inTemporaryDirectory(async (directory) => {
    const [straight, resumed] = [`${directory}/straight`, `${directory}/resumed`];
    const settings = { lrSchedule: "cosine", epochs: 3, logEvery: 1 } as const;
    await run({ ...settings, out: straight });
    await run({ ...settings, out: resumed }, (event) => event.type === "step" && event.step === 7);
    const events = await run({ out: resumed, resume: true, logEvery: 1 });
    assert.deepEqual(ofType(events, "warning"), []);
    assert.deepEqual(await stateOf(resumed), await stateOf(straight));
  });
});

Deno.test("with more steps on resume a decay goes on over the new length, and a warning says so", async () => {
  await inTemporaryDirectory(async (out) => {
    const settings = { lrSchedule: "linear", lr: 0.002, warmup: 2, logEvery: 1 } as const;
    await run({ ...settings, out, steps: 6 });
    const events = await run({ out, resume: true, steps: 10, logEvery: 1 });
    assert.deepEqual(ofType(events, "warning").map(({ message }) => message), [
      "the linear learning rate decayed over 6 steps so far, and from here on over 10: the result differs from a run " +
      "that had 10 from the start",
    ]);
    assertRates(
      ofType(events, "step").map(({ learningRate }) => learningRate),
      [7, 8, 9, 10].map((t) => 0.002 * lrFactor("linear", t, { warmup: 2, total: 10 })),
    );
  });
});

Deno.test("schedules that know no end continue with more steps as if they had had them from the start", async () => {
  await inTemporaryDirectory(async (directory) => {
    const [straight, resumed] = [`${directory}/straight`, `${directory}/resumed`];
    const settings = { lrSchedule: "inverse-sqrt", warmup: 2 } as const;
    await run({ ...settings, out: straight, steps: 8 });
    await run({ ...settings, out: resumed, steps: 5 });
    assert.deepEqual(ofType(await run({ out: resumed, resume: true, steps: 8 }), "warning"), []);
    assert.deepEqual(await stateOf(resumed), await stateOf(straight));
  });
});
