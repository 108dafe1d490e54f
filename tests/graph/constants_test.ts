import assert from "node:assert/strict";
import type { KernelTarget } from "../../kernels/target.ts";
import type { Gpu } from "../../lib/gpu/device.ts";
import { createBuffer, destroyBuffer, ResourceScope } from "../../lib/gpu/memory.ts";
import { buildProgram } from "../../lib/gpu/program.ts";
import { readBack } from "../../lib/gpu/readback.ts";
import { kernelTarget } from "../../lib/graph/compile.ts";
import { HoistedConstants } from "../../lib/graph/constants.ts";
import { unetConfig } from "../../lib/model/config.ts";
import { forwardPass, unetParameters } from "../../lib/model/network.ts";
import { testGpu } from "../support/gpu.ts";
import { noise } from "../reference/differences.ts";

/** Wide enough for Winograd at every convolution but the first and the last. */
const config = unetConfig({
  sampleSize: 8,
  blockOutChannels: [16],
  downBlockTypes: ["DownBlock2D"],
  upBlockTypes: ["UpBlock2D"],
  layersPerBlock: 1,
  normNumGroups: 4,
});
const { elements } = unetParameters(config);

/** Winograd's way wherever it is possible: its weights are transformed. */
function winograd(gpu: Gpu): KernelTarget {
  const choose = (_: string, candidates: readonly string[]) =>
    candidates.includes("winograd4") ? "winograd4" : candidates[0];
  return { ...kernelTarget(gpu), choose };
}

/** A network of some batch size on its weights, with what its first image becomes. */
async function network(gpu: Gpu, weights: GPUBuffer, batch: number, constants?: HoistedConstants) {
  const scope = new ResourceScope(gpu, "test");
  const options = { target: winograd(gpu), constants };
  const pass = scope.own(forwardPass(gpu, config, batch, weights, "test", options));
  const program = scope.own(await buildProgram(gpu, pass.launches));
  const x = Float32Array.from(noise(8 * 8 * 4, 1), (value, i) => i % 4 === 3 ? 0 : value);
  gpu.device.queue.writeBuffer(pass.inputs.x.buffer, pass.inputs.x.offset, x);
  const draw = async () => {
    program.run();
    const [copy] = await readBack(gpu, [{ ...pass.prediction, size: x.byteLength }]);
    return new Float32Array(copy);
  };
  return { dispatches: program.dispatches.length, draw, destroy: () => scope.destroy() };
}

async function withWeights(
  body: (gpu: Gpu, weights: GPUBuffer, setWeights: (seed: number) => void) => Promise<void>,
) {
  const gpu = await testGpu();
  const before = gpu.memory.used;
  const weights = createBuffer(gpu, 4 * elements, "weights");
  await body(gpu, weights, (seed) => {
    const values = Float32Array.from(noise(elements, seed), (value) => 0.3 * value);
    gpu.device.queue.writeBuffer(weights, 0, values);
  });
  destroyBuffer(gpu, weights);
  assert.equal(gpu.memory.used, before, "something was not freed");
}

Deno.test("what follows from weights alone is computed once for all batch sizes, to the same bits", async () => {
  await withWeights(async (gpu, weights, setWeights) => {
    setWeights(2);
    const plain = await network(gpu, weights, 2);
    const expected = await plain.draw();
    const constants = new HoistedConstants(gpu, "test", Infinity);
    const two = await network(gpu, weights, 2, constants);
    const count = constants.launches.length;
    assert.ok(count >= 4, `${count} weights of convolutions`);
    const one = await network(gpu, weights, 1, constants);
    assert.equal(constants.launches.length, count, "the other batch size has the same");
    assert.equal(two.dispatches, plain.dispatches - count);
    const program = await buildProgram(gpu, constants.launches);
    program.run();
    for (const pass of [two, one]) assert.deepEqual(await pass.draw(), expected);

    setWeights(3);
    program.run();
    const changed = await plain.draw();
    assert.notDeepEqual(changed, expected);
    for (const pass of [one, two]) assert.deepEqual(await pass.draw(), changed);
    for (const part of [program, plain, one, two, constants]) part.destroy();
  });
});

Deno.test("what there is no room for is computed in every pass", async () => {
  await withWeights(async (gpu, weights, setWeights) => {
    setWeights(2);
    const plain = await network(gpu, weights, 1);
    const used = gpu.memory.used;
    const constants = new HoistedConstants(gpu, "test", 40_000);
    const some = await network(gpu, weights, 1, constants);
    const program = await buildProgram(gpu, constants.launches);
    program.run();
    assert.equal(some.dispatches, plain.dispatches - constants.launches.length);
    assert.ok(constants.launches.length > 0 && constants.launches.length < 4);
    assert.ok(gpu.memory.used > used);
    assert.deepEqual(await some.draw(), await plain.draw());
    for (const part of [program, plain, some, constants]) part.destroy();
  });
});
