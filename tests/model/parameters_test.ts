import assert from "node:assert/strict";
import { CheckpointError } from "../../lib/errors.ts";
import { Graph, type Initializer, type ParameterLayout } from "../../lib/graph/graph.ts";
import { unetConfigFromJson } from "../../lib/model/config.ts";
import { unetParameters } from "../../lib/model/network.ts";
import { type HostTensor, ParameterTable } from "../../lib/model/parameters.ts";
import { presetConfig } from "../../lib/model/presets.ts";
import { loadNetworkCase } from "../golden/tensors.ts";

const ZEROS: Initializer = { kind: "zeros" };

function tableOf(
  ...parameters: [name: string, layout: ParameterLayout, shape: number[], init?: Initializer][]
) {
  const g = new Graph();
  for (const [name, layout, shape, init = ZEROS] of parameters) g.parameter(name, layout, shape, init);
  return new ParameterTable(g.parameters);
}

/** Tensors whose elements are 1, 2, 3 … in the checkpoint's order. */
function counted(table: ParameterTable): Map<string, HostTensor> {
  return new Map(table.parameters.map(({ name, shape }) => {
    const count = shape.reduce((a, b) => a * b);
    return [name, { shape, data: Float32Array.from({ length: count }, (_, i) => i + 1) }];
  }));
}

Deno.test("parameters that are not trained come first, those of training alone last", () => {
  const g = new Graph();
  g.parameter("extra", "vector", [3], ZEROS, { trainingOnly: true });
  g.parameter("weight", "linear", [3, 2], ZEROS);
  g.parameter("fixed", "vector", [70], ZEROS, { frozen: true });
  const table = new ParameterTable(g.parameters);
  assert.deepEqual(table.parameters.map(({ name }) => name), ["fixed", "weight", "extra"]);
  assert.deepEqual([table.firstTrained, table.offset(table.tensors[1])], [128, 128]);
  assert.equal(tableOf(["vector", "vector", [5]]).firstTrained, 0);
});

Deno.test("each layout puts its values where the kernels read them, zeros between", () => {
  const table = tableOf(
    ["conv", "conv", [2, 3, 1, 2]],
    ["linear", "linear", [3, 2]],
    ["vector", "vector", [5]],
    ["table", "table", [2, 3]],
  );
  const flat = table.toMemory(counted(table), "test");
  const at = (index: number, count: number) => {
    const offset = table.offset(table.tensors[index]);
    return [...flat.subarray(offset, offset + count)];
  };
  // [out, in, 1, 2] -> [1, 2, in, out], in and out padded to 4: a row per tap and input channel.
  assert.deepEqual(at(0, 32), [
    ...[1, 7, 0, 0, 3, 9, 0, 0, 5, 11, 0, 0, 0, 0, 0, 0],
    ...[2, 8, 0, 0, 4, 10, 0, 0, 6, 12, 0, 0, 0, 0, 0, 0],
  ]);
  assert.deepEqual(at(1, 16), [1, 3, 5, 0, 2, 4, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  assert.deepEqual(at(2, 8), [1, 2, 3, 4, 5, 0, 0, 0]);
  assert.deepEqual(at(3, 8), [1, 2, 3, 0, 4, 5, 6, 0]);
});

/** Two layers of 2 input channels side by side, with 3 and 4 output channels. */
function fusedTable(): ParameterTable {
  const g = new Graph();
  g.parameter("before", "vector", [2], ZEROS);
  const weight = g.fusedParameter("weight", "linear", [8, 2]);
  const bias = g.fusedParameter("bias", "vector", [8]);
  g.parameterIn(weight, 0, "a.weight", "linear", [3, 2], ZEROS);
  g.parameterIn(bias, 0, "a.bias", "vector", [3], ZEROS);
  g.parameter("between", "vector", [1], ZEROS);
  g.parameterIn(weight, 4, "b.weight", "linear", [4, 2], ZEROS);
  g.parameterIn(bias, 4, "b.bias", "vector", [4], ZEROS);
  return new ParameterTable(g.parameters);
}

Deno.test("parameters of fused layers are columns of one tensor, and tensors of their own in checkpoints", () => {
  const table = fusedTable();
  const tensors = counted(table);
  const flat = table.toMemory(tensors, "test");
  const [, weight, bias] = table.tensors.map((tensor) => {
    const offset = table.offset(tensor);
    return [...flat.subarray(offset, offset + tensor.elements)];
  });
  assert.equal(table.tensors.length, 4);
  assert.deepEqual(weight.slice(0, 16), [...[1, 3, 5, 0, 1, 3, 5, 7], ...[2, 4, 6, 0, 2, 4, 6, 8]]);
  assert.deepEqual(bias, [1, 2, 3, 0, 1, 2, 3, 4]);
  assert.deepEqual(table.fromMemory(flat), tensors);
  assert.deepEqual(table.parameters.map(({ name }) => name), [
    ...["before", "a.weight", "a.bias", "between", "b.weight", "b.bias"],
  ]);
});

Deno.test("an element of fused layers is traced to the layer", () => {
  const table = fusedTable();
  const names = [0, 3, 4, 7, 8, 12, 31].map((i) => table.at(table.offset(table.tensors[1]) + i).name);
  assert.deepEqual(names, [
    ...["a.weight", "a.weight", "b.weight", "b.weight", "a.weight", "b.weight", "b.weight"],
  ]);
  assert.equal(table.at(table.offset(table.tensors[2]) + 4).name, "b.bias");
});

Deno.test("parameters lie one after the other at offsets that can be bound, and do not overlap", () => {
  const table = unetParameters(unetConfigFromJson(loadNetworkCase("unaligned").config));
  let end = 0;
  for (const tensor of table.tensors) {
    assert.equal(4 * table.offset(tensor) % 256, 0);
    assert.ok(table.offset(tensor) >= end);
    end = table.offset(tensor) + tensor.elements;
  }
  assert.ok(table.elements >= end && table.elements % 64 === 0);
});

for (const name of ["reference32", "heads", "classes", "unaligned"]) {
  Deno.test(`to memory and back gives every value again, for keys and shapes of diffusers: ${name}`, () => {
    const golden = loadNetworkCase(name);
    const table = unetParameters(unetConfigFromJson(golden.config));
    const tensors = counted(table);
    const back = table.fromMemory(table.toMemory(tensors, "test"));
    assert.deepEqual(back, tensors);
    const shapes = (entries: Iterable<[string, { shape: readonly number[] }]>) =>
      Object.fromEntries([...entries].map(([key, { shape }]) => [key, shape]));
    assert.deepEqual(shapes(back), shapes(Object.entries(golden.gradients)));
    assert.equal(table.count, [...back.values()].reduce((sum, { data }) => sum + data.length, 0));
  });
}

Deno.test("a tensor that is missing, left over or of another shape is named with its source", () => {
  const table = tableOf(["a.weight", "linear", [3, 2]], ["a.bias", "vector", [3]]);
  const faults: [message: string, change: (tensors: Map<string, HostTensor>) => void][] = [
    ["model.safetensors: tensor a.bias is missing", (tensors) => tensors.delete("a.bias")],
    [
      "model.safetensors: tensor b.bias does not belong to this network",
      (tensors) => tensors.set("b.bias", tensors.get("a.bias")!),
    ],
    [
      "model.safetensors: tensor a.weight has shape [2,3], the network needs [3,2]",
      (tensors) => tensors.set("a.weight", { shape: [2, 3], data: new Float32Array(6) }),
    ],
    [
      "model.safetensors: tensor a.bias has shape [3,1], the network needs [3]",
      (tensors) => tensors.set("a.bias", { shape: [3, 1], data: new Float32Array(3) }),
    ],
  ];
  for (const [message, change] of faults) {
    const tensors = counted(table);
    change(tensors);
    assert.throws(() => table.toMemory(tensors, "model.safetensors"), new CheckpointError(message));
  }
});

Deno.test("an element of the flat buffer is traced to its parameter", () => {
  const table = tableOf(["a", "vector", [3]], ["b", "vector", [100]], ["c", "vector", [1]]);
  const names = [0, 3, 63, 64, 64 + 127, 64 + 128, table.elements - 1].map((element) =>
    table.at(element).name
  );
  assert.deepEqual(names, ["a", "a", "a", "b", "b", "c", "c"]);
});

Deno.test("initial values depend on the seed and nothing else, and differ between parameters", () => {
  const table = unetParameters(presetConfig("tiny", 10));
  const first = table.initialize(7);
  assert.deepEqual(table.initialize(7), first);
  assert.notDeepEqual(table.initialize(8), first);
  assert.notDeepEqual(table.initialize(7 + 2 ** 32), first);
  assert.throws(() => table.initialize(-1), { field: "seed" });

  const tensors = table.fromMemory(first);
  const weights = [0, 1].map((block) => tensors.get(`up_blocks.0.resnets.${block}.conv1.weight`)!.data);
  assert.notDeepEqual(weights[0].slice(0, 8), weights[1].slice(0, 8));
});

Deno.test("initial values are the reference's: Glorot weights, last layers of branches near zero, norms at one", () => {
  const table = unetParameters(presetConfig("tiny", 10));
  const tensors = table.fromMemory(table.initialize(1));
  for (const { name, shape } of table.parameters) {
    const { data } = tensors.get(name)!;
    const largest = data.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
    const variance = data.reduce((sum, value) => sum + value * value, 0) / data.length;
    if (name === "class_embedding.weight") {
      assert.ok(Math.abs(variance - 1) < 0.2, `${name}: variance ${variance}`);
    } else if (shape.length === 1) {
      const expected = /norm\w*\.weight$/.test(name) ? 1 : 0;
      assert.ok(data.every((value) => value === expected), name);
    } else {
      const [out, input, height = 1, width = 1] = shape;
      const last = /conv2\.weight|to_out\.0\.weight|conv_out\.weight/.test(name);
      // fan_in and fan_out counted with the kernel's taps, uniform in ±sqrt(3 scale / mean fan).
      const bound = Math.sqrt(3 * (last ? 1e-10 : 1) / ((out + input) / 2 * height * width));
      assert.ok(largest <= bound && largest > 0.9 * bound, `${name}: largest ${largest}, bound ${bound}`);
      const share = variance / (bound ** 2 / 3);
      assert.ok(share > 0.8 && share < 1.2, `${name}: variance is ${share} of what it should be`);
    }
  }
});
