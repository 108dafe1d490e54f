/** Trials on the device. How long something takes is not tested: other work on the machine would decide. */
import assert from "node:assert/strict";
import { parseKernel } from "../../kernels/source.ts";
import type { Launch } from "../../kernels/source.ts";
import { openGpu } from "../../lib/gpu/open.ts";
import { createBuffer, destroyBuffer, wholeBuffer } from "../../lib/gpu/memory.ts";
import { Graph } from "../../lib/graph/graph.ts";
import type { Tensor } from "../../lib/graph/tensor.ts";
import { TrialTimer } from "../../lib/tuning/trial_timer.ts";
import { readFloats, testGpu } from "../support/gpu.ts";

/** y = x + x, by a kernel with this body; y is as large as x unless said. */
function doubling(name: string, body: string, elements: number, room = elements): Launch<Tensor>[] {
  const g = new Graph();
  const [x, y] = [elements, room].map((count) => g.tensor(`${count}`, [1, 1, 1, count], "activation", false));
  const kernel = parseKernel(
    name,
    `@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) { ${body} }`,
  );
  const workgroups = [Math.ceil(elements / 64), 1, 1] as const;
  return [{
    kernel,
    entry: "main",
    constants: {},
    params: {},
    buffers: { x, y },
    workgroups,
    label: name,
    ...{ flops: 0, operations: 0 },
  }];
}

const plain = (elements: number, room?: number) =>
  doubling("plain", "y[id.x] = x[id.x] + x[id.x];", elements, room);

Deno.test("every candidate that the device accepts is timed; a rejected one is left out", async () => {
  const gpu = await testGpu();
  const before = [gpu.memory.live, gpu.memory.used];
  const timer = new TrialTimer(gpu);
  const seconds = await timer.measure(
    new Map([
      ["refused", doubling("refused", "y[id.x] = nonsense;", 256)],
      ["plain", plain(256)],
      ["product", doubling("product", "y[id.x] = 2 * x[id.x];", 256)],
      ["nothing to do", []],
    ]),
  );
  assert.deepEqual([...seconds.keys()], ["plain", "product", "nothing to do"]);
  for (const taken of seconds.values()) assert.ok(taken >= 0 && Number.isFinite(taken));
  assert.ok(seconds.get("plain")! > 0);
  timer.destroy();
  assert.equal(gpu.fault, undefined);
  assert.deepEqual([gpu.memory.live, gpu.memory.used], before);
});

Deno.test("trial buffers hold small non-zero numbers, read as float32 or as float16", async () => {
  const gpu = await testGpu();
  const timer = new TrialTimer(gpu);
  const result = createBuffer(gpu, 4 * 1000, "result");
  // The launches are given tensors, so the numbers are looked at through what the timer binds for them.
  const views: GPUBuffer[] = [];
  const { device } = gpu;
  const original = device.createBindGroup;
  device.createBindGroup = (descriptor) => {
    for (const { resource } of descriptor.entries) views.push((resource as GPUBufferBinding).buffer);
    return original.call(device, descriptor);
  };
  try {
    await timer.measure(new Map([["plain", plain(1000)]]));
  } finally {
    device.createBindGroup = original;
  }
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(views[0], 0, result, 0, 4 * 1000);
  device.queue.submit([encoder.finish()]);
  const numbers = await readFloats(gpu, wholeBuffer(result));
  assert.ok(numbers.every((n) => n >= 2 ** -7 && n < 2 ** -3) && new Set(numbers).size > 900);
  const halves = new Float16Array(numbers.buffer);
  assert.ok(halves.every((n) => n >= 1 && n < 1.5) && new Set(halves).size > 400);
  destroyBuffer(gpu, result);
  timer.destroy();
});

Deno.test("buffers grow for larger trials and stay for smaller ones; candidates over the budget are left out", async () => {
  const gpu = await openGpu({ memoryBudget: 4 * 2 ** 20 });
  const timer = new TrialTimer(gpu);
  for (const elements of [64, 100_000, 1000, 200_000]) {
    const seconds = await timer.measure(new Map([["large", plain(600_000)], ["small", plain(elements)]]));
    assert.deepEqual([...seconds.keys()], ["small"]);
  }
  assert.deepEqual([...(await timer.measure(new Map([["large", plain(600_000)]]))).keys()], []);
  // A trial that has room only if what is there from the one before goes.
  for (const [elements, room] of [[390_000, 390_000], [64, 700_000], [390_000, 390_000]]) {
    assert.equal((await timer.measure(new Map([["large", plain(elements, room)]]))).size, 1, `${room}`);
    assert.ok(gpu.memory.used <= 4 * 2 ** 20);
  }
  timer.destroy();
  assert.deepEqual([gpu.memory.live, gpu.memory.used], [0, 0]);
  gpu.close();
});

Deno.test("without timestamps the time is taken by waiting", async () => {
  const gpu = await testGpu();
  const { features } = gpu.device;
  const refuse = () => assert.fail("timestamps were asked for");
  Object.defineProperty(gpu.device, "features", { value: new Set(), configurable: true });
  Object.defineProperty(gpu.device, "createQuerySet", { value: refuse, configurable: true });
  const timer = new TrialTimer(gpu);
  try {
    const seconds = await timer.measure(new Map([["a", plain(64)], ["b", plain(64)]]));
    assert.deepEqual([...seconds.keys()], ["a", "b"]);
    for (const taken of seconds.values()) assert.ok(taken >= 0 && Number.isFinite(taken));
  } finally {
    Object.defineProperty(gpu.device, "features", { value: features, configurable: true });
    delete (gpu.device as Partial<GPUDevice>).createQuerySet;
    timer.destroy();
  }
});

Deno.test("a candidate is replayed for as long as it may be the fastest", async () => {
  // Milliseconds of a replay; without timestamps a measurement takes 100, and one replay below that is no measurement.
  const costs: Costs = { plain: 60, close: 63, slower: 95, hopeless: 160 };
  const { seconds, replays } = await measureByClock(costs);
  assert.deepEqual(Object.fromEntries(seconds), { plain: 0.06, close: 0.063, slower: 0.095, hopeless: 0.16 });
  // Once to compile, and once at first sight; then in two measurements, and in three more if still close.
  assert.deepEqual(Object.fromEntries(replays), { plain: 12, close: 12, slower: 6, hopeless: 2 });
});

Deno.test("a clear difference takes two measurements", async () => {
  const { replays } = await measureByClock({ plain: 60, slower: 95 });
  assert.deepEqual(Object.fromEntries(replays), { plain: 6, slower: 6 });
});

type Costs = Readonly<Record<string, number>>;

/** Times candidates by a clock that goes on by the cost of each replay, and only then. */
async function measureByClock(costs: Costs) {
  const gpu = await openGpu();
  const { device } = gpu;
  const { queue } = device;
  const now = performance.now;
  const replays = new Map<string, number>();
  let [time, pending] = [0, 0];
  Object.defineProperty(device, "features", { value: new Set() });
  const createEncoder = device.createCommandEncoder;
  device.createCommandEncoder = () => {
    const encoder = createEncoder.call(device);
    const begin = encoder.beginComputePass;
    encoder.beginComputePass = () => {
      const pass = begin.call(encoder);
      pass.setPipeline = ({ label }) => {
        const [name] = label.split(".");
        replays.set(name, (replays.get(name) ?? 0) + 1);
        pending += costs[name];
      };
      pass.setBindGroup = pass.dispatchWorkgroups = () => {};
      return pass;
    };
    return encoder;
  };
  queue.onSubmittedWorkDone = () => {
    [time, pending] = [time + pending, 0];
    return Promise.resolve(undefined);
  };
  performance.now = () => time;
  const timer = new TrialTimer(gpu);
  try {
    const body = "y[id.x] = x[id.x];";
    const trial = new Map(Object.keys(costs).map((name) => [name, doubling(name, body, 64)]));
    return { seconds: await timer.measure(trial), replays };
  } finally {
    performance.now = now;
    timer.destroy();
    gpu.close();
  }
}
