import assert from "node:assert/strict";
import { createBuffer, destroyBuffer, wholeBuffer } from "../../lib/gpu/memory.ts";
import { readBack } from "../../lib/gpu/readback.ts";
import { readFloats, testGpu } from "../support/gpu.ts";

Deno.test("ranges of several buffers come back in order, whatever their sizes", async () => {
  const gpu = await testGpu();
  const before = gpu.memory.used;
  const [a, b] = [createBuffer(gpu, 64, "a"), createBuffer(gpu, 20, "b")];
  gpu.device.queue.writeBuffer(a, 0, Float32Array.from({ length: 16 }, (_, i) => i));
  gpu.device.queue.writeBuffer(b, 0, Uint32Array.of(5, 6, 7, 8, 9));
  const [tail, whole, one] = await readBack(gpu, [
    { buffer: a, offset: 52, size: 12 },
    wholeBuffer(b),
    { buffer: a, offset: 4, size: 4 },
  ]);
  assert.deepEqual([...new Float32Array(tail)], [13, 14, 15]);
  assert.deepEqual([...new Uint32Array(whole)], [5, 6, 7, 8, 9]);
  assert.deepEqual([...new Float32Array(one)], [1]);
  [a, b].forEach((buffer) => destroyBuffer(gpu, buffer));
  assert.equal(gpu.memory.used, before, "the staging buffer was not freed");
});

Deno.test("a read-back sees every submit before it and none after it", async () => {
  const gpu = await testGpu();
  const buffer = createBuffer(gpu, 16, "test");
  gpu.device.queue.writeBuffer(buffer, 0, Float32Array.of(1, 1, 1, 1));
  const reading = readFloats(gpu, wholeBuffer(buffer));
  gpu.device.queue.writeBuffer(buffer, 0, Float32Array.of(2, 2, 2, 2));
  assert.deepEqual([...await reading], [1, 1, 1, 1]);
  destroyBuffer(gpu, buffer);
});

Deno.test("a staging buffer over the budget is refused before it is made", async () => {
  const gpu = await testGpu();
  const live = gpu.memory.live;
  const buffer = createBuffer(gpu, 16, "test");
  const view = { buffer, offset: 0, size: gpu.limits.maxBufferSize + 4 };
  await assert.rejects(readBack(gpu, [view]), /^DeviceError: read-back needs a buffer of/);
  destroyBuffer(gpu, buffer);
  assert.equal(gpu.memory.live, live);
  assert.equal(gpu.fault, undefined);
});
