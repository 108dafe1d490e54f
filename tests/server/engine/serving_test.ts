import assert from "node:assert/strict";
import { join } from "node:path";
import { CheckpointError, ConfigError } from "../../../lib/errors.ts";
import { saveCheckpoint } from "../../../lib/files/checkpoint.ts";
import { loadPipeline } from "../../../lib/files/pipeline.ts";
import { Serving } from "../../../server/engine/serving.ts";
import { planDraw } from "../../../lib/sampling/request.ts";
import { writeForeignPipeline } from "../../support/foreign_pipeline.ts";
import { PLAIN_GPU } from "../../support/adapters.ts";
import { testGpu } from "../../support/gpu.ts";
import { exceptDigests } from "../../support/digest_warning.ts";
import { microNetwork } from "../../support/train/micro.ts";
import { inTemporaryDirectory } from "../../support/train/directories.ts";
import { changedPipeline, PIPELINE } from "../../support/server/pipelines.ts";

const options = { rows: 2, onWarning: exceptDigests((message) => assert.fail(message)) };

Deno.test("a served model names its source and its settings, and leaves nothing on the device", async () => {
  const gpu = await testGpu();
  const before = [gpu.memory.live, gpu.memory.used];
  const serving = await Serving.open(gpu, { ...options, path: PIPELINE });
  const { config, schedule, loadedAt, stepSeconds, digest, ...facts } = serving.facts;
  assert.deepEqual(facts, {
    classes: ["0", "1", "2"],
    guide: undefined,
    guideDigest: undefined,
    id: "tiny_pipeline",
    path: PIPELINE,
    step: undefined,
    sampling: undefined,
    parameters: 7997,
    height: 8,
    width: 8,
    adapter: gpu.adapter.name,
    precision: "float32",
  });
  assert.match(digest, /^[0-9a-f]{64}$/);
  assert.deepEqual([config.sampleSize, schedule.timeAxis?.count], [8, 1000]);
  assert.ok(Math.abs(Date.now() - loadedAt) < 60_000);
  assert.ok(stepSeconds > 0 && stepSeconds < 60, `${stepSeconds}`);
  assert.equal(serving.batch.size, 0);
  await serving.close();
  assert.deepEqual([gpu.memory.live, gpu.memory.used], before);
});

Deno.test("mixed precision is served where the adapter has it, and refused with the reason where it has not", async () => {
  const gpu = await testGpu();
  const mixed = { ...options, path: PIPELINE, precision: "mixed" } as const;
  // Only what it is like is asked of it: it is refused before anything is on the device.
  const plain = Object.create(gpu, { adapter: { value: PLAIN_GPU } });
  await assert.rejects(Serving.open(plain, mixed), (error: Error) => {
    assert.match(
      error.message,
      /^precision: expected float32, because the adapter Plain Card has no matrix units/,
    );
    return error instanceof ConfigError;
  });
  if (!gpu.adapter.matrices) return;
  const serving = await Serving.open(gpu, mixed);
  assert.equal(serving.facts.precision, "mixed");
  await serving.close();
});

Deno.test("a run is served with the training step of its weights", async () => {
  const gpu = await testGpu();
  await inTemporaryDirectory(async (directory) => {
    const run = join(directory, "cats");
    const { tensors, unetConfig, schedulerConfig } = await loadPipeline(PIPELINE);
    const rest = { trainerTensors: new Map(), trainer: {}, modelIndex: {} };
    const checkpoint = { ema: tensors, unetConfig, schedulerConfig: schedulerConfig!, ...rest };
    await saveCheckpoint(run, { ...checkpoint, step: 1250 });
    const serving = await Serving.open(gpu, { ...options, path: `${run}/` });
    assert.deepEqual([serving.facts.id, serving.facts.step], ["cats-step-1250", 1250]);
    await serving.close();
  });
});

Deno.test("a served model is guided by the model that is given, and by no other size or broken one", async () => {
  const gpu = await testGpu();
  const before = [gpu.memory.live, gpu.memory.used];
  await inTemporaryDirectory(async (directory) => {
    const [weak, broken, other] = ["weak", "broken", "other"].map((name) => join(directory, name));
    await changedPipeline(weak, (name, data) => name === "conv_in.weight" && data.fill(0.1));
    await changedPipeline(broken, (name, data) => name === "conv_in.weight" && data.fill(1e38));
    await writeForeignPipeline(other, { config: microNetwork({ numClassEmbeds: 4, sampleSize: 4 }) });
    const images = await Promise.all([undefined, weak].map(async (guide) => {
      const serving = await Serving.open(gpu, { ...options, path: PIPELINE, guide });
      assert.equal(serving.facts.guide, guide && "weak");
      const { labels: [label], ...plan } = planDraw({ class: 1, steps: 2 }, serving.facts);
      assert.deepEqual([plan.guidance, plan.imageRows, plan.imageWork], [2, guide ? 1 : 2, 4]);
      serving.add({ ...plan, id: 1, label });
      let finished: readonly { data: Float32Array }[] = [];
      while (finished.length === 0) ({ finished } = await serving.batch.turn(1000));
      await serving.close();
      return finished[0].data;
    }));
    assert.notDeepEqual(images[0], images[1]);
    const open = (guide: string) =>
      Serving.open(gpu, { ...options, onWarning: () => {}, path: PIPELINE, guide });
    await assert.rejects(open(other), /^ConfigError: guide: expected a model with the image size 8 x 8 of /);
    await assert.rejects(open(broken), /broken: the model's output has non-finite values/);
  });
  assert.deepEqual([gpu.memory.live, gpu.memory.used], before);
});

Deno.test("a model that is ready draws what a request without parameters asks for", async () => {
  const gpu = await testGpu();
  await inTemporaryDirectory(async (directory) => {
    for (
      const [name, config, scheduler, defaults, steps] of [
        ["offset", {}, { num_train_timesteps: 20, steps_offset: 1 }, { sampler: "ddpm" }, 19],
        ["classes", { numClassEmbeds: 3 }, {}, { steps: 2, guidance: 3 }, 2],
        ["grey", { inChannels: 1, outChannels: 1 }, {}, { steps: 2000, sampler: "ddpm" }, 1000],
      ] as const
    ) {
      const path = join(directory, name);
      await writeForeignPipeline(path, { config: microNetwork(config), scheduler });
      const serving = await Serving.open(gpu, { path, rows: 2, onWarning: () => {}, defaults });
      const { labels, ...plan } = planDraw({}, serving.facts, defaults);
      assert.deepEqual([plan.steps, plan.guidance], [steps, 1]);
      serving.add({ ...plan, id: 1, label: labels[0] });
      let finished: readonly { data: Float32Array }[] = [];
      while (finished.length === 0) ({ finished } = await serving.batch.turn(1000));
      const pixels = serving.pixels(finished[0].data);
      assert.equal(pixels.length, 3 * 8 * 8);
      const grey = pixels.every((value, i) => value === pixels[i - i % 3]);
      assert.equal(grey, name === "grey");
      await serving.close();
    }
  });
});

Deno.test("a model that cannot be served is refused, and leaves nothing on the device", async () => {
  const gpu = await testGpu();
  const before = [gpu.memory.live, gpu.memory.used];
  await inTemporaryDirectory(async (directory) => {
    const useless = join(directory, "useless");
    await changedPipeline(useless, (name, data) => {
      if (name === "conv_in.weight") data.fill(Infinity);
    });
    await assert.rejects(Serving.open(gpu, { ...options, path: useless }), (error: Error) => {
      assert.match(error.message, /useless.* expected finite weights/);
      return error instanceof CheckpointError;
    });
    await changedPipeline(useless, (name, data) => {
      if (name === "conv_in.weight") data.fill(1e38);
    });
    await assert.rejects(
      Serving.open(gpu, { ...options, path: useless }),
      /useless: the model's output has non-finite values/,
    );
    await assert.rejects(Serving.open(gpu, { ...options, rows: 0, path: PIPELINE }), ConfigError);
    for (
      const [field, channels] of [["in_channels", { inChannels: 4, outChannels: 4 }], ["out_channels", {
        outChannels: 5,
      }]] as const
    ) {
      const path = join(directory, field);
      await writeForeignPipeline(path, { config: microNetwork(channels) });
      await assert.rejects(
        Serving.open(gpu, { ...options, path }),
        (error) => error instanceof ConfigError && error.field === field,
      );
    }
  });
  assert.deepEqual([gpu.memory.live, gpu.memory.used], before);
});
