import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { imageDataset } from "../../../lib/data/image_dataset.ts";
import { CheckpointError, ConfigError } from "../../../lib/errors.ts";
import { NoiseSchedule } from "../../../lib/diffusion/schedule.ts";
import { DDPM } from "../../../lib/sampling/ddpm.ts";
import { likelihoodSize, measureLikelihood } from "../../../tasks/evaluation/likelihood.ts";
import { createReporter, type Reporter } from "../../../terminal/progress.ts";
import { testGpu } from "../../support/gpu.ts";
import { inTemporaryDirectory } from "../../support/train/directories.ts";
import { patternImages } from "../../support/train/micro.ts";

const PIPELINE = fileURLToPath(new URL("../../golden/tiny_pipeline", import.meta.url));
const QUIET = createReporter({ mode: "quiet" });
const FLAGS = { images: 5, terms: 4, seed: 1, batch: 2 };

async function measure(
  out: string,
  { names, report = QUIET, signal = new AbortController().signal }: {
    names?: readonly string[];
    report?: Reporter;
    signal?: AbortSignal;
  } = {},
) {
  const model = await DDPM.load(PIPELINE, { gpu: await testGpu(), onWarning: () => {} });
  try {
    const patterns = patternImages(6, 3);
    const data = imageDataset({ ...patterns, classes: names ?? model.classes });
    return await measureLikelihood(model, "digest", data, out, FLAGS, report, signal);
  } finally {
    await model.close();
  }
}

Deno.test("an interrupted likelihood goes on after its last batch, to the same result", async () => {
  await inTemporaryDirectory(async (out) => {
    const interruption = new AbortController();
    const seen: number[] = [];
    const watching = {
      ...QUIET,
      update: (done: number) => {
        seen.push(done);
        if (done > 10) interruption.abort();
      },
    };
    const first = await measure(out, { report: watching, signal: interruption.signal });
    assert.deepEqual([first.complete, first.result?.images], [false, 2]);
    const starts: [number, number | undefined][] = [];
    const start = (total: number, _: string, done?: number) => void starts.push([total, done]);
    const second = await measure(out, { report: { ...QUIET, start } });
    assert.deepEqual(starts, [[25, 10]]);
    assert.equal(second.complete, true);
    const whole = await inTemporaryDirectory((other) => measure(other));
    assert.deepEqual(second, whole);
    assert.equal(whole.result!.condition, "class-conditional");
  });
});

Deno.test("a model of other classes is evaluated without them, and results are kept apart", async () => {
  await inTemporaryDirectory(async (out) => {
    const own = await measure(out);
    const other = await measure(out, { names: ["x", "y", "z"] });
    assert.equal(other.result!.condition, "unconditional");
    assert.notEqual(other.result!.bitsPerDimension, own.result!.bitsPerDimension);
    assert.deepEqual(await measure(out), own);
    assert.equal((await Array.fromAsync(Deno.readDir(out))).length, 2);
  });
});

Deno.test("a file of sums that is damaged or another evaluation's is named, and left alone", async () => {
  await inTemporaryDirectory(async (out) => {
    await measure(out);
    const [{ name }] = await Array.fromAsync(Deno.readDir(out));
    const path = join(out, name);
    const text = await Deno.readTextFile(path);
    const others = await inTemporaryDirectory(async (other) => {
      await measure(other, { names: ["x", "y", "z"] });
      const [{ name }] = await Array.fromAsync(Deno.readDir(other));
      return await Deno.readTextFile(join(other, name));
    });
    const digit = /\.(\d)/.exec(text)!;
    const changed = text.replace(digit[0], `.${(Number(digit[1]) + 1) % 10}`);
    for (
      const [content, why] of [
        ["{}", "its SHA-256 is not the one saved in it"],
        [text.slice(0, 100), "not a JSON object"],
        [changed, "its SHA-256 is not the one saved in it"],
        [others, "its SHA-256 is not the one saved in it"],
      ] as const
    ) {
      await Deno.writeTextFile(path, content);
      await assert.rejects(
        measure(out),
        new CheckpointError(
          `${path}: not the sums of an interrupted evaluation (${why}); remove it to start again`,
        ),
      );
      assert.equal(await Deno.readTextFile(path), content);
    }
  });
});

Deno.test("the size of an evaluation depends on adapter, data and model", async () => {
  const model = await DDPM.load(PIPELINE, { gpu: await testGpu(), onWarning: () => {} });
  const flags = { seed: 0, batch: 4 };
  const data = patternImages(300, 3);
  assert.ok(model.schedule instanceof NoiseSchedule);
  const { numTrainTimesteps } = model.schedule.config;
  const of = (given: object, software = true) =>
    likelihoodSize({ ...flags, ...given }, software, model, data);
  assert.deepEqual(of({}), { images: 100, terms: Math.min(20, numTrainTimesteps - 1), ...flags });
  assert.deepEqual(of({}, false), { images: 300, terms: Math.min(100, numTrainTimesteps - 1), ...flags });
  assert.deepEqual(of({ likelihoodImages: 7, terms: 3 }), { images: 7, terms: 3, ...flags });
  assert.throws(
    () => of({ likelihoodImages: 301 }),
    new ConfigError("--likelihood-images", 301, "at most 300, the test images"),
  );
  await model.close();
});
