/** Runs that cannot be resumed, and directories that a run must not use. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { imageDataset } from "../../lib/data/image_dataset.ts";
import { DenoiseError, TrainingError } from "../../lib/errors.ts";
import type { UNetConfig } from "../../lib/model/config.ts";
import { listCheckpoints } from "../../lib/files/checkpoint.ts";
import type { TrainOptions } from "../../lib/train/trainer.ts";
import { train } from "../../lib/train/trainer.ts";
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
import { RUN_SETTINGS } from "../support/train/uninterrupted.ts";

Deno.test("a run that cannot be resumed, or must not be overwritten, is refused by name and left unchanged", async () => {
  await inTemporaryDirectory(async (directory) => {
    const out = join(directory, "run");
    await run({ ...RUN_SETTINGS, out, steps: 2 });
    const before = await stateOf(out);
    const data = patternImages(40);
    const others = imageDataset({
      ...data,
      images: data.images.range().map((byte, i) => i === 7 ? byte ^ 1 : byte),
    });
    const cases: [Partial<TrainOptions>, RegExp][] = [
      [{ ...RUN_SETTINGS, out }, /^out: expected a directory without a run, or `resume`/],
      [{ out, resume: true, lr: 1 }, /^lr: expected 0\.002, with which this run was started/],
      [{ out, resume: true, batch: 4 }, /^batch: expected 8/],
      [{ out, resume: true, limit: 16 }, /^limit: expected null/],
      [{ out, resume: true, preset: "tiny" }, /^preset: expected "custom"/],
      [{ out, resume: true, dropout: 0.2 }, /^dropout: expected 0\.1/],
      [{ out, resume: true, conditional: false }, /^conditional: expected true/],
      [{ out, resume: true, model: microNetwork({ blockOutChannels: [4, 16] }) }, /^model: expected/],
      [
        { out, resume: true, data: others },
        /^data: expected the images this run was started with, patterns \(digest [\da-f]{12}\), got "patterns \(digest/,
      ],
      [{ resume: true }, /^resume: .*`out`/],
      [{ out: join(directory, "elsewhere"), resume: true }, /elsewhere does not exist/],
      [{ ...RUN_SETTINGS, out: join(directory, "elsewhere"), lr: -1 }, /^lr: /],
      [{ ...RUN_SETTINGS, out: join(directory, "elsewhere"), batch: 64 }, /^batch: .*36 training images/],
    ];
    for (const [options, message] of cases) {
      await assert.rejects(run(options), (error: Error) => {
        assert.match(error.message, message);
        return error instanceof DenoiseError;
      });
    }
    await assert.rejects(Deno.stat(join(directory, "elsewhere")), Deno.errors.NotFound);
    assert.deepEqual(await stateOf(out), before);
  });
});

Deno.test("settings that are given again and agree, or were left open, are no change", async () => {
  await inTemporaryDirectory(async (out) => {
    await run({ ...RUN_SETTINGS, out, steps: 1 });
    // The same network with its fields in another order.
    const model = Object.fromEntries(Object.entries(microNetwork({ dropout: 0.1 })).reverse());
    const same = { model: model as unknown as UNetConfig, dropout: 0.1, conditional: true };
    for (const options of [{ preset: "auto" as const }, { ...microOptions(RUN_SETTINGS), ...same }]) {
      const [start] = ofType(await run({ ...options, out, steps: 1, resume: true }), "start");
      assert.equal(start.settings.preset, "custom");
    }
  });
});

Deno.test("a directory that another run trains in is refused; it is free again when that run is left", async () => {
  await inTemporaryDirectory(async (out) => {
    for await (const event of train(microOptions({ ...RUN_SETTINGS, gpu: await testGpu(), out }))) {
      if (event.type !== "start") continue;
      await assert.rejects(run({ ...RUN_SETTINGS, out }), (error: Error) => {
        assert.match(error.message, /in use by another process/);
        return error instanceof TrainingError;
      });
      break;
    }
    await run({ ...RUN_SETTINGS, out, steps: 1 });
  });
});

Deno.test("the interruption of a run whose signal came before its first step leaves nothing to resume", async () => {
  await inTemporaryDirectory(async (out) => {
    const events = await run({ ...RUN_SETTINGS, out }, (event) => event.type === "start");
    assert.deepEqual(events.map(({ type }) => type), ["data", "start", "end"]);
    assert.equal(endOf(events).interrupted, true);
    assert.deepEqual(await listCheckpoints(out), []);
    await assert.rejects(run({ out, resume: true }), /has no checkpoint/);
    await run({ ...RUN_SETTINGS, out, steps: 1 });
  });
});
