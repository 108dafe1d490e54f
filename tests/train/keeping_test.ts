/** Keeping of checkpoints and models, and stopping by the validation loss. */
import assert from "node:assert/strict";
import { join } from "node:path";
import {
  listCheckpoints,
  loadLatestCheckpoint,
  loadPipeline,
  saveCheckpoint,
} from "../../lib/files/checkpoint.ts";
import { ConfigError } from "../../lib/errors.ts";
import type { TrainOptions } from "../../lib/train/trainer.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { digests, endOf, ofType, patternImages, run, stateOf } from "../support/train/micro.ts";

/** A validation loss that is lowest somewhere in the middle: the rate is far too large. */
const UNSTEADY = { lr: 0.05, warmup: 12, ema: 0, epochs: 3 };
/** Weights that no step changes in float32, so that every epoch has the same validation loss. */
const STILL = { lr: 1e-30, warmup: 0 };

const strict = { onWarning: (message: string) => assert.fail(message) };

Deno.test("a run keeps as many checkpoints as it was told, and as it is told on resume", async () => {
  await inTemporaryDirectory(async (out) => {
    const steps = async () => (await listCheckpoints(out)).map(({ step }) => step);
    await run({ out, epochs: 4, keep: 3 });
    assert.deepEqual(await steps(), [16, 12, 8]);
    await run({ out, resume: true, keep: 2 });
    assert.deepEqual(await steps(), [16, 12], "also where nothing is left to save");
    await run({ out, resume: true, epochs: 5, keep: 1 });
    assert.deepEqual(await steps(), [20]);
  });
});

Deno.test("the model in best/ is that of the epoch with the lowest validation loss", async () => {
  await inTemporaryDirectory(async (out) => {
    const events = await run({ ...UNSTEADY, out, keep: 9, keepBest: true });
    const { history, best } = endOf(events);
    const lowest = history.reduce((a, b) => b.valLoss! < a.valLoss! ? b : a);
    assert.ok(lowest.epoch > 1 && lowest.epoch < 3, `losses ${history.map(({ valLoss }) => valLoss)}`);
    const path = join(out, "best");
    const { epoch, step, valLoss } = lowest;
    assert.deepEqual(best, { epoch, step, valLoss, path });
    const replaced = ofType(events, "checkpoint").filter((event) => event.best === path);
    assert.equal(replaced.at(-1)!.step, step);
    const kept = (await listCheckpoints(out)).find((each) => each.step === step)!;
    const [ofBest, ofCheckpoint] = [await loadPipeline(path, strict), await loadPipeline(kept.path, strict)];
    assert.deepEqual(digests(ofBest.tensors), digests(ofCheckpoint.tensors));
    assert.deepEqual([ofBest.unetConfig, ofBest.modelIndex], [
      ofCheckpoint.unetConfig,
      ofCheckpoint.modelIndex,
    ]);
  });
});

Deno.test("a save interrupted before the best model was written is completed on resume", async () => {
  await inTemporaryDirectory(async (out) => {
    await run({ out, epochs: 1, keepBest: true });
    const weights = join(out, "best", "unet", "diffusion_pytorch_model.safetensors");
    const whole = await Deno.readFile(weights);
    await Deno.remove(join(out, "best"), { recursive: true });
    await run({ out, resume: true });
    assert.ok((await Deno.readFile(weights)).every((byte, i) => byte === whole[i]));
  });
});

Deno.test("a run that keeps its best model and is interrupted is the run that never was", async () => {
  await inTemporaryDirectory(async (directory) => {
    const [straight, resumed] = [join(directory, "straight"), join(directory, "resumed")];
    const settings = { ...UNSTEADY, keepBest: true, logEvery: 1 };
    await run({ ...settings, out: straight });
    await run({ ...settings, out: resumed }, (event) => event.type === "step" && event.step === 9);
    await run({ out: resumed, resume: true });
    assert.deepEqual(await stateOf(resumed), await stateOf(straight));
    const best = async (out: string) => digests((await loadPipeline(join(out, "best"), strict)).tensors);
    assert.deepEqual(await best(resumed), await best(straight));
  });
});

Deno.test("a run without keepBest has no best model", async () => {
  await inTemporaryDirectory(async (out) => {
    assert.equal(endOf(await run({ out, epochs: 1 })).best, undefined);
    await assert.rejects(Deno.stat(join(out, "best")), Deno.errors.NotFound);
  });
});

Deno.test("patience ends a run after as many epochs without a lower validation loss", async () => {
  await inTemporaryDirectory(async (out) => {
    const grids = { sampleEvery: 5, samplesPerClass: 1, sampleSteps: 1 };
    const events = await run({ ...STILL, ...grids, out, epochs: 9, patience: 2 });
    const { step, interrupted, stoppedEarly, history } = endOf(events);
    assert.deepEqual([step, interrupted, stoppedEarly, history.length], [12, false, true, 3]);
    assert.deepEqual(ofType(events, "samples").map(({ epoch }) => epoch), [3], "a grid at the end");

    const again = await run({ out, resume: true });
    assert.deepEqual(ofType(again, "warning").map(({ message }) => message), [
      "the run stopped early, after 2 epochs without a lower validation loss; to continue it, set more `patience`",
    ]);
    assert.deepEqual([endOf(again).step, endOf(again).stoppedEarly], [12, true]);
  });
});

Deno.test("with more patience a run continues as if it had had it from the start", async () => {
  await inTemporaryDirectory(async (directory) => {
    const [straight, resumed] = [join(directory, "straight"), join(directory, "resumed")];
    const settings = { ...STILL, epochs: 4, keep: 1 };
    const whole = endOf(await run({ ...settings, out: straight, patience: 9 }));
    assert.deepEqual([whole.step, whole.stoppedEarly], [16, false]);
    await run({ ...settings, out: resumed, patience: 1 });
    await run({ out: resumed, resume: true, patience: 9 });
    assert.deepEqual(await stateOf(resumed), await stateOf(straight));
  });
});

Deno.test("without validation images nothing can depend on their loss", async () => {
  const data = patternImages(4);
  const refused = async (options: Partial<TrainOptions>) => {
    let message = "";
    await assert.rejects(run({ data, batch: 2, ...options }), (error: Error) => {
      message = error.message;
      return error instanceof ConfigError;
    });
    return message;
  };
  const where = "where there are no validation images, since it depends on their loss";
  assert.equal(await refused({ patience: 3 }), `patience: expected null ${where}, got 3`);
  assert.equal(await refused({ keepBest: true }), `keepBest: expected false ${where}, got true`);
});

Deno.test("a warning tells of overfitting, and not again after a resume", async () => {
  await inTemporaryDirectory(async (out) => {
    await run({ out, epochs: 3 });
    const { path: _, ...checkpoint } = await loadLatestCheckpoint(out);
    const history = (checkpoint.trainer.history as { valLoss: number; trainLoss: number }[])
      .map((record, i) => ({ ...record, valLoss: 1e-6 * (i + 1), trainLoss: 1e6 }));
    await saveCheckpoint(out, { ...checkpoint, trainer: { ...checkpoint.trainer, history } });
    const warnings = async (epochs: number) =>
      ofType(await run({ out, resume: true, epochs }), "warning").map(({ message }) => message);
    const [message, ...others] = await warnings(4);
    assert.match(
      message!,
      /^epoch 4: the network is overfitting: in 3 epochs the validation loss rose from 0\.00000/,
    );
    assert.deepEqual(others, []);
    assert.deepEqual(await warnings(5), []);
  });
});
