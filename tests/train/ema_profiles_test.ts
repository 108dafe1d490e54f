/** Averages with power-function profiles of a run, their snapshots, and averages of other widths from those. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { CheckpointError, ConfigError } from "../../lib/errors.ts";
import { type Checkpoint, loadLatestCheckpoint, loadPipeline } from "../../lib/files/checkpoint.ts";
import { EMA_SNAPSHOTS, reconstructEma } from "../../lib/files/ema_snapshots.ts";
import { exportModel } from "../../lib/files/export.ts";
import type { TrainOptions } from "../../lib/train/trainer.ts";
import { emaSnapshotIsDue } from "../../lib/train/snapshot_schedule.ts";
import { planRun } from "../../lib/train/run_plan.ts";
import { SOFTWARE } from "../support/adapters.ts";
import { assertClose } from "../support/close.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { digest, digests, microOptions, run, stateOf } from "../support/train/micro.ts";

/** 32 steps in 8 epochs, with a rate at which averages differ. */
const SETTINGS: Partial<TrainOptions> = { epochs: 8, lr: 5e-3, emaProfiles: [0.05, 0.1] };

/** All values of tensors with a prefix, by name. */
function valuesOf(tensors: Checkpoint["trainerTensors"], prefix = ""): number[] {
  return [...tensors].filter(([name]) => name.startsWith(prefix)).sort(([a], [b]) => a < b ? -1 : 1)
    .flatMap(([, { data }]) => [...data]);
}

function distance(a: readonly number[], b: readonly number[]): number {
  return Math.hypot(...a.map((value, i) => value - b[i]!));
}

async function snapshotsIn(out: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(join(out, EMA_SNAPSHOTS))) names.push(name);
  return names.sort();
}

Deno.test("an average of another width, from the snapshots of two, is the one that a run tracks", async () => {
  await inTemporaryDirectory(async (directory) => {
    const [two, one] = [join(directory, "two"), join(directory, "one")];
    await run({ ...SETTINGS, out: two });
    await run({ ...SETTINGS, out: one, emaProfiles: [0.07] });
    const [ofTwo, ofOne] = [await loadLatestCheckpoint(two), await loadLatestCheckpoint(one)];
    assert.deepEqual(digests(ofTwo.ema), digests(ofOne.ema), "profiles change nothing else");
    const tracked = valuesOf(ofOne.trainerTensors, "ema0.");
    const { tensors, step, snapshots, error } = await reconstructEma(two, 0.07);
    assert.deepEqual([step, snapshots], [32, 8]);
    assert.ok(error < 0.02, `error ${error}`);
    const reconstructed = valuesOf(tensors);
    const apart = distance(valuesOf(ofTwo.trainerTensors, "ema0."), valuesOf(ofTwo.trainerTensors, "ema1."));
    const missed = distance(reconstructed, tracked);
    assert.ok(missed < apart / 10, `${missed} away, where the two profiles are ${apart} apart`);
  });
});

Deno.test("the averages are those of the weights after each step, in float64", async () => {
  await inTemporaryDirectory(async (out) => {
    const averages = [0.05, 0.1].map(() => [] as number[]);
    for (let step = 1; step <= 6; step++) {
      await run({ ...SETTINGS, out, steps: step, resume: step > 1 });
      const { trainerTensors } = await loadLatestCheckpoint(out);
      const weights = valuesOf(trainerTensors, "raw.");
      for (const [i, gamma] of [16.972198602303447, 6.937203937601809].entries()) {
        const decay = (1 - 1 / step) ** (gamma + 1);
        averages[i] = weights.map((value, j) => decay * (averages[i]![j] ?? 0) + (1 - decay) * value);
        assertClose(valuesOf(trainerTensors, `ema${i}.`), averages[i]!, { absolute: 1e-6 }, `step ${step}`);
      }
    }
  });
});

Deno.test("interrupted and resumed, averages and snapshots are bit-identical", async () => {
  await inTemporaryDirectory(async (directory) => {
    const [straight, resumed] = [join(directory, "straight"), join(directory, "resumed")];
    const settings = { ...SETTINGS, epochs: 4, logEvery: 1 };
    await run({ ...settings, out: straight });
    await run({ ...settings, out: resumed }, (event) => event.type === "step" && event.step === 6);
    // As a crash after the snapshot and before its checkpoint leaves it.
    await Deno.copyFile(
      join(straight, EMA_SNAPSHOTS, "step-00000016.safetensors"),
      join(resumed, EMA_SNAPSHOTS, "step-00000099.safetensors"),
    );
    await run({ out: resumed, resume: true });
    assert.deepEqual(await stateOf(resumed), await stateOf(straight));
    const names = [4, 8, 12, 16].map((step) => `step-000000${String(step).padStart(2, "0")}.safetensors`);
    assert.deepEqual([await snapshotsIn(straight), await snapshotsIn(resumed)], [names, names]);
    for (const name of names) {
      const bytes = (out: string) => Deno.readFile(join(out, EMA_SNAPSHOTS, name));
      assert.equal(digest(await bytes(resumed)), digest(await bytes(straight)), name);
    }
  });
});

Deno.test("snapshots come as often as they were asked for, about 16 times in a run, and at its end", () => {
  const epochsOf = (options: Partial<TrainOptions>) => {
    const plan = planRun(microOptions({ emaProfiles: [0.1], ...options }), SOFTWARE);
    const { progress, stepsPerEpoch, totalSteps } = plan;
    const due: number[] = [];
    for (let epoch = 1; (progress.step = Math.min(epoch * stepsPerEpoch, totalSteps)); epoch++) {
      progress.history.push({ epoch, step: progress.step, trainLoss: 1, valLoss: 1, seconds: 1 });
      if (emaSnapshotIsDue(plan)) due.push(epoch);
      if (progress.step === totalSteps) break;
    }
    return due;
  };
  assert.deepEqual(epochsOf({ epochs: 7, snapshotEvery: 3 }), [3, 6, 7]);
  assert.deepEqual(epochsOf({ epochs: 5 }), [1, 2, 3, 4, 5]);
  assert.deepEqual(epochsOf({ epochs: 160 }), Array.from({ length: 16 }, (_, i) => 10 * (i + 1)));
  assert.deepEqual(epochsOf({ epochs: null, steps: 9, snapshotEvery: 5 }), [3], "in mid-epoch");
});

Deno.test("a model of any width is exported, with the run's configuration", async () => {
  await inTemporaryDirectory(async (directory) => {
    const [out, model] = [join(directory, "run"), join(directory, "model")];
    await run({ ...SETTINGS, out, epochs: 4 });
    const { ema } = await exportModel(out, model, { emaSigma: 0.1, precision: "float32" });
    const { error, ...rest } = ema!;
    assert.deepEqual(rest, { step: 16, snapshots: 4 });
    assert.ok(error < 1e-6);
    const [exported, source] = [await loadPipeline(model), await loadPipeline(out)];
    const { trainerTensors } = await loadLatestCheckpoint(out);
    assertClose(valuesOf(exported.tensors), valuesOf(trainerTensors, "ema1."), { absolute: 1e-6 }, "tracked");
    for (const part of ["unetConfig", "schedulerConfig", "modelIndex"] as const) {
      assert.deepEqual(exported[part], source[part]);
    }
  });
});

Deno.test("what no average can be made from is refused", async () => {
  await inTemporaryDirectory(async (directory) => {
    const out = join(directory, "run");
    await run({ out, epochs: 1 });
    const refusal = async (
      body: () => Promise<unknown>,
      type: typeof ConfigError | typeof CheckpointError,
    ) => {
      let message = "";
      await assert.rejects(body, (error: Error) => {
        message = error.message;
        return error instanceof type;
      });
      return message;
    };
    const model = join(directory, "model");
    assert.match(
      await refusal(() => exportModel(out, model, { emaSigma: 0.07 }), CheckpointError),
      /run has no snapshots of averages to reconstruct others from: train with `emaProfiles`$/,
    );
    assert.match(
      await refusal(() => exportModel(out, model, { emaSigma: 0.5 }), ConfigError),
      /^emaSigma: expected a relative width above 0\.005 and below 0\.288, got 0\.5$/,
    );
    assert.match(
      await refusal(() => run({ emaProfiles: [0.1, 0.1] }), ConfigError),
      /^emaProfiles: expected widths that differ from each other, got \[0\.1, 0\.1\]$/,
    );
    assert.match(
      await refusal(() => run({ emaProfiles: undefined, snapshotEvery: 2 }), ConfigError),
      /^snapshotEvery: expected null without `emaProfiles`, got 2$/,
    );
    assert.match(
      await refusal(() => run({ out, resume: true, emaProfiles: [0.1] }), ConfigError),
      /^emaProfiles: expected null, with which this run was started/,
    );
    await run({ out: join(directory, "damaged"), epochs: 1, emaProfiles: [0.1] });
    const file = join(directory, "damaged", EMA_SNAPSHOTS, "step-00000004.safetensors");
    const bytes = await Deno.readFile(file);
    bytes[bytes.length - 3]! ^= 1;
    await Deno.writeFile(file, bytes);
    assert.match(
      await refusal(() => reconstructEma(join(directory, "damaged"), 0.07), CheckpointError),
      /step-00000004\.safetensors: tensor .* is damaged/,
    );
  });
});
