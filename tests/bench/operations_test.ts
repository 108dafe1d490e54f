import assert from "node:assert/strict";
import { kernelTarget } from "../../lib/graph/compile.ts";
import { attention, concat, conv2d } from "../../lib/graph/ops.ts";
import { unetConfig } from "../../lib/model/config.ts";
import { kernelCases } from "../../bench/kernels.ts";
import { median } from "../../bench/measure.ts";
import { networkFlops, type Operation, prepare } from "../../bench/operations.ts";
import { testGpu } from "../support/gpu.ts";

Deno.test("a convolution counts two operations a multiply-add: x=[2,8,6,5] w=[7,5,3,3]", async () => {
  const gpu = await testGpu();
  const { pieces, destroy } = await prepare(gpu, "conv", (g, leaf) => {
    const weight = g.parameter("weight", "conv", [7, 5, 3, 3], { kind: "ones" });
    const bias = g.parameter("bias", "vector", [7], { kind: "zeros" });
    const x = leaf("x", [2, 8, 6, 5]);
    return conv2d(g, x, { weight, bias }, { kernel: 3, stride: 1, padding: 1 });
  });
  try {
    const flops = 2 * (2 * 8 * 6) * (3 * 3) * 5 * 7;
    assert.deepEqual(
      new Map(pieces.map((piece) => [piece.part, piece.flops])),
      new Map([["forward", flops], ["gradients", 2 * flops]]),
    );
    // x and y with channels padded to 8, weights and bias: each once.
    const [x, y, weights, bias] = [2 * 8 * 6 * 8, 2 * 8 * 6 * 8, 9 * 8 * 8, 8];
    assert.equal(pieces.find(({ part }) => part === "forward")?.bytes, 4 * (x + y + weights + bias));
  } finally {
    destroy();
  }
  assert.equal(gpu.memory.live, 0);
});

Deno.test("each part of an operation has a name of its own: concat and attention", async () => {
  const gpu = await testGpu();
  const operations: Record<string, Operation> = {
    concat: (g, leaf) => concat(g, leaf("a", [1, 2, 2, 4]), leaf("b", [1, 2, 2, 8])),
    attention: (g, leaf) => attention(g, leaf("qkv", [1, 2, 2, 3 * 8]), 8, 2),
  };
  const parts: Record<string, string[]> = {};
  for (const [name, operation] of Object.entries(operations)) {
    const { pieces, destroy } = await prepare(gpu, name, operation);
    parts[name] = pieces.map(({ part }) => part);
    destroy();
  }
  assert.deepEqual(parts, {
    concat: ["forward", "backward, first half", "backward, second half"],
    attention: ["forward", "forward, products only", "backward", "backward, products only"],
  });
});

Deno.test("a network's operations: linear in the batch, backward twice forward but for what has no input gradient", async () => {
  const target = kernelTarget(await testGpu());
  const config = unetConfig({
    sampleSize: 8,
    blockOutChannels: [8],
    downBlockTypes: ["DownBlock2D"],
    upBlockTypes: ["UpBlock2D"],
    layersPerBlock: 1,
    normNumGroups: 4,
    addAttention: false,
  });
  const one = networkFlops(config, 1, target);
  const three = networkFlops(config, 3, target);
  assert.equal(three.forward, 3 * one.forward);
  assert.equal(three.step, 3 * one.step);
  const convIn = 2 * 64 * 9 * 3 * 8;
  const embedding = 2 * 8 * 32;
  assert.equal(one.step, 3 * one.forward - convIn - embedding);
  // conv_in, conv_out, five residual blocks (two of them on joined channels, with a shortcut), time embedding.
  const temb = 2 * 32 * 8;
  const block = (from: number) => 2 * 64 * 9 * (from + 8) * 8 + temb + (from === 8 ? 0 : 2 * 64 * from * 8);
  const blocks = 3 * block(8) + 2 * block(16);
  assert.equal(one.forward, 2 * convIn + blocks + embedding + 2 * 32 * 32);
});

Deno.test("kernel cases keep number and order whatever the sizes", () => {
  const names = (batch: number) =>
    kernelCases({ batch, trafficBatch: 2 * batch, parameters: 1e6 }).map(({ name }) => name);
  const withoutBatch = (name: string) => name.replace(/\[\d+,/, "[N,");
  assert.deepEqual(names(4).map(withoutBatch), names(1).map(withoutBatch));
  assert.equal(new Set(names(4)).size, names(4).length);
});

Deno.test("the median of an even number of values is the mean of the middle two", () => {
  assert.equal(median([5, 1, 100]), 5);
  assert.equal(median([10, 1, 4, 2]), 3);
});
