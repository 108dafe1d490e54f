import assert from "node:assert/strict";
import type { KernelTarget } from "../../kernels/target.ts";
import { ConfigError, ShapeError } from "../../lib/errors.ts";
import type { Gpu } from "../../lib/gpu/device.ts";
import { kernelTarget } from "../../lib/graph/compile.ts";
import { type Gradients, recordBackward } from "../../lib/graph/gradients.ts";
import { Graph } from "../../lib/graph/graph.ts";
import type { Tensor } from "../../lib/graph/tensor.ts";
import { unetConfigFromJson } from "../../lib/model/config.ts";
import { presetConfig } from "../../lib/model/presets.ts";
import { unet, type UNetInputs, unetInputs } from "../../lib/model/unet.ts";
import { assertClose } from "../support/close.ts";
import { goldenScaled } from "../golden/formula.ts";
import {
  assertDigest,
  fromDevice,
  goldenWeights,
  loadNetworkCase,
  type NetworkCase,
  toDevice,
} from "../golden/tensors.ts";
import { testGpu } from "../support/gpu.ts";
import { DeviceGraph } from "../support/device_graph.ts";

/** Allowed error relative to PyTorch's in float32: our sums run in another order. */
const FACTOR = 4;

/** Kernels that suit the device, and those that suit others, which must be right all the same. */
type Kernels = "own" | "other";

/** The largest case would take a software adapter long on kernels made for others. */
const CASES: readonly [name: string, kernels: readonly Kernels[]][] = [
  ["reference32", ["own"]],
  ["heads", ["own", "other"]],
  ["classes", ["own", "other"]],
  ["unaligned", ["own", "other"]],
  ["scale_shift", ["own", "other"]],
  ["resampling", ["own", "other"]],
  ["variance", ["own", "other"]],
  ["mish", ["own"]],
  ["gelu", ["own", "other"]],
  ["relu", ["own"]],
  ["fourier", ["own"]],
  ["learned_time", ["own"]],
  ["class_numbers", ["own"]],
];

function targetOf(gpu: Gpu, kernels: Kernels): KernelTarget {
  const own = kernelTarget(gpu);
  if (kernels === "own") return own;
  return { ...own, path: own.path === "tile" ? "subgroup" : "tile" };
}

interface Recorded {
  readonly g: Graph;
  readonly inputs: UNetInputs;
  readonly output: Tensor;
  readonly seed: Tensor;
  readonly gradients: Gradients;
  readonly forwardNodes: number;
}

function record(golden: NetworkCase): Recorded {
  const [batch, , height, width] = golden.inputs.shape;
  // diffusers takes images of any size, whatever the configuration says.
  const config = { ...unetConfigFromJson(golden.config), sampleSize: [height, width] as const };
  const g = new Graph();
  // With the step buffer, as in training; these cases have no dropout.
  const inputs = unetInputs(g, config, batch, true);
  const output = unet(g, config, inputs);
  const forwardNodes = g.nodes.length;
  const seed = g.input("seed", output.shape);
  return { g, inputs, output, seed, gradients: recordBackward(g, output, { seed }), forwardNodes };
}

async function upload(
  gpu: Gpu,
  golden: NetworkCase,
  { g, inputs, output, gradients, forwardNodes }: Recorded,
  kernels: Kernels,
  alsoKeep: Tensor[] = [],
): Promise<DeviceGraph> {
  const graph = await DeviceGraph.build(gpu, g, {
    keep: [output, ...alsoKeep],
    gradients,
    forwardNodes,
    target: targetOf(gpu, kernels),
  });
  const { shape, timesteps, labels } = golden.inputs;
  graph.write(graph.parameters, goldenWeights(golden.case, graph.table));
  graph.write(inputs.x, toDevice(goldenInput(golden, "x", 2), shape));
  graph.write(inputs.timesteps, new Float32Array(timesteps));
  if (labels) graph.write(inputs.labels!, new Uint32Array(labels));
  return graph;
}

function goldenInput(golden: NetworkCase, name: string, scale: number): Float32Array {
  return goldenScaled(golden.case, name, golden.inputs.shape.reduce((a, b) => a * b), scale);
}

for (const [name, variants] of CASES) {
  const golden = loadNetworkCase(name);
  const { shape } = golden.inputs;

  for (const kernels of variants) {
    Deno.test(`output, loss and every gradient are diffusers': ${name} x=[${shape}], ${kernels} kernels`, async () => {
      const gpu = await testGpu();
      const recorded = record(golden);
      const graph = await upload(gpu, golden, recorded, kernels);
      graph.forward.run();
      const [memory] = await graph.read(recorded.output);
      const outShape = golden.output.shape;
      const output = fromDevice(memory, outShape);
      assertDigest(output, golden.output, FACTOR * golden.float32.output * golden.output.max, "output");

      const target = goldenScaled(golden.case, "target", output.length, 1.5);
      const difference = output.map((value, i) => value - target[i]);
      const loss = difference.reduce((sum, value) => sum + value * value, 0) / output.length;
      assertClose(
        [loss],
        [golden.loss],
        { absolute: 0, relative: FACTOR * golden.float32.loss + 1e-7 },
        "loss",
      );

      graph.write(recorded.seed, toDevice(difference.map((value) => 2 * value / output.length), outShape));
      graph.backward.run();
      const [flat] = await graph.read(graph.gradients);
      const frozen = graph.table.parameters.flatMap(({ name, frozen }) => frozen ? [name] : []);
      const gradients = new Map(
        [...graph.table.fromMemory(flat)].filter(([parameter]) => !frozen.includes(parameter)),
      );
      assert.deepEqual([...gradients.keys()].sort(), Object.keys(golden.gradients).sort());
      for (const [parameter, { data }] of gradients) {
        const digest = golden.gradients[parameter];
        // A key's bias shifts every score of a row alike, so its gradient is zero; rounding is that of the weight's.
        const { max } = golden.gradients[parameter.replace(/to_k\.bias$/, "to_k.weight")];
        assertDigest(data, digest, FACTOR * golden.float32.gradients * max, `gradient of ${parameter}`);
      }
      graph.destroy();
    });
  }

  Deno.test(`the blocks' outputs are diffusers': ${name}`, async () => {
    const gpu = await testGpu();
    const recorded = record(golden);
    const outputs = blockOutputs(recorded.g, Object.keys(golden.activations));
    const graph = await upload(gpu, golden, recorded, "own", [...outputs.values()]);
    graph.forward.run();
    const values = await graph.read(...outputs.values());
    [...outputs.keys()].forEach((block, i) => {
      const digest = golden.activations[block];
      const allowed = FACTOR * golden.float32.output * digest.max;
      assertDigest(fromDevice(values[i], digest.shape), digest, allowed, block);
    });
    graph.destroy();
  });
}

/** The last tensor of each block. The last norm is left out, because its SiLU is fused in here. */
function blockOutputs(g: Graph, blocks: string[]): Map<string, Tensor> {
  return new Map(
    blocks.filter((block) => block !== "conv_norm_out").map((block) => {
      const last = g.nodes.findLast(({ kind, label }) =>
        (kind === "conv2d" || kind === "rescale") && label.startsWith(`${block}.`)
      );
      assert.ok(last?.kind === "conv2d" || last?.kind === "rescale", `no result of ${block}`);
      return [block, last.out.y];
    }),
  );
}

Deno.test("padding of parameters has zero gradient, so that padding stays zero in training", async () => {
  const golden = loadNetworkCase("unaligned");
  const recorded = record(golden);
  const graph = await upload(await testGpu(), golden, recorded, "own");
  graph.write(recorded.seed, toDevice(goldenInput(golden, "target", 1), golden.inputs.shape));
  graph.forward.run();
  graph.backward.run();
  const [flat] = await graph.read(graph.gradients);
  const withoutPadding = graph.table.toMemory(graph.table.fromMemory(flat), "gradients");
  assert.deepEqual(flat.map((value) => value + 0), withoutPadding.map((value) => value + 0));
  graph.destroy();
});

Deno.test("the network refuses images of another size than its configuration's", () => {
  const config = presetConfig("tiny", 10);
  const g = new Graph();
  const inputs = unetInputs(g, config, 2, false);
  const x = g.input("wide", [2, 32, 36, 3]);
  assert.throws(
    () => unet(g, config, { ...inputs, x }),
    new ShapeError("the network takes images [2,32,32,3], got [2,32,36,3]"),
  );
});

Deno.test("the network asks for labels exactly where it has a class table", () => {
  const conditional = presetConfig("tiny", 10);
  const g = new Graph();
  const { labels: _, ...unlabelled } = unetInputs(g, conditional, 2, false);
  assert.throws(() => unet(g, conditional, unlabelled), ShapeError);

  const h = new Graph();
  const labelled = unetInputs(h, conditional, 2, false);
  assert.throws(() => unet(h, presetConfig("tiny", 0), labelled), ShapeError);
});

Deno.test("dropout is recorded once a residual block in training, each with a mask of its own, and not in sampling", () => {
  const config = presetConfig("tiny", 10, { dropout: 0.1 });
  const layersOf = (training: boolean) => {
    const g = new Graph();
    unet(g, config, unetInputs(g, config, 2, training));
    return g.nodes.flatMap((node) => node.kind === "groupNorm" ? node.attributes.dropout?.layer ?? [] : []);
  };
  const layers = layersOf(true);
  const { blockOutChannels: { length: levels }, layersPerBlock } = config;
  assert.equal(layers.length, levels * layersPerBlock + 2 + levels * (layersPerBlock + 1));
  assert.equal(new Set(layers).size, layers.length);
  assert.deepEqual(layersOf(false), []);
  assert.throws(() => presetConfig("tiny", 10, { dropout: 1 }), ConfigError);
});
