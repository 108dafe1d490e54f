import assert from "node:assert/strict";
import { ShapeError } from "../../lib/errors.ts";
import { Graph, type Initializer } from "../../lib/graph/graph.ts";
import { conv2d } from "../../lib/graph/ops.ts";
import type { Tensor } from "../../lib/graph/tensor.ts";
import { FusedLinear } from "../../lib/model/fused_linear.ts";
import { noise } from "../reference/differences.ts";
import { DeviceGraph } from "../support/device_graph.ts";
import { testGpu, testTargets } from "../support/gpu.ts";
import { packChannels, unpackChannels } from "../support/layout.ts";

const ZEROS: Initializer = { kind: "zeros" };
const INIT = { weight: ZEROS, bias: ZEROS };
const WIDTHS = [6, 8, 1];
const NAMES = ["a", "b", "c"];
const [ROWS, INPUT] = [5, 7];

/** Outputs of the layers for made-up weights, by name. */
async function outputs(
  record: (g: Graph, x: Tensor) => Tensor[],
  target: Parameters<typeof DeviceGraph.build>[2]["target"],
) {
  const g = new Graph();
  const x = g.input("x", [ROWS, 1, 1, INPUT]);
  const results = record(g, x);
  const graph = await DeviceGraph.build(await testGpu(), g, { keep: results, target });
  const tensors = graph.table.parameters.map(({ name, shape }) => {
    const seed = name.charCodeAt(0) + name.length;
    return [name, { shape, data: Float32Array.from(noise(shape.reduce((a, b) => a * b), seed)) }] as const;
  });
  graph.write(graph.parameters, graph.table.toMemory(new Map(tensors), "test"));
  graph.write(x, packChannels(noise(ROWS * INPUT, 1), INPUT));
  graph.forward.run();
  const values = await graph.read(...results);
  graph.destroy();
  return { values, names: tensors.map(([name]) => name) };
}

for (const target of await testTargets()) {
  Deno.test(`fused layers have the parameters of separate ones, and give the same bits: ${target.path}`, async () => {
    const separate = await outputs((g, x) =>
      NAMES.map((name, i) =>
        g.scope(name, () => {
          const weight = g.parameter("weight", "linear", [WIDTHS[i], INPUT], ZEROS);
          const bias = g.parameter("bias", "vector", [WIDTHS[i]], ZEROS);
          return conv2d(g, x, { weight, bias }, { kernel: 1, stride: 1, padding: 0 });
        })
      ), target);
    const firsts: number[] = [];
    const fused = await outputs((g, x) => {
      const layers = new FusedLinear(g, "abc", x, WIDTHS);
      for (const name of NAMES) firsts.push(layers.declare(name, INIT).first);
      return [layers.y];
    }, target);
    assert.deepEqual(fused.names, separate.names);
    assert.deepEqual(firsts, [0, 8, 16]);
    const rows = unpackChannels(fused.values[0], 20);
    separate.values.forEach((values, i) => {
      const width = 4 * Math.ceil(WIDTHS[i] / 4);
      const columns = Array.from({ length: ROWS }, (_, row) => {
        const first = 20 * row + firsts[i];
        return [...rows.subarray(first, first + width)];
      });
      // Padding is zero in both.
      assert.deepEqual(columns.flat(), [...values], NAMES[i]);
    });
  });
}

Deno.test("more layers than were announced are refused", () => {
  const g = new Graph();
  const layers = new FusedLinear(g, "ab", g.input("x", [1, 1, 1, 4]), [4, 4]);
  layers.declare("a", INIT);
  assert.equal(layers.undeclared, 1);
  layers.declare("b", INIT);
  assert.throws(() => layers.declare("c", INIT), new ShapeError("c: all fused layers are declared"));
});
