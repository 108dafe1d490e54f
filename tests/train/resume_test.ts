/** A run that was interrupted and resumed, in any way, is the run that never was. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { imageDataset } from "../../lib/data/dataset.ts";
import { DenoiseError, TrainingError } from "../../lib/errors.ts";
import type { UNetConfig } from "../../lib/model/config.ts";
import {
  type Checkpoint,
  listCheckpoints,
  loadLatestCheckpoint,
  saveCheckpoint,
} from "../../lib/files/checkpoint.ts";
import type { TrainSettings } from "../../lib/train/settings.ts";
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

/** Four steps an epoch, twelve in all; dropout, label dropout and flips draw their random numbers, too. */
const SETTINGS: Partial<TrainOptions> = { model: microNetwork({ dropout: 0.1 }), epochs: 3, logEvery: 1 };

let whole: Promise<unknown> | undefined;

/** The state after a run of {@linkcode SETTINGS} that nothing interrupted. */
function uninterrupted(): Promise<unknown> {
  return whole ??= (async () => {
    let state: unknown;
    await inTemporaryDirectory(async (out) => {
      await run({ ...SETTINGS, out });
      state = await stateOf(out);
    });
    return state;
  })();
}

Deno.test("interrupted in mid-epoch and resumed, weights, moments, EMA and history are bit-identical", async () => {
  await inTemporaryDirectory(async (out) => {
    const first = await run({ ...SETTINGS, out }, (event) => event.type === "step" && event.step === 6);
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
      await run({ ...SETTINGS, out, resume: step > 1 }, (event) => event.type === "step");
      assert.equal((await listCheckpoints(out))[0].step, step);
    }
    // The last interruption came before the last epoch's validation.
    await run({ ...SETTINGS, out, resume: true });
    assert.deepEqual(await stateOf(out), await uninterrupted());
  });
});

Deno.test("how often losses are read back changes no bit", async () => {
  await inTemporaryDirectory(async (out) => {
    await run({ ...SETTINGS, out, logEvery: 7 });
    assert.deepEqual(await stateOf(out), await uninterrupted());
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
      await run({ ...SETTINGS, out, resume: true });
      assert.deepEqual(await stateOf(out), await uninterrupted());
      // What the killed process had told beyond its checkpoint is told once.
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
    const settings = { ...SETTINGS, batch: 4, accumulate: 2, epochs: 2 };
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
    await run({ ...SETTINGS, out, epochs: 2 });
    const events = await run({ out, resume: true, epochs: 3 });
    assert.equal(ofType(events, "start")[0].totalSteps, 12);
    assert.deepEqual(await stateOf(out), await uninterrupted());
  });
});

Deno.test("a run that ended at a number of steps continues with its epochs as if it had not", async () => {
  await inTemporaryDirectory(async (out) => {
    const first = await run({ ...SETTINGS, out, steps: 6 });
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
    await run({ ...SETTINGS, out, epochs: null, steps: 6 });
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
    await run({ ...SETTINGS, out, steps: 2, epochs: 1 });
    const before = await stateOf(out);
    const events = await run({ out, resume: true });
    assert.deepEqual(events.map(({ type }) => type), ["start", "warning", "end"]);
    assert.match(
      ofType(events, "warning")[0].message,
      /^all 2 steps.*done; to continue it, set more `epochs` or `steps`$/,
    );
    assert.equal(endOf(events).history.length, 1);
    assert.deepEqual(await stateOf(out), before);
  });
});

Deno.test("resumed after a last save that was cut short, a run's model is what the newest checkpoint holds", async () => {
  await inTemporaryDirectory(async (out) => {
    await run({ ...SETTINGS, out, epochs: 2 });
    const [newest, older] = await listCheckpoints(out);
    const weights = "unet/diffusion_pytorch_model.safetensors";
    await Deno.copyFile(join(older.path, weights), join(out, weights));
    const events = await run({ out, resume: true });
    assert.match(
      ofType(events, "warning")[0].message,
      /^the model in .* was older than its newest checkpoint, and has been updated from it$/,
    );
    assert.deepEqual(
      await Deno.readFile(join(out, weights)),
      await Deno.readFile(join(newest.path, weights)),
    );
    assert.equal(ofType(await run({ out, resume: true }), "warning").length, 1); // that nothing is left to do
  });
});

Deno.test("a damaged checkpoint is passed over with a warning, and the one before it leads to the same end", async () => {
  await inTemporaryDirectory(async (out) => {
    await run({ ...SETTINGS, out, epochs: 2 });
    const [newest] = await listCheckpoints(out);
    const file = join(newest.path, "trainer.safetensors");
    const bytes = await Deno.readFile(file);
    bytes[bytes.length - 100] ^= 1;
    await Deno.writeFile(file, bytes);
    const events = await run({ out, resume: true, epochs: 3 });
    assert.equal(ofType(events, "start")[0].resumedFrom, 4);
    assert.match(ofType(events, "warning")[0].message, /step-00000008.*damaged/);
    assert.deepEqual(await stateOf(out), await uninterrupted());
  });
});

Deno.test("a whole checkpoint of an unknown format, or with tensors that do not fit, is passed over like a damaged one", async () => {
  await inTemporaryDirectory(async (out) => {
    await run({ ...SETTINGS, out, epochs: 2 });
    const good = await loadLatestCheckpoint(out);
    const tensor = { shape: [3], data: new Float32Array(3) };
    const settings = { ...good.trainer.settings as object, batch: "many" };
    const cases: [Partial<Checkpoint>, RegExp][] = [
      [{ trainer: { ...good.trainer, format: 1 } }, /trainer\.json: format 1, .* needs format 2/],
      [{ trainer: { ...good.trainer, settings } }, /trainer\.json: batch: expected a whole number/],
      [
        { ema: new Map([...good.ema, ["conv_in.bias", tensor]]) },
        /conv_in\.bias has shape \[3\], the network needs \[8\]/,
      ],
      [
        { trainerTensors: new Map([...good.trainerTensors, ["m.conv_in.bias", tensor]]) },
        /trainer\.safetensors: tensor conv_in\.bias has shape \[3\]/,
      ],
    ];
    for (const [change, reason] of cases) {
      await saveCheckpoint(out, { ...good, ...change });
      const events = await run({ out, resume: true, steps: 1 });
      assert.equal(ofType(events, "start")[0].resumedFrom, 4);
      const [{ message }] = ofType(events, "warning");
      assert.match(message, reason);
      assert.match(message, /step-00000008.*using .*step-00000004 instead$/);
    }
    await run({ out, resume: true, epochs: 3 });
    assert.deepEqual(await stateOf(out), await uninterrupted());
  });
});

Deno.test("a run resumed with less memory and more time comes to the same bits", async () => {
  await inTemporaryDirectory(async (out) => {
    await run({ ...SETTINGS, out }, (event) => event.type === "step" && event.step === 6);
    const events = await run({ out, resume: true, checkpointActivations: true });
    assert.equal(ofType(events, "start")[0].settings.checkpointActivations, true);
    const [plain] = ofType(await run({ ...SETTINGS, steps: 1 }), "start");
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
    assert.deepEqual(await gridsOf({ ...SETTINGS, ...grids, epochs: 1, sampleEvery: 0 }), []);
    assert.deepEqual(await gridsOf({ resume: true, epochs: 2 }), []);
    assert.deepEqual(await gridsOf({ resume: true, epochs: 4, sampleEvery: 3 }), [[3, 3], [4, 3]]);
    assert.deepEqual(await gridsOf({ resume: true, epochs: 5, samplesPerClass: 1 }), [[5, 1]]);
  });
});

Deno.test("what a run tells again after a resume stands once in its metrics", async () => {
  await inTemporaryDirectory(async (out) => {
    await run({ ...SETTINGS, out, steps: 6 });
    for (let i = 0; i < 2; i++) await run({ out, resume: true, steps: null });
    const lines = (await Deno.readTextFile(join(out, "metrics.jsonl"))).trim().split("\n")
      .map((line) => JSON.parse(line) as { type: string; step: number });
    const steps = (type: string) => lines.filter((line) => line.type === type).map(({ step }) => step);
    assert.deepEqual([steps("epoch"), steps("end")], [[4, 8, 12], [12]]);
  });
});

Deno.test("an epoch's seconds are those of all processes that trained in it, and the run's those of its epochs", async () => {
  await inTemporaryDirectory(async (out) => {
    await run({ ...SETTINGS, out }, (event) => event.type === "step" && event.step === 6);
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

Deno.test("what cannot be resumed, or must not be overwritten, is refused by name and left unchanged", async () => {
  await inTemporaryDirectory(async (directory) => {
    const out = join(directory, "run");
    await run({ ...SETTINGS, out, steps: 2 });
    const before = await stateOf(out);
    const data = patternImages(40);
    const others = imageDataset({ ...data, images: data.images.map((byte, i) => i === 7 ? byte ^ 1 : byte) });
    const cases: [Partial<TrainOptions>, RegExp][] = [
      [{ ...SETTINGS, out }, /^out: expected a directory without a run, or `resume`/],
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
      [{ ...SETTINGS, out: join(directory, "elsewhere"), lr: -1 }, /^lr: /],
      [{ ...SETTINGS, out: join(directory, "elsewhere"), batch: 64 }, /^batch: .*36 training images/],
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
    await run({ ...SETTINGS, out, steps: 1 });
    // The same network with its fields in another order.
    const model = Object.fromEntries(Object.entries(microNetwork({ dropout: 0.1 })).reverse());
    const same = { model: model as unknown as UNetConfig, dropout: 0.1, conditional: true };
    for (const options of [{ preset: "auto" as const }, { ...microOptions(SETTINGS), ...same }]) {
      const [start] = ofType(await run({ ...options, out, steps: 1, resume: true }), "start");
      assert.equal(start.settings.preset, "custom");
    }
  });
});

Deno.test("a directory that another run trains in is refused; it is free again when that run is left", async () => {
  await inTemporaryDirectory(async (out) => {
    for await (const event of train(microOptions({ ...SETTINGS, gpu: await testGpu(), out }))) {
      if (event.type !== "start") continue;
      await assert.rejects(run({ ...SETTINGS, out }), (error: Error) => {
        assert.match(error.message, /in use by another training run/);
        return error instanceof TrainingError;
      });
      break;
    }
    await run({ ...SETTINGS, out, steps: 1 });
  });
});

Deno.test("the interruption of a run whose signal came before its first step leaves nothing to resume", async () => {
  await inTemporaryDirectory(async (out) => {
    const events = await run({ ...SETTINGS, out }, (event) => event.type === "start");
    assert.deepEqual(events.map(({ type }) => type), ["start", "end"]);
    assert.equal(endOf(events).interrupted, true);
    assert.deepEqual(await listCheckpoints(out), []);
    await assert.rejects(run({ out, resume: true }), /has no checkpoint/);
    await run({ ...SETTINGS, out, steps: 1 });
  });
});
