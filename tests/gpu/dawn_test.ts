/** Dawn, on whatever adapter this machine has; further tests run on it by `deno task test --backend dawn`. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { launch, parseKernel } from "../../kernels/source.ts";
import type { AdapterDescription, Gpu } from "../../lib/gpu/device.ts";
import { openGpu } from "../../lib/gpu/open.ts";
import { runOnArrays, testGpu } from "../support/gpu.ts";

let shared: Promise<Gpu> | undefined;

function dawnGpu(): Promise<Gpu> {
  return shared ??= openGpu({ backend: "dawn" });
}

Deno.test("Dawn opens the adapter that Deno does, and recognises a software one", async () => {
  const { adapter } = await dawnGpu();
  const own = (await openGpu({ backend: "deno" })).adapter;
  assert.equal(adapter.backend, "dawn");
  assert.equal(adapter.software, own.software);
  assert.equal(adapter.subgroupSize, own.subgroupSize);
  for (const feature of own.features) assert.ok(adapter.features.includes(feature), feature);
  const words = own.name.toLowerCase().match(/[a-z]{4,}|\d+/g)!;
  for (const word of words) assert.ok(adapter.name.toLowerCase().includes(word), `${adapter.name}: ${word}`);
});

Deno.test("Deno's own WebGPU stays as it was beside Dawn", async () => {
  await dawnGpu();
  const gpu = await testGpu();
  assert.ok(navigator.gpu instanceof GPU);
  const own = await openGpu({ backend: "deno" });
  assert.ok(own.device instanceof GPUDevice);
  assert.ok(!((await dawnGpu()).device instanceof GPUDevice));
  own.close();
  assert.equal(gpu.fault, undefined);
});

Deno.test("command encoders are collected long before V8's heap is full", async () => {
  const { device } = await dawnGpu();
  let collected = 0;
  const registry = new FinalizationRegistry(() => void collected++);
  const turn = () => new Promise((resolve) => setTimeout(resolve));
  for (let i = 0; i < 600; i++) {
    const encoder = device.createCommandEncoder();
    registry.register(encoder, i);
    device.queue.submit([encoder.finish()]);
    // What a task has used lives to its end.
    if (i % 50 === 0) await turn();
  }
  for (let i = 0; i < 100 && collected < 400; i++) await turn();
  assert.ok(collected >= 400, `${collected} of 600 encoders were collected`);
});

/** Sum over a subgroup. */
const subgroupSum = parseKernel(
  "subgroup_sum",
  `
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64)
fn run(@builtin(global_invocation_id) id: vec3u, @builtin(subgroup_size) lanes: u32) {
  let x = y[id.x];
  if (subgroupAny(x > 0.0)) { y[id.x] = subgroupAdd(x) / f32(lanes); }
}`,
);

Deno.test("kernels with subgroup operations run as they are written for Deno", async () => {
  const gpu = await dawnGpu();
  if (gpu.adapter.subgroupSize === 0) return;
  const y = new Float32Array(64).fill(3);
  await runOnArrays(gpu, [launch(subgroupSum, "run", {}, { y }, [1, 1, 1])]);
  assert.deepEqual(y, new Float32Array(64).fill(3));
});

Deno.test("arrays of every type can be written to a buffer, parts of them too", async () => {
  const { device } = await dawnGpu();
  const values = [9, 1, 2, 3, 4];
  const types = [Float16Array, Float32Array, Uint16Array, Uint32Array] as const;
  for (const type of types as unknown as readonly [typeof Float32Array]) {
    const array = type.from(values);
    const bytes = 4 * array.BYTES_PER_ELEMENT;
    const staging = device.createBuffer({ size: bytes, usage: 8 | 1 }); // COPY_DST, MAP_READ
    device.queue.writeBuffer(staging, 0, array as Float32Array<ArrayBuffer>, 1, 4);
    await staging.mapAsync(1);
    assert.deepEqual(new type(staging.getMappedRange()), type.from(values.slice(1)), type.name);
    staging.destroy();
  }
});

/** Opens the device in a process of its own; its adapter, or the error. */
async function openIn(
  flags: readonly string[],
  env: Record<string, string>,
): Promise<AdapterDescription & { name: string; message: string }> {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", ...flags, fileURLToPath(new URL("../support/open_gpu.ts", import.meta.url))],
    env: { DENO_WEBGPU_BACKEND: "vulkan", DENOISE_DAWN_TOGGLES: "", ...env },
    stdout: "piped",
  }).output();
  return JSON.parse(new TextDecoder().decode(stdout));
}

Deno.test("the environment selects Dawn and its toggles where it may be read, and is not asked for elsewhere", async () => {
  const env = { DENOISE_BACKEND: "dawn", DENOISE_DAWN_TOGGLES: "skip_validation" };
  const { backend, toggles } = await openIn(["--allow-ffi", "--allow-env"], env);
  assert.deepEqual([backend, toggles], ["dawn", ["skip_validation"]]);
  assert.equal((await openIn(["--allow-ffi"], env)).backend, "deno");
});

Deno.test("without permission for native code the error names the binary, and permission for that alone is enough", async () => {
  const env = { DENOISE_BACKEND: "dawn" };
  const { name, message } = await openIn(["--allow-env"], env);
  assert.equal(name, "DeviceError");
  const [, binary] =
    /^the backend dawn cannot be loaded: it is native code, which Deno loads only with --allow-ffi=(\S+dawn\.node); without it, use the backend deno$/
      .exec(message) ?? assert.fail(message);
  assert.equal((await openIn(["--allow-env", `--allow-ffi=${binary}`], env)).backend, "dawn");
});

Deno.test("a package that cannot be fetched is an error that names it", async () => {
  const empty = await Deno.makeTempDir();
  try {
    const env = { DENOISE_BACKEND: "dawn", DENO_DIR: empty };
    const { name, message } = await openIn(["--allow-env", "--allow-ffi", "--cached-only"], env);
    assert.equal(name, "DeviceError");
    assert.match(
      message,
      /^the backend dawn cannot be loaded: npm:webgpu@0\.6\.2: .*; without it, use the backend deno$/,
    );
  } finally {
    await Deno.remove(empty, { recursive: true });
  }
});

Deno.test("without an adapter the error says what to install, with Dawn too", async () => {
  if (Deno.build.os !== "linux") return;
  const env = { DENOISE_BACKEND: "dawn", VK_DRIVER_FILES: "/nowhere", VK_ICD_FILENAMES: "/nowhere" };
  const { name, message } = await openIn(["--allow-env", "--allow-ffi"], env);
  assert.equal(name, "DeviceError");
  assert.match(message, /^no WebGPU adapter was found\..*mesa-vulkan-drivers/);
});
