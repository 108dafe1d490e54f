/** Training with non-leaky augmentation, through whole runs. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { loadLatestCheckpoint, loadPipeline } from "../../lib/files/checkpoint.ts";
import { reconstructEma } from "../../lib/files/ema_snapshots.ts";
import { ConfigError } from "../../lib/errors.ts";
import { unetParameters } from "../../lib/model/network.ts";
import { inTemporaryDirectory } from "../support/train/directories.ts";
import { digests, endOf, microNetwork, patternImages, run, stateOf } from "../support/train/micro.ts";

const LAYER = "augmentation_embedding.weight";
const SETTINGS = {
  data: patternImages(80),
  augment: 0.5,
  accumulate: 2,
  epochs: 6,
  lr: 4e-3,
  emaProfiles: [0.1],
};

Deno.test("validation loss falls, and a run interrupted in mid-epoch comes to the same bits", async () => {
  await inTemporaryDirectory(async (directory) => {
    const [straight, resumed] = [join(directory, "straight"), join(directory, "resumed")];
    const { history } = endOf(await run({ ...SETTINGS, out: straight }));
    const [first, last] = [history[0].valLoss!, history.at(-1)!.valLoss!];
    assert.ok(last < 0.95 * first, `validation loss ${first}, then ${last}`);

    await run(
      { ...SETTINGS, out: resumed, logEvery: 1 },
      ({ type, step = 0 }: { type: string; step?: number }) => type === "step" && step >= 10,
    );
    assert.equal((await loadLatestCheckpoint(resumed)).step, 10);
    await run({ data: SETTINGS.data, out: resumed, resume: true });
    assert.deepEqual(await stateOf(resumed), await stateOf(straight));
  });
});

Deno.test("the layer is trained and stored with the trainer, and is in no model", async () => {
  await inTemporaryDirectory(async (out) => {
    await run({ ...SETTINGS, epochs: 3, out, keepBest: true });
    const { ema, trainerTensors } = await loadLatestCheckpoint(out);
    const embedding = 4 * microNetwork().blockOutChannels[0];
    for (const prefix of ["raw", "m", "v", "ema0"]) {
      const { shape, data } = trainerTensors.get(`${prefix}.${LAYER}`)!;
      assert.deepEqual(shape, [9, embedding]);
      // A row that no sample used would be zero.
      for (let k = 0; k < 9; k++) {
        const row = (data as Float32Array).subarray(k * embedding, (k + 1) * embedding);
        assert.ok(row.some((value) => value !== 0), `${prefix}, row ${k}`);
      }
    }
    assert.ok(!ema.has(LAYER));
    for (const model of [out, join(out, "best")]) assert.ok(!(await loadPipeline(model)).tensors.has(LAYER));
    assert.ok(!(await reconstructEma(out, 0.1)).tensors.has(LAYER));
  });
});

Deno.test("augmentation changes neither initial weights nor validation", async () => {
  const [plain, augmented] = [false, true].map((each) => unetParameters(microNetwork(), "float32", each));
  assert.deepEqual(augmented!.initialize(5).subarray(0, plain!.elements), plain!.initialize(5));
  assert.deepEqual(augmented!.parameters.map(({ name }) => name), [
    ...plain!.parameters.map(({ name }) => name),
    LAYER,
  ]);
  const still = { data: SETTINGS.data, lr: 1e-30, warmup: 0, epochs: 1 };
  const [first] = endOf(await run({ ...still, augment: 0.5 })).history;
  const [second] = endOf(await run(still)).history;
  assert.equal(first!.valLoss, second!.valLoss);
  assert.notEqual(first!.trainLoss, second!.trainLoss);
});

Deno.test("a model is fine-tuned with augmentation, whether or not it was trained with it", async () => {
  await inTemporaryDirectory(async (directory) => {
    for (const augment of [0, 0.5]) {
      const [init, out] = [join(directory, `init ${augment}`), join(directory, `out ${augment}`)];
      await run({ ...SETTINGS, augment, epochs: 1, out: init });
      await run({
        data: SETTINGS.data,
        model: undefined,
        init,
        out,
        augment: 0.5,
        lr: 1e-30,
        warmup: 0,
        steps: 1,
      });
      const { trainerTensors } = await loadLatestCheckpoint(out);
      const raw = new Map(
        [...trainerTensors].flatMap(([name, tensor]) =>
          name.startsWith("raw.") ? [[name.slice(4), tensor]] : []
        ),
      );
      const { data } = raw.get(LAYER)!;
      assert.ok(
        (data as Float32Array).every((value) => Math.abs(value) < 1e-20),
        "the layer starts from zero",
      );
      raw.delete(LAYER);
      assert.deepEqual(digests(raw), digests((await loadPipeline(init)).tensors));
    }
  });
});

Deno.test("a resumed run keeps its augmentation", async () => {
  await inTemporaryDirectory(async (out) => {
    await run({ model: microNetwork(), augment: 0.12, steps: 2, out });
    await assert.rejects(run({ out, resume: true, augment: 0.2, steps: 3 }), (error: Error) => {
      assert.match(error.message, /^augment: .*0\.12, with which this run was started/);
      return error instanceof ConfigError;
    });
  });
});
