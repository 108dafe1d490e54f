/** Training in mixed precision: the loss scale, and runs that are those in float32 but for roundings. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { INITIAL_LOSS_SCALE, type LossScale } from "../../kernels/loss_scale.ts";
import { CheckpointError, ConfigError, TrainingError } from "../../lib/errors.ts";
import { DDPM } from "../../lib/sampling/ddpm.ts";
import { type AdapterDescription, Gpu } from "../../lib/gpu/device.ts";
import { checkMatrices } from "../../lib/gpu/matrix_check.ts";
import type { Precision } from "../../lib/model/precision.ts";
import { loadLatestCheckpoint, saveCheckpoint } from "../../lib/files/checkpoint.ts";
import type { TrainEvent } from "../../lib/train/events.ts";
import { checkResumedSettings } from "../../lib/train/run_directory.ts";
import type { TrainOptions } from "../../lib/train/trainer.ts";
import { PLAIN_GPU } from "../support/adapters.ts";
import { testGpu } from "../support/gpu.ts";
import { matrixGpu } from "../support/matrix_driver.ts";
import { PIPELINE } from "../support/server/pipelines.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { digests, endOf, microNetwork, ofType, patternImages, run, stateOf } from "../support/train/micro.ts";

const MIXED: Partial<TrainOptions> = {
  precision: "mixed",
  model: microNetwork({ dropout: 0.1 }),
  epochs: 3,
  logEvery: 1,
};

/** Puts another loss scale into a run's checkpoint; 2^24 is one with which the micro network's gradients overflow. */
async function changeLossScale(out: string, change: Partial<LossScale>): Promise<void> {
  const checkpoint = await loadLatestCheckpoint(out);
  const lossScale = { ...checkpoint.trainer.lossScale as LossScale, ...change };
  await saveCheckpoint(out, { ...checkpoint, trainer: { ...checkpoint.trainer, lossScale } });
}

async function lossScaleOf(out: string): Promise<LossScale | undefined> {
  return (await loadLatestCheckpoint(out)).trainer.lossScale as LossScale | undefined;
}

/** Results of `body` in float32 and in mixed precision. */
async function inEach<T>(body: (precision: Precision) => Promise<T>): Promise<[T, T]> {
  return [await body("float32"), await body("mixed")];
}

Deno.test("200 steps in mixed precision follow those in float32 more closely than another seed does", async () => {
  const losses = async (precision: Precision, seed: number) => {
    const events = await run({ precision, seed, epochs: 50 });
    assert.deepEqual(ofType(events, "warning"), []);
    const { history } = endOf(events);
    assert.equal(history.length, 50);
    return { training: history.map(({ trainLoss }) => trainLoss), validation: history[49].valLoss! };
  };
  const [single, mixed, other] = [
    await losses("float32", 0),
    await losses("mixed", 0),
    await losses("float32", 1),
  ];
  assert.ok(single.training[49] < 0.3 * single.training[0], "it learned nothing");
  const difference = ({ training }: typeof single) =>
    Math.max(...training.map((loss, epoch) => Math.abs(loss / single.training[epoch] - 1)));
  // Measured on llvmpipe: 6e-4 at most, where another seed changes an epoch's loss by up to a third.
  assert.ok(difference(mixed) < 5e-3, `${difference(mixed)}`);
  assert.ok(difference(other) > 0.1, `${difference(other)}`);
  const change = mixed.validation / single.validation - 1;
  assert.ok(Math.abs(change) < 0.01, `validation loss changes by ${change}`);
});

Deno.test("gradients accumulated in mixed precision lead where those in float32 do", async () => {
  const [single, mixed] = await inEach(async (precision) => {
    const events = await run({ precision, batch: 4, accumulate: 2, epochs: 5 });
    return endOf(events).history.at(-1)!;
  });
  assert.ok(
    Math.abs(mixed.trainLoss / single.trainLoss - 1) < 2e-3,
    `${mixed.trainLoss}, ${single.trainLoss}`,
  );
  assert.ok(Math.abs(mixed.valLoss! / single.valLoss! - 1) < 2e-3, `${mixed.valLoss}, ${single.valLoss}`);
});

Deno.test("a step that overflows is skipped without a warning, and counted in the event with the loss scale", async () => {
  await inTemporaryDirectory(async (out) => {
    await run({ ...MIXED, out, steps: 2 });
    assert.equal((await lossScaleOf(out))!.scale, INITIAL_LOSS_SCALE);
    const before = await loadLatestCheckpoint(out);
    await changeLossScale(out, { scale: 2 ** 24 });
    const events = await run({ out, resume: true, steps: 3, logEvery: 1 });
    const [{ lossScale, skippedSteps, loss }] = ofType(events, "step");
    assert.deepEqual([lossScale, skippedSteps], [2 ** 24, 1]);
    assert.ok(Number.isFinite(loss));
    assert.deepEqual(ofType(events, "warning"), []);
    // Weights, moments and average have the bits of before.
    const after = await loadLatestCheckpoint(out);
    assert.equal(after.step, 3);
    assert.deepEqual(digests(after.trainerTensors), digests(before.trainerTensors));
    assert.deepEqual(digests(after.ema), digests(before.ema));
    const { biasCorrection1, biasCorrection2, goodSteps } = before.trainer.lossScale as LossScale;
    assert.equal(goodSteps, 2);
    assert.deepEqual(await lossScaleOf(out), {
      scale: 2 ** 23,
      goodSteps: 0,
      skippedSteps: 1,
      biasCorrection1,
      biasCorrection2,
    });
  });
});

Deno.test("interrupted after every step and resumed, it is bit-identical, loss scale included", async () => {
  await inTemporaryDirectory(async (directory) => {
    const [straight, resumed] = [join(directory, "straight"), join(directory, "resumed")];
    for (const out of [straight, resumed]) {
      await run({ ...MIXED, out, steps: 1 });
      // Two good steps later the scale doubles to what overflows.
      await changeLossScale(out, { scale: 2 ** 23, goodSteps: 1998 });
    }
    const rest = { resume: true, steps: null, epochs: 3, logEvery: 1 };
    await run({ ...rest, out: straight });
    for (let step = 2; step <= 12; step++) {
      await run({ ...rest, out: resumed }, (event) => event.type === "step");
    }
    await run({ ...rest, out: resumed });
    assert.ok((await lossScaleOf(straight))!.skippedSteps > 0);
    assert.deepEqual(await stateOf(resumed), await stateOf(straight));
  });
});

Deno.test("2,000 good steps in a row double the scale", async () => {
  await inTemporaryDirectory(async (out) => {
    await run({ ...MIXED, out, steps: 1 });
    await changeLossScale(out, { goodSteps: 1997 });
    await run({ out, resume: true, steps: 3 });
    assert.deepEqual(await scaleAndCount(out), [INITIAL_LOSS_SCALE, 1999]);
    await run({ out, resume: true, steps: 4 });
    assert.deepEqual(await scaleAndCount(out), [2 * INITIAL_LOSS_SCALE, 0]);
  });
});

async function scaleAndCount(out: string): Promise<number[]> {
  const { scale, goodSteps } = (await lossScaleOf(out))!;
  return [scale, goodSteps];
}

Deno.test("a run that no scale helps ends with the last good state, and only after the scale is at its smallest", async () => {
  await inTemporaryDirectory(async (out) => {
    const data = patternImages(200);
    await run({ ...MIXED, data, out, steps: 2 });
    const checkpoint = await loadLatestCheckpoint(out);
    (checkpoint.trainerTensors.get("raw.conv_out.weight")!.data as Float32Array).fill(1e30);
    await saveCheckpoint(out, checkpoint);
    await changeLossScale(out, { scale: 4 });
    await assert.rejects(run({ data, out, resume: true, steps: null }), (error: Error) => {
      // Two steps on the way to scale 1 (steps 3 and 4), ten there.
      assert.match(
        error.message,
        /^step 14: the loss stopped being finite, even at the smallest loss scale, first in/,
      );
      assert.match(error.message, /a longer `warmup`, or `precision: "float32"`$/);
      return error instanceof TrainingError;
    });
    const after = await loadLatestCheckpoint(out);
    assert.equal(after.step, 13);
    assert.deepEqual(digests(after.trainerTensors), digests(checkpoint.trainerTensors));
    assert.equal((await lossScaleOf(out))!.scale, 1);
  });
});

Deno.test("a run can be resumed in the other precision, since checkpoints are float32 either way", async () => {
  await inTemporaryDirectory(async (out) => {
    await run({ model: microNetwork(), out, steps: 2, epochs: 1 });
    const beforeSwitch = await loadLatestCheckpoint(out);
    assert.equal(beforeSwitch.trainer.lossScale, undefined);
    const mixed = await run({ out, resume: true, steps: 4, precision: "mixed" });
    assert.equal(ofType(mixed, "start")[0].settings.precision, "mixed");
    const told = (events: TrainEvent[]) => ofType(events, "warning").map(({ message }) => message);
    assert.equal(told(mixed).length, 1);
    assert.match(
      told(mixed)[0],
      /^`precision` changes from float32 to mixed: weights and losses .* keeps float32$/,
    );
    // Adam's bias corrections go on from the steps that were done.
    const { biasCorrection1, goodSteps } = (await lossScaleOf(out))!;
    assert.ok(Math.abs(biasCorrection1 - (1 - 0.9 ** 4)) < 1e-6);
    assert.equal(goodSteps, 2);
    const single = await run({ out, resume: true, steps: 6, epochs: 2, precision: "float32" });
    assert.equal(endOf(single).step, 6);
    assert.equal(await lossScaleOf(out), undefined);
    assert.match(told(single)[0], /^`precision` changes from mixed to float32: /);
    const same = await run({ out, resume: true, steps: 7, precision: "float32" });
    assert.deepEqual(told(same), [], "told once");
    const over = await run({ out, resume: true, steps: 7, precision: "mixed" });
    assert.ok(told(over).every((message) => !message.includes("precision")), "nothing is computed any more");
  });
});

Deno.test("a model draws in mixed precision what it draws in float32 but for roundings, grids of a run included", async () => {
  await inTemporaryDirectory(async (out) => {
    const events = await run({
      ...MIXED,
      out,
      epochs: 8,
      sampleEvery: 8,
      samplesPerClass: 1,
      sampleSteps: 3,
    });
    assert.equal(ofType(events, "samples").length, 1);
    const [single, mixed] = await inEach(async (precision) => {
      const model = await DDPM.load(out, { gpu: await testGpu(), precision });
      const { pixels, metadata } = await model.generate({
        class: "first",
        count: 2,
        steps: 5,
        seed: 4,
        guidance: 2,
      });
      await model.close();
      assert.equal(metadata[0].precision, precision === "mixed" ? "mixed" : undefined);
      return pixels;
    });
    const difference = Math.max(...single.map((value, i) => Math.abs(value - mixed[i])));
    assert.ok(difference <= 6, `${difference} of 255`);
    assert.ok(Math.max(...single) - Math.min(...single) > 50, "the pictures are empty");
  });
});

Deno.test("a model is loaded in mixed precision where the adapter has matrix units, unless they are emulated", async () => {
  const passing = await matrixGpu();
  await checkMatrices(passing, assert.fail, () => Promise.resolve(undefined));
  const cases = [[await testGpu(), "float32"], [passing, "mixed"], [
    await gpuLike(PLAIN_GPU),
    "float32",
  ]] as const;
  for (const [gpu, expected] of cases) {
    const model = await DDPM.load(PIPELINE, { gpu, onWarning() {} });
    assert.equal(model.precision, expected);
    await model.close();
  }
});

/** The test device as if it had another adapter. */
async function gpuLike(adapter: AdapterDescription): Promise<Gpu> {
  const { device, subgroups } = await testGpu();
  return new Gpu(device, adapter, {}, subgroups);
}

Deno.test("an adapter without matrix units is named, and nothing is left behind", async () => {
  await inTemporaryDirectory(async (directory) => {
    const out = join(directory, "new");
    await assert.rejects(run({ ...MIXED, out, gpu: await gpuLike(PLAIN_GPU) }), (error) => {
      assert.match(
        (error as Error).message,
        /^precision: expected float32, because the adapter Plain Card has no matrix units/,
      );
      return error instanceof ConfigError;
    });
    assert.deepEqual([...Deno.readDirSync(directory)], []);
  });
});

Deno.test("a run in mixed precision is not resumed on another adapter unless in float32", async () => {
  await inTemporaryDirectory(async (out) => {
    await run({ ...MIXED, out, steps: 2 });
    const gpu = await gpuLike(PLAIN_GPU);
    const refused = (error: Error) => {
      assert.match(
        error.message,
        /mixed precision, but the adapter Plain Card has no matrix units .*: resume it on/,
      );
      assert.match(error.message, /backend dawn, or with `precision: "float32"`/);
      return error instanceof CheckpointError;
    };
    await assert.rejects(run({ out, resume: true, steps: 3, gpu }), refused);
    await assert.rejects(checkResumedSettings(out, {}, PLAIN_GPU), refused);
    await assert.rejects(run({ out, resume: true, precision: "mixed", gpu }), ConfigError);
    await checkResumedSettings(out, { precision: "float32" }, PLAIN_GPU);
    assert.equal((await loadLatestCheckpoint(out)).step, 2);
    const single = await run({ out, resume: true, steps: 3, precision: "float32" });
    assert.equal(ofType(single, "start")[0].settings.precision, "float32");
  });
});

/** Makes two steps of a run, and stores it as one in the removed precision `float16`. */
async function storeHalfRun(out: string): Promise<void> {
  await run({ ...MIXED, out, steps: 2 });
  const checkpoint = await loadLatestCheckpoint(out);
  const settings = { ...checkpoint.trainer.settings as object, precision: "float16" };
  const computation = { ...checkpoint.trainer.computation as object, kernels: "other" };
  await saveCheckpoint(out, { ...checkpoint, trainer: { ...checkpoint.trainer, settings, computation } });
}

Deno.test("a run stored in float16 is refused by that name on an adapter without matrix units", async () => {
  await inTemporaryDirectory(async (out) => {
    await storeHalfRun(out);
    const gpu = await gpuLike(PLAIN_GPU);
    const refused = (error: Error) => {
      assert.match(
        error.message,
        /: this run is in float16, which continues in mixed precision, but the adapter Plain Card has no matrix units /,
      );
      return error instanceof CheckpointError;
    };
    await assert.rejects(run({ out, resume: true, steps: 3, gpu }), refused);
    await assert.rejects(checkResumedSettings(out, {}, PLAIN_GPU), refused);
    await checkResumedSettings(out, { precision: "float32" }, PLAIN_GPU);
  });
});

Deno.test("a run stored in float16 continues in mixed precision, with one warning", async () => {
  await inTemporaryDirectory(async (out) => {
    await storeHalfRun(out);
    const events = await run({ out, resume: true, steps: 3 });
    assert.equal(ofType(events, "start")[0].settings.precision, "mixed");
    const warnings = ofType(events, "warning").map(({ message }) => message);
    assert.equal(warnings.length, 1, warnings.join("\n"));
    assert.match(warnings[0], /^this run was in float16 so far and continues in mixed precision/);
    const later = await run({ out, resume: true, steps: 4 });
    assert.deepEqual(ofType(later, "warning"), []);
  });
});
