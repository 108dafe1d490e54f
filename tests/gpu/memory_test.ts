import assert from "node:assert/strict";
import { DeviceError } from "../../lib/errors.ts";
import { mebibytes } from "../../lib/gpu/budget.ts";
import { openGpu } from "../../lib/gpu/open.ts";
import { alignUp, createBuffer, destroyBuffer, ResourceScope } from "../../lib/gpu/memory.ts";
import { readFloats, testGpu } from "../support/gpu.ts";

const MIB = 2 ** 20;

Deno.test("buffers count while they live, and what the budget refuses is not created", async () => {
  const gpu = await openGpu({ memoryBudget: MIB });
  const buffer = createBuffer(gpu, MIB - 100, "first");
  assert.deepEqual([gpu.memory.used, gpu.memory.live], [MIB - 100, 1]);
  assert.throws(
    () => createBuffer(gpu, 200, "second"),
    /^DeviceError: second needs 0\.0002 MiB of device memory, 1\.0 MiB/,
  );
  assert.deepEqual([gpu.memory.used, gpu.memory.live], [MIB - 100, 1]);
  destroyBuffer(gpu, buffer);
  destroyBuffer(gpu, createBuffer(gpu, MIB, "third"));
  assert.deepEqual([gpu.memory.used, gpu.memory.live], [0, 0]);
  gpu.close();
});

Deno.test("a buffer beyond the device's own limit is refused in words, even without a budget", async () => {
  const gpu = await openGpu({ memoryBudget: Infinity });
  const bytes = gpu.limits.maxBufferSize + 4;
  assert.throws(() => createBuffer(gpu, bytes, "images"), (error) => {
    assert.ok(error instanceof DeviceError);
    assert.equal(
      error.message,
      `images needs a buffer of ${mebibytes(bytes)}, but ${gpu.adapter.name} allows ${
        mebibytes(gpu.limits.maxBufferSize)
      }; use a smaller batch or model`,
    );
    return true;
  });
  assert.equal(gpu.fault, undefined);
  gpu.close();
});

Deno.test("a new buffer holds zeros and is at least 16 bytes, a multiple of 4", async () => {
  const gpu = await testGpu();
  for (const [asked, given] of [[1, 16], [17, 20], [400, 400]]) {
    const buffer = createBuffer(gpu, asked, "test");
    assert.equal(buffer.size, given);
    const values = await readFloats(gpu, { buffer, offset: 0, size: buffer.size });
    assert.ok(values.every((value) => value === 0));
    destroyBuffer(gpu, buffer);
  }
});

Deno.test("sizes are rounded up to an alignment", () => {
  assert.deepEqual([0, 1, 256, 257].map((size) => alignUp(size, 256)), [0, 256, 256, 512]);
});

Deno.test("a scope frees what it owns, last made first, once", async () => {
  const gpu = await testGpu();
  const before = gpu.memory.used;
  const scope = new ResourceScope(gpu, "test");
  const { buffer } = scope.buffer(1000, "first");
  assert.equal(buffer.label, "test, first");
  const order: string[] = [];
  scope.own({ destroy: () => order.push(`b with ${gpu.memory.used - before} bytes left`) });
  scope.own({ destroy: () => order.push("c") });
  scope.destroy();
  scope.destroy();
  assert.deepEqual(order, ["c", "b with 1000 bytes left"]);
  assert.equal(gpu.memory.used, before);
});

Deno.test("a scope frees everything where building fails, and nothing where it succeeds", async () => {
  const gpu = await testGpu();
  const before = gpu.memory.used;
  const failing = new ResourceScope(gpu, "test");
  await assert.rejects(
    failing.guard(() => {
      failing.buffer(1000, "first");
      return Promise.reject(new Error("no"));
    }),
    { message: "no" },
  );
  assert.equal(gpu.memory.used, before);

  const scope = new ResourceScope(gpu, "test");
  assert.equal(await scope.guard(() => Promise.resolve(scope.buffer(1000, "first").size)), 1000);
  assert.equal(gpu.memory.used, before + 1000);
  scope.destroy();
});
