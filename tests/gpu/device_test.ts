import assert from "node:assert/strict";
import { EMULATED_MATRICES } from "../../kernels/target.ts";
import { DeviceError } from "../../lib/errors.ts";
import type { Gpu } from "../../lib/gpu/device.ts";
import { chooseBackend, entryPoint, openGpu } from "../../lib/gpu/open.ts";
import { createBuffer, destroyBuffer, wholeBuffer } from "../../lib/gpu/memory.ts";
import { buildProgram } from "../../lib/gpu/program.ts";
import { readFloats, testGpu } from "../support/gpu.ts";
import { affine, incrementLaunch } from "../support/test_kernels.ts";

Deno.test("an open device says what it is", async () => {
  const { adapter, limits, fault } = await testGpu();
  assert.ok(adapter.name.length > 0);
  assert.equal(adapter.software, /llvmpipe|swiftshader/i.test(adapter.name));
  assert.deepEqual([...adapter.features], [...adapter.features].sort());
  assert.ok(adapter.subgroupSize === 0 || adapter.features.includes("subgroups"));
  const choice = await chooseBackend({});
  assert.equal(adapter.backend, choice.backend);
  const offered = (await (await entryPoint(choice)).requestAdapter())!.limits;
  assert.equal(limits.maxStorageBufferBindingSize, offered.maxStorageBufferBindingSize);
  assert.equal(limits.maxBufferSize, offered.maxBufferSize);
  assert.equal(fault, undefined);
});

Deno.test("matrix units are emulated where asked for, on adapters with float16", async () => {
  const open = async (emulateMatrices: boolean) => {
    const gpu = await openGpu({ emulateMatrices });
    gpu.close();
    return gpu.adapter;
  };
  assert.notEqual((await open(false)).matrices?.dialect, "emulation");
  const { features, matrices } = await open(true);
  assert.deepEqual(matrices, features.includes("shader-f16") ? EMULATED_MATRICES : undefined);
});

Deno.test("without an adapter the error says what to install", async () => {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", new URL("../support/open_gpu.ts", import.meta.url).href],
    env: { DENO_WEBGPU_BACKEND: "bogus" },
    stdout: "piped",
  }).output();
  const { name, message } = JSON.parse(new TextDecoder().decode(stdout));
  assert.equal(name, "DeviceError");
  assert.match(message, /^no WebGPU adapter was found\..*mesa-vulkan-drivers.*tasks\/setup\.sh/);
});

/** Runs `body` with another `navigator.gpu`. */
async function withNavigatorGpu<T>(gpu: unknown, body: () => Promise<T>): Promise<T> {
  Object.defineProperty(navigator, "gpu", { value: gpu, configurable: true });
  try {
    return await body();
  } finally {
    delete (navigator as { gpu?: unknown }).gpu;
  }
}

Deno.test("without WebGPU the error names runtimes that have it", async () => {
  await withNavigatorGpu(undefined, () =>
    assert.rejects(
      openGpu({ backend: "deno" }),
      new DeviceError(
        "this runtime has no WebGPU (navigator.gpu is missing); use Deno 2.9 or newer, or a browser with WebGPU",
      ),
    ));
  assert.ok(navigator.gpu, "the real one is back");
});

Deno.test("an adapter that refuses a device is named, after it was asked without subgroups too", async () => {
  const asked: string[][] = [];
  const adapter = {
    info: { description: "toy adapter" },
    limits: {},
    features: new Set(["shader-f16"]),
    requestDevice({ requiredFeatures }: { requiredFeatures: string[] }) {
      asked.push(requiredFeatures);
      return Promise.reject(new TypeError("out of devices"));
    },
  };
  await withNavigatorGpu(
    { requestAdapter: () => Promise.resolve(adapter) },
    () =>
      assert.rejects(
        openGpu({ backend: "deno" }),
        new DeviceError("the adapter toy adapter gave no device: out of devices"),
      ),
  );
  assert.deepEqual(asked, [["shader-f16", "subgroups"], ["shader-f16"]]);
});

/** Every way to use a device. */
const uses: Record<string, (gpu: Gpu, buffer: GPUBuffer) => unknown> = {
  "its device": (gpu) => gpu.device,
  "a new buffer": (gpu) => createBuffer(gpu, 16, "late"),
  "a pipeline": (gpu) => gpu.pipelines.get(affine, "run", { factor: 9 }, ["x", "y"]),
  "a program": (gpu, buffer) => buildProgram(gpu, [incrementLaunch(wholeBuffer(buffer))]),
  "reading back": (gpu, buffer) => readFloats(gpu, wholeBuffer(buffer)),
};

async function everyUseThrows(gpu: Gpu, buffer: GPUBuffer, message: RegExp): Promise<void> {
  for (const [name, use] of Object.entries(uses)) {
    await assert.rejects(
      async () => await use(gpu, buffer),
      (error) => error instanceof DeviceError && message.test(error.message),
      name,
    );
  }
  // Existing buffers can still be freed.
  destroyBuffer(gpu, buffer);
  assert.equal(gpu.memory.used, 0);
}

Deno.test("after it was closed, every use throws", async () => {
  const faults: DeviceError[] = [];
  const gpu = await openGpu({ onFault: (error) => faults.push(error) });
  const buffer = createBuffer(gpu, 64, "test");
  const program = await buildProgram(gpu, [incrementLaunch(wholeBuffer(buffer))]);
  const { lost } = gpu.device;
  gpu.close();
  await lost;
  assert.throws(() => program.run(), new DeviceError("the WebGPU device was closed"));
  program.destroy();
  await everyUseThrows(gpu, buffer, /^the WebGPU device was closed$/);
  // Closing is no fault that anyone needs to hear of.
  assert.deepEqual(faults, []);
});

Deno.test("after it was lost, every use throws and says to start from the checkpoint, and the owner heard it once", async () => {
  const faults: DeviceError[] = [];
  const gpu = await openGpu({ onFault: (error) => faults.push(error) });
  const buffer = createBuffer(gpu, 64, "test");
  const { device } = gpu;
  device.destroy();
  await device.lost;
  await everyUseThrows(gpu, buffer, /was lost .*start again from the last checkpoint$/);
  assert.deepEqual(faults, [gpu.fault]);
});

for (
  const [how, end] of [["closes", (gpu: Gpu) => gpu.close()], [
    "is lost",
    (gpu: Gpu) => gpu.device.destroy(),
  ]] as const
) {
  Deno.test(`a read-back under way when the device ${how} ends in a DeviceError`, async () => {
    const gpu = await openGpu();
    const buffer = createBuffer(gpu, 64, "test");
    const reading = readFloats(gpu, wholeBuffer(buffer));
    end(gpu);
    await assert.rejects(reading, DeviceError);
    destroyBuffer(gpu, buffer);
    assert.equal(gpu.memory.used, 0);
  });
}

Deno.test("the first validation error that nobody asked for is the fault of every later use", async () => {
  const faults: DeviceError[] = [];
  const gpu = await openGpu({ onFault: (error) => faults.push(error) });
  const buffer = createBuffer(gpu, 64, "test");
  // Binding as a uniform what was created for storage is refused, but not by an exception.
  const { pipeline } = await gpu.pipelines.get(affine, "run", { factor: 1 }, ["x", "y"]);
  const { device } = gpu;
  for (const label of ["first", "second"]) {
    device.createBindGroup({
      label,
      layout: pipeline.getBindGroupLayout(0),
      entries: [0, 1, 2].map((binding) => ({ binding, resource: { buffer } })),
    });
  }
  // The next results are not handed out, although they were read.
  await assert.rejects(readFloats(gpu, wholeBuffer(buffer)), /^DeviceError: WebGPU on .* reported: /);
  await everyUseThrows(gpu, buffer, /^WebGPU on .* reported: /);
  assert.deepEqual(faults, [gpu.fault]);
  gpu.close();
});

for (
  const [refusal, subgroupSize] of [
    [null, 8],
    [{ message: "'subgroupBroadcast' needs `enable subgroups;`" }, 0],
  ] as const
) {
  Deno.test(`subgroups count only where their kernels compile: ${refusal ? "refused" : "accepted"}`, async () => {
    const device = {
      limits: {},
      features: new Set(["subgroups"]),
      lost: new Promise(() => {}),
      addEventListener() {},
      pushErrorScope() {},
      createShaderModule: () => ({}),
      popErrorScope: () => Promise.resolve(refusal),
    };
    const adapter = {
      info: { description: "toy adapter", vendor: "toys", subgroupMinSize: 8, subgroupMaxSize: 8 },
      limits: {},
      features: new Set(["subgroups"]),
      requestDevice: () => Promise.resolve(device),
    };
    const gpu = await withNavigatorGpu(
      { requestAdapter: () => Promise.resolve(adapter) },
      () => openGpu({ backend: "deno" }),
    );
    assert.equal(gpu.adapter.subgroupSize, subgroupSize);
  });
}
