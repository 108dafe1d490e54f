import assert from "node:assert/strict";
import { epochsBetweenGrids, gridIsDue } from "../../lib/train/grid_schedule.ts";
import { planRun, type RunPlan } from "../../lib/train/run_plan.ts";
import { SOFTWARE } from "../support/adapters.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { microNetwork, microOptions, ofType, patternImages, run, stateOf } from "../support/train/micro.ts";

/** A run of `epochs` epochs of four steps, `done` of them finished. */
function planAfter(done: number, options: { epochs: number; sampleEvery?: number }): RunPlan {
  const plan = planRun(microOptions({ sampleEvery: undefined, ...options }), SOFTWARE);
  plan.progress.step = 4 * done;
  plan.progress.history = Array.from({ length: done }, (_, i) => (
    { epoch: i + 1, step: 4 * i + 4, trainLoss: 1, valLoss: 1, seconds: 1 }
  ));
  return plan;
}

/** Epochs with a grid in a run of so many, the last aside, if a grid and an epoch take so many seconds. */
function gridsOf(epochs: number, grid: number, epoch: number, sampleEvery?: number): number[] {
  const drawn: number[] = [];
  for (let done = 1; done < epochs; done++) {
    const plan = planAfter(done, { epochs, sampleEvery });
    const step = drawn.length === 0 ? undefined : 4 * drawn.at(-1)!;
    if (gridIsDue(plan, step, { grid, epoch })) drawn.push(done);
  }
  return drawn;
}

Deno.test("grids that cost next to nothing come after every epoch", () => {
  assert.deepEqual(gridsOf(5, 1, 100), [1, 2, 3, 4]);
});

Deno.test("a grid that takes longer comes so seldom that all take a twentieth of the time", () => {
  assert.deepEqual(gridsOf(20, 10, 50), [1, 5, 9, 13, 17]);
  assert.equal(epochsBetweenGrids({ sampleEvery: null }, { grid: 10, epoch: 50 }), 4);
  for (const grid of [3, 30, 300]) {
    const taken = grid * (gridsOf(1000, grid, 20).length - 1);
    assert.ok(taken <= 0.05 * 20 * 1000, `${taken} s`);
  }
});

Deno.test("where one grid takes more than a twentieth of the whole run, only the last is drawn", () => {
  // An epoch of 19 seconds, and a grid of 9 minutes after each.
  assert.deepEqual(gridsOf(100, 540, 19), []);
  assert.deepEqual(gridsOf(1000, 540, 19), [1, 570]);
});

Deno.test("a given interval of grids is kept, however long they take", () => {
  assert.deepEqual(gridsOf(7, 1e6, 1, 1), [1, 2, 3, 4, 5, 6]);
  assert.deepEqual(gridsOf(7, 1e6, 1, 3), [3, 6]);
});

Deno.test("of many classes some are drawn, evenly spread, and that is said", async () => {
  const model = microNetwork();
  const data = patternImages(200, 100);
  const options = { data, model, steps: 1, sampleSteps: 1, sampleEvery: undefined };
  const events = await run(options);
  const [{ images, columns, rowLabels }] = ofType(events, "samples");
  assert.deepEqual([images.count, columns, rowLabels.length], [80, 4, 20]);
  assert.deepEqual(rowLabels, Array.from({ length: 20 }, (_, i) => data.classes[5 * i]));
  assert.deepEqual(
    images.metadata.map((image) => image.class),
    rowLabels.flatMap((name) => [name, name, name, name]),
  );
  const notes = ofType(events, "note").map(({ message }) => message);
  assert.ok(notes.includes("sample grids show 20 of the 100 classes"), notes.join("\n"));
  const wide = ofType(await run({ ...options, samplesPerClass: 30 }), "samples")[0];
  assert.deepEqual([wide.images.count, wide.rowLabels.length], [300, 10]);
});

Deno.test("grids change nothing of what is trained", async () => {
  const states: unknown[] = [];
  for (
    const grids of [{ sampleEvery: 0 }, { sampleEvery: undefined }, { sampleEvery: 1, samplesPerClass: 2 }]
  ) {
    await inTemporaryDirectory(async (out) => {
      await run({ out, epochs: 3, sampleSteps: 2, ...grids });
      states.push(await stateOf(out));
    });
  }
  assert.deepEqual(states[1], states[0]);
  assert.deepEqual(states[2], states[0]);
});
