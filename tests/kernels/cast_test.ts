import assert from "node:assert/strict";
import { cast } from "../../kernels/cast.ts";
import { type HostArray, runOnArrays, testGpu } from "../support/gpu.ts";
import { noise } from "../reference/differences.ts";

for (const elements of [4, 1020, 3 * 4096 + 8]) {
  Deno.test(`cast rounds to the nearest float16, ties to even, bit for bit: [${elements}]`, async () => {
    const x = Float32Array.from(noise(elements, 1));
    // Ties, the largest float16 and what lies just above it, subnormals and the smallest that is not zero.
    x.set([1 + 2 ** -11, 1 + 3 * 2 ** -11, 65519, 2 ** -24]);
    if (elements > 8) x.set([3 * 2 ** -26, -(2 ** -15), 65520, -1e9], 4);
    const y = new Float16Array(elements).fill(NaN);
    await runOnArrays(await testGpu(), cast<HostArray>(elements, { x, y }));
    assert.deepEqual(y, Float16Array.from(x));
  });
}
