import assert from "node:assert/strict";
import {
  normal2,
  threefry4x32,
  uniform01,
  uniformInteger,
  type Words2,
  type Words4,
} from "../../lib/random.ts";

const COUNT = 1024;

/** Runs the include on the adapter: four words, then their uniform, integer and normal readings, per counter. */
const PROBE = `
@group(0) @binding(0) var<storage, read> inputs: array<vec4u>;
@group(0) @binding(1) var<storage, read_write> words: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> readings: array<vec4f>;

@compute @workgroup_size(64)
fn probe(@builtin(global_invocation_id) id: vec3u) {
  let w = threefry4x32(inputs[id.x], inputs[id.x].wx);
  words[id.x] = w;
  readings[id.x] = vec4f(uniform01(w.x), f32(uniform_integer(w.y, 1000u)), normal2(w.z, w.w));
}`;

Deno.test("threefry.wgsl gives the integers of lib/random.ts, and its normal numbers to 1e-6", async () => {
  const texts = ["threefry", "multiply_high", "uniform", "sine_cosine", "normal"].map((name) =>
    Deno.readTextFile(new URL(`../../kernels/include/${name}.wgsl`, import.meta.url))
  );
  const include = (await Promise.all(texts)).join("\n");
  const adapter = await navigator.gpu.requestAdapter();
  assert.ok(adapter, "this test needs a WebGPU adapter");
  const device = await adapter.requestDevice();
  device.pushErrorScope("validation");

  const inputs = new Uint32Array(4 * COUNT);
  for (let i = 0; i < COUNT; i++) inputs.set(threefry4x32([i, 1, 2, 3], [4, 5]), 4 * i);
  inputs.set([0, 0, 0, 0, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff]);

  const bytes = inputs.byteLength;
  const { STORAGE, COPY_SRC, COPY_DST, MAP_READ } = GPUBufferUsage;
  const inputBuffer = device.createBuffer({ size: bytes, usage: STORAGE | COPY_DST });
  const wordBuffer = device.createBuffer({ size: bytes, usage: STORAGE | COPY_SRC });
  const readingBuffer = device.createBuffer({ size: bytes, usage: STORAGE | COPY_SRC });
  const result = device.createBuffer({ size: 2 * bytes, usage: MAP_READ | COPY_DST });
  device.queue.writeBuffer(inputBuffer, 0, inputs);
  const pipeline = device.createComputePipeline({
    layout: "auto",
    compute: { module: device.createShaderModule({ code: include + PROBE }) },
  });
  const group = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: [inputBuffer, wordBuffer, readingBuffer].map((buffer, binding) => ({
      binding,
      resource: { buffer },
    })),
  });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, group);
  pass.dispatchWorkgroups(COUNT / 64);
  pass.end();
  encoder.copyBufferToBuffer(wordBuffer, 0, result, 0, bytes);
  encoder.copyBufferToBuffer(readingBuffer, 0, result, bytes, bytes);
  device.queue.submit([encoder.finish()]);
  assert.equal(await device.popErrorScope(), null);
  await result.mapAsync(GPUMapMode.READ);
  const mapped = result.getMappedRange().slice(0);
  device.destroy();

  const words = new Uint32Array(mapped, 0, 4 * COUNT);
  const readings = new Float32Array(mapped, bytes, 4 * COUNT);
  for (let i = 0; i < COUNT; i++) {
    const counter = [...inputs.subarray(4 * i, 4 * i + 4)] as Words4;
    const key: Words2 = [counter[3], counter[0]];
    const [a, b, c, d] = threefry4x32(counter, key);
    assert.deepEqual([...words.subarray(4 * i, 4 * i + 4)], [a, b, c, d], `counter ${counter}`);
    const [uniform, integer, first, second] = readings.subarray(4 * i, 4 * i + 4);
    assert.equal(uniform, uniform01(a));
    assert.equal(integer, uniformInteger(b, 1000));
    // Polynomials off by 1e-7 each, WGSL's division 2.5 units in the last place and square root 3, relative to the
    // radius; it is at least 2.4e-4, and near there the logarithm keeps its relative error.
    const [x, y] = normal2(c, d);
    const bound = 1e-6 * Math.hypot(x, y);
    assert.ok(
      Math.abs(first - x) < bound && Math.abs(second - y) < bound,
      `(${first}, ${second}) for (${x}, ${y})`,
    );
  }
});
