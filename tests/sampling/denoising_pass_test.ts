import assert from "node:assert/strict";
import { EdmProcess } from "../../lib/diffusion/edm_process.ts";
import { estimates, type ForwardProcess } from "../../lib/diffusion/forward_process.ts";
import { RectifiedFlow } from "../../lib/diffusion/rectified_flow.ts";
import { NoiseSchedule } from "../../lib/diffusion/schedule.ts";
import { ConfigError } from "../../lib/errors.ts";
import { ResourceScope } from "../../lib/gpu/memory.ts";
import { buildProgram } from "../../lib/gpu/program.ts";
import { forwardPass } from "../../lib/model/network.ts";
import type { NoisedImage } from "../../lib/sampling/denoising_pass.ts";
import { noiseRowReference } from "../reference/denoising.ts";
import { assertClose } from "../support/close.ts";
import { syntheticImages, untrainedPass } from "../support/evaluation.ts";
import { readFloats, testGpu } from "../support/gpu.ts";
import { packChannels, unpackChannels } from "../support/layout.ts";
import { CLASS_NETWORK } from "../support/networks.ts";

const SEED = 5;
const ELEMENTS = 8 * 4 * 3;

const processes: Record<string, ForwardProcess> = {
  epsilon: new NoiseSchedule(),
  v: new NoiseSchedule({ objective: "v", betaSchedule: "cosine" }),
  flow: new RectifiedFlow(),
  edm: new EdmProcess(),
};

for (const [name, process] of Object.entries(processes)) {
  Deno.test(`a denoising pass has the errors of the network on its noised images: ${name}`, async () => {
    const gpu = await testGpu();
    const { count, images, labels } = syntheticImages(CLASS_NETWORK, 3);
    const { pass, weights, destroy } = await untrainedPass(gpu, CLASS_NETWORK, process, count);
    const sigmas = [process.sigmaMin, 0.5, Math.min(process.sigmaMax, 100)];
    const noised = sigmas.map((sigma, i): NoisedImage => ({
      image: 7 * i,
      index: 11 * i,
      level: process.levelOfSigma(sigma),
    }));
    pass.load(images.range(), labels);
    await pass.run(noised, SEED);
    const errors = await pass.readErrors();
    const estimated = await pass.readEstimates();

    const rows = noised.map(({ image, index, level }, i) => {
      const { signal, noise } = level;
      const { fromX0: targetFromX0, fromNoise: targetFromNoise } = process.target(level);
      const row = { image, level: index, key: [SEED, 0] as [number, number], signal, noise };
      const x0 = [...images.read([i])].map((byte) => 2 * byte / 255 - 1);
      const reference = { ...row, targetFromX0, targetFromNoise, x0FromOut: 0, clip: 1, logRatio: 0 };
      return { x0, level, ...noiseRowReference(reference, x0, 3) };
    });
    // The network alone, on inputs of the reference
    const scope = new ResourceScope(gpu, "test");
    const forward = scope.own(forwardPass(gpu, CLASS_NETWORK, count, weights, "test"));
    const write = (view: { buffer: GPUBuffer; offset: number }, data: Float32Array | Uint32Array) =>
      gpu.device.queue.writeBuffer(view.buffer, view.offset, data as Float32Array<ArrayBuffer>);
    write(forward.inputs.x, packChannels(rows.flatMap(({ x }) => x), 3));
    write(forward.inputs.timesteps, Float32Array.from(rows, ({ level }) => level.timestep));
    write(forward.inputs.labels!, Uint32Array.from(labels));
    scope.own(await buildProgram(gpu, [...forward.launches])).run();
    const out = unpackChannels(await readFloats(gpu, forward.prediction), 3);
    for (const [i, { x0, x, targets, level }] of rows.entries()) {
      const output = out.subarray(i * ELEMENTS, (i + 1) * ELEMENTS);
      const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / ELEMENTS;
      const targetError = mean(targets.map((target, k) => (output[k] - target) ** 2));
      assertClose([errors[i].targetError], [targetError], { absolute: 0, relative: 1e-4 }, "target error");
      const { x0FromX, x0FromOut } = estimates(process, level);
      const expected = x.map((value, k) =>
        Math.min(1, Math.max(-1, x0FromX * value + x0FromOut * output[k]))
      );
      const own = estimated.subarray(i * ELEMENTS, (i + 1) * ELEMENTS);
      const tolerance = 2e-5 * Math.max(1, Math.abs(x0FromOut), Math.abs(x0FromX));
      assertClose(own, expected, { absolute: tolerance }, "estimate");
      const x0Error = mean(x0.map((value, k) => (own[k] - value) ** 2));
      assertClose([errors[i].x0Error], [x0Error], { absolute: 1e-12, relative: 1e-4 }, "x_0 error");
    }
    scope.destroy();
    destroy();
  });
}

Deno.test("errors of many passes are read in order, and must be read before there are too many", async () => {
  const gpu = await testGpu();
  const before = [gpu.memory.live, gpu.memory.used];
  const process = processes.epsilon;
  const { images, labels } = syntheticImages(CLASS_NETWORK, 1);
  const { pass, destroy } = await untrainedPass(gpu, CLASS_NETWORK, process, 2);
  pass.load(images.range(), labels);
  const noise = (index: number) => [{ image: 0, index, level: process.levelOfSigma(1) }];
  let passes = 0;
  for (; !pass.full; passes++) await pass.run(noise(passes), SEED);
  assert.equal(passes, 512);
  await assert.rejects(pass.run(noise(0), SEED), /errors must be read/);
  const all = await pass.readErrors();
  assert.equal(all.length, passes);
  assert.deepEqual(await pass.readErrors(), []);
  await pass.run(noise(17), SEED);
  assert.deepEqual(await pass.readErrors(), [all[17]]);
  assert.notDeepEqual(all[17], all[16]);
  destroy();
  assert.deepEqual([gpu.memory.live, gpu.memory.used], before);
});

Deno.test("a network whose outputs are neither images nor images with variances is refused", async () => {
  const config = { ...CLASS_NETWORK, outChannels: 5 };
  await assert.rejects(
    untrainedPass(await testGpu(), config, processes.epsilon, 1),
    new ConfigError("out_channels", 5, "3, as in_channels, or 6 with a learned variance"),
  );
});
