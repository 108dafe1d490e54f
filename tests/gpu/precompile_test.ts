import assert from "node:assert/strict";
import { type Launch, launch } from "../../kernels/source.ts";
import { DeviceError } from "../../lib/errors.ts";
import { Gpu } from "../../lib/gpu/device.ts";
import { openGpu } from "../../lib/gpu/open.ts";
import { type BufferView, ResourceScope } from "../../lib/gpu/memory.ts";
import { pipelineCacheKey } from "../../lib/gpu/pipeline.ts";
import { precompile } from "../../lib/gpu/precompile.ts";
import { buildProgram } from "../../lib/gpu/program.ts";
import { readFloats } from "../support/gpu.ts";
import { affine, broken } from "../support/test_kernels.ts";

/** Time in which no kernel is taken for a cached one. */
const NEVER = 0;

/** Multiplications by 8 whole numbers from `first` on, each a pipeline of its own, and the first of them twice. */
function products<B>(x: B, y: B, first = 1): Launch<B>[] {
  return [0, 1, 2, 3, 4, 5, 6, 7, 0].map((k) => first + k).map((factor) =>
    launch(affine, "run", { count: 4, shift: 0, scale: 1 }, { x, y }, [1, 1, 1], { constants: { factor } })
  );
}

const exists = (gpu: Gpu) => ({ kernel, entry, constants, buffers }: Launch<unknown>) =>
  gpu.pipelines.has(pipelineCacheKey(kernel, entry, constants, Object.keys(buffers)));

/** A device of its own, with the devices that are to be closed with it. */
async function ownGpu(software = true): Promise<{ gpu: Gpu; helpers: Gpu[] }> {
  const { device, adapter, subgroups } = await openGpu();
  const gpu = new Gpu(device, { ...adapter, software, backend: "deno" }, {}, subgroups);
  const helpers: Gpu[] = [];
  const { closeAlong } = gpu;
  gpu.closeAlong = (helper) => {
    helpers.push(helper);
    closeAlong.call(gpu, helper);
  };
  return { gpu, helpers };
}

Deno.test("a software adapter compiles all kernels of a program before its first dispatch, with a second device", async () => {
  const { gpu, helpers } = await ownGpu();
  const launches = products("x", "y");
  await precompile(gpu, launches, NEVER);
  assert.ok(launches.every(exists(gpu)));
  assert.equal(gpu.pipelines.size, 8);
  assert.equal(helpers.length, 1);
  const [helper] = helpers;
  assert.ok(helper!.pipelines.size >= 3 && helper!.pipelines.size < 8, `${helper!.pipelines.size} of 8`);
  assert.deepEqual([gpu.memory.used, helper!.memory.used], [0, 0]);

  const scope = new ResourceScope(gpu, "test");
  const [x, y] = [scope.buffer(16, "x"), scope.buffer(16, "y")];
  gpu.device.queue.writeBuffer(x.buffer, 0, Float32Array.of(1, 2, 3, 4));
  await precompile(gpu, products(x, y), NEVER); // which exist
  assert.equal(helpers.length, 1);
  scope.own(await buildProgram(gpu, products<BufferView>(x, y).slice(0, 3))).run();
  assert.deepEqual(await readFloats(gpu, y), Float32Array.of(3, 6, 9, 12));
  assert.deepEqual([gpu.fault, helper!.fault], [undefined, undefined]);

  gpu.close();
  assert.deepEqual(helper!.fault, new DeviceError("the WebGPU device was closed"));
});

Deno.test("all programs of a device share its second device, and do without it when it has failed", async () => {
  const { gpu, helpers } = await ownGpu();
  await precompile(gpu, products("x", "y"), NEVER);
  const [helper] = helpers;
  const before = helper!.pipelines.size;
  await precompile(gpu, products("x", "y", 11), NEVER);
  assert.equal(helpers.length, 1);
  assert.ok(helper!.pipelines.size > before);

  helper!.close();
  const launches = products("x", "y", 21);
  await precompile(gpu, launches, NEVER);
  assert.ok(launches.every(exists(gpu)));
  assert.equal(gpu.fault, undefined);
  gpu.close();
});

Deno.test("a second device that opens after its first was closed is closed, too", async () => {
  const [{ gpu }, { gpu: late }] = [await ownGpu(), await ownGpu()];
  gpu.close();
  gpu.closeAlong(late);
  assert.deepEqual(late.fault, new DeviceError("the WebGPU device was closed"));
});

Deno.test("where the shortest kernels come from the driver's cache, no second device is opened", async () => {
  const { gpu, helpers } = await ownGpu();
  await precompile(gpu, products("x", "y"), Infinity);
  assert.equal(helpers.length, 0);
  assert.ok(gpu.pipelines.size < 8);
  gpu.close();
});

Deno.test("neither few kernels nor those of a GPU are compiled ahead", async () => {
  const { gpu } = await ownGpu();
  await precompile(gpu, products("x", "y").slice(0, 4), NEVER);
  assert.equal(gpu.pipelines.size, 0);
  gpu.close();

  const { gpu: hardware } = await ownGpu(false);
  await precompile(hardware, products("x", "y"), NEVER);
  assert.equal(hardware.pipelines.size, 0);
  hardware.close();
});

Deno.test("a kernel that the device rejects is named when it is compiled ahead", async () => {
  const { gpu } = await ownGpu();
  const wrong = launch(broken, "run", {}, { y: "y" }, [1, 1, 1]);
  await assert.rejects(
    precompile(gpu, [...products("x", "y"), wrong], NEVER),
    /^DeviceError: kernel broken\.run was refused/,
  );
  assert.equal(gpu.memory.used, 0);
  gpu.close();
});
