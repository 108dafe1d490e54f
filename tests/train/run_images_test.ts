/** Training with images that are streamed to the device is the training with all of them on it. */
import assert from "node:assert/strict";
import { imageDataset } from "../../lib/data/image_dataset.ts";
import { MemoryImages } from "../../lib/data/image_store.ts";
import { DataError } from "../../lib/errors.ts";
import { openGpu } from "../../lib/gpu/open.ts";
import { listCheckpoints } from "../../lib/files/checkpoint.ts";
import type { EvaluationEvent, TrainEvent } from "../../lib/train/events.ts";
import type { TrainOptions } from "../../lib/train/trainer.ts";
import { storedDataset } from "../support/stored_images.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { endOf, microNetwork, ofType, patternImages, run, stateOf } from "../support/train/micro.ts";

/** A batch that is no multiple of four, so that labels are not whole words; the last batch of validation is not full. */
const SETTINGS: Partial<TrainOptions> = {
  data: patternImages(70, 2),
  model: microNetwork({ dropout: 0.1, numClassEmbeds: 2 }),
  ...{ batch: 5, accumulate: 2, flip: true, epochs: 2, logEvery: 1 },
};

/** Loss of each step, and of training and validation of each epoch. */
async function losses(options: Partial<TrainOptions>): Promise<number[]> {
  const events = await run(options);
  return [
    ...ofType(events, "step").map(({ loss }) => loss),
    ...ofType(events, "epoch").flatMap(({ trainLoss, valLoss }) => [trainLoss, valLoss!]),
  ];
}

for (const augment of [0, 0.3]) {
  Deno.test(`streamed images give every loss and weight bit for bit, with augmentation ${augment}`, async () => {
    await inTemporaryDirectory(async (directory) => {
      const results = [];
      for (const imagesOn of ["device", "host"] as const) {
        const out = `${directory}/${imagesOn}`;
        results.push({
          losses: await losses({ ...SETTINGS, augment, imagesOn, out }),
          state: await stateOf(out),
        });
      }
      assert.equal(results[0]!.losses.length, 2 * 6 + 2 * 2);
      assert.deepEqual(results[1], results[0]);
    });
  });
}

Deno.test("a run is resumed in mid-epoch with its images elsewhere, and is the run that never was interrupted", async () => {
  await inTemporaryDirectory(async (directory) => {
    const [whole, parts] = [`${directory}/whole`, `${directory}/parts`];
    await run({ ...SETTINGS, imagesOn: "device", out: whole });
    const stops = { 2: "host", 4: "device", 9: "host" } as const;
    let resume = false;
    for (const [step, imagesOn] of Object.entries(stops)) {
      const events = await run(
        { ...SETTINGS, imagesOn, resume, out: parts },
        (event) => event.type === "step" && event.step === Number(step),
      );
      assert.equal(endOf(events).step, Number(step));
      assert.deepEqual(ofType(events, "warning"), []);
      resume = true;
    }
    await run({ ...SETTINGS, imagesOn: "device", resume, out: parts });
    assert.deepEqual(await stateOf(parts), await stateOf(whole));
  });
});

Deno.test("images are streamed where they would take more than half of the memory left, or do not fit", async () => {
  const many = patternImages(4000);
  const begin = async (options: Partial<TrainOptions>) => {
    const [start] = ofType(await run({ ...SETTINGS, ...options }, () => true), "start");
    return start!;
  };
  const [device, host] = [
    await begin({ data: many, imagesOn: "device" }),
    await begin({ data: many, imagesOn: "host" }),
  ];
  assert.deepEqual([device.imagesOn, host.imagesOn], ["device", "host"]);
  assert.deepEqual([device.imageFile, host.imageFile], [undefined, undefined]);
  const saved = device.deviceBytes - host.deviceBytes;
  assert.ok(saved > 3900 * (192 + 5) && saved < 4000 * (192 + 5), `${saved} bytes`);

  assert.equal((await begin({ data: many })).imagesOn, "device");
  // Images fit beside the rest, and take less than half of the memory; one byte less, and they do not fit.
  for (
    const [memoryBudget, expected] of [[device.deviceBytes, "device"], [
      device.deviceBytes - 4,
      "host",
    ]] as const
  ) {
    const gpu = await openGpu({ memoryBudget });
    assert.equal((await begin({ data: many, gpu })).imagesOn, expected);
    gpu.close();
  }
  const tooMany = patternImages(40_000);
  const gpu = await openGpu({ memoryBudget: device.deviceBytes });
  assert.equal((await begin({ data: tooMany, gpu })).imagesOn, "host");
  await assert.rejects(
    run({ ...SETTINGS, data: tooMany, gpu, imagesOn: "device" }),
    /data set, images .* MiB/,
  );
  assert.equal(gpu.memory.live, 0);
  gpu.close();
});

Deno.test("an image that can no longer be read ends the run with its name, and the steps so far are saved", async () => {
  await inTemporaryDirectory(async (directory) => {
    let batches = 0;
    class Failing extends MemoryImages {
      override openReader() {
        const reader = super.openReader();
        return {
          ...reader,
          read: (indices: Uint32Array) =>
            ++batches === 9
              ? Promise.reject(new DataError(`cats.images: image ${indices[0]}: cannot be read`))
              : reader.read(indices),
        };
      }
    }
    const data = patternImages(70, 2);
    const failing = { ...data, images: new Failing(data.images.range(), 192) };
    const options = { ...SETTINGS, imagesOn: "host" } as const;
    const out = `${directory}/run`;
    await assert.rejects(run({ ...options, data: failing, out }), (error: Error) => {
      assert.match(
        error.message,
        /^cats\.images: image \d+: cannot be read; the state before it is saved in .*step-0*4$/,
      );
      return error instanceof DataError;
    });
    assert.equal((await listCheckpoints(out))[0]!.step, 4);
    await run({ ...options, data: imageDataset({ ...data }), resume: true, out });
    await run({ ...options, data, out: `${directory}/whole` });
    assert.deepEqual(await stateOf(out), await stateOf(`${directory}/whole`));
  });
});

Deno.test("images in a file train as those in memory, on the device and streamed, evaluations included", async () => {
  await inTemporaryDirectory(async (directory) => {
    const memory = patternImages(70, 2);
    const file = `${directory}/patterns.safetensors`;
    const stored = await storedDataset(memory, file);
    const states: unknown[] = [];
    for (const data of [memory, stored]) {
      for (const imagesOn of ["device", "host"] as const) {
        const out = `${directory}/run-${states.length}`;
        const events = await run({ ...SETTINGS, data, imagesOn, evaluateEvery: 2, out });
        const [start] = ofType(events, "start");
        assert.equal(start!.imageFile, data === stored ? file : undefined);
        const [{ bitsPerDimension }] = ofType(events, "evaluation") as [EvaluationEvent];
        states.push({ bitsPerDimension, state: await stateOf(out) });
      }
    }
    for (const state of states) assert.deepEqual(state, states[0]);
    stored.images.close();
  });
});

Deno.test("a file that is cut short in mid-run ends the run, which is resumed once the file is whole", async () => {
  await inTemporaryDirectory(async (directory) => {
    const memory = patternImages(70, 2);
    const file = `${directory}/patterns.safetensors`;
    const stored = await storedDataset(memory, file);
    const options = { ...SETTINGS, imagesOn: "host", epochs: 12 } as const;
    const [out, whole] = [`${directory}/run`, `${directory}/whole`];
    const cut = (event: TrainEvent) => {
      if (event.type === "step" && event.step === 8) Deno.truncateSync(file, 5000);
      return false;
    };
    await assert.rejects(run({ ...options, data: stored, out }, cut), (error: Error) => {
      const expected =
        /patterns\.safetensors: image \d+: the file was cut short while it was in use; the state before it is saved in /;
      assert.match(error.message, expected);
      return error instanceof DataError;
    });
    stored.images.close();
    assert.ok((await listCheckpoints(out))[0]!.step >= 8);
    const made = await storedDataset(memory, file);
    await run({ ...options, data: made, resume: true, out });
    made.images.close();
    await run({ ...options, data: memory, out: whole });
    assert.deepEqual(await stateOf(out), await stateOf(whole));
  });
});
