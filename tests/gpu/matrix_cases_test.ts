/** Kinds of kernels on matrix units: the check has a problem for each that a network needs. */
import assert from "node:assert/strict";
import { EMULATED_MATRICES, type KernelTarget } from "../../kernels/target.ts";
import { MATRIX_CASES } from "../../lib/gpu/matrix_cases.ts";
import { lowerContext } from "../../lib/graph/compile.ts";
import { lower } from "../../lib/graph/lower.ts";
import { recordForward } from "../../lib/model/network.ts";
import { CIFAR10_PRESETS, presetConfig } from "../../lib/model/presets.ts";
import { trainingGraph } from "../../lib/train/device/step_graph.ts";
import { microNetwork } from "../support/train/micro.ts";

const TARGET: KernelTarget = {
  ...{ path: "tile", subgroupSize: 32, workgroupBytes: 49152 },
  matrices: { ...EMULATED_MATRICES, dialect: "subgroup_matrix" },
};

const KIND = /^(.+)_half_matrix_/;

Deno.test("the check of matrix units has each kind of kernel of training and sampling, and no other", () => {
  const configs = [
    ...CIFAR10_PRESETS.map((preset) => presetConfig(preset, 10)),
    // Heads of two channels begin between vectors.
    microNetwork({ attentionHeadDim: 2 }),
  ];
  const used = new Set<string>();
  for (const config of configs) {
    for (const batch of [1, 128]) {
      const graphs = [
        trainingGraph({ config, batch, precision: "mixed" }),
        recordForward(config, batch, "mixed").g,
      ];
      for (const g of graphs) {
        const context = lowerContext(g, TARGET);
        for (const { kernel } of g.nodes.flatMap((node) => lower(context, node))) {
          const [, kind] = KIND.exec(kernel.name) ?? [];
          if (kind !== undefined) used.add(kind);
        }
      }
    }
  }
  assert.deepEqual([...used].sort(), Object.keys(MATRIX_CASES).sort());
});

Deno.test("the problems of a kind run its kernel", () => {
  for (const [kind, cases] of Object.entries(MATRIX_CASES)) {
    for (const launches of cases) {
      const kinds = launches({ ...TARGET, half: true }).map(({ kernel }) => KIND.exec(kernel.name)?.[1]);
      assert.deepEqual(kinds.filter((kind) => kind !== undefined), [kind]);
    }
  }
});

Deno.test("weight gradients are split into parts of different lengths", () => {
  const partsOf = (kind: string) =>
    MATRIX_CASES[kind].map((launches) => launches({ ...TARGET, half: true })[0].workgroups[2]);
  assert.deepEqual(partsOf("conv2d_backward_weight_rows"), [2, 2]);
  assert.deepEqual(partsOf("conv2d_backward_weight_flat"), [2, 1]);
});

Deno.test("operands are whole numbers whose sums are exact in every order", () => {
  const bounds = [
    // Windows of four pixels of the large image.
    {
      ...{
        kinds: /^conv2d_backward_input_upsampled/,
        operands: ["dy", "weight"],
        terms: 720,
        product: 1,
        added: 3,
      },
      below: 2 ** 11,
    },
    {
      ...{
        kinds: /^conv2d_backward_weight_upsampled/,
        operands: ["x", "dy"],
        terms: 1372,
        product: 3 * 2047,
        added: 0,
      },
      below: 2 ** 24,
    },
    { kinds: /^conv2d_forward/, operands: ["x", "weight"], terms: 180, product: 9, added: 9, below: 2 ** 11 },
    {
      kinds: /^conv2d_backward_input/,
      operands: ["dy", "weight"],
      terms: 180,
      product: 9,
      added: 3,
      below: 2 ** 11,
    },
    // Halved sums, where added numbers count twice.
    { kinds: /^matmul/, operands: ["a", "b"], terms: 133, product: 9, added: 6, below: 2 ** 11 },
    {
      kinds: /^conv2d_backward_weight/,
      operands: ["x", "dy"],
      terms: 343,
      product: 3 * 2047,
      added: 0,
      below: 2 ** 22,
    },
  ];
  for (const [kind, cases] of Object.entries(MATRIX_CASES)) {
    const { operands, terms, product, added, below } = bounds.find(({ kinds }) => kinds.test(kind))!;
    assert.ok(terms * product + added < below, kind);
    for (const launches of cases) {
      const all = launches({ ...TARGET, half: true });
      // Weights of an upsampled image's kernel are sums of those that another is given.
      const buffers = Object.assign({}, ...all.map(({ buffers }) => buffers).reverse());
      const largest = operands.map((name) => {
        const numbers = Float64Array.from(buffers[name]);
        assert.ok(numbers.every(Number.isInteger), kind);
        return numbers.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      });
      assert.equal(largest[0] * largest[1], product, kind);
    }
  }
});
