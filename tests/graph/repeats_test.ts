import assert from "node:assert/strict";
import type { Launch } from "../../kernels/source.ts";
import { lowerContext, planLaunches } from "../../lib/graph/compile.ts";
import { recordBackward } from "../../lib/graph/gradients.ts";
import { Graph } from "../../lib/graph/graph.ts";
import { lower } from "../../lib/graph/lower.ts";
import { outputsOf } from "../../lib/graph/operations.ts";
import { conv2d, silu } from "../../lib/graph/ops.ts";
import { dropRepeats } from "../../lib/graph/repeats.ts";
import type { Tensor } from "../../lib/graph/tensor.ts";
import { presetConfig } from "../../lib/model/presets.ts";
import { trainingGraph } from "../../lib/train/device/step_graph.ts";
import { noise } from "../reference/differences.ts";
import { runOnArrays, testGpu, TILE } from "../support/gpu.ts";

const CHANNELS = 64;

/** A Winograd convolution of an activation, and its gradients. */
function convolution(batch = 2) {
  const g = new Graph();
  const x = g.input("x", [batch, 16, 16, CHANNELS]);
  const weight = g.parameter("weight", "conv", [CHANNELS, CHANNELS, 3, 3], { kind: "zeros" });
  const bias = g.parameter("bias", "vector", [CHANNELS], { kind: "zeros" });
  const y = conv2d(g, silu(g, x), { weight, bias }, { kernel: 3, stride: 1, padding: 1 });
  return { g, x, y, gradients: recordBackward(g, y, { seed: g.input("seed", y.shape), wanted: [x] }) };
}

const lowered = (g: Graph) => {
  const context = lowerContext(g, TILE);
  return g.nodes.map((node) => lower(context, node));
};

const count = (launches: readonly (readonly Launch<Tensor>[])[], kernel: string) =>
  launches.flat().filter(({ kernel: { name } }) => name === kernel).length;

Deno.test("the gradients of a convolution take the transforms of weights and input from its forward pass", () => {
  const { g } = convolution();
  const before = lowered(g);
  const after = dropRepeats(g.nodes, before, Infinity);
  for (const kernel of ["winograd4_weight", "winograd4_input"]) {
    assert.deepEqual([count(before, kernel), count(after, kernel)], [2, 1], kernel);
  }
  assert.equal(after.flat().length, before.flat().length - 2);
  const written = new Set<Tensor>();
  for (const { kernel, buffers } of after.flat()) {
    for (const [name, tensor] of Object.entries(buffers)) {
      if (kernel.bindings[name]?.access === "read_write") written.add(tensor);
      else if (tensor.role === "activation") {
        assert.ok(written.has(tensor), `${kernel.name} reads ${tensor.name}`);
      }
    }
  }
});

Deno.test("repeated launches are dropped, small results first, while their results fit the limit", () => {
  const { g } = convolution(16);
  const before = lowered(g);
  // 36 points: 64 x 64 weights, 16 x 16 tiles of 64 channels.
  const weights = 4 * 36 * CHANNELS * CHANNELS;
  const tiles = 4 * 36 * 16 * 16 * CHANNELS;
  const left = (limit: number) => {
    const after = dropRepeats(g.nodes, before, limit);
    return ["winograd4_weight", "winograd4_input"].map((kernel) => count(after, kernel));
  };
  assert.equal(dropRepeats(g.nodes, before, weights - 1), before);
  assert.deepEqual(left(weights), [1, 2]);
  assert.deepEqual(left(weights + tiles - 1), [1, 2]);
  assert.deepEqual(left(weights + tiles), [1, 1]);
});

Deno.test("results that activation checkpointing repeats are not kept", () => {
  const { g, y } = convolution();
  const again = g.tensor("y again", y.shape, "activation", false);
  const node = g.nodes.find(({ kind }) => kind === "conv2d");
  assert.ok(node?.kind === "conv2d");
  g.record({ ...node, out: { y: again } });
  const after = dropRepeats(g.nodes, lowered(g), Infinity);
  const results = new Set(after.flat().flatMap(({ buffers }) => Object.values(buffers)));
  for (const tensor of g.nodes.flatMap(outputsOf)) {
    assert.ok(results.has(tensor) || tensor.role !== "activation");
  }
  assert.equal(count(after, "winograd4_output"), 2);
});

Deno.test("workspace of several slices is not kept: its contents change", () => {
  const { g } = convolution(512);
  const target = { ...TILE, bindingBytes: 2 ** 24 };
  const context = lowerContext(g, target);
  const before = g.nodes.map((node) => lower(context, node));
  const inputs = count(before, "winograd4_input");
  assert.ok(inputs > 2);
  assert.equal(count(dropRepeats(g.nodes, before, Infinity), "winograd4_input"), inputs);
});

Deno.test("repeated launches stay where the memory to keep their results would exceed the budget", () => {
  const g = trainingGraph({ config: presetConfig("tiny", 10), batch: 8 });
  const context = lowerContext(g, TILE);
  const before = g.nodes.map((node) => lower(context, node));
  const planned = (available?: number) => {
    const { combined, plan } = planLaunches(g, before, context, [], [], available);
    return { count: combined.launches.flat().length, bytes: plan.bytes };
  };
  const free = planned();
  assert.ok(free.count < before.flat().length);
  assert.deepEqual(planned(free.bytes), free);
  const tight = planned(free.bytes - 1);
  assert.equal(tight.count, before.flat().length);
  assert.ok(tight.bytes < free.bytes);
});

Deno.test("results have the same bits with repeated launches and without", async () => {
  const { g, x, y, gradients } = convolution();
  const before = lowered(g);
  const run = async (launches: readonly Launch<Tensor>[]) => {
    const arrays = new Map<Tensor, Float32Array>();
    const arrayOf = (tensor: Tensor) => {
      const { elements, role, id } = tensor;
      const given = role === "input" || role === "parameter";
      const made = given ? Float32Array.from(noise(elements, id)) : new Float32Array(elements).fill(NaN);
      const array = arrays.get(tensor) ?? made;
      arrays.set(tensor, array);
      return array;
    };
    await runOnArrays(
      await testGpu(),
      launches.map((launch) => ({
        ...launch,
        buffers: Object.fromEntries(Object.entries(launch.buffers).map(([name, t]) => [name, arrayOf(t)])),
      })),
    );
    return [y, gradients.ofInput.get(x)!, ...gradients.ofParameter.values()].map((t) => arrays.get(t));
  };
  const repeated = await run(before.flat());
  assert.ok(repeated[1]!.every(Number.isFinite));
  assert.deepEqual(await run(dropRepeats(g.nodes, before, Infinity).flat()), repeated);
});
