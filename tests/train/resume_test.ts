/** A run that was interrupted and resumed, in any way, is the run that never was. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { listCheckpoints, loadLatestCheckpoint, saveCheckpoint } from "../../lib/files/checkpoint.ts";
import type { TrainSettings } from "../../lib/train/settings.ts";
import type { TrainOptions } from "../../lib/train/trainer.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { endOf, ofType, patternImages, run, stateOf } from "../support/train/micro.ts";
import { RUN_SETTINGS, uninterrupted } from "../support/train/uninterrupted.ts";

Deno.test("interrupted in mid-epoch and resumed, weights, moments, EMA and history are bit-identical", async () => {
  await inTemporaryDirectory(async (out) => {
    const first = await run({ ...RUN_SETTINGS, out }, (event) => event.type === "step" && event.step === 6);
    assert.equal(endOf(first).interrupted, true);
    assert.equal(endOf(first).step, 6);
    assert.deepEqual(ofType(first, "checkpoint").map(({ step }) => step), [4, 6]);

    const second = await run({ out, resume: true, logEvery: 7 });
    assert.equal(ofType(second, "start")[0].resumedFrom, 6);
    assert.equal(endOf(second).interrupted, false);
    assert.deepEqual(endOf(second).history.map(({ epoch }) => epoch), [1, 2, 3]);
    assert.deepEqual(await stateOf(out), await uninterrupted());
  });
});

Deno.test("interrupted after every step, the result is bit-identical", async () => {
  await inTemporaryDirectory(async (out) => {
    for (let step = 1; step <= 12; step++) {
      await run({ ...RUN_SETTINGS, out, resume: step > 1 }, (event) => event.type === "step");
      assert.equal((await listCheckpoints(out))[0].step, step);
    }
    // The last interruption came before the last epoch's validation.
    await run({ ...RUN_SETTINGS, out, resume: true });
    assert.deepEqual(await stateOf(out), await uninterrupted());
  });
});

Deno.test("the interval of reading losses back changes no bit", async () => {
  await inTemporaryDirectory(async (out) => {
    await run({ ...RUN_SETTINGS, out, logEvery: 7 });
    assert.deepEqual(await stateOf(out), await uninterrupted());
  });
});

Deno.test("a run that has done more steps than asked for says how many", async () => {
  await inTemporaryDirectory(async (out) => {
    await run({ ...RUN_SETTINGS, out });
    const warnings = async (steps: number) =>
      ofType(await run({ out, resume: true, steps }), "warning").map(({ message }) => message);
    const more = "to continue it, set more `epochs` or `steps`";
    assert.deepEqual(await warnings(5), [`\`steps\` 5: this run has done 12 steps already; ${more}`]);
    assert.deepEqual(await warnings(12), [`all 12 steps of this run are done; ${more}`]);
  });
});

const killTest = { ignore: Deno.build.os === "windows" }; // it has no SIGKILL
Deno.test(
  "killed just after a checkpoint and resumed, the result is bit-identical",
  killTest,
  async () => {
    await inTemporaryDirectory(async (out) => {
      const script = fileURLToPath(new URL("../support/train/train_and_die.ts", import.meta.url));
      const { signal } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", script, out, "4"],
        stdout: "null",
      }).output();
      assert.equal(signal, "SIGKILL");
      assert.equal((await listCheckpoints(out))[0].step, 4);
      await run({ ...RUN_SETTINGS, out, resume: true });
      assert.deepEqual(await stateOf(out), await uninterrupted());
      // Events of the killed process after its checkpoint are in the metrics once.
      const lines = (await Deno.readTextFile(join(out, "metrics.jsonl"))).trim().split("\n")
        .map((line) => JSON.parse(line) as { type: string; step: number });
      assert.deepEqual(
        lines.filter(({ type }) => type === "step").map(({ step }) => step),
        Array.from({ length: 12 }, (_, i) => i + 1),
      );
      assert.deepEqual(lines.filter(({ type }) => type === "epoch").map(({ step }) => step), [4, 8, 12]);
    });
  },
);

Deno.test("with gradients accumulated over two micro-batches a resumed run is the same, too", async () => {
  await inTemporaryDirectory(async (directory) => {
    const settings = { ...RUN_SETTINGS, batch: 4, accumulate: 2, epochs: 2 };
    const [straight, resumed] = [join(directory, "straight"), join(directory, "resumed")];
    await run({ ...settings, out: straight });
    await run({ ...settings, out: resumed }, (event) => event.type === "step" && event.step === 3);
    await run({ out: resumed, resume: true, logEvery: 3 });
    assert.deepEqual(await stateOf(resumed), await stateOf(straight));
  });
});

Deno.test("every epoch has an order of its own, also where no validation comes in between", async () => {
  await inTemporaryDirectory(async (directory) => {
    const settings = { data: patternImages(4), batch: 2, epochs: 3, logEvery: 1 };
    const [straight, resumed] = [join(directory, "straight"), join(directory, "resumed")];
    await run({ ...settings, out: straight });
    await run({ ...settings, out: resumed }, (event) => event.type === "step" && event.step === 4);
    await run({ data: settings.data, out: resumed, resume: true });
    assert.deepEqual(await stateOf(resumed), await stateOf(straight));
  });
});

Deno.test("a finished run continues with more epochs as if it had had them from the start", async () => {
  await inTemporaryDirectory(async (out) => {
    await run({ ...RUN_SETTINGS, out, epochs: 2 });
    const events = await run({ out, resume: true, epochs: 3 });
    assert.equal(ofType(events, "start")[0].totalSteps, 12);
    assert.deepEqual(await stateOf(out), await uninterrupted());
  });
});

Deno.test("a run that ended at a number of steps continues with its epochs as if it had not", async () => {
  await inTemporaryDirectory(async (out) => {
    const first = await run({ ...RUN_SETTINGS, out, steps: 6 });
    assert.equal(endOf(first).interrupted, false);
    assert.deepEqual(ofType(first, "checkpoint").map(({ step }) => step), [4, 6]);
    const events = await run({ out, resume: true, steps: null });
    assert.deepEqual(endOf(events).history.map(({ epoch, step }) => [epoch, step]), [[1, 4], [2, 8], [
      3,
      12,
    ]]);
    assert.deepEqual(await stateOf(out), await uninterrupted());
  });
});

Deno.test("a run by steps alone, as earlier versions stored it, continues as if it had had its epochs", async () => {
  await inTemporaryDirectory(async (out) => {
    await run({ ...RUN_SETTINGS, out, epochs: null, steps: 6 });
    const { path: _, ...checkpoint } = await loadLatestCheckpoint(out);
    const settings = checkpoint.trainer.settings as TrainSettings;
    assert.deepEqual([settings.epochs, settings.steps], [null, 6]);
    const trainer = { ...checkpoint.trainer, settings: { ...settings, epochs: 1_000_000 } };
    await saveCheckpoint(out, { ...checkpoint, trainer });
    const [start] = ofType(await run({ out, resume: true, steps: 7 }), "start");
    assert.deepEqual([start.settings.epochs, start.settings.steps, start.totalSteps], [null, 7, 7]);
    await run({ out, resume: true, steps: null, epochs: 3 });
    assert.deepEqual(await stateOf(out), await uninterrupted());
  });
});

Deno.test("a finished run resumed with nothing left to do stays as it is and says so", async () => {
  await inTemporaryDirectory(async (out) => {
    await run({ ...RUN_SETTINGS, out, steps: 2, epochs: 1 });
    const before = await stateOf(out);
    const events = await run({ out, resume: true });
    assert.deepEqual(events.map(({ type }) => type), ["data", "start", "warning", "end"]);
    assert.match(
      ofType(events, "warning")[0].message,
      /^all 2 steps.*done; to continue it, set more `epochs` or `steps`$/,
    );
    assert.equal(endOf(events).history.length, 1);
    assert.deepEqual(await stateOf(out), before);
  });
});

Deno.test("a run resumed with less memory and more time comes to the same bits", async () => {
  await inTemporaryDirectory(async (out) => {
    await run({ ...RUN_SETTINGS, out }, (event) => event.type === "step" && event.step === 6);
    const events = await run({ out, resume: true, checkpointActivations: true });
    assert.equal(ofType(events, "start")[0].settings.checkpointActivations, true);
    const [plain] = ofType(await run({ ...RUN_SETTINGS, steps: 1 }), "start");
    assert.ok(ofType(events, "start")[0].flopsPerStep > plain.flopsPerStep, "the forward pass is done again");
    assert.deepEqual(await stateOf(out), await uninterrupted());
  });
});

Deno.test("a resumed run draws grids as it was told before, and as it is told now", async () => {
  await inTemporaryDirectory(async (out) => {
    const gridsOf = async (options: Partial<TrainOptions>) =>
      ofType(await run({ out, sampleEvery: undefined, ...options }), "samples").map((
        { epoch, columns },
      ) => [epoch, columns]);
    const grids = { samplesPerClass: 3, sampleSteps: 1 };
    assert.deepEqual(await gridsOf({ ...RUN_SETTINGS, ...grids, epochs: 1, sampleEvery: 0 }), []);
    assert.deepEqual(await gridsOf({ resume: true, epochs: 2 }), []);
    assert.deepEqual(await gridsOf({ resume: true, epochs: 4, sampleEvery: 3 }), [[3, 3], [4, 3]]);
    assert.deepEqual(await gridsOf({ resume: true, epochs: 5, samplesPerClass: 1 }), [[5, 1]]);
  });
});

Deno.test("events that a run repeats after a resume are in its metrics once", async () => {
  await inTemporaryDirectory(async (out) => {
    await run({ ...RUN_SETTINGS, out, steps: 6 });
    for (let i = 0; i < 2; i++) await run({ out, resume: true, steps: null });
    const lines = (await Deno.readTextFile(join(out, "metrics.jsonl"))).trim().split("\n")
      .map((line) => JSON.parse(line) as { type: string; step: number });
    const steps = (type: string) => lines.filter((line) => line.type === type).map(({ step }) => step);
    assert.deepEqual([steps("epoch"), steps("end")], [[4, 8, 12], [12]]);
  });
});

Deno.test("an epoch's seconds are those of all processes that trained in it, and the run's those of its epochs", async () => {
  await inTemporaryDirectory(async (out) => {
    await run({ ...RUN_SETTINGS, out }, (event) => event.type === "step" && event.step === 6);
    const checkpoint = await loadLatestCheckpoint(out);
    const { epochSeconds, seconds } = checkpoint.trainer as { epochSeconds: number; seconds: number };
    assert.ok(epochSeconds > 0 && epochSeconds < seconds);
    const trainer = { ...checkpoint.trainer, epochSeconds: epochSeconds + 1e6, seconds: seconds + 1e6 };
    await saveCheckpoint(out, { ...checkpoint, trainer });
    const { history } = endOf(
      await run({ out, resume: true, sampleEvery: 1, samplesPerClass: 1, sampleSteps: 1 }),
    );
    assert.deepEqual(history.map(({ seconds }) => Math.floor(seconds / 1e6)), [0, 1, 0]);
    const total = (await loadLatestCheckpoint(out)).trainer.seconds as number;
    assert.ok(Math.abs(total - history.reduce((sum, epoch) => sum + epoch.seconds, 0)) < 1e-6);
  });
});
