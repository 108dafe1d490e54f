import assert from "node:assert/strict";
import { addForward } from "../../kernels/add.ts";
import { type HostArray, runOnArrays, testGpu } from "../support/gpu.ts";
import { noise } from "../reference/differences.ts";
import { STORAGES } from "../support/storage.ts";

for (const storage of STORAGES) {
  for (const elements of [4, 1020, 3 * 4096 + 8]) {
    Deno.test(`add is the float32 sum, bit for bit: [${elements}]${storage.suffix}`, async () => {
      const [a, b] = [1, 2].map((seed) => storage.rounded(noise(elements, seed)));
      const y = storage.empty(elements);
      await storage.run(addForward<HostArray>({ elements }, { a: storage.array(a), b: storage.array(b), y }));
      assert.deepEqual(y, storage.array(Float32Array.from(a, (v, i) => v + b[i])));
    });
  }
}

Deno.test("add takes one tensor twice", async () => {
  const a = Float32Array.of(1, -2, 3, 0);
  const y = new Float32Array(4);
  await runOnArrays(await testGpu(), addForward<HostArray>({ elements: 4 }, { a, b: a, y }));
  assert.deepEqual([...y], [2, -4, 6, 0]);
});
