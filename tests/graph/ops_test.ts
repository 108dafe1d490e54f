import assert from "node:assert/strict";
import { DrawLayout, StepStateLayout } from "../../kernels/records/layouts.ts";
import { ShapeError } from "../../lib/errors.ts";
import { Graph } from "../../lib/graph/graph.ts";
import { embedding, fourierEmbedding, timestepEmbedding } from "../../lib/graph/embedding_ops.ts";
import {
  add,
  attention,
  concat,
  conv2d,
  divideSamples,
  groupNorm,
  scaleShift,
  silu,
  upsample,
} from "../../lib/graph/ops.ts";
import { bothAxes, type PerAxis } from "../../lib/graph/attributes.ts";
import type { ElementType, Shape, Tensor } from "../../lib/graph/tensor.ts";

const ZEROS = { kind: "zeros" } as const;
const SAME = { kernel: 3, stride: 1, padding: 1 } as const;

function vector(g: Graph, name: string, channels: number): Tensor {
  return g.parameter(name, "vector", [channels], ZEROS);
}

function convParameters(g: Graph, input: number, output: number, kernel: PerAxis = 3) {
  return {
    weight: g.parameter("weight", "conv", [output, input, ...bothAxes(kernel)], ZEROS),
    bias: vector(g, "bias", output),
  };
}

function dropped(g: Graph, x: Tensor, stepState: Tensor, rate: number): Tensor {
  const channels = x.shape[3];
  const parameters = { gamma: vector(g, "gamma", channels), beta: vector(g, "beta", channels) };
  return groupNorm(g, x, parameters, { groups: 1, eps: 1e-6, activation: "silu" }, { stepState, rate });
}

const faults: [name: string, message: string, record: (g: Graph) => void][] = [
  [
    "conv2d with a weight for other channels",
    "block.conv2d: weight has shape [3,3,4,8], expected [3,3,8,8]",
    (g) => conv2d(g, g.input("x", [2, 8, 8, 6]), convParameters(g, 3, 8), SAME),
  ],
  [
    "conv2d with a weight of another kernel size",
    "block.conv2d: weight has shape [1,1,4,8], expected [3,3,4,8]",
    (g) => conv2d(g, g.input("x", [2, 8, 8, 3]), convParameters(g, 3, 8, 1), SAME),
  ],
  [
    "conv2d with a residual of another size",
    "block.conv2d: residual has shape [2,8,8,8], expected [2,4,4,8]",
    (g) => {
      const stride2 = { kernel: 3, stride: 2, padding: 0, paddingEnd: 1 } as const;
      const residual = g.input("residual", [2, 8, 8, 8]);
      conv2d(g, g.input("x", [2, 8, 8, 3]), convParameters(g, 3, 8), stride2, { residual });
    },
  ],
  [
    "conv2d with a row bias for another batch",
    "block.conv2d: rowBias has shape [3,1,1,8], expected [2,1,1,8]",
    (g) => withRowBias(g, 3, 8, 0),
  ],
  [
    "conv2d with a row bias that ends too early",
    "block.conv2d: rowBias has 12 channels, expected 8 from 8 on, a multiple of 4",
    (g) => withRowBias(g, 2, 12, 8),
  ],
  [
    "conv2d with a row bias from a channel that is no multiple of 4",
    "block.conv2d: rowBias has 12 channels, expected 8 from 2 on, a multiple of 4",
    (g) => withRowBias(g, 2, 12, 2),
  ],
  [
    "groupNorm with gamma for other channels",
    "block.groupNorm: gamma has shape [1,1,1,4], expected [1,1,1,8]",
    (g) => norm(g, 8, 4, 8, 2),
  ],
  [
    "groupNorm with beta for other channels",
    "block.groupNorm: beta has shape [1,1,1,12], expected [1,1,1,8]",
    (g) => norm(g, 8, 8, 12, 2),
  ],
  [
    "groupNorm with groups that do not divide the channels",
    "block.groupNorm: 8 channels cannot be split into 3 groups",
    (g) => norm(g, 8, 8, 8, 3),
  ],
  [
    "groupNorm with parameters of other samples",
    "block.groupNorm: affine has shape [3,1,1,16], expected [2,1,1,16]",
    (g) => {
      const affine = g.input("affine", [3, 1, 1, 16]);
      groupNorm(g, g.input("x", [2, 4, 4, 8]), { affine }, { groups: 2, eps: 1e-6, activation: "silu" });
    },
  ],
  [
    "scaleShift of rows that end too early",
    "block.scaleShift: rowBias has 16 channels, expected 16 from 4 on, a multiple of 4",
    (g) => {
      const [gamma, beta] = ["gamma", "beta"].map((name) => g.input(name, [1, 1, 1, 8])) as [Tensor, Tensor];
      scaleShift(g, { gamma, beta }, { of: g.input("rows", [2, 1, 1, 16]), first: 4 });
    },
  ],
  [
    "attention with queries, keys and values of other channels",
    "block.attention: qkv has shape [2,4,4,18], expected [2,4,4,24]",
    (g) => void attention(g, g.input("qkv", [2, 4, 4, 18]), 6, 2),
  ],
  [
    "attention with heads that do not divide the channels",
    "block.attention: 8 channels cannot be split into 3 heads",
    (g) => void attention(g, g.input("qkv", [2, 4, 4, 24]), 8, 3),
  ],
  [
    "concat of images of two sizes",
    "block.concat: b has shape [2,4,8,5], expected [2,8,8,5]",
    (g) => concat(g, g.input("a", [2, 8, 8, 3]), g.input("b", [2, 4, 8, 5])),
  ],
  [
    "add of two shapes",
    "block.add: b has shape [2,8,8,4], expected [2,8,8,3]",
    (g) => add(g, g.input("a", [2, 8, 8, 3]), g.input("b", [2, 8, 8, 4])),
  ],
  [
    "dropout of everything",
    "block.groupNorm: dropout rate must be in [0, 1), got 1",
    (g) => dropped(g, g.input("x", [2, 8, 8, 3]), g.input("stepState", [1, 1, 1, 1], StepStateLayout), 1),
  ],
  [
    "timestepEmbedding of another batch",
    "block.timestepEmbedding: timesteps has shape [1,1,1,3], expected [1,1,1,2]",
    (g) => embedTimesteps(g, 3, 16),
  ],
  [
    "timestepEmbedding of an odd length",
    "block.timestepEmbedding: dimension must be even, got 15",
    (g) => embedTimesteps(g, 2, 15),
  ],
  [
    "embedding of another batch",
    "block.embedding: labels has shape [1,1,1,3], expected [1,1,1,2]",
    (g) => embed(g, 3, "uint32"),
  ],
  [
    "embedding of labels that are bytes",
    "block.embedding: labels is uint8, expected uint32 or float32",
    (g) => embed(g, 2, "uint8"),
  ],
  [
    "fourierEmbedding of integers",
    "block.fourierEmbedding: timesteps is uint32, expected float32",
    (g) => {
      const frequencies = g.parameter("frequencies", "vector", [8], ZEROS, { frozen: true });
      fourierEmbedding(g, g.input("timesteps", [1, 1, 1, 2], "uint32"), frequencies, 2);
    },
  ],
  [
    "divisors of another batch",
    "block.divideSamples: divisors has shape [1,1,1,3], expected [1,1,1,2]",
    (g) => divideSamples(g, g.input("x", [2, 8, 8, 3]), g.input("divisors", [1, 1, 1, 3], "float32")),
  ],
  [
    "timestepEmbedding of bytes",
    "block.timestepEmbedding: timesteps is uint8, expected float32 or uint32",
    (g) => embedTimesteps(g, 2, 16, "uint8"),
  ],
  [
    "dropout by another record than the step's",
    "block.groupNorm: stepState is Draw, expected StepState",
    (g) => dropped(g, g.input("x", [2, 8, 8, 3]), g.input("stepState", [1, 1, 1, 1], DrawLayout), 0.5),
  ],
  [
    "a tensor with a size of zero",
    "x: every size of [2,0,8,3] must be a positive integer",
    (g) => g.input("x", [2, 0, 8, 3]),
  ],
  [
    "an input declared twice",
    "input x is declared twice",
    (g) => [1, 2].forEach(() => g.input("x", [1, 1, 1, 1])),
  ],
  [
    "a parameter in memory of other rows",
    "parameter block.weight [4,6] does not fit block.memory [1,1,4,8] at column 4",
    (g) => {
      const memory = g.fusedParameter("memory", "linear", [8, 4]);
      g.parameterIn(memory, 4, "weight", "linear", [4, 6], ZEROS);
    },
  ],
  [
    "a parameter beyond the end of its memory",
    "parameter block.bias [6] does not fit block.memory [1,1,1,8] at column 4",
    (g) => g.parameterIn(g.fusedParameter("memory", "vector", [8]), 4, "bias", "vector", [6], ZEROS),
  ],
  [
    "a parameter declared twice",
    "parameter block.bias is declared twice",
    (g) => [1, 2].forEach(() => vector(g, "bias", 4)),
  ],
];

function withRowBias(g: Graph, batch: number, width: number, first: number): void {
  const rowBias = { of: g.input("rowBias", [batch, 1, 1, width]), first };
  conv2d(g, g.input("x", [2, 8, 8, 3]), convParameters(g, 3, 8), SAME, { rowBias });
}

function norm(g: Graph, channels: number, gamma: number, beta: number, groups: number): void {
  const parameters = { gamma: vector(g, "gamma", gamma), beta: vector(g, "beta", beta) };
  groupNorm(g, g.input("x", [2, 4, 4, channels]), parameters, { groups, eps: 1e-6 });
}

function embed(g: Graph, labels: number, type: ElementType): void {
  const table = g.parameter("table", "table", [4, 16], ZEROS);
  embedding(g, table, g.input("labels", [1, 1, 1, labels], type), 2);
}

function embedTimesteps(g: Graph, timesteps: number, dimension: number, type: ElementType = "float32"): void {
  const attributes = { flipSinToCos: false, frequencyShift: 1 };
  timestepEmbedding(g, g.input("timesteps", [1, 1, 1, timesteps], type), 2, dimension, attributes);
}

for (const [name, message, record] of faults) {
  Deno.test(`refused, naming operand and shapes: ${name}`, () => {
    const g = new Graph();
    assert.throws(() => g.scope("block", () => record(g)), new ShapeError(message));
    assert.equal(g.nodes.length, 0);
  });
}

Deno.test("results have the shapes that their operations promise", () => {
  const g = new Graph();
  const x = g.input("x", [2, 7, 6, 5]);
  const shapes: [Tensor, Shape][] = [
    [silu(g, x), [2, 7, 6, 5]],
    [upsample(g, x), [2, 14, 12, 5]],
    [concat(g, x, g.input("b", [2, 7, 6, 2])), [2, 7, 6, 7]],
    [add(g, x, x), [2, 7, 6, 5]],
    [dropped(g, x, g.input("stepState", [1, 1, 1, 1], StepStateLayout), 0.5), [2, 7, 6, 5]],
    [convolve(g, x, SAME), [2, 7, 6, 9]],
    // PyTorch's sizes: floor((7 + 2 - 3) / 2) + 1, and with one zero row below instead floor((7 + 1 - 3) / 2) + 1.
    [convolve(g, x, { kernel: 3, stride: 2, padding: 1 }), [2, 4, 3, 9]],
    [convolve(g, x, { kernel: 3, stride: 2, padding: 0, paddingEnd: 1 }), [2, 3, 3, 9]],
    [convolve(g, x, { kernel: 3, stride: 2, padding: 0 }), [2, 3, 2, 9]],
    [convolve(g, x, { kernel: 3, stride: 1, padding: 0 }), [2, 5, 4, 9]],
    [convolve(g, x, { kernel: [1, 5], stride: 1, padding: [0, 2] }), [2, 7, 6, 9]],
    [convolve(g, x, { kernel: [3, 2], stride: 2, padding: [1, 0], paddingEnd: [0, 1] }), [2, 3, 3, 9]],
    [convolve(g, x, { kernel: 1, stride: 1, padding: 0 }), [2, 7, 6, 9]],
  ];
  for (const [tensor, shape] of shapes) assert.deepEqual(tensor.shape, shape, tensor.name);
});

function convolve(g: Graph, x: Tensor, attributes: Parameters<typeof conv2d>[3]): Tensor {
  const { kernel } = attributes;
  return g.scope(`${g.nodes.length}`, () => conv2d(g, x, convParameters(g, 5, 9, kernel), attributes));
}

Deno.test("a norm with dropout at rate 0 is one without", () => {
  const g = new Graph();
  dropped(g, g.input("x", [1, 2, 2, 4]), g.input("stepState", [1, 1, 1, 1], StepStateLayout), 0);
  const [node] = g.nodes;
  assert.ok(node?.kind === "groupNorm");
  assert.deepEqual([node.in.stepState, node.attributes.dropout], [undefined, undefined]);
  assert.equal(g.nextDropoutLayer(), 0);
});

Deno.test("names carry their scopes, and a scope ends with its body even when that throws", () => {
  const g = new Graph();
  assert.throws(() =>
    g.scope("outer", () =>
      g.scope("inner", () => {
        assert.equal(g.label("conv"), "outer.inner.conv");
        throw new Error("stop");
      }))
  );
  assert.equal(g.label("conv"), "conv");
});
