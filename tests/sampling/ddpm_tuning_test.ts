/** Drawing with kernels that were tried out. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { DDPM } from "../../lib/sampling/ddpm.ts";
import type { LoadModelOptions } from "../../lib/sampling/load_model.ts";
import type { TuningProgress } from "../../lib/tuning/tuning.ts";
import { testGpu } from "../support/gpu.ts";
import { inTemporaryDirectory, treeOf } from "../support/train/directories.ts";
import { microNetwork, run } from "../support/train/micro.ts";

/** Runs `body` with a model whose network is wide enough for algorithms to choose among. */
async function withModel(body: (model: string, tuningDirectory: string) => Promise<void>): Promise<void> {
  await inTemporaryDirectory(async (directory) => {
    const out = join(directory, "run");
    await run({ model: microNetwork({ blockOutChannels: [16, 16] }), out, steps: 1 });
    await body(out, join(directory, "tuning"));
  });
}

/** Loads a model, draws images one after the other, and tells what was told of trying kernels. */
async function drawn(
  model: string,
  options: LoadModelOptions,
  counts: readonly number[] = [2],
): Promise<{ readonly pixels: Uint8Array[]; readonly told: readonly TuningProgress[] }> {
  const told: TuningProgress[] = [];
  const ddpm = await DDPM.load(model, {
    gpu: await testGpu(),
    onTuning: (progress) => told.push(progress),
    onWarning: (message) => assert.fail(message),
    ...options,
  });
  const pixels: Uint8Array[] = [];
  for (const count of counts) {
    pixels.push((await ddpm.generate({ class: 0, count, steps: 3, seed: 4 })).pixels);
  }
  await ddpm.close();
  return { pixels, told };
}

Deno.test("kernels are autotuned before the first image, cached, and the same image is drawn with them later", async () => {
  await withModel(async (model, tuningDirectory) => {
    const first = await drawn(model, { tune: "on", tuningDirectory });
    assert.deepEqual(first.told.at(-1)!.done, first.told.at(-1)!.total);
    const files = Object.keys(await treeOf(tuningDirectory)).filter((name) => name !== ".lock");
    assert.deepEqual(files.map((name) => join(tuningDirectory, name)), [first.told.at(-1)!.finished!.keptIn]);
    const second = await drawn(model, { tune: "on", tuningDirectory });
    assert.deepEqual(second.told, []);
    assert.deepEqual(second.pixels, first.pixels);
  });
});

Deno.test("with autotuning off, or without a directory for it, nothing is timed or written", async () => {
  await withModel(async (model, tuningDirectory) => {
    for (const options of [{ tune: "off", tuningDirectory }, {}] as const) {
      assert.deepEqual((await drawn(model, options)).told, []);
    }
    await assert.rejects(Deno.stat(tuningDirectory), Deno.errors.NotFound);
  });
});

Deno.test("an image is the same at any batch size with autotuned kernels, too", async () => {
  await withModel(async (model, tuningDirectory) => {
    const { pixels: [three, one] } = await drawn(model, { tune: "on", tuningDirectory }, [3, 1]);
    assert.deepEqual(three.subarray(0, one.length), one);
  });
});

Deno.test("startBatch autotunes the kernels of all batch sizes at once", async () => {
  await withModel(async (model, tuningDirectory) => {
    const told: TuningProgress[] = [];
    const ddpm = await DDPM.load(model, {
      gpu: await testGpu(),
      ...{ tune: "on", tuningDirectory },
      onTuning: (progress) => told.push(progress),
    });
    const batch = await ddpm.startBatch({ rows: 4 });
    assert.equal(told.filter(({ finished }) => finished).length, 1);
    await ddpm.startBatch({ rows: 4 });
    assert.equal(told.filter(({ finished }) => finished).length, 1);
    assert.equal(batch.rows, 4);
    await assert.rejects(ddpm.startBatch({ rows: 0 }), /^ConfigError: rows: /);
    await ddpm.close();
  });
});
