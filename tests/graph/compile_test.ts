import assert from "node:assert/strict";
import { DeviceError } from "../../lib/errors.ts";
import type { Gpu } from "../../lib/gpu/device.ts";
import { openGpu } from "../../lib/gpu/open.ts";
import { type BufferView, createBuffer, destroyBuffer } from "../../lib/gpu/memory.ts";
import { buildProgram } from "../../lib/gpu/program.ts";
import { compileGraph, kernelTarget } from "../../lib/graph/compile.ts";
import type { Tensor } from "../../lib/graph/tensor.ts";
import { bindParameters } from "../../lib/model/network.ts";
import { testGpu } from "../support/gpu.ts";
import { packChannels } from "../support/layout.ts";
import { noise } from "../reference/differences.ts";
import { stepWords } from "../support/step.ts";
import { DeviceGraph } from "../support/device_graph.ts";
import { PADDED_NETWORK, recordNetwork } from "../support/networks.ts";

async function trainable(gpu: Gpu): Promise<{ graph: DeviceGraph; output: Tensor; run(): void }> {
  const { g, inputs, output, seed, forwardNodes, gradients } = recordNetwork(PADDED_NETWORK, 2);
  const graph = await DeviceGraph.build(gpu, g, { keep: [output], gradients, forwardNodes });
  const values = Float32Array.from(noise(graph.table.elements, 1), (value) => 0.5 * value);
  graph.write(graph.parameters, graph.table.toMemory(graph.table.fromMemory(values), "test"));
  graph.write(inputs.x, packChannels(noise(2 * 4 * 4 * 3, 2), 3));
  graph.write(inputs.timesteps, Float32Array.of(10, 900));
  graph.write(inputs.labels!, Uint32Array.of(2, 0));
  graph.write(inputs.stepState!, stepWords({ step: 7 }));
  graph.write(seed, packChannels(noise(2 * 4 * 4 * 3, 3), 3));
  const run = () => {
    graph.forward.run();
    graph.backward.run();
  };
  return { graph, output, run };
}

Deno.test("a replay gives the bits of the one before, and so does the graph built anew", async () => {
  const gpu = await testGpu();
  const results: Float32Array[][] = [];
  for (let build = 0; build < 2; build++) {
    const { graph, output, run } = await trainable(gpu);
    for (let replay = 0; replay < 2; replay++) {
      run();
      results.push(await graph.read(output, graph.gradients));
    }
    graph.destroy();
  }
  assert.ok(results[0][1].some((value) => value !== 0));
  for (const result of results.slice(1)) assert.deepEqual(result, results[0]);
});

Deno.test("a hundred replays create no buffer and no pipeline, and destroying the graph frees all of it", async () => {
  const gpu = await testGpu();
  const before = { used: gpu.memory.used, live: gpu.memory.live };
  const { graph, run } = await trainable(gpu);
  const built = { used: gpu.memory.used, live: gpu.memory.live, pipelines: gpu.pipelines.size };
  assert.ok(built.used > before.used + graph.compiled.bytes);
  for (let replay = 0; replay < 100; replay++) run();
  await graph.read(graph.gradients);
  const { used, live } = gpu.memory;
  assert.deepEqual({ used, live, pipelines: gpu.pipelines.size }, built);
  graph.destroy();
  assert.deepEqual({ used: gpu.memory.used, live: gpu.memory.live }, before);
});

Deno.test("a graph reuses another's workspace and leaves what the other keeps intact", async () => {
  const gpu = await testGpu();
  const { graph, output, run } = await trainable(gpu);
  run();
  const before = await graph.read(output, graph.gradients);
  const { live } = gpu.memory;
  const other = recordNetwork(PADDED_NETWORK, 2);
  const inputs = other.g.inputs.values().map((tensor): [Tensor, BufferView] => {
    const size = tensor.bytes;
    return [tensor, { buffer: createBuffer(gpu, size, tensor.name), offset: 0, size }];
  });
  const bound = new Map([...inputs, ...bindParameters(other.g, graph.parameters.buffer)]);
  for (const [parameter, gradient] of other.gradients.ofParameter) {
    bound.set(gradient, bound.get(parameter)!);
  }
  const compiled = compileGraph(gpu, other.g, {
    bound,
    keep: [other.output],
    reuse: graph.compiled.reusable,
    what: "guest",
  });
  const forward = await buildProgram(gpu, compiled.launches.slice(0, other.forwardNodes).flat());
  forward.run();
  assert.deepEqual(await graph.read(output, graph.gradients), before);
  assert.ok(compiled.bytes < graph.compiled.bytes / 10, `${compiled.bytes} of ${graph.compiled.bytes} bytes`);
  run();
  assert.deepEqual(await graph.read(output, graph.gradients), before);
  forward.destroy();
  compiled.destroy();
  for (const { buffer } of other.g.inputs.values().map((tensor) => bound.get(tensor)!)) {
    destroyBuffer(gpu, buffer);
  }
  assert.equal(gpu.memory.live, live);
  graph.destroy();
});

Deno.test("a graph that the budget cannot hold is refused with its bytes, and nothing stays allocated", async () => {
  const gpu = await openGpu({ memoryBudget: 150 * 2 ** 10 });
  const { g, output, gradients, forwardNodes } = recordNetwork(PADDED_NETWORK, 2);
  await assert.rejects(
    DeviceGraph.build(gpu, g, { keep: [output], gradients, forwardNodes }),
    (error) =>
      error instanceof DeviceError &&
      /^test \(activations 0\.\d+ MiB\) needs 0\.\d+ MiB of device memory, 0\.\d MiB are in use and 0\.1 MiB are allowed/
        .test(error.message),
  );
  assert.equal(gpu.memory.used, 0);
  assert.equal(gpu.memory.live, 0);
  gpu.close();
});

Deno.test("a tensor that nothing was bound to is named", async () => {
  const { g } = recordNetwork(PADDED_NETWORK, 2);
  const gpu = await testGpu();
  const before = gpu.memory.used;
  assert.throws(
    () => compileGraph(gpu, g, { bound: new Map(), what: "test" }),
    { message: "tensor timesteps (input) has no memory" },
  );
  assert.equal(gpu.memory.used, before);
});

Deno.test("software adapters get the subgroup kernels, others the tile kernels", async () => {
  const gpu = await testGpu();
  const target = kernelTarget(gpu);
  assert.equal(target.path, gpu.adapter.software ? "subgroup" : "tile");
  assert.equal(target.subgroupSize, gpu.adapter.subgroupSize);
});
