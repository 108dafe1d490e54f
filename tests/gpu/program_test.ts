import assert from "node:assert/strict";
import type { Launch } from "../../kernels/source.ts";
import { type BufferView, createBuffer, destroyBuffer, wholeBuffer } from "../../lib/gpu/memory.ts";
import { buildProgram, runPrograms } from "../../lib/gpu/program.ts";
import { readFloats, testGpu } from "../support/gpu.ts";
import { affineLaunch, broken, incrementLaunch } from "../support/test_kernels.ts";

async function twoBuffers(): Promise<[x: BufferView, y: BufferView, free: () => void]> {
  const gpu = await testGpu();
  const [x, y] = ["x", "y"].map((name) => createBuffer(gpu, 16, name));
  gpu.device.queue.writeBuffer(x, 0, Float32Array.of(1, 2, 3, 4));
  return [wholeBuffer(x), wholeBuffer(y), () => [x, y].forEach((buffer) => destroyBuffer(gpu, buffer))];
}

Deno.test("parameters of every type and constants reach the kernel, each launch its own", async () => {
  const gpu = await testGpu();
  const [x, y, free] = await twoBuffers();
  const program = await buildProgram(gpu, [
    affineLaunch(x, y, { count: 4, shift: -3, scale: 0.5 }, 4),
    affineLaunch(y, x, { count: 2, shift: 100, scale: 1 }),
  ]);
  program.run();
  assert.deepEqual([...await readFloats(gpu, y)], [-1, 1, 3, 5]);
  assert.deepEqual([...await readFloats(gpu, x)], [99, 101, 3, 4]);
  program.destroy();
  free();
});

Deno.test("programs replay in order, as often as they are asked to", async () => {
  const gpu = await testGpu();
  const [x, y, free] = await twoBuffers();
  const copy = await buildProgram(gpu, [affineLaunch(x, y, { count: 4, shift: 0, scale: 10 })]);
  const step = await buildProgram(gpu, [incrementLaunch(y), incrementLaunch(y)]);
  runPrograms(gpu, [copy, step, step]);
  step.run();
  assert.deepEqual([...await readFloats(gpu, y)], [16, 26, 36, 46]);
  [copy, step].forEach((program) => program.destroy());
  free();
});

Deno.test("a program knows its kernels, labels and products", async () => {
  const gpu = await testGpu();
  const [x, y, free] = await twoBuffers();
  const launch = affineLaunch(x, y, { count: 4, shift: 0, scale: 1 });
  const program = await buildProgram(gpu, [{ ...launch, flops: 30 }, { ...launch, flops: 12 }]);
  assert.equal(program.flops, 42);
  assert.deepEqual(program.dispatches.map(({ kernel, label }) => [kernel, label]), [
    ["affine.run", "affine test"],
    ["affine.run", "affine test"],
  ]);
  program.destroy();
  free();
});

Deno.test("a program that cannot be built is refused by name and leaves nothing allocated", async () => {
  const gpu = await testGpu();
  const [x, y, free] = await twoBuffers();
  const good = affineLaunch(x, y, { count: 4, shift: 0, scale: 1 });
  const limit = gpu.limits.maxStorageBufferBindingSize;
  const faults: [Launch<BufferView>, RegExp | Error][] = [
    [{ ...good, kernel: broken, buffers: { y } }, /^DeviceError: kernel broken\.run was refused/],
    [
      { ...good, params: { count: 4 } },
      new Error("affine test: parameter shift of kernel affine is missing"),
    ],
    [
      { ...good, params: { ...good.params, count: 1.5 } },
      new Error("affine test: parameter count of kernel affine is not a valid u32: 1.5"),
    ],
    [
      { ...good, params: { ...good.params, count: -1 } },
      new Error("affine test: parameter count of kernel affine is not a valid u32: -1"),
    ],
    [
      { ...good, params: { ...good.params, shift: 2 ** 31 } },
      new Error("affine test: parameter shift of kernel affine is not a valid i32: 2147483648"),
    ],
    [
      { ...good, buffers: { x: { ...x, size: limit + 4 }, y } },
      /^DeviceError: affine test needs \d+ MiB in one binding \(x\), but .* binds at most \d+ MiB; use a smaller batch/,
    ],
    [
      { ...good, workgroups: [1, 65536, 1] },
      /^DeviceError: affine test needs 1 x 65536 x 1 workgroups, but .* takes at most 65535 along each dimension/,
    ],
  ];
  const before = gpu.memory.used;
  for (const [launch, message] of faults) {
    await assert.rejects(buildProgram(gpu, [good, launch]), message);
    assert.equal(gpu.memory.used, before);
  }
  assert.equal(gpu.fault, undefined);
  free();
});
