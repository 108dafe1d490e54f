import assert from "node:assert/strict";
import { StepStateLayout } from "../../kernels/records/layouts.ts";
import { recordBackward } from "../../lib/graph/gradients.ts";
import { Graph, type Initializer } from "../../lib/graph/graph.ts";
import {
  add,
  attention,
  concat,
  conv2d,
  type Dropout,
  groupNorm,
  type RowBias,
  silu,
  upsample,
} from "../../lib/graph/ops.ts";
import { averagePool } from "../../lib/graph/inference_ops.ts";
import { SQUARES } from "../../lib/graph/attributes.ts";
import type { Tensor } from "../../lib/graph/tensor.ts";
import { FusedLinear } from "../../lib/model/fused_linear.ts";
import { assertClose } from "../support/close.ts";
import { testGpu } from "../support/gpu.ts";
import { packChannels, unpackChannels } from "../support/layout.ts";
import { noise } from "../reference/differences.ts";
import { stepWords } from "../support/step.ts";
import { DeviceGraph } from "../support/device_graph.ts";

const ZEROS: Initializer = { kind: "zeros" };
const SAME = { kernel: 3, stride: 1, padding: 1 } as const;
const CHANNELS = 6;

Deno.test("the norm that reads a concatenation first writes the gradients of its operands", () => {
  const kinds = (channels: number) => {
    const g = new Graph();
    const [x, y] = ["x", "y"].map((name) => g.input(name, [1, 2, 2, channels])) as [Tensor, Tensor];
    const joined = concat(g, x, y);
    const output = conv(g, "a", norm(g, "n", joined), { residual: conv(g, "c", joined) });
    const forward = g.nodes.length;
    recordBackward(g, output, { seed: g.input("seed", output.shape), wanted: [x, y] });
    return g.nodes.slice(forward).map(({ kind }) => kind);
  };
  assert.ok(!kinds(8).includes("sliceChannels"));
  assert.equal(kinds(6).filter((kind) => kind === "sliceChannels").length, 2);
});

/** A convolution that keeps shape and channels, with parameters of its own. */
function conv(
  g: Graph,
  name: string,
  x: Tensor,
  extra: { residual?: Tensor; rowBias?: RowBias } = {},
): Tensor {
  return g.scope(name, () => {
    const weight = g.parameter("weight", "conv", [CHANNELS, x.shape[3], 3, 3], ZEROS);
    const bias = g.parameter("bias", "vector", [CHANNELS], ZEROS);
    return conv2d(g, x, { weight, bias }, SAME, extra);
  });
}

function norm(g: Graph, name: string, x: Tensor, dropout?: Dropout): Tensor {
  return g.scope(name, () => {
    const gamma = g.parameter("weight", "vector", [x.shape[3]], ZEROS);
    const beta = g.parameter("bias", "vector", [x.shape[3]], ZEROS);
    return groupNorm(g, x, { gamma, beta }, { groups: 2, eps: 1e-6, activation: "silu" }, dropout);
  });
}

/** Linear layers of one input, 6 to 6 channels each. */
function fused(g: Graph, x: Tensor, names: readonly string[]): { y: Tensor; outputs: RowBias[] } {
  const layers = new FusedLinear(g, "fused", x, names.map(() => CHANNELS));
  return { y: layers.y, outputs: names.map((name) => layers.declare(name, { weight: ZEROS, bias: ZEROS })) };
}

/** Networks over an input that has several consumers. */
const networks: Record<string, (g: Graph, x: Tensor) => Tensor> = {
  "two consumers: convolution and its residual": (g, x) => conv(g, "a", x, { residual: x }),
  "two consumers: both operands of a sum": (g, x) => conv(g, "a", add(g, x, x)),
  "two consumers: both operands of a concatenation": (g, x) => conv(g, "a", concat(g, x, x)),
  "three consumers: convolution, residual and concatenation": (g, x) =>
    conv(g, "b", concat(g, conv(g, "a", x, { residual: x }), x)),
  "three consumers in one product: query, key and value": (g, x) =>
    conv(g, "a", attention(g, fused(g, x, ["q", "k", "v"]).y, CHANNELS, 2)),
  "four consumers: norm, SiLU, upsampling and sum": (g, x) => {
    const both = add(g, upsample(g, silu(g, x)), upsample(g, x));
    return conv(g, "b", add(g, conv(g, "a", both), upsample(g, add(g, norm(g, "n", x), x))));
  },
  "two consumers of which one pools": (g, x) => {
    const large = upsample(g, x);
    return conv(
      g,
      "b",
      upsample(
        g,
        add(g, averagePool(g, add(g, silu(g, large), large), SQUARES), averagePool(g, large, SQUARES)),
      ),
    );
  },
  "a norm whose input has three other consumers": (g, x) => {
    const main = conv(g, "a", norm(g, "n", x), { residual: x });
    return conv(g, "b", add(g, add(g, main, x), silu(g, x)));
  },
  "a norm of a concatenation": (g, x) => conv(g, "a", norm(g, "n", concat(g, concat(g, x, x), x))),
  "a norm of a concatenation that others read later": (g, x) => {
    const joined = concat(g, concat(g, x, x), x);
    const main = conv(g, "a", norm(g, "n", joined));
    return conv(g, "b", add(g, main, x), { residual: conv(g, "c", joined) });
  },
  "a norm of a concatenation that others read before": (g, x) => {
    const joined = concat(g, concat(g, x, x), x);
    const aside = conv(g, "c", joined);
    return conv(g, "a", norm(g, "n", joined), { residual: aside });
  },
  "a norm of a concatenation of channels that are not a multiple of 4": (g, x) =>
    conv(g, "a", norm(g, "n", concat(g, x, x))),
  "an input behind operations that hold no parameter": (g, x) =>
    conv(g, "a", silu(g, silu(g, upsample(g, x)))),
};

for (const [name, network] of Object.entries(networks)) {
  Deno.test(`the input's gradient matches central differences: ${name}`, async () => {
    const size = 3 * 2 * CHANNELS;
    const x = noise(size, 5);
    const step = 1e-2;
    // All displaced inputs are the samples of one batch, so one replay gives every difference.
    const displaced = new Float32Array(2 * size * size);
    for (let i = 0; i < size; i++) {
      for (const [sign, row] of [[1, 2 * i], [-1, 2 * i + 1]]) {
        displaced.set(x, row * size);
        displaced[row * size + i] += sign * step;
      }
    }
    const gpu = await testGpu();
    const g = new Graph();
    const input = g.input("x", [2 * size, 3, 2, CHANNELS]);
    const output = network(g, input);
    const forward = await DeviceGraph.build(gpu, g, { keep: [output] });
    const weights = parameterValues(forward);
    forward.write(forward.parameters, weights);
    forward.write(input, packChannels(displaced, CHANNELS));
    forward.forward.run();
    const [values] = await forward.read(output);
    forward.destroy();

    const y = unpackChannels(values, CHANNELS);
    const perSample = y.length / (2 * size);
    const seed = noise(perSample, 6);
    const dot = (row: number) => seed.reduce((sum, s, i) => sum + s * y[row * perSample + i], 0);
    // Divided by what the displacement is in float32.
    const differences = Float64Array.from(
      { length: size },
      (_, i) =>
        (dot(2 * i) - dot(2 * i + 1)) / (displaced[2 * i * size + i] - displaced[(2 * i + 1) * size + i]),
    );

    // Rounding gives 2^-24 / step, curvature step^2 / 6 times a third derivative.
    assertClose(
      await inputGradient(network, x, weights, seed),
      differences,
      { absolute: 0, relative: 1e-3 },
      "dx",
    );
  });
}

/** Reproducible values for every parameter, norms around 1. */
function parameterValues(graph: DeviceGraph): Float32Array<ArrayBuffer> {
  const tensors = graph.table.parameters.map(({ name, shape }, i) => {
    const count = shape.reduce((a, b) => a * b);
    const offset = name === "n.weight" ? 1 : 0;
    const data = Float32Array.from(noise(count, i + 10), (value) => offset + 0.3 * value);
    return [name, { shape, data }] as const;
  });
  return graph.table.toMemory(new Map(tensors), "test");
}

async function inputGradient(
  network: (g: Graph, x: Tensor) => Tensor,
  x: Float64Array,
  weights: Float32Array,
  seed: Float64Array,
): Promise<Float32Array> {
  const g = new Graph();
  const input = g.input("x", [1, 3, 2, CHANNELS]);
  const output = network(g, input);
  const forwardNodes = g.nodes.length;
  const seedInput = g.input("seed", output.shape);
  const gradients = recordBackward(g, output, { seed: seedInput, wanted: [input] });
  const dx = gradients.ofInput.get(input)!;
  const graph = await DeviceGraph.build(await testGpu(), g, { keep: [output, dx], gradients, forwardNodes });
  graph.write(graph.parameters, weights);
  graph.write(input, packChannels(x, CHANNELS));
  graph.write(seedInput, packChannels(seed, CHANNELS));
  graph.forward.run();
  graph.backward.run();
  const [gradient] = await graph.read(dx);
  graph.destroy();
  return unpackChannels(gradient, CHANNELS);
}

Deno.test("the gradient of biases for each sample is the sum over positions, of each convolution in its own channels", async () => {
  const g = new Graph();
  const x = g.input("x", [2, 3, 2, CHANNELS]);
  const biases = g.input("biases", [2, 1, 1, 16]);
  const [a, b] = [0, 8].map((first) => conv(g, `conv${first}`, x, { rowBias: { of: biases, first } }));
  const output = concat(g, a, b);
  const forwardNodes = g.nodes.length;
  const seed = g.input("seed", output.shape);
  const gradients = recordBackward(g, output, { seed, wanted: [biases] });
  const dx = gradients.ofInput.get(biases)!;
  const graph = await DeviceGraph.build(await testGpu(), g, { keep: [output, dx], gradients, forwardNodes });
  const values = noise(2 * 6 * 2 * CHANNELS, 3);
  graph.write(seed, packChannels(values, 2 * CHANNELS));
  graph.forward.run();
  graph.backward.run();
  const [gradient] = await graph.read(dx);
  graph.destroy();
  const want = [0, 1].flatMap((sample) =>
    [0, 1].flatMap((part) =>
      Array.from({ length: 8 }, (_, c) => {
        if (c >= CHANNELS) return 0;
        const at = (p: number) => (6 * sample + p) * 2 * CHANNELS + part * CHANNELS + c;
        return [0, 1, 2, 3, 4, 5].reduce((sum, p) => sum + values[at(p)], 0);
      })
    )
  );
  assertClose(gradient, want, { absolute: 1e-6 }, "biases");
});

for (
  const [what, message, places] of [
    ["that two convolutions use", "channel 4 of biases is used twice; its gradient would be overwritten", [
      0,
      4,
    ]],
    ["that nobody uses", "8 of 16 channels of biases get a gradient", [8]],
  ] as const
) {
  Deno.test(`channels of a bias for each sample ${what} are refused by name`, () => {
    const g = new Graph();
    let y = g.input("x", [1, 4, 4, CHANNELS]);
    const biases = { ...silu(g, g.input("t", [1, 1, 1, 16])), name: "biases" };
    Object.assign(g.nodes[0].out, { y: biases });
    for (const first of places) y = conv(g, `conv${first}`, y, { rowBias: { of: biases, first } });
    const wanted = [g.inputs.get("t")!];
    assert.throws(() => recordBackward(g, y, { seed: g.input("seed", y.shape), wanted }), { message });
  });
}

Deno.test("dropout's gradient goes through the mask of the forward pass, another in each layer and step", async () => {
  const g = new Graph();
  const x = g.input("x", [4, 8, 8, 8]);
  const stepState = g.input("stepState", [1, 1, 1, 1], StepStateLayout);
  const [first, second] = ["first", "second"].map((name) => norm(g, name, x, { stepState, rate: 0.5 })) as [
    Tensor,
    Tensor,
  ];
  const output = add(g, first, second);
  const forwardNodes = g.nodes.length;
  const seed = g.input("seed", output.shape);
  const gradients = recordBackward(g, output, { seed, wanted: [x] });
  const keep = [first, second];
  const graph = await DeviceGraph.build(await testGpu(), g, { keep, gradients, forwardNodes });
  graph.write(x, Float32Array.from(noise(4 * 8 * 8 * 8, 1)));
  graph.write(seed, new Float32Array(4 * 8 * 8 * 8).fill(1));
  // With gamma 0 and beta 1 the results are the masks times a constant, and so are the terms of beta's gradient.
  const values = graph.table.parameters.map(({ name, shape }) => {
    return [name, { shape, data: new Float32Array(8).fill(name.endsWith("bias") ? 1 : 0) }] as const;
  });
  graph.write(graph.parameters, graph.table.toMemory(new Map(values), "test"));

  const results: Float32Array[][] = [];
  for (const step of [3, 4]) {
    graph.write(stepState, stepWords({ step }));
    graph.forward.run();
    graph.backward.run();
    const [a, b, flat] = await graph.read(first, second, graph.gradients);
    results.push([a!, b!]);
    const tensors = graph.table.fromMemory(flat!);
    for (const [name, y] of [["first", a!], ["second", b!]] as const) {
      const gradient = tensors.get(`${name}.bias`)!.data;
      const kept = (of: Float32Array, channel: number) =>
        of.filter((v, i) => i % 8 === channel && v !== 0).length;
      const slope = gradient[0]! / kept(y, 0);
      assert.ok(slope > 0);
      for (let c = 0; c < 8; c++) assertClose([gradient[c]!], [slope * kept(y, c)], { absolute: 1e-3 }, name);
    }
  }
  assert.notDeepEqual(results[0]![0], results[0]![1], "two layers drew the same mask");
  assert.notDeepEqual(results[0]![0], results[1]![0], "two steps drew the same mask");
  graph.destroy();
});

Deno.test("a parameter that is used twice is refused by name", () => {
  const g = new Graph();
  const weight = g.parameter("shared.weight", "conv", [CHANNELS, CHANNELS, 3, 3], ZEROS);
  const biases = ["a", "b"].map((name) => g.parameter(name, "vector", [CHANNELS], ZEROS));
  let x = g.input("x", [1, 4, 4, CHANNELS]);
  for (const bias of biases) x = conv2d(g, x, { weight, bias }, SAME);
  assert.throws(
    () => recordBackward(g, x, { seed: g.input("seed", x.shape) }),
    { message: "parameter shared.weight is used twice; its gradient would be overwritten" },
  );
});

Deno.test("a convolution with ReLU has no gradient", () => {
  const g = new Graph();
  const weight = g.parameter("weight", "conv", [CHANNELS, CHANNELS, 3, 3], ZEROS);
  const bias = g.parameter("bias", "vector", [CHANNELS], ZEROS);
  const y = conv2d(g, g.input("x", [1, 4, 4, CHANNELS]), { weight, bias }, { ...SAME, relu: true });
  assert.throws(
    () => recordBackward(g, y, { seed: g.input("seed", y.shape) }),
    { message: "conv2d: a convolution with ReLU is forward only" },
  );
});

Deno.test("a parameter that the output does not depend on is refused by name", () => {
  const g = new Graph();
  const x = g.input("x", [1, 4, 4, CHANNELS]);
  conv(g, "aside", x);
  const output = conv(g, "main", x);
  assert.throws(
    () => recordBackward(g, output, { seed: g.input("seed", output.shape) }),
    { message: "parameter aside.weight gets no gradient; the output does not depend on it" },
  );
});

Deno.test("a wanted input that the output does not depend on is refused by name", () => {
  const g = new Graph();
  const output = conv(g, "main", g.input("x", [1, 4, 4, CHANNELS]));
  assert.throws(
    () =>
      recordBackward(g, output, {
        seed: g.input("seed", output.shape),
        wanted: [g.input("other", [1, 1, 1, 4])],
      }),
    { message: "input other gets no gradient; the output does not depend on it" },
  );
});

Deno.test("nothing is recorded for the gradient of an input that nobody wants", () => {
  const kinds = (wanted: boolean) => {
    const g = new Graph();
    const x = g.input("x", [1, 4, 4, CHANNELS]);
    const output = conv(g, "a", silu(g, x));
    recordBackward(g, output, { seed: g.input("seed", output.shape), wanted: wanted ? [x] : [] });
    return g.nodes.map(({ kind }) => kind).slice(2);
  };
  assert.deepEqual(kinds(false), ["conv2dBackward"]);
  assert.deepEqual(kinds(true), ["conv2dBackward", "activationBackward"]);
});
