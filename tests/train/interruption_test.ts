/** A caller's signal is heard wherever a run is, soon, and what it cuts off is done on resume. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { listCheckpoints } from "../../lib/files/checkpoint.ts";
import type { TrainEvent } from "../../lib/train/events.ts";
import { train, type TrainOptions } from "../../lib/train/trainer.ts";
import { testGpu } from "../support/gpu.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import {
  endOf,
  microNetwork,
  microOptions,
  ofType,
  patternImages,
  run,
  stateOf,
} from "../support/train/micro.ts";

/** Runs until an event of `type`, and on until a timer set there has gone off: like a signal, it needs a turn of the thread. */
async function runUntilTimer(
  options: Partial<TrainOptions>,
  type: TrainEvent["type"],
): Promise<TrainEvent[]> {
  const controller = new AbortController();
  const events: TrainEvent[] = [];
  for await (
    const event of train(microOptions({ ...options, gpu: await testGpu(), signal: controller.signal }))
  ) {
    events.push(event);
    if (event.type === type) setTimeout(() => controller.abort());
  }
  return events;
}

Deno.test("a signal is heard in training though losses are told every 256 steps only, and what was done is saved", async () => {
  await inTemporaryDirectory(async (out) => {
    const options = { data: patternImages(700), batch: 1, logEvery: 256, out };
    const { step, interrupted } = endOf(await runUntilTimer(options, "start"));
    assert.equal(interrupted, true);
    assert.ok(step > 0 && step < 256, `stopped after step ${step}`);
    assert.equal((await listCheckpoints(out))[0].step, step);
  });
});

Deno.test("a signal is heard between the micro-batches of a step, which then counts as not begun", async () => {
  const options = { data: patternImages(250), batch: 1, accumulate: 200 };
  const events = await runUntilTimer(options, "start");
  assert.deepEqual(events.map(({ type }) => type), ["data", "start", "end"]);
  assert.equal(endOf(events).step, 0);
});

Deno.test("a signal is heard in validation, which is done on resume: the run is as if there had been none", async () => {
  await inTemporaryDirectory(async (directory) => {
    // 11 validation images are two batches.
    const data = patternImages(110);
    const settings = { data, model: microNetwork({ dropout: 0.1 }), epochs: 2, logEvery: 5 };
    const [straight, resumed] = [join(directory, "straight"), join(directory, "resumed")];
    await run({ ...settings, out: straight });
    // The second run does the first epoch's validation before it is cut off in that of the second.
    for (const [before, nth, step] of [[settings, 1, 12], [{ data, resume: true }, 3, 24]] as const) {
      let validations = 0;
      const events = await run(
        { ...before, out: resumed },
        ({ type }) => type === "validation" && ++validations === nth,
      );
      assert.deepEqual([endOf(events).step, endOf(events).interrupted], [step, true]);
      assert.equal(ofType(events, "epoch").length, nth >> 1);
    }
    const last = await run({ data, out: resumed, resume: true });
    assert.deepEqual(last.map(({ type }) => type), [
      ...["data", "start", "validation", "validation", "epoch", "checkpoint", "end"],
    ]);
    assert.equal(endOf(last).interrupted, false);
    assert.deepEqual(await stateOf(resumed), await stateOf(straight));
  });
});

Deno.test("a signal is heard while a grid is drawn, which is drawn on resume, and only if it was cut off", async () => {
  await inTemporaryDirectory(async (out) => {
    const grids = { sampleEvery: 1, samplesPerClass: 1 };
    const first = await runUntilTimer({ ...grids, out, epochs: 2, sampleSteps: 1000 }, "checkpoint");
    assert.deepEqual(first.map(({ type }) => type).slice(-3), ["epoch", "checkpoint", "end"]);
    assert.deepEqual([endOf(first).step, endOf(first).interrupted], [4, true]);

    const second = await run({ ...grids, out, resume: true, sampleSteps: 2 });
    assert.deepEqual(second.map(({ type }) => type).slice(0, 3), ["data", "start", "samples"]);
    assert.deepEqual(ofType(second, "samples").map(({ epoch, step }) => [epoch, step]), [[1, 4], [2, 8]]);
    const third = await run({ ...grids, out, resume: true, sampleSteps: 2, epochs: 3 });
    assert.deepEqual(ofType(third, "samples").map(({ epoch }) => epoch), [3]);
  });
});
