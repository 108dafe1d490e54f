import assert from "node:assert/strict";
import { join } from "node:path";
import { imageDataset } from "../../lib/data/image_dataset.ts";
import { writeClassifier } from "../../lib/evaluation/classifier/files.ts";
import { classifierParameters } from "../../lib/evaluation/classifier/pass.ts";
import { loadLatestCheckpoint } from "../../lib/files/checkpoint.ts";
import type { TrainOptions } from "../../lib/train/trainer.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { digests, ofType, patternImages, run } from "../support/train/micro.ts";

/** Writes a classifier of 8 x 8 images that has learned nothing. */
async function untrainedClassifier(directory: string, classes: readonly string[]): Promise<string> {
  const config = { imageSize: 8, classes, groups: 2, stages: [{ channels: 8, blocks: 0 }] };
  const table = classifierParameters(config);
  await writeClassifier(directory, config, table.fromMemory(table.initialize(3)), {});
  return directory;
}

async function linesOf(out: string, wanted: string): Promise<Record<string, unknown>[]> {
  const text = await Deno.readTextFile(join(out, "metrics.jsonl"));
  return text.trim().split("\n").map((line) => JSON.parse(line)).filter(({ type }) => type === wanted);
}

for (const objective of ["epsilon", "edm"] as const) {
  Deno.test(`a run is evaluated every so many epochs and at the end, with falling loss: ${objective}`, async () => {
    await inTemporaryDirectory(async (out) => {
      const events = await run({ out, objective, epochs: 12, evaluateEvery: 5, lr: 1e-2 });
      const evaluations = ofType(events, "evaluation");
      assert.deepEqual(evaluations.map(({ epoch, step }) => [epoch, step]), [[5, 20], [10, 40], [12, 48]]);
      for (const { images, standardError, losses } of evaluations) {
        assert.equal(images, ofType(events, "start")[0].validationImages);
        assert.ok(standardError! > 0);
        assert.ok(losses.length > 10 && losses.every(({ target }) => target > 0));
      }
      const means = evaluations.map(({ losses }) =>
        losses.reduce((sum, { target }) => sum + target, 0) / losses.length
      );
      assert.ok(means[2] < means[0], `mean losses ${means}`);
      assert.deepEqual(await linesOf(out, "evaluation"), JSON.parse(JSON.stringify(evaluations)));
    });
  });
}

Deno.test("evaluations change no bit of training", async () => {
  const weights = async (options: Partial<TrainOptions>) =>
    await inTemporaryDirectory(async (out) => {
      await run({ out, epochs: 3, ...options });
      const { ema, trainerTensors } = await loadLatestCheckpoint(out);
      return [digests(ema), digests(trainerTensors)];
    });
  assert.deepEqual(await weights({ evaluateEvery: 1 }), await weights({}));
});

Deno.test("a resumed run keeps its evaluations: none is repeated, and one that was interrupted is made again", async () => {
  await inTemporaryDirectory(async (out) => {
    const epochsOf = async (...given: Parameters<typeof run>) =>
      ofType(await run(...given), "evaluation").map(({ epoch }) => epoch);
    const settings = { out, epochs: 3, evaluateEvery: 1 };
    assert.deepEqual(await epochsOf(settings, ({ type }) => type === "evaluation"), [1]);
    // The signal comes with the checkpoint of the second epoch, before its evaluation.
    const atSecond = (event: { type: string; step?: number }) =>
      event.type === "checkpoint" && event.step === 8;
    assert.deepEqual(await epochsOf({ out, resume: true }, atSecond), []);
    assert.deepEqual(await epochsOf({ out, resume: true }), [2, 3]);
    assert.deepEqual(await epochsOf({ out, resume: true }), []);
    assert.deepEqual((await linesOf(out, "evaluation")).map(({ epoch }) => epoch), [1, 2, 3]);
  });
});

Deno.test("a run without validation images warns that it is not evaluated", async () => {
  const data = imageDataset({ ...patternImages(8), validation: new Uint32Array() });
  const events = await run({ data, steps: 1, evaluateEvery: 1 });
  assert.deepEqual(ofType(events, "warning").map(({ message }) => message), [
    "no evaluations: the data has no validation images",
  ]);
  assert.deepEqual(ofType(events, "evaluation"), []);
});

Deno.test("samples of an evaluation have a Fréchet distance and a class consistency; progress leads up to it", async () => {
  await inTemporaryDirectory(async (directory) => {
    const classifier = await untrainedClassifier(join(directory, "classifier"), ["first", "second"]);
    const out = join(directory, "run");
    const settings = { out, epochs: 2, evaluateEvery: 1, evaluationSamples: 6, sampleSteps: 2, classifier };
    const events = await run(settings);
    const evaluations = ofType(events, "evaluation");
    assert.equal(evaluations.length, 2);
    for (const { samples } of evaluations) {
      assert.equal(samples!.count, 6);
      assert.ok(samples!.frechetDistance > 0);
      assert.ok(samples!.classConsistency! >= 0 && samples!.classConsistency! <= 1);
    }
    assert.deepEqual(await linesOf(out, "evaluation"), JSON.parse(JSON.stringify(evaluations)));
    const progress = ofType(events, "evaluating");
    const [{ total }] = progress;
    const half = progress.findIndex(({ done }) => done === total);
    assert.ok(
      half > 1 && progress.slice(0, half).every(({ done }, i) => i === 0 || done > progress[i - 1].done),
    );
    await assert.rejects(
      run({ epochs: 1, evaluateEvery: 1, evaluationSamples: 6 }),
      /^ConfigError: evaluationSamples: expected 0 without a classifier, got 6/,
    );
    await assert.rejects(
      run({ epochs: 1, evaluateEvery: 1, evaluationSamples: 1, classifier }),
      /^ConfigError: evaluationSamples: expected 0, or 2 or more, got 1/,
    );
    await assert.rejects(
      run({ epochs: 1, evaluationSamples: 6, classifier }),
      /^ConfigError: evaluationSamples: expected 0 without `evaluateEvery`, got 6/,
    );
    const again = await run({ out, resume: true, epochs: 3, evaluateEvery: 0 });
    assert.deepEqual(ofType(again, "evaluation"), [], "a resumed run may stop being evaluated");
  });
});

Deno.test("a run with a learned variance is evaluated by the bound with that variance", async () => {
  const events = await run({ steps: 1, evaluateEvery: 1, learnedVariance: true });
  assert.deepEqual(ofType(events, "warning"), []);
  const [{ bitsPerDimension }] = ofType(events, "evaluation");
  assert.ok(Number.isFinite(bitsPerDimension) && bitsPerDimension > 0);
});
