/** Recomputation in the backward pass; that results keep their bits is tested in tests/model/recompute_test.ts. */
import assert from "node:assert/strict";
import { StepStateLayout } from "../../kernels/records/layouts.ts";
import { recordBackward } from "../../lib/graph/gradients.ts";
import { Graph, type Initializer } from "../../lib/graph/graph.ts";
import { inputsOf, outputsOf } from "../../lib/graph/operations.ts";
import {
  add,
  attention,
  concat,
  conv2d,
  type Dropout,
  groupNorm,
  silu,
  upsample,
} from "../../lib/graph/ops.ts";
import type { Tensor } from "../../lib/graph/tensor.ts";

const ZEROS: Initializer = { kind: "zeros" };
const CHANNELS = 8;

/** A graph that starts with a convolution, so that gradients go all the way back. */
function start(): { g: Graph; stepState: Tensor; x: Tensor } {
  const g = new Graph();
  const stepState = g.input("stepState", [1, 1, 1, 1], StepStateLayout);
  return { g, stepState, x: conv(g, "start", g.input("x", [2, 4, 4, CHANNELS])) };
}

function conv(g: Graph, name: string, x: Tensor, residual?: Tensor): Tensor {
  return g.scope(name, () => {
    const weight = g.parameter("weight", "conv", [CHANNELS, x.shape[3], 3, 3], ZEROS);
    const bias = g.parameter("bias", "vector", [CHANNELS], ZEROS);
    return conv2d(g, x, { weight, bias }, { kernel: 3, stride: 1, padding: 1 }, residual ? { residual } : {});
  });
}

function norm(g: Graph, name: string, x: Tensor, dropout?: Dropout): Tensor {
  return g.scope(name, () => {
    const gamma = g.parameter("weight", "vector", [x.shape[3]], ZEROS);
    const beta = g.parameter("bias", "vector", [x.shape[3]], ZEROS);
    return groupNorm(g, x, { gamma, beta }, { groups: 2, eps: 1e-6, activation: "silu" }, dropout);
  });
}

/** Appends the backward pass; the kinds of its nodes in order. */
function backward(g: Graph, output: Tensor, recompute: boolean): string[] {
  const forward = g.nodes.length;
  recordBackward(g, output, { seed: g.input("seed", output.shape), recompute });
  return g.nodes.slice(forward).map(({ kind }) => kind);
}

/** Two segments: norm, SiLU and a convolution; a norm with dropout and a convolution with a residual. */
function twoSegments(): { g: Graph; output: Tensor } {
  const { g, stepState, x } = start();
  const between = g.segment(() => conv(g, "first", silu(g, norm(g, "norm", x))));
  const output = g.segment(() =>
    conv(g, "second", norm(g, "dropped", between, { stepState, rate: 0.5 }), between)
  );
  return { g, output };
}

Deno.test("each segment is computed again where its backward pass begins, its last convolution is not", () => {
  const { g, output } = twoSegments();
  assert.deepEqual(backward(g, output, true), [
    ...["groupNorm", "conv2dBackward", "groupNormBackward"],
    ...["groupNorm", "activation", "conv2dBackward", "activationBackward"],
    ...["groupNormBackward", "conv2dBackward"],
  ]);
});

Deno.test("segments change nothing where nothing is to be computed again", () => {
  const { g, output } = twoSegments();
  const forward = g.nodes.length;
  const kinds = backward(g, output, false);
  const repeated = g.nodes.slice(forward).filter(({ kind }) => ["groupNorm", "activation"].includes(kind));
  assert.deepEqual(repeated, []);
  assert.equal(kinds.length, 6);
});

Deno.test("a recomputed node has the operands, attributes and mask of the first", () => {
  const { g, output } = twoSegments();
  const forward = g.nodes.length;
  backward(g, output, true);
  const [first, second] = [g.nodes.slice(0, forward), g.nodes.slice(forward)].map((nodes) => {
    const node = nodes.find((node) => node.kind === "groupNorm" && node.attributes.dropout);
    assert.ok(node?.kind === "groupNorm");
    return node;
  });
  assert.deepEqual(second.attributes, first.attributes);
  assert.deepEqual(second.in, first.in);
  assert.notEqual(second.out.y, first.out.y);
});

Deno.test("a value that several rules ask for is computed again once", () => {
  const { g, x } = start();
  const output = g.segment(() => {
    const joined = concat(g, x, x);
    return conv(g, "last", norm(g, "norm", joined), conv(g, "aside", joined));
  });
  const kinds = backward(g, output, true);
  assert.equal(kinds.filter((kind) => kind === "concat").length, 1);
  assert.equal(kinds.filter((kind) => kind === "groupNorm").length, 1);
  // Of the convolution aside only the operand is of interest.
  assert.equal(kinds.filter((kind) => kind === "conv2d").length, 0);
});

Deno.test("a tensor that is read outside of its segment is kept, though the segment reads it too", () => {
  const { g, x } = start();
  let kept!: Tensor;
  const end = g.segment(() => {
    kept = silu(g, x);
    return conv(g, "inside", kept);
  });
  const output = conv(g, "outside", add(g, kept, end));
  assert.ok(!backward(g, output, true).includes("activation"));
  const gradient = g.nodes.findLast((node) =>
    node.kind === "conv2dBackward" && node.label.startsWith("inside")
  );
  assert.equal(gradient?.kind === "conv2dBackward" && gradient.in.x, kept);
});

Deno.test("a tensor that a segment marks is kept, and nothing before it is computed again for it", () => {
  const { g, x } = start();
  const output = g.segment(() => {
    const kept = g.keep(conv(g, "first", upsample(g, x)));
    return conv(g, "second", silu(g, kept));
  });
  assert.deepEqual(backward(g, output, true), [
    ...["activation", "conv2dBackward", "activationBackward"],
    ...[
      "upsample",
      "conv2dBackward",
      "upsampleBackward",
      "conv2dBackward",
    ],
  ]);
});

/** Every operation with an operand or result that its backward rule reads, behind and before others of its segment. */
const segments: Record<string, (g: Graph, x: Tensor, stepState: Tensor) => Tensor> = {
  conv2d: (g, x) => conv(g, "b", conv(g, "a", upsample(g, x))),
  groupNorm: (g, x) => norm(g, "b", norm(g, "a", upsample(g, x))),
  silu: (g, x) => silu(g, silu(g, upsample(g, x))),
  attention: (g, x) => {
    const [q, k, v] = ["q", "k", "v"].map((name) => conv(g, name, silu(g, x)));
    return conv(g, "out", attention(g, concat(g, concat(g, q, k), v), CHANNELS, 2), x);
  },
  "a residual block": (g, x, stepState) => {
    const both = concat(g, x, silu(g, x));
    const hidden = conv(g, "a", norm(g, "norm1", both));
    return conv(g, "b", norm(g, "norm2", hidden, { stepState, rate: 0.5 }), conv(g, "shortcut", both));
  },
};

for (const [name, segment] of Object.entries(segments)) {
  Deno.test(`the backward pass reads nothing that a segment has for itself: ${name}`, () => {
    const { g, stepState, x } = start();
    const inner = g.segment(() => segment(g, x, stepState));
    const output = conv(g, "end", inner);
    const inside = new Set([...g.segments.keys()].flatMap(outputsOf));
    inside.delete(inner);
    const forward = g.nodes.length;
    backward(g, output, true);
    const read = g.nodes.slice(forward).flatMap((node) =>
      inputsOf(node).filter((tensor) => inside.has(tensor)).map((tensor) =>
        `${node.kind} reads ${tensor.name}`
      )
    );
    assert.deepEqual(read, []);
  });
}
