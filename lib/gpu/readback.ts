/**
 * Read-back of results to the CPU. Each map waits for the whole queue and then for the runtime's next poll (10 ms in Deno),
 * so several ranges share one map, and no training step reads back.
 *
 * @module
 */
import { DeviceError } from "../errors.ts";
import type { Gpu } from "./device.ts";
import { alignUp, type BufferView, createBuffer, destroyBuffer } from "./memory.ts";

/**
 * Copies buffer ranges to the CPU with one map.
 *
 * @param views ranges whose offset and size are multiples of 4
 * @param own staging buffer to reuse for repeated reads, large enough for all views: creating one per read is slower,
 *   and may fail late in a run when memory is short
 * @returns one copy per view, in order
 * @throws {DeviceError} if the device was lost, closed or has failed
 */
export async function readBack(
  gpu: Gpu,
  views: readonly BufferView[],
  own?: GPUBuffer,
): Promise<ArrayBuffer[]> {
  const offsets: number[] = [];
  let total = 0;
  for (const view of views) {
    offsets.push(total);
    total += alignUp(view.size, 8);
  }
  const staging = own ?? createBuffer(gpu, total, "read-back", "staging");
  try {
    const encoder = gpu.device.createCommandEncoder();
    views.forEach((view, i) =>
      encoder.copyBufferToBuffer(view.buffer, view.offset, staging, offsets[i]!, view.size)
    );
    gpu.device.queue.submit([encoder.finish()]);
    await staging.mapAsync(MAP_READ);
    const mapped = staging.getMappedRange();
    const copies = views.map((view, i) => mapped.slice(offsets[i]!, offsets[i]! + view.size));
    staging.unmap();
    // A fault during the run invalidates the bytes; this access throws it.
    void gpu.device;
    return copies;
  } catch (error) {
    // The event with the cause of a device failure arrives one turn after the exception.
    await new Promise((resolve) => setTimeout(resolve));
    throw gpu.fault ??
      new DeviceError(`results could not be read from ${gpu.adapter.name}: ${(error as Error).message}`);
  } finally {
    if (!own) destroyBuffer(gpu, staging);
  }
}

/** `GPUMapMode.READ`. */
const MAP_READ = 1;
