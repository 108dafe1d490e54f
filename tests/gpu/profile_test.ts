import assert from "node:assert/strict";
import { addForward } from "../../kernels/add.ts";
import { type BufferView, ResourceScope } from "../../lib/gpu/memory.ts";
import { Profiler, type Slice, summarizeProfile } from "../../lib/gpu/profile.ts";
import { buildProgram, type Dispatch, type Program, runPrograms } from "../../lib/gpu/program.ts";
import { readFloats, testGpu } from "../support/gpu.ts";

const ELEMENTS = 4096;

function slice(kernel: string, milliseconds: number, flops = 0, bytes = 0): Slice {
  return { dispatch: { kernel, flops, bytes } as Dispatch, start: 0, milliseconds };
}

Deno.test("profile entries add up by name, longest first, with shares of the whole", () => {
  const entries = summarizeProfile([slice("a", 1, 10, 3), slice("b", 6), slice("a", 1, 5, 4)]);
  assert.deepEqual(entries, [
    { name: "b", calls: 1, milliseconds: 6, flops: 0, bytes: 0, share: 0.75 },
    { name: "a", calls: 2, milliseconds: 2, flops: 15, bytes: 7, share: 0.25 },
  ]);
  assert.equal(summarizeProfile([slice("a", 0)])[0].share, 0);
  assert.deepEqual(summarizeProfile([slice("a", 1), slice("b", 1)], () => "all").map(({ calls }) => calls), [
    2,
  ]);
});

/** Two programs over four vectors: y = a + b, and y = y + b in place of it by way of z. */
async function material(scope: ResourceScope): Promise<{ y: BufferView; once: Program; more: Program }> {
  const gpu = await testGpu();
  const [a, b, y, z]: BufferView[] = ["a", "b", "y", "z"].map((name) => scope.buffer(4 * ELEMENTS, name));
  gpu.device.queue.writeBuffer(a.buffer, 0, new Float32Array(ELEMENTS).fill(1));
  gpu.device.queue.writeBuffer(b.buffer, 0, new Float32Array(ELEMENTS).fill(2));
  const [start] = addForward({ elements: ELEMENTS }, { a, b, y }, "start");
  const [first] = addForward({ elements: ELEMENTS }, { a: y, b, y: z }, "first");
  const [second] = addForward({ elements: ELEMENTS }, { a: z, b: a, y }, "second");
  return {
    y,
    once: scope.own(await buildProgram(gpu, [start])),
    more: scope.own(await buildProgram(gpu, [{ ...first, flops: 7 }, second])),
  };
}

Deno.test("a profiler times the replays asked for as they happen, and nothing runs twice", async () => {
  const gpu = await testGpu();
  const scope = new ResourceScope(gpu, "profile test");
  const { y, once, more } = await material(scope);
  if (!gpu.adapter.features.includes("timestamp-query")) {
    assert.throws(() => new Profiler(gpu), /timestamp-query/);
  } else {
    once.run();
    const profiler = new Profiler(gpu, { skip: 1, take: 2 });
    // The first and the last are not timed; neither is what does not begin with the same program.
    for (let i = 0; i < 2; i++) runPrograms(gpu, [more, more]);
    runPrograms(gpu, [once, more]);
    more.run();
    more.run();
    const replays = await profiler.finish();
    // once leaves 3, and each later replay of more adds 3
    assert.deepEqual(new Set(await readFloats(gpu, y)), new Set([12]));
    assert.deepEqual(replays.map(({ length }) => length), [4, 2]);
    const slices = replays.flat();
    const labels = slices.map(({ dispatch }) => dispatch.label);
    assert.deepEqual(labels, ["first", "second", "first", "second", "first", "second"]);
    assert.equal(slices[0].start, 0);
    assert.ok(slices.every(({ milliseconds }) => milliseconds >= 0));
    const [entry, ...others] = summarizeProfile(slices);
    assert.deepEqual(others, []);
    const { name, calls, flops, bytes, share } = entry;
    const expected = { name: "add.forward", calls: 6, flops: 21, bytes: 6 * 3 * 4 * ELEMENTS, share: 1 };
    assert.deepEqual({ name, calls, flops, bytes, share }, expected);
    assert.ok(entry.milliseconds > 0);
    assert.deepEqual(await profiler.finish(), []);
  }
  scope.destroy();
});

Deno.test("a profiler that is finished early gives what it has and lets later replays be", async () => {
  const gpu = await testGpu();
  if (!gpu.adapter.features.includes("timestamp-query")) return;
  const scope = new ResourceScope(gpu, "profile test");
  const { y, once } = await material(scope);
  const profiler = new Profiler(gpu, { take: 100 });
  once.run();
  assert.equal((await profiler.finish()).length, 1);
  once.run();
  assert.deepEqual(new Set(await readFloats(gpu, y)), new Set([3]));
  assert.deepEqual(await profiler.finish(), []);
  scope.destroy();
});

Deno.test("a replay of more dispatches than a query set holds is timed whole", async () => {
  const gpu = await testGpu();
  if (!gpu.adapter.features.includes("timestamp-query")) return;
  const scope = new ResourceScope(gpu, "profile test");
  const { once } = await material(scope);
  const profiler = new Profiler(gpu);
  runPrograms(gpu, new Array<Program>(2050).fill(once));
  const [slices] = await profiler.finish();
  assert.equal(slices.length, 2050);
  assert.ok(slices[2049].start > 0);
  scope.destroy();
});
