/** The shared device of a test file, and launches on host arrays. */
import { EMULATED_MATRICES, type KernelTarget } from "../../kernels/target.ts";
import type { Gpu } from "../../lib/gpu/device.ts";
import { openGpu } from "../../lib/gpu/open.ts";
import type { BufferView } from "../../lib/gpu/memory.ts";
import { readBack } from "../../lib/gpu/readback.ts";

export { type HostArray, runOnArrays } from "../../lib/gpu/host_arrays.ts";

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
