/** Runs on grey images, from the data to the pictures. */
import assert from "node:assert/strict";
import { imageDataset } from "../../lib/data/image_dataset.ts";
import { readModelFile } from "../../lib/files/checkpoint_files.ts";
import { DDPM } from "../../lib/sampling/ddpm.ts";
import { resolveSettings } from "../../lib/train/settings.ts";
import { readRunData } from "../../lib/train/run_directory.ts";
import { SOFTWARE } from "../support/adapters.ts";
import { testGpu } from "../support/gpu.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { endOf, microNetwork, ofType, run } from "../support/train/micro.ts";

const [HEIGHT, WIDTH, COUNT, HELD] = [8, 12, 12, 4];

/** Mid-grey images for training, and lighter ones for validation. */
const LIGHT = 191;
const data = imageDataset({
  name: "greys",
  images: Uint8Array.from(
    { length: COUNT * HEIGHT * WIDTH },
    (_, i) => i < HELD * HEIGHT * WIDTH ? LIGHT : 127,
  ),
  labels: Uint8Array.from({ length: COUNT }, (_, i) => i % 2),
  classes: ["a", "b"],
  ...{ height: HEIGHT, width: WIDTH, channels: 1 },
  validation: Uint32Array.from({ length: HELD }, (_, i) => i),
  imageOptions: { size: [HEIGHT, WIDTH], channels: 1 },
});

const model = microNetwork({ sampleSize: [HEIGHT, WIDTH], inChannels: 1, outChannels: 1 });

Deno.test("a grey data set trains a network of one channel, is resumed, and draws grey images", async () => {
  await inTemporaryDirectory(async (out) => {
    const options = { data, batch: 4, out };
    const events = await run({ ...options, model, steps: 2, lr: 1e-9, objective: "x0", evaluateEvery: 1 });
    const [{ bitsPerDimension, images }] = ofType(events, "evaluation");
    assert.equal(images, HELD);
    assert.ok(bitsPerDimension > 0 && Number.isFinite(bitsPerDimension), `${bitsPerDimension}`);
    // The network's first estimates are almost 0: the loss is the square of the validation images' values.
    const { valLoss } = endOf(events).history[0];
    assert.ok(Math.abs(valLoss! - (LIGHT / 127.5 - 1) ** 2) < 0.005, `${valLoss}`);
    const json = JSON.parse(new TextDecoder().decode(await readModelFile(`${out}/unet/config.json`)));
    assert.deepEqual([json.in_channels, json.out_channels, json.sample_size], [1, 1, [HEIGHT, WIDTH]]);
    assert.deepEqual((await readRunData(out))?.imageOptions, data.imageOptions);
    assert.equal(ofType(await run({ ...options, resume: true, steps: 4 }), "start")[0].resumedFrom, 2);

    const ddpm = await DDPM.load(out, { gpu: await testGpu(), tune: "off" });
    const { pixels, height, width } = await ddpm.generate({ class: "a", count: 2, steps: 3, seed: 1 });
    assert.deepEqual([height, width, pixels.length], [HEIGHT, WIDTH, 2 * HEIGHT * WIDTH * 3]);
    assert.ok(pixels.every((value, i) => value === pixels[i - i % 3]), "colours differ");
    assert.ok(pixels.every((value) => Math.abs(value - 127.5) < 20), "not the estimates");
    await ddpm.close();
  });
});

Deno.test("a network of other channels than the data's is refused", async () => {
  await assert.rejects(
    run({ data, model: microNetwork({ sampleSize: [HEIGHT, WIDTH] }), batch: 4 }),
    /^ConfigError: model: expected a network for 8x12x1 images, as the data has, got "8x12x3"$/,
  );
});

Deno.test("presets take the channels of the data; a learned variance and self-conditioning double them", () => {
  const shape = { height: 32, width: 32, channels: 1, classes: 2 } as const;
  const channels = (options: Parameters<typeof resolveSettings>[0]) => {
    const { inChannels, outChannels } = resolveSettings(options, SOFTWARE, shape).model;
    return [inChannels, outChannels];
  };
  assert.deepEqual(channels({}), [1, 1]);
  assert.deepEqual(channels({ learnedVariance: true, selfConditioning: true }), [2, 2]);
});
