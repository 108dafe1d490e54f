/** The shared device of a test file, and launches on host arrays. */
import type { KernelSource, Launch } from "../../kernels/source.ts";
import { EMULATED_MATRICES, type KernelTarget } from "../../kernels/target.ts";
import { type Gpu, openGpu } from "../../lib/gpu/device.ts";
import { alignUp, type BufferView, createBuffer, destroyBuffer } from "../../lib/gpu/memory.ts";
import { buildProgram } from "../../lib/gpu/program.ts";
import { readBack } from "../../lib/gpu/readback.ts";

let shared: Promise<Gpu> | undefined;

/** The device shared by the tests of a file, with emulated matrix units. Deno runs each file in its own isolate. */
export function testGpu(): Promise<Gpu> {
  return shared ??= openGpu({ emulateMatrices: true });
}

/** The kernel layout for GPUs. */
export const TILE: KernelTarget = { path: "tile", subgroupSize: 0 };

/** A target whose products of float16 run on emulated matrix units. */
export function onMatrices(target: KernelTarget): KernelTarget {
  return { ...target, matrices: EMULATED_MATRICES };
}

/** Kernel layouts that this adapter can run; the one for software adapters is first. */
export async function testTargets(): Promise<KernelTarget[]> {
  const { subgroupSize } = (await testGpu()).adapter;
  return subgroupSize === 8 ? [{ path: "subgroup", subgroupSize }, TILE] : [TILE];
}

/** Reads a buffer range as floats. */
export async function readFloats(gpu: Gpu, view: BufferView): Promise<Float32Array> {
  const [bytes] = await readBack(gpu, [view]);
  return new Float32Array(bytes);
}

export type HostArray = Float32Array | Float16Array | Uint32Array | Int32Array;

/**
 * Runs launches whose buffers are host arrays, and copies results back into the arrays that a launch may write. The same
 * array object in two launches is the same device buffer.
 */
export async function runOnArrays(gpu: Gpu, launches: Launch<HostArray>[]): Promise<void> {
  const views = new Map<HostArray, BufferView>();
  const written = new Set<HostArray>();
  for (const { kernel, buffers } of launches) {
    for (const [name, array] of Object.entries(buffers)) {
      if (!views.has(array)) {
        const buffer = createBuffer(gpu, array.byteLength, name);
        gpu.device.queue.writeBuffer(buffer, 0, array as Float32Array<ArrayBuffer>);
        // Without the buffer's padding, so that an access to it counts as out of bounds.
        views.set(array, { buffer, offset: 0, size: alignUp(array.byteLength, 4) });
      }
      if (accessOf(kernel, name) === "read_write") written.add(array);
    }
  }
  const resolved = launches.map((launch): Launch<BufferView> => ({
    ...launch,
    buffers: Object.fromEntries(
      Object.entries(launch.buffers).map(([name, array]) => [name, views.get(array)!]),
    ),
  }));
  const program = await buildProgram(gpu, resolved);
  program.run();
  const results = [...written];
  const bytes = await readBack(
    gpu,
    results.map((array) => ({ ...views.get(array)!, size: array.byteLength })),
  );
  results.forEach((array, i) => array.set(new (array.constructor as Float32ArrayConstructor)(bytes[i])));
  program.destroy();
  for (const view of views.values()) destroyBuffer(gpu, view.buffer);
}

function accessOf(kernel: KernelSource, name: string): "read" | "read_write" {
  return kernel.bindings[name].access;
}
