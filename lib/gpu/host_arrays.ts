/**
 * Runs launches whose buffers are arrays of the CPU, for checks of a device.
 *
 * @module
 */
import type { Launch } from "../../kernels/source.ts";
import type { Gpu } from "./device.ts";
import { type BufferView, ResourceScope } from "./memory.ts";
import { buildProgram } from "./program.ts";
import { readBack } from "./readback.ts";

/** Contents of a buffer. */
export type HostArray = Float32Array | Float16Array | Uint32Array | Int32Array;

/**
 * Runs launches, and copies results back into the arrays that a launch may write. The same array in two launches is the same
 * buffer.
 *
 * @returns the arrays that a launch may write
 * @throws {DeviceError} if the device rejects a kernel, has too little memory, or fails
 */
export async function runOnArrays(gpu: Gpu, launches: readonly Launch<HostArray>[]): Promise<HostArray[]> {
  const scope = new ResourceScope(gpu, "launches on arrays");
  try {
    const views = new Map<HostArray, BufferView>();
    const written = new Set<HostArray>();
    const viewOf = (array: HostArray, name: string): BufferView => {
      let view = views.get(array);
      if (!view) {
        views.set(array, view = scope.buffer(array.byteLength, name));
        gpu.device.queue.writeBuffer(view.buffer, 0, array as Float32Array<ArrayBuffer>);
      }
      return view;
    };
    const resolved = launches.map((launch): Launch<BufferView> => {
      const buffers = Object.entries(launch.buffers).map(([name, array]) => {
        if (launch.kernel.bindings[name]!.access === "read_write") written.add(array);
        return [name, viewOf(array, name)];
      });
      return { ...launch, buffers: Object.fromEntries(buffers) };
    });
    scope.own(await buildProgram(gpu, resolved)).run();
    const results = [...written];
    // A read-back copies whole words.
    const bytes = await readBack(gpu, results.map((array) => views.get(array)!));
    results.forEach((array, i) => {
      const contents = bytes[i]!.slice(0, array.byteLength);
      array.set(new (array.constructor as Float32ArrayConstructor)(contents));
    });
    return results;
  } finally {
    scope.destroy();
  }
}
