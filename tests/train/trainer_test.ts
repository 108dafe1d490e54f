import assert from "node:assert/strict";
import { join } from "node:path";
import { imageDataset } from "../../lib/data/image_dataset.ts";
import { DDPM } from "../../lib/sampling/ddpm.ts";
import { CheckpointError, ConfigError } from "../../lib/errors.ts";
import { train } from "../../lib/train/trainer.ts";
import { testGpu } from "../support/gpu.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { endOf, microNetwork, microOptions, ofType, patternImages, run } from "../support/train/micro.ts";

Deno.test("the loss on a handful of images falls from that of a network that knows nothing to below 0.5", async () => {
  const [first, ...rest] = ofType(await run({ epochs: 12, logEvery: 4 }), "epoch");
  const last = rest.at(-1)!;
  // The last convolution starts near 0, and the noise to be predicted has variance 1.
  assert.ok(first.trainLoss > 0.8 && first.trainLoss < 1.1, `first ${first.trainLoss}`);
  assert.ok(last.trainLoss < 0.5, `training loss ${last.trainLoss}`);
  assert.ok(last.valLoss! < 0.5, `validation loss ${last.valLoss}`);
});

for (const objective of ["v", "x0"] as const) {
  Deno.test(`eight images, learned by heart as ${objective}, come back out of noise, each for its class`, async () => {
    await inTemporaryDirectory(async (out) => {
      const gpu = await testGpu();
      const data = repeated(8, 10);
      const settings = {
        data,
        objective,
        batch: 16,
        lr: 8e-3,
        warmup: 20,
        ema: 0.99,
      } as const;
      await run({ ...settings, out, steps: 350, epochs: 1000, flip: false, labelDropout: 0 });
      const model = await DDPM.load(out, { gpu });
      const drawn = await model.generate({
        class: [0, 1, 2, 3, 4, 5, 6, 7],
        count: 2,
        steps: 30,
        guidance: 1,
        seed: 3,
      });
      await model.close();
      const learned = Array.from({ length: 8 }, (_, i) => data.images.read([i]));
      // Noise is about 120 grey levels from any of the images, their mean about 100, any other of them 115 or more.
      for (let i = 0; i < drawn.count; i++) {
        const distances = learned.map((image) => distance(drawn.at(i).pixels, image));
        const wanted = Math.floor(i / 2);
        assert.ok(distances[wanted] < 50, `image of class ${wanted}: distances ${distances.map(Math.round)}`);
        assert.equal(distances.indexOf(Math.min(...distances)), wanted);
      }
    });
  });
}

Deno.test("the events of a run come in order and say how far it is", async () => {
  await inTemporaryDirectory(async (out) => {
    const events = await run({
      out,
      epochs: 2,
      logEvery: 3,
      sampleEvery: 1,
      samplesPerClass: 3,
      sampleSteps: 2,
    });
    assert.deepEqual(events.map(({ type }) => type), [
      ...["data", "start"],
      ...["step", "step", "validation", "epoch", "checkpoint", "samples"],
      ...["step", "step", "validation", "epoch", "checkpoint", "samples"],
      "end",
    ]);
    const [start] = ofType(events, "start");
    assert.deepEqual([start.trainImages, start.validationImages, start.stepsPerEpoch, start.totalSteps], [
      36,
      4,
      4,
      8,
    ]);
    assert.equal(start.settings.preset, "custom");
    assert.deepEqual(start.classes, ["first", "second"]);
    assert.deepEqual(
      ofType(events, "step").map(({ step, epoch, learningRate }) => [step, epoch, learningRate]),
      [[3, 1, 0.0015], [4, 1, 0.002], [7, 2, 0.002], [8, 2, 0.002]],
    );
    for (const { imagesPerSecond, gradientNorm, remainingSeconds } of ofType(events, "step")) {
      assert.ok(imagesPerSecond > 0 && gradientNorm > 0 && remainingSeconds >= 0);
    }
    const [samples] = ofType(events, "samples");
    assert.deepEqual([samples.images.count, samples.columns, samples.rowLabels], [6, 3, ["first", "second"]]);
    assert.deepEqual(endOf(events).history, ofType(events, "epoch").map(({ type: _, ...record }) => record));
  });
});

Deno.test("grids have the same seeds every time: with weights that stand still they are the same", async () => {
  const options = { lr: 1e-30, sampleEvery: 2, samplesPerClass: 2, sampleSteps: 3, epochs: 5 };
  const grids = ofType(await run(options), "samples");
  assert.deepEqual(grids.map(({ epoch }) => epoch), [2, 4, 5]);
  assert.deepEqual(grids[1].images.pixels, grids[0].images.pixels);
  assert.notDeepEqual(grids[0].images.at(0).pixels, grids[0].images.at(1).pixels);
});

Deno.test("an unconditional network trains and draws four rows without labels", async () => {
  const events = await run({
    conditional: false,
    epochs: 1,
    sampleEvery: 1,
    samplesPerClass: 2,
    sampleSteps: 2,
  });
  const [start] = ofType(events, "start");
  assert.equal(start.settings.model.numClassEmbeds, null);
  const [{ images, rowLabels }] = ofType(events, "samples");
  assert.deepEqual([images.count, rowLabels], [8, ["", "", "", ""]]);
});

Deno.test("validation is the same number every time, and its last, partial batch counts by its images", async () => {
  // 11 validation images in batches of 8, 11 and 4: 3 images more than a batch, none and 3 too few.
  const data = patternImages(110);
  for (const batch of [8, 11, 4]) {
    const [first, second] = ofType(await run({ data, batch, lr: 1e-30, epochs: 2 }), "epoch");
    assert.equal(second.valLoss, first.valLoss);
    // An untrained network predicts 0, so the loss is the mean of 11 * 192 squared normal numbers: 1 within 5 deviations.
    assert.ok(
      Math.abs(first.valLoss! - 1) < 5 * Math.sqrt(2 / (11 * 192)),
      `batch ${batch}: ${first.valLoss}`,
    );
  }
});

Deno.test("validation measures the averaged weights, without dropout", async () => {
  const model = microNetwork({ dropout: 0.5 });
  // With decay 0 the average is the weights themselves.
  const plain = ofType(await run({ model, ema: 0, epochs: 8 }), "epoch");
  const averaged = ofType(await run({ model, ema: 0.9, epochs: 8 }), "epoch");
  assert.deepEqual(averaged.map(({ trainLoss }) => trainLoss), plain.map(({ trainLoss }) => trainLoss));
  assert.ok(averaged[1].valLoss! > plain[1].valLoss!, "the average lags behind while the loss falls");
  assert.ok(plain.at(-1)!.valLoss! < plain.at(-1)!.trainLoss, "dropout makes the training loss larger");
});

Deno.test("too few images for one validation image: there is no validation loss", async () => {
  const events = await run({ data: patternImages(4), batch: 2, epochs: 1 });
  assert.deepEqual(ofType(events, "validation"), []);
  assert.equal(ofType(events, "epoch")[0].valLoss, null);
});

Deno.test("a limit takes training and validation images in proportion", async () => {
  const [start] = ofType(await run({ data: patternImages(100), limit: 45, steps: 1, batch: 5 }), "start");
  assert.deepEqual([start.trainImages, start.validationImages], [45, 5]);
  const [all] = ofType(await run({ data: patternImages(100), limit: 1000, steps: 1 }), "start");
  assert.deepEqual([all.trainImages, all.validationImages], [90, 10]);
});

Deno.test("settings that do not fit the data are refused by name", async () => {
  const data = patternImages(40);
  const wide = imageDataset({ ...data, height: 4, width: 16 });
  for (
    const [options, message] of [
      [{ batch: 37 }, "batch: expected at most the 36 training images (`batch` times `accumulate`), got 37"],
      [{ batch: 10, accumulate: 4 }, /^batch: .*36 training images.*got 40$/],
      [{ data: wide }, 'model: expected a network for 4x16x3 images, as the data has, got "8x8x3"'],
      [{ model: microNetwork({ outChannels: 6 }) }, /^model: .*8x8x3 images.*got "8x8x3 to 6"/],
      [{ samplesPerClass: 0 }, "samplesPerClass: expected a whole number from 1 to 256, got 0"],
      [{ sampleEvery: 0.5 }, /^sampleEvery: /],
      [{ logEvery: 257 }, "logEvery: expected a whole number from 0 to 256, got 257"],
      [{ guidance: -1 }, /^guidance: /],
    ] as const
  ) {
    await assert.rejects(run(options), (error: Error) => {
      if (typeof message === "string") assert.equal(error.message, message);
      else assert.match(error.message, message);
      return error instanceof ConfigError;
    });
  }
});

Deno.test("a run frees its memory on the caller's device and its directory, however it ends", async () => {
  await inTemporaryDirectory(async (directory) => {
    const gpu = await testGpu();
    const before = [gpu.memory.live, gpu.memory.used];
    const assertFreed = (what: string) =>
      assert.deepEqual([gpu.memory.live, gpu.memory.used], before, `after ${what}`);

    for (const type of ["start", "step", "validation", "epoch", "samples"] as const) {
      const options = { out: join(directory, type), sampleEvery: 1, samplesPerClass: 1, sampleSteps: 1 };
      for await (const event of train(microOptions({ ...options, gpu, epochs: 2 }))) {
        if (event.type === type) break;
      }
      assertFreed(`leaving at the first ${type}`);
    }

    const out = join(directory, "unwritable");
    await Deno.mkdir(join(out, "metrics.jsonl"), { recursive: true });
    await assert.rejects(run({ out }), (error: Error) => {
      assert.match(error.message, /metrics\.jsonl/);
      return error instanceof CheckpointError;
    });
    assertFreed("an error while writing");
    await Deno.remove(out, { recursive: true });
    await run({ out, steps: 1 });
    assertFreed("the end");
  });
});

Deno.test("without a device of the caller's, train opens one and closes it", async () => {
  const events: string[] = [];
  for await (const event of train(microOptions({ steps: 1, epochs: 1, logEvery: 1 }))) {
    events.push(event.type);
  }
  assert.deepEqual(events, ["data", "start", "step", "validation", "epoch", "end"]);
});

/** `count` images, `times` over, each its own class. */
function repeated(count: number, times: number): ReturnType<typeof patternImages> {
  const all = patternImages(count * times, count);
  const images = all.images.read(Array.from({ length: all.count }, (_, i) => i % count));
  return imageDataset({ ...all, images });
}

/** Root of the mean squared difference, grey levels. */
function distance(a: Uint8Array, b: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
  return Math.sqrt(sum / a.length);
}
