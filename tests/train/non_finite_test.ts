/** Losses and gradients that are not finite, made by weights that are finite but absurd. */
import assert from "node:assert/strict";
import { TrainingError } from "../../lib/errors.ts";
import { type Checkpoint, loadLatestCheckpoint, saveCheckpoint } from "../../lib/files/checkpoint.ts";
import { testGpu } from "../support/gpu.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { digests, endOf, ofType, run } from "../support/train/micro.ts";

const FLOAT_MAX = 3.4028234663852886e38;

/** A run of two steps, and `poison` put into its checkpoint. */
async function poisonedRun(
  out: string,
  poison: (weights: Map<string, Float32Array>) => void,
  options: Parameters<typeof run>[0] = {},
): Promise<Checkpoint> {
  await run({ out, steps: 2, epochs: 1, ...options });
  const checkpoint = await loadLatestCheckpoint(out);
  const raw = [...checkpoint.trainerTensors].filter(([name]) => name.startsWith("raw."));
  poison(new Map(raw.map(([name, { data }]) => [name.slice(4), data as Float32Array])));
  await saveCheckpoint(out, checkpoint);
  return checkpoint;
}

function assertFinite(checkpoint: Checkpoint): void {
  for (const tensors of [checkpoint.ema, checkpoint.trainerTensors]) {
    for (const [name, { data }] of tensors) {
      assert.ok((data as Float32Array).every(Number.isFinite), `${name} is not finite`);
    }
  }
}

/** Weights with which every loss overflows. */
const overflow = (weights: Map<string, Float32Array>) => {
  weights.get("conv_out.weight")!.fill(1e30);
};

/** Only samples whose class was left out see this row. */
const poisonNullClass = (weights: Map<string, Float32Array>) => {
  const table = weights.get("class_embedding.weight")!;
  table.fill(FLOAT_MAX, 2 * table.length / 3);
};

Deno.test("a loss that is not finite ends the run with step and tensor named and the last good state kept", async () => {
  await inTemporaryDirectory(async (out) => {
    const gpu = await testGpu();
    const { live } = gpu.memory;
    const before = await poisonedRun(out, overflow);
    await assert.rejects(run({ out, resume: true, steps: null, logEvery: 4 }), (error: Error) => {
      assert.match(error.message, /^step 3: the loss stopped being finite, first in the gradient of [a-z]/);
      assert.match(
        error.message,
        /the state before it is saved in .*`onNonFinite: "skip"`.*learning rate \(`lr`\) or a longer `warmup`$/,
      );
      return error instanceof TrainingError;
    });
    const after = await loadLatestCheckpoint(out);
    assert.equal(after.step, 2);
    assertFinite(after);
    assert.deepEqual(digests(after.trainerTensors), digests(before.trainerTensors));
    assert.equal(gpu.memory.live, live);
  });
});

Deno.test("the good steps before it are in the state that is kept, though nothing had been read back since", async () => {
  await inTemporaryDirectory(async (directory) => {
    const [bad, good] = [`${directory}/bad`, `${directory}/good`];
    // Labels are left out so rarely that some steps pass before the poisoned row is used.
    for (const out of [bad, good]) {
      await poisonedRun(out, poisonNullClass, { labelDropout: 0.02, epochs: 50, seed: 8 });
    }
    let failed = 0;
    await assert.rejects(run({ out: bad, resume: true, steps: null, logEvery: 256 }), (error: Error) => {
      failed = Number(/^step (\d+):/.exec(error.message)![1]);
      return error instanceof TrainingError;
    });
    // Four steps an epoch: good ones went before it in its own.
    assert.ok(failed > 4 && failed % 4 !== 1, `step ${failed}`);
    const last = await loadLatestCheckpoint(bad);
    assert.equal(last.step, failed - 1);
    assertFinite(last);

    await run({ out: good, resume: true, steps: failed - 1 });
    const expected = await loadLatestCheckpoint(good);
    assert.deepEqual(digests(last.trainerTensors), digests(expected.trainerTensors));
    assert.deepEqual(digests(last.ema), digests(expected.ema));
    assert.deepEqual([last.trainer.lossSum, last.trainer.lossCount], [
      expected.trainer.lossSum,
      expected.trainer.lossCount,
    ]);
  });
});

Deno.test("gradients that overflow though the loss is finite end the run, too", async () => {
  await inTemporaryDirectory(async (out) => {
    // Huge activations times weights of 0 give a harmless output, and gradients of those weights that are huge.
    await poisonedRun(out, (weights) => {
      weights.get("conv_norm_out.weight")!.fill(1e36);
      weights.get("conv_out.weight")!.fill(0);
    });
    await assert.rejects(
      run({ out, resume: true, steps: null }),
      /^TrainingError: step 3: the gradients stopped/,
    );
    assertFinite(await loadLatestCheckpoint(out));
  });
});

Deno.test("with onNonFinite: skip, such steps are skipped with a warning, and the others train", async () => {
  await inTemporaryDirectory(async (out) => {
    const options = { labelDropout: 0.02, onNonFinite: "skip", epochs: 3 } as const;
    const before = await poisonedRun(out, poisonNullClass, options);
    const events = await run({ out, resume: true, steps: null, logEvery: 1 });
    assert.equal(endOf(events).step, 12);
    const skipped = ofType(events, "warning").map(({ message }) =>
      Number(/^step (\d+): .*skipped$/.exec(message)![1])
    );
    assert.ok(skipped.length > 0 && skipped.length < 10, `skipped: ${skipped}`);
    for (const { step, loss } of ofType(events, "step")) {
      assert.equal(Number.isFinite(loss), !skipped.includes(step), `loss ${loss} of step ${step}`);
    }
    for (const { trainLoss, valLoss } of endOf(events).history) {
      assert.ok(trainLoss > 0.1 && trainLoss < 1.5 && valLoss! > 0.1, `${trainLoss} ${valLoss}`);
    }
    const after = await loadLatestCheckpoint(out);
    assertFinite(after);
    const bias = "raw.conv_in.bias";
    assert.notDeepEqual(after.trainerTensors.get(bias), before.trainerTensors.get(bias));
  });
});

Deno.test("an epoch in which every step is skipped ends the run, and is not recorded with loss 0", async () => {
  await inTemporaryDirectory(async (out) => {
    await poisonedRun(out, overflow, { onNonFinite: "skip", epochs: 3 });
    await assert.rejects(run({ out, resume: true, steps: null, epochs: 3 }), (error: Error) => {
      assert.match(error.message, /^epoch 2: every step was skipped, .* not finite/);
      return error instanceof TrainingError;
    });
    const { trainer } = await loadLatestCheckpoint(out);
    assert.equal((trainer.history as unknown[]).length, 1);
  });
});

Deno.test("a validation loss or samples that are not finite are a warning, and training goes on", async () => {
  await inTemporaryDirectory(async (out) => {
    await run({ out, epochs: 1 });
    const checkpoint = await loadLatestCheckpoint(out);
    checkpoint.ema.get("conv_out.weight")!.data.fill(1e38);
    await saveCheckpoint(out, checkpoint);
    const events = await run({
      out,
      resume: true,
      epochs: 2,
      sampleEvery: 2,
      samplesPerClass: 1,
      sampleSteps: 2,
    });
    assert.deepEqual(ofType(events, "warning").map(({ message }) => message), [
      "epoch 2: the validation loss is not finite",
      "epoch 2: no sample grid, because images drawn with the EMA weights are not finite",
    ]);
    assert.deepEqual(ofType(events, "samples"), []);
    const { step, history } = endOf(events);
    assert.deepEqual([step, history[1].valLoss], [8, null]);
  });
});
