/** Device memory of a run, and what is left when the device is lost. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { DeviceError } from "../../../lib/errors.ts";
import { Gpu } from "../../../lib/gpu/device.ts";
import { openGpu } from "../../../lib/gpu/open.ts";
import { createBuffer, destroyBuffer } from "../../../lib/gpu/memory.ts";
import { listCheckpoints } from "../../../lib/files/checkpoint.ts";
import { unetParameters } from "../../../lib/model/network.ts";
import { Generator } from "../../../lib/sampling/generator.ts";
import type { TrainOptions } from "../../../lib/train/options.ts";
import { train } from "../../../lib/train/trainer.ts";
import { testGpu } from "../../support/gpu.ts";
import { inTemporaryDirectory } from "../../support/train/directories.ts";
import {
  endOf,
  microNetwork,
  microOptions,
  ofType,
  patternImages,
  run,
  stateOf,
} from "../../support/train/micro.ts";

Deno.test("a device too small for the run is refused in words, and nothing is left on it", async () => {
  await inTemporaryDirectory(async (directory) => {
    const gpu = await openGpu({ memoryBudget: 2 ** 20 });
    const out = join(directory, "run");
    await assert.rejects(run({ gpu, out }), (error: Error) => {
      assert.match(error.message, /training.* needs .*MiB.* are allowed on .*smaller batch or model/);
      return error instanceof DeviceError;
    });
    assert.equal(gpu.memory.live, 0);
    gpu.close();
  });
});

/** Weights that stand still draw the same grids, whatever else differs. */
const GRIDS = { epochs: 1, lr: 1e-30, sampleEvery: 1, sampleSteps: 2 };

Deno.test("all that a run needs on the device, samples and saves included, is there before its first step", async () => {
  await inTemporaryDirectory(async (directory) => {
    const options = { ...GRIDS, samplesPerClass: 8 };
    const [start] = ofType(await run({ ...options, out: join(directory, "roomy") }), "start");
    const gpu = await openGpu({ memoryBudget: start.deviceBytes });
    const events = await run({ ...options, gpu, out: join(directory, "exact") });
    assert.equal(ofType(events, "start")[0].deviceBytes, start.deviceBytes);
    assert.equal(ofType(events, "samples").length, 1);
    assert.equal(ofType(events, "checkpoint").length, 1);
    gpu.close();
  });
});

Deno.test("memory is taken for speed only where all of a run and of sampling fits beside it", async () => {
  const { device, adapter, subgroups } = await testGpu();
  // A GPU's kernels, which have launches to combine and results to keep.
  const tile = { ...adapter, software: false, subgroupSize: 0, matrices: undefined };
  const limit = 2 ** 30;
  const gpu = new Gpu(device, tile, { memoryBudget: limit }, subgroups);
  /** Bytes that are needed where there is enough memory, and where the last buffer does not fit beside all others. */
  const bytes = async (build: () => Promise<number>) => {
    const roomy = await build();
    assert.equal(gpu.memory.used, 0);
    const others = limit - roomy + 4;
    gpu.memory.add(others);
    const cramped = await build() - others;
    gpu.memory.remove(others);
    assert.equal(gpu.memory.used, 0);
    return { roomy, cramped };
  };
  const start = (options: Partial<TrainOptions>) => async () => {
    const [{ deviceBytes }] = ofType(await run({ ...options, gpu }, () => true), "start");
    return deviceBytes;
  };
  const sampling = async () => {
    const config = microNetwork();
    const weights = createBuffer(gpu, 4 * unetParameters(config).elements, "weights");
    const generator = await Generator.build(gpu, { config, weights, slots: 4 });
    const { used } = gpu.memory;
    generator.destroy();
    destroyBuffer(gpu, weights);
    return used;
  };
  for (const build of [start({}), start({ ...GRIDS, samplesPerClass: 1 }), sampling]) {
    const { roomy, cramped } = await bytes(build);
    assert.ok(cramped < roomy, `${cramped} of ${roomy}`);
  }
});

Deno.test("where there is no room to draw all samples at once, fewer at once give the same grid", async () => {
  const [few] = ofType(await run({ ...GRIDS, samplesPerClass: 4 }), "start");
  const many = { ...GRIDS, samplesPerClass: 40 };
  const gpu = await openGpu({ memoryBudget: few.deviceBytes });
  const [cramped] = ofType(await run({ ...many, gpu }), "samples");
  gpu.close();
  const [roomy] = ofType(await run(many), "samples");
  assert.equal(cramped.images.count, 80);
  assert.deepEqual(cramped.images.pixels, roomy.images.pixels);
});

Deno.test("a device lost in mid-run is an error that says so; the last checkpoint leads to the same end", async () => {
  await inTemporaryDirectory(async (directory) => {
    const settings = { model: microNetwork({ dropout: 0.1 }), epochs: 2, logEvery: 1 };
    const [straight, lost] = [join(directory, "straight"), join(directory, "lost")];
    await run({ ...settings, out: straight });
    const gpu = await openGpu();
    const lose = (event: { type: string; step?: number }) => {
      if (event.type === "step" && event.step === 6) gpu.device.destroy();
      return false;
    };
    await assert.rejects(run({ ...settings, gpu, out: lost }, lose), (error: Error) => {
      assert.match(
        error.message,
        /^the WebGPU device .* was lost \(.*\); start again from the last checkpoint$/,
      );
      return error instanceof DeviceError;
    });
    assert.deepEqual((await listCheckpoints(lost)).map(({ step }) => step), [4]);
    const events = await run({ out: lost, resume: true });
    assert.equal(ofType(events, "start")[0].resumedFrom, 4);
    assert.equal(endOf(events).step, 8);
    assert.deepEqual(await stateOf(lost), await stateOf(straight));
  });
});

Deno.test("2,000 steps: the device's buffers stay the same in number and size, and memory does not grow", async () => {
  const gpu = await testGpu();
  const before = [gpu.memory.live, gpu.memory.used];
  const seen = new Set<string>();
  const model = microNetwork({
    blockOutChannels: [4],
    downBlockTypes: ["DownBlock2D"],
    upBlockTypes: ["UpBlock2D"],
  });
  const small = { model, data: patternImages(400), batch: 1, samplesPerClass: 1, sampleSteps: 1 };
  const options = { ...small, sampleEvery: 1, logEvery: 100, steps: 2000, epochs: 10 };
  const memory: number[] = [];
  for await (const event of train(microOptions({ ...options, gpu }))) {
    if (event.type === "step") seen.add(`${gpu.memory.live} buffers, ${gpu.memory.used} bytes`);
    if (event.type === "epoch") memory.push(Deno.memoryUsage().rss / 2 ** 20);
  }
  assert.equal(seen.size, 1, [...seen].join("; "));
  assert.deepEqual([gpu.memory.live, gpu.memory.used], before);
  // Of 360 steps each; in the first all is made and compiled.
  assert.ok(
    memory.length === 6 && memory[5] < memory[1] + 48,
    `the process holds ${memory.map(Math.round)} MiB`,
  );
});
