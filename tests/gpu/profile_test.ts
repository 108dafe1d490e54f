import assert from "node:assert/strict";
import { add } from "../../kernels/add.ts";
import { type BufferView, ResourceScope } from "../../lib/gpu/memory.ts";
import { profilePrograms, summarize } from "../../lib/gpu/profile.ts";
import { buildProgram } from "../../lib/gpu/program.ts";
import { readFloats } from "../../lib/gpu/readback.ts";
import { testGpu } from "../gpu.ts";

Deno.test("profile entries add up by name, longest first, with shares of the whole", () => {
  const entries = summarize([
    { name: "a", calls: 1, milliseconds: 1, flops: 10 },
    { name: "b", calls: 1, milliseconds: 6, flops: 0 },
    { name: "a", calls: 2, milliseconds: 1, flops: 5 },
  ]);
  assert.deepEqual(entries, [
    { name: "b", calls: 1, milliseconds: 6, flops: 0, share: 0.75 },
    { name: "a", calls: 3, milliseconds: 2, flops: 15, share: 0.25 },
  ]);
  assert.deepEqual(summarize([{ name: "a", calls: 1, milliseconds: 0, flops: 0 }])[0].share, 0);
});

Deno.test("a profile runs the programs, counts every dispatch and measures some time", async () => {
  const gpu = await testGpu();
  const scope = new ResourceScope(gpu, "profile test");
  const elements = 4096;
  const [a, b, y, z]: BufferView[] = ["a", "b", "y", "z"].map((name) => scope.buffer(4 * elements, name));
  gpu.device.queue.writeBuffer(a.buffer, 0, new Float32Array(elements).fill(2));
  const [first] = add({ elements }, { a, b, y }, "first");
  const [second] = add({ elements }, { a, b: y, y: z }, "second");
  const program = scope.own(await buildProgram(gpu, [{ ...first, flops: 7 }, second]));
  if (!gpu.adapter.features.includes("timestamp-query")) {
    await assert.rejects(() => profilePrograms(gpu, [program]), /timestamp-query/);
  } else {
    const byKernel = await profilePrograms(gpu, [program, program], { repeats: 3 });
    assert.equal(byKernel.length, 1);
    assert.equal(byKernel[0].name, "add.forward");
    assert.equal(byKernel[0].calls, 12);
    assert.equal(byKernel[0].flops, 42);
    assert.equal(byKernel[0].share, 1);
    assert.ok(byKernel[0].milliseconds > 0);
    const byLabel = await profilePrograms(gpu, [program], { groupBy: ({ label }) => label });
    assert.deepEqual(byLabel.map(({ name }) => name).sort(), ["first", "second"]);
    assert.deepEqual(new Set(await readFloats(gpu, z)), new Set([4]));
  }
  scope.destroy();
});
