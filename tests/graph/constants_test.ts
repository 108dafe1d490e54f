import assert from "node:assert/strict";
import type { Gpu } from "../../lib/gpu/device.ts";
import { createBuffer, destroyBuffer, ResourceScope } from "../../lib/gpu/memory.ts";
import { buildProgram } from "../../lib/gpu/program.ts";
import { readBack } from "../../lib/gpu/readback.ts";
import { compileGraph, kernelTarget } from "../../lib/graph/compile.ts";
import { HoistedConstants } from "../../lib/graph/constants.ts";
import { Graph } from "../../lib/graph/graph.ts";
import { conv2d } from "../../lib/graph/ops.ts";
import type { Tensor } from "../../lib/graph/tensor.ts";
import { unetConfig } from "../../lib/model/config.ts";
import { forwardPass, unetParameters } from "../../lib/model/network.ts";
import { withAlgorithm } from "../support/conv2d_checks.ts";
import { readFloats, testGpu } from "../support/gpu.ts";
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

/** Winograd wherever it is possible: its weights are transformed. */
const winograd = (gpu: Gpu) => withAlgorithm(kernelTarget(gpu), "winograd4");

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

Deno.test("constants are computed once for all batch sizes, with the same bits as in every pass", async () => {
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

Deno.test("constants that exceed the memory limit are computed in every pass", async () => {
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

Deno.test("constants of two weights of the same shape are two, even if their layers have the same name", async () => {
  const gpu = await testGpu();
  const g = new Graph();
  const layer = (from: Tensor, name: string) => {
    const weight = g.parameter(`${name}.weight`, "conv", [16, 16, 3, 3], { kind: "zeros" });
    const bias = g.parameter(`${name}.bias`, "vector", [16], { kind: "zeros" });
    return conv2d(g, from, { weight, bias }, { kernel: 3, stride: 1, padding: 1 });
  };
  const x = g.input("x", [1, 8, 8, 16]);
  const y = layer(layer(x, "first"), "second");
  const labels = g.nodes.map(({ label }) => label);
  assert.equal(new Set(labels).size, 1, labels.join());

  const scope = new ResourceScope(gpu, "test");
  const bound = new Map([x, ...g.parameters.map(({ tensor }) => tensor)].map((tensor) => {
    const view = scope.buffer(tensor.bytes, tensor.name);
    const values = Float32Array.from(noise(tensor.elements, tensor.id));
    gpu.device.queue.writeBuffer(view.buffer, view.offset, values);
    return [tensor, view];
  }));
  const run = async (constants?: HoistedConstants) => {
    const options = { bound, keep: [y], what: "test", target: winograd(gpu), constants };
    const compiled = scope.own(compileGraph(gpu, g, options));
    const launches = [...constants?.launches ?? [], ...compiled.launches.flat()];
    scope.own(await buildProgram(gpu, launches)).run();
    return await readFloats(gpu, compiled.view(y));
  };
  const constants = scope.own(new HoistedConstants(gpu, "test", Infinity));
  assert.deepEqual(await run(constants), await run());
  assert.equal(constants.launches.length, 2);
  scope.destroy();
});
