import assert from "node:assert/strict";
import { NoiseSchedule } from "../../../lib/diffusion/schedule.ts";
import { presetConfig } from "../../../lib/model/presets.ts";
import { fakeModel } from "../../support/server/fake_engine.ts";
import { PlanCheck } from "../../../server/queue/plan_check.ts";
import { Bench, job, type Options, settle } from "./scheduler_bench.ts";

/** Timesteps whose levels schedules are asked for. */
let asked = 0;

class Counting extends NoiseSchedule {
  override level(timestep: number) {
    asked++;
    return super.level(timestep);
  }
}

/** Levels that a check of some requests asks for. */
function levelsOf(check: PlanCheck, from: Options["model"], requests: readonly Options[]): number {
  const old = fakeModel(from);
  const jobs = requests.map((options) => job({ sampler: "euler", steps: 10, model: from, ...options }));
  asked = 0;
  for (const { draw } of jobs) assert.ok(check.canDraw(draw, old));
  return asked;
}

Deno.test("a model that differs in its weights alone can draw every plan of the last, unplanned", () => {
  const from = { schedule: new Counting(), config: presetConfig("tiny", 10) };
  const check = () =>
    new PlanCheck(fakeModel({ schedule: new Counting(), config: presetConfig("tiny", 10) }));
  assert.equal(levelsOf(check(), from, [{}, { steps: 20 }]), 0);
  const other = { ...from, schedule: new Counting({ betaSchedule: "cosine" }) };
  assert.ok(levelsOf(check(), other, [{}]) > 0);
  assert.ok(levelsOf(check(), { ...from, config: presetConfig("small", 10) }, [{}]) > 0);
});

Deno.test("requests of the same settings are planned once, whatever their classes and seeds", () => {
  const from = { schedule: new NoiseSchedule({ betaSchedule: "cosine" }) };
  const check = () => new PlanCheck(fakeModel({ schedule: new Counting() }));
  const [one, ddim] = [{}, { sampler: "ddim" as const }].map((request) => levelsOf(check(), from, [request]));
  assert.ok(one! > 0 && ddim! > 0);
  assert.equal(levelsOf(check(), from, [{}, { seed: 5 }, { class: 7, count: 3 }, { guidance: 3 }]), one);
  assert.equal(levelsOf(check(), from, [{}, { spacing: "trailing" }]), 2 * one!);
  assert.equal(levelsOf(check(), from, [{}, { sampler: "ddim" }, {}, { sampler: "ddim" }]), one! + ddim!);
  const image = new Float32Array(32 * 32 * 3);
  const edits = [{ image }, { image, strength: 0.3 }].map((edit) => ({ edit }));
  const [far, near] = edits.map((request) => levelsOf(check(), from, [request]));
  assert.equal(levelsOf(check(), from, [...edits, ...edits]), far! + near!);
});

Deno.test("a reload plans what waits once for all requests that are alike", async () => {
  const counts = [1, 5].map((waiting) => {
    const bench = new Bench({ rows: 1 });
    bench.run({ steps: 5 });
    for (let i = 0; i < waiting; i++) bench.run({ client: `${i}`, seed: i, steps: 50 });
    asked = 0;
    bench.engine.up({ schedule: new Counting({ betaSchedule: "cosine" }) });
    const count = asked;
    bench.engine.tick(5 + 50 * waiting);
    return count;
  });
  await settle();
  assert.ok(counts[0]! > 0);
  assert.equal(counts[1], counts[0]);
});
