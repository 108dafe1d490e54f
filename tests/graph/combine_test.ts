import assert from "node:assert/strict";
import type { Launch } from "../../kernels/source.ts";
import { type BufferView, ResourceScope } from "../../lib/gpu/memory.ts";
import { combineLaunches, type CombineLimits } from "../../lib/graph/combine.ts";
import { lowerContext, planLaunches } from "../../lib/graph/compile.ts";
import { recordBackward } from "../../lib/graph/gradients.ts";
import { Graph } from "../../lib/graph/graph.ts";
import { lower } from "../../lib/graph/lower.ts";
import { conv2d, silu } from "../../lib/graph/ops.ts";
import { planMemory } from "../../lib/graph/plan.ts";
import { dropRepeats } from "../../lib/graph/repeats.ts";
import type { Tensor } from "../../lib/graph/tensor.ts";
import { noise } from "../reference/differences.ts";
import { DeviceGraph } from "../support/device_graph.ts";
import { runOnArrays, testGpu, TILE } from "../support/gpu.ts";
import { assertSame } from "../support/same.ts";

const TRANSFORM = "winograd4_weight";
const SUM = "conv2d_sum_parts";
const UNLIMITED = { binding: Infinity, deferred: Infinity };

/** Two Winograd convolutions and two of 1x1 whose weight gradients are sums over parts, and all gradients. */
function network() {
  const g = new Graph();
  const x = g.input("x", [12, 16, 16, 32]);
  const layer = (from: Tensor, name: string, kernel: 1 | 3, outputs: number): Tensor => {
    const inputs = from.shape[3];
    const weight = g.parameter(`${name}.weight`, "conv", [outputs, inputs, kernel, kernel], {
      kind: "zeros",
    });
    const bias = g.parameter(`${name}.bias`, "vector", [outputs], { kind: "zeros" });
    return conv2d(g, from, { weight, bias }, { kernel, stride: 1, padding: kernel === 3 ? 1 : 0 });
  };
  const first = layer(layer(silu(g, x), "a", 3, 32), "b", 1, 16);
  const y = layer(layer(first, "c", 3, 32), "d", 1, 4);
  const forwardNodes = g.nodes.length;
  const gradients = recordBackward(g, y, { seed: g.input("seed", y.shape), wanted: [x] });
  return { g, x, y, gradients, forwardNodes };
}

/** Launches by node, without repeats. */
function launchesOf(g: Graph) {
  const context = lowerContext(g, TILE);
  return dropRepeats(g.nodes, g.nodes.map((node) => lower(context, node)), Infinity);
}

const named = (launches: readonly Launch<Tensor>[], kernel: string) =>
  launches.filter(({ kernel: { name } }) => name === kernel);

const count = (launches: readonly (readonly Launch<Tensor>[])[], kernel: string) =>
  named(launches.flat(), kernel).length;

Deno.test("transforms of weights are one launch before the first convolution, sums over parts one after the last", () => {
  const { g } = network();
  const before = launchesOf(g);
  const { launches } = combineLaunches(g, before, UNLIMITED);
  for (const kernel of [TRANSFORM, SUM]) {
    assert.deepEqual([count(before, kernel), count(launches, kernel)], [2, 1], kernel);
  }
  const nodeOf = (of: readonly (readonly Launch<Tensor>[])[], kernel: string) =>
    of.flatMap((ofNode, node) => named(ofNode, kernel).map(() => node));
  assert.deepEqual(nodeOf(launches, TRANSFORM), [Math.min(...nodeOf(before, TRANSFORM))]);
  assert.deepEqual(nodeOf(launches, SUM), [Math.max(...nodeOf(before, SUM))]);
  const others = (of: readonly (readonly Launch<Tensor>[])[]) =>
    of.flat().map(({ kernel: { name } }) => name).filter((name) => name !== TRANSFORM && name !== SUM);
  assert.deepEqual(others(launches), others(before));
});

Deno.test("workspace of combined launches lives from the first use of any to the last", () => {
  const { g } = network();
  const combined = combineLaunches(g, launchesOf(g), UNLIMITED);
  const planned = combined.planned();
  const { slots, bytes } = planMemory(planned);
  const parts = planned.flatMap(({ kernel, buffers }) => kernel.name === SUM ? [buffers.parts!] : []);
  assert.equal(parts.length, 1);
  const writers = planned.filter(({ buffers }) => buffers.out === parts[0]);
  assert.equal(writers.length, 2);
  assert.ok(slots.has(parts[0]!) && bytes > 0);
});

Deno.test("limits on memory keep launches apart", () => {
  const { g } = network();
  const before = launchesOf(g);
  const left = (limits: Partial<CombineLimits>) => {
    const { launches } = combineLaunches(g, before, { ...UNLIMITED, ...limits });
    return [TRANSFORM, SUM].map((kernel) => count(launches, kernel));
  };
  const bytes = (kernel: string, binding: string) =>
    named(before.flat(), kernel).reduce((sum, { buffers }) => sum + buffers[binding]!.bytes, 0);
  assert.deepEqual(left({ deferred: bytes(SUM, "parts") }), [1, 1]);
  assert.deepEqual(left({ deferred: bytes(SUM, "parts") - 1 }), [1, 2]);
  assert.deepEqual(left({ binding: bytes(TRANSFORM, "transformed") }), [1, 1]);
  assert.deepEqual(left({ binding: bytes(TRANSFORM, "transformed") - 1 }), [2, 1]);
});

Deno.test("transforms that are not kept for a later node stay where they are", () => {
  const { g, forwardNodes } = network();
  const forward = launchesOf(g).slice(0, forwardNodes);
  assert.deepEqual(combineLaunches(g, forward, UNLIMITED).launches, forward);
});

Deno.test("results have the same bits with combined launches and without", async () => {
  const { g, x, y, gradients, forwardNodes } = network();
  const results = [
    y,
    gradients.ofInput.get(x)!,
    ...[...gradients.ofParameter].filter(([{ name }]) => name.endsWith("weight")).map(([, of]) => of),
  ];
  const arrays = new Map<Tensor, Float32Array>();
  const given = ({ role }: Tensor) => role === "input" || role === "parameter";
  const arrayOf = (tensor: Tensor) => {
    const values = given(tensor) ? noise(tensor.elements, tensor.id) : new Float32Array(tensor.elements);
    const array = arrays.get(tensor) ?? Float32Array.from(values);
    arrays.set(tensor, array);
    return array;
  };
  const gpu = await testGpu();
  const alone = launchesOf(g).flat().map((launch) => ({
    ...launch,
    buffers: Object.fromEntries(Object.entries(launch.buffers).map(([name, of]) => [name, arrayOf(of)])),
  }));
  await runOnArrays(gpu, alone);
  const keep = results.filter(({ role }) => role === "activation");
  const device = await DeviceGraph.build(gpu, g, { keep, gradients, forwardNodes, target: TILE });
  const kernels = device.compiled.launches.flat().map(({ kernel: { name } }) => name);
  for (const kernel of [TRANSFORM, SUM]) {
    assert.equal(kernels.filter((name) => name === `${kernel}_combined`).length, 1, kernel);
    assert.ok(!kernels.includes(kernel), kernel);
  }
  for (const [tensor, array] of arrays) if (given(tensor)) device.write(tensor, array);
  device.forward.run();
  device.backward.run();
  const got = await device.read(...results);
  results.forEach((tensor, i) => {
    const want = arrays.get(tensor)!;
    assert.ok(want.some((value) => value !== 0), tensor.name);
    assertSame(got[i]!, want, tensor.name);
  });
  device.destroy();
});

Deno.test("combined launches take a dispatch per buffer, and more where a binding cannot hold all", async () => {
  const gpu = await testGpu();
  const scope = new ResourceScope(gpu, "test");
  await scope.guard(() => {
    const { g } = network();
    const context = lowerContext(g, TILE);
    const { combined } = planLaunches(g, g.nodes.map((node) => lower(context, node)), context);
    const [transform] = named(combined.launches.flat(), TRANSFORM);
    const { buffer } = scope.buffer(2 ** 22, "all");
    const weights = (buffers: (i: number) => GPUBuffer) => {
      const parameters = g.parameters.map(({ tensor }) => tensor);
      return (tensor: Tensor): BufferView => {
        const i = parameters.indexOf(tensor);
        if (i < 0) return { buffer, offset: 0, size: tensor.bytes };
        return { buffer: buffers(i), offset: 2 ** 18 * i, size: tensor.bytes };
      };
    };
    const dispatches = (view: (tensor: Tensor) => BufferView, limit?: number) =>
      combined.place(gpu, scope, transform!, view, limit).length;
    const shared = scope.buffer(2 ** 22, "shared").buffer;
    assert.equal(dispatches(weights(() => shared)), 1);
    assert.equal(dispatches(weights(() => shared), 2 ** 20), 2);
    assert.equal(dispatches(weights((i) => scope.buffer(2 ** 22, `buffer ${i}`).buffer)), 2);
    return Promise.resolve();
  });
  scope.destroy();
});
