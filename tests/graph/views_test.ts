/** Concatenations and upsampled images that are not stored. */
import assert from "node:assert/strict";
import { StepStateLayout } from "../../kernels/records/layouts.ts";
import { lowerContext, planLaunches } from "../../lib/graph/compile.ts";
import { recordBackward } from "../../lib/graph/gradients.ts";
import { Graph } from "../../lib/graph/graph.ts";
import { lower } from "../../lib/graph/lower.ts";
import { add, concat, conv2d, groupNorm, silu, upsample } from "../../lib/graph/ops.ts";
import type { Tensor } from "../../lib/graph/tensor.ts";
import { noise } from "../reference/differences.ts";
import { DeviceGraph } from "../support/device_graph.ts";
import { testGpu, TILE } from "../support/gpu.ts";
import { assertSame } from "../support/same.ts";

const ZEROS = { kind: "zeros" } as const;

function convolution(g: Graph, x: Tensor, name: string, size: 1 | 3, residual?: Tensor): Tensor {
  const channels = x.shape[3];
  const out = residual?.shape[3] ?? 16;
  const parameters = {
    weight: g.parameter(`${name}.weight`, "conv", [out, channels, size, size], ZEROS),
    bias: g.parameter(`${name}.bias`, "vector", [out], ZEROS),
  };
  const attributes = { kernel: size, stride: 1, padding: size === 3 ? 1 : 0 } as const;
  return conv2d(g, x, parameters, attributes, residual ? { residual } : {});
}

function norm(g: Graph, x: Tensor, stepState?: Tensor): Tensor {
  const [gamma, beta] = ["gamma", "beta"].map((name) => g.parameter(name, "vector", [x.shape[3]], ZEROS));
  const attributes = { groups: 2, eps: 1e-6, activation: "silu" as const };
  const dropout = stepState && { stepState, rate: 0.5 };
  return groupNorm(g, x, { gamma: gamma!, beta: beta! }, attributes, dropout);
}

/** The residual block of a U-Net on the way up. */
function block(channels: readonly [number, number] = [32, 16]) {
  const g = new Graph();
  const [a, b] = channels.map((count, i) => g.input("ab"[i]!, [2, 8, 8, count])) as [Tensor, Tensor];
  const joined = concat(g, a, b);
  const h = norm(g, joined);
  const y = convolution(g, h, "conv", 3, convolution(g, joined, "shortcut", 1));
  return { g, a, b, joined, y };
}

const kernelsOf = (g: Graph, target = TILE, keep: Tensor[] = []) => {
  const context = lowerContext(g, target, keep);
  return g.nodes.flatMap((node) => lower(context, node));
};

const isStored = (g: Graph, joined: Tensor, target = TILE, keep: Tensor[] = []) =>
  kernelsOf(g, target, keep).some(({ buffers }) => Object.values(buffers).includes(joined));

/** Compares the results of a graph with those where some tensors are stored, because they are kept; and the memory. */
async function compareStored(g: Graph, y: Tensor, wanted: readonly Tensor[], views: (g: Graph) => Tensor[]) {
  const gpu = await testGpu();
  const gradients = recordBackward(g, y, { seed: g.input("seed", y.shape), wanted });
  const results = [y, ...gradients.ofInput.values()];
  const unstored = views(g);
  for (const view of unstored) {
    assert.deepEqual([isStored(g, view, TILE, results), isStored(g, view, TILE, [...results, view])], [
      false,
      true,
    ]);
  }
  const [read, copied] = await Promise.all([results, [...results, ...unstored]].map(async (keep) => {
    const device = await DeviceGraph.build(gpu, g, { keep, gradients, target: TILE });
    [...g.inputs.values()].forEach((tensor, i) =>
      device.write(tensor, Float32Array.from(noise(tensor.elements, i + 1)))
    );
    device.write(device.parameters, Float32Array.from(noise(device.table.elements, 9)));
    device.forward.run();
    device.backward.run();
    const values = await device.read(...results, device.gradients);
    device.destroy();
    return values;
  }));
  read!.forEach((values, i) => assertSame(values, copied![i]!, results[i]?.name ?? "parameters"));
  const bytes = (keep: Tensor[]) => {
    const context = lowerContext(g, TILE, keep);
    return planLaunches(g, g.nodes.map((node) => lower(context, node)), context, keep).plan.bytes;
  };
  assert.ok(bytes(results) < bytes([...results, ...unstored]) - unstored[0]!.bytes / 4);
}

Deno.test("a block computes the same from a concatenation that is not stored, with less memory", async () => {
  const { g, a, b, joined, y } = block();
  await compareStored(g, y, [a, b], () => [joined]);
});

Deno.test("a convolution computes the same from an upsampled image that is not stored, with less memory", async () => {
  const g = new Graph();
  const x = g.input("x", [2, 8, 8, 32]);
  // The gradient of h so far is there when the convolution adds its own.
  const h = silu(g, x);
  const large = upsample(g, h);
  const y = add(g, convolution(g, large, "conv", 3), upsample(g, convolution(g, h, "other", 1)));
  await compareStored(g, y, [x], ({ nodes }) => {
    const ofLarge = nodes.flatMap((node) =>
      node.kind === "conv2dBackward" && node.in.x === large ? [node.out.dx!] : []
    );
    assert.equal(ofLarge.length, 1);
    return [large, ...ofLarge];
  });
});

Deno.test("software adapters store concatenations and upsampled images", () => {
  const { g, joined } = block();
  const large = upsample(g, joined);
  convolution(g, large, "conv_up", 3);
  for (const tensor of [joined, large]) assert.ok(isStored(g, tensor, { path: "subgroup", subgroupSize: 8 }));
});

const others: Record<string, (g: Graph, joined: Tensor) => void> = {
  "an operation that reads one tensor": (g, joined) => void silu(g, joined),
  "a 3x3 convolution": (g, joined) => void convolution(g, joined, "wide", 3),
  "a residual": (g, joined) => void convolution(g, g.input("h", [2, 8, 8, 8]), "residual", 1, joined),
  "a normalisation with dropout": (g, joined) =>
    void norm(g, joined, g.input("stepState", [1, 1, 1, 1], StepStateLayout)),
};
for (const [name, use] of Object.entries(others)) {
  Deno.test(`a concatenation is stored for ${name}`, () => {
    const g = new Graph();
    const joined = concat(g, g.input("a", [2, 8, 8, 32]), g.input("b", [2, 8, 8, 16]));
    convolution(g, joined, "shortcut", 1);
    assert.ok(!isStored(g, joined));
    use(g, joined);
    assert.ok(isStored(g, joined));
  });
}

Deno.test("a concatenation is stored if its second part begins within four channels, or if it is read from outside", () => {
  const { g, joined } = block([6, 16]);
  assert.ok(isStored(g, joined));
  const whole = block();
  assert.ok(isStored(whole.g, whole.joined, TILE, [whole.joined]));
});

Deno.test("a concatenation and an upsampled image that nothing reads are stored", () => {
  const g = new Graph();
  const joined = concat(g, g.input("a", [2, 8, 8, 32]), g.input("b", [2, 8, 8, 16]));
  const large = upsample(g, g.input("x", [2, 4, 4, 16]));
  for (const tensor of [joined, large]) assert.ok(isStored(g, tensor));
});

Deno.test("a concatenation is stored where only one of its gradients is wanted", () => {
  const g = new Graph();
  const [a, b] = ["a", "b"].map((name) => g.input(name, [2, 8, 8, 16])) as [Tensor, Tensor];
  const joined = concat(g, a, b);
  const y = norm(g, joined);
  recordBackward(g, y, { seed: g.input("seed", y.shape), wanted: [a] });
  assert.ok(isStored(g, joined));
});

const readers: Record<string, (g: Graph, large: Tensor) => void> = {
  "an operation without indices": (g, large) => void silu(g, large),
  "a 1x1 convolution": (g, large) => void convolution(g, large, "flat", 1),
  "a residual": (g, large) => void convolution(g, g.input("h", [2, 8, 8, 8]), "residual", 3, large),
};
for (const [name, use] of Object.entries(readers)) {
  Deno.test(`an upsampled image is stored for ${name}`, () => {
    const g = new Graph();
    const large = upsample(g, g.input("x", [2, 4, 4, 16]));
    convolution(g, large, "conv", 3);
    assert.ok(!isStored(g, large));
    use(g, large);
    assert.ok(isStored(g, large));
  });
}

Deno.test("an upsampled image is stored if the workspace of a convolution that upsamples it exceeds a binding", () => {
  for (
    const [channels, bindingBytes, stored] of [[1448, 2 ** 27, false], [1536, 2 ** 27, true], [
      1536,
      2 ** 28,
      false,
    ]] as const
  ) {
    const g = new Graph();
    const x = g.input("x", [2, 4, 4, channels]);
    const large = upsample(g, x);
    const weight = g.parameter("weight", "conv", [channels, channels, 3, 3], ZEROS);
    const bias = g.parameter("bias", "vector", [channels], ZEROS);
    const y = conv2d(g, large, { weight, bias }, { kernel: 3, stride: 1, padding: 1 });
    recordBackward(g, y, { seed: g.input("seed", y.shape), wanted: [x] });
    const target = { ...TILE, bindingBytes };
    const sizes = kernelsOf(g, target).flatMap(({ buffers }) =>
      Object.values(buffers).map(({ bytes }) => bytes)
    );
    assert.equal(isStored(g, large, target), stored, `${channels}`);
    assert.ok(Math.max(...sizes) <= bindingBytes, `${channels}: ${Math.max(...sizes)} bytes`);
  }
});

Deno.test("an upsampled image is stored where its gradient is added to one that is not there yet", () => {
  const record = (between: boolean) => {
    const g = new Graph();
    const x = g.input("x", [2, 4, 4, 16]);
    const large = upsample(g, x);
    // The backward pass is in the opposite order.
    const before = between ? silu(g, x) : undefined;
    const y = convolution(g, large, "conv", 3);
    const sum = add(g, y, upsample(g, before ?? silu(g, x)));
    recordBackward(g, sum, { seed: g.input("seed", y.shape), wanted: [x] });
    return isStored(g, large);
  };
  assert.deepEqual([record(true), record(false)], [true, false]);
});
