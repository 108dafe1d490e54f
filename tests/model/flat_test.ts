import assert from "node:assert/strict";

import { BINDING_ALIGNMENT, createBuffer, destroyBuffer } from "../../lib/gpu/memory.ts";
import { buildProgram } from "../../lib/gpu/program.ts";
import { readBack } from "../../lib/gpu/readback.ts";
import { castWeights, flatView, flatWindows } from "../../lib/model/flat.ts";
import { unetParameters } from "../../lib/model/network.ts";
import { presetConfig } from "../../lib/model/presets.ts";
import { testGpu } from "../support/gpu.ts";
import { noise } from "../reference/differences.ts";

for (const [total, limit] of [[64, 1 << 27], [4096, 2048], [4160, 2048], [10_000, 5000]]) {
  Deno.test(`windows of at most ${limit} bytes cover ${total} elements and can be bound in either type`, () => {
    const windows = flatWindows(total, limit);
    let end = 0;
    for (const window of windows) {
      assert.equal(window.first, end);
      end += window.elements;
      const [single, half] = (["float32", "float16"] as const).map((type) =>
        flatView({ buffer: {} as GPUBuffer }, window, type)
      );
      assert.ok(single.size <= limit);
      assert.deepEqual([single.offset % BINDING_ALIGNMENT, half.offset % BINDING_ALIGNMENT], [0, 0]);
      assert.deepEqual([half.offset, half.size], [single.offset / 2, single.size / 2]);
    }
    assert.equal(end, total);
  });
}

Deno.test("windows may begin later, and cover the rest", () => {
  assert.deepEqual(flatWindows(10_240, 20_000, 192), [
    { first: 192, elements: 4992 },
    { first: 5184, elements: 4992 },
    { first: 10_176, elements: 64 },
  ]);
});

Deno.test("parameters start where their float16 copy can be bound, too, and float32 wastes nothing for it", () => {
  const config = presetConfig("tiny", 10);
  const [single, half] = [unetParameters(config), unetParameters(config, "mixed")];
  for (const tensor of single.tensors) assert.equal(4 * single.offset(tensor) % BINDING_ALIGNMENT, 0);
  for (const tensor of half.tensors) assert.equal(2 * half.offset(tensor) % BINDING_ALIGNMENT, 0);
  assert.ok(single.elements < half.elements && half.elements < 1.1 * single.elements);
  assert.equal(single.count, half.count);
});

Deno.test("the copy of weights is written window by window as in one", async () => {
  const gpu = await testGpu();
  const elements = 4160;
  const values = Float32Array.from(noise(elements, 1));
  const [flat, copy] = [4, 2].map((bytes) => createBuffer(gpu, bytes * elements, "weights"));
  gpu.device.queue.writeBuffer(flat, 0, values);
  const small = { limits: { maxStorageBufferBindingSize: 2048 } } as unknown as typeof gpu;
  const launches = castWeights(small, elements, flat, copy);
  assert.equal(launches.length, 9);
  const program = await buildProgram(gpu, launches);
  program.run();
  const [bytes] = await readBack(gpu, [{ buffer: copy, offset: 0, size: 2 * elements }]);
  assert.deepEqual(new Float16Array(bytes), Float16Array.from(values));
  program.destroy();
  for (const buffer of [flat, copy]) destroyBuffer(gpu, buffer);
});
