/**
 * Dawn, Chromium's WebGPU implementation, as a native add-on from the npm package `webgpu`.
 *
 * The package's globals (`GPUDevice`, `GPUBufferUsage` and so on) stay inside it: Deno has its own of the same names, and
 * this project's code needs neither.
 *
 * @module
 */
import { loadError } from "./error.ts";
import { collectEncoders } from "./garbage.ts";
import { DAWN_PACKAGE } from "./package.ts";
import { pacePolling } from "./polling.ts";

/**
 * Toggles without a cost in safety. `allow_unsafe_apis` admits experimental features, such as subgroup matrices;
 * `vulkan_enable_f16_on_nvidia` float16, which Dawn hides on NVIDIA's driver because of denormals.
 */
const ENABLED = ["allow_unsafe_apis", "vulkan_enable_f16_on_nvidia"] as const;

/** Rounding of timestamps to 65 us, a protection against web pages that would make short kernels unmeasurable. */
const DISABLED = ["timestamp_quantization"] as const;

/** The package's exports. */
interface DawnModule {
  create(options: readonly string[]): GPU;
  readonly globals: {
    readonly GPUDevice: { readonly prototype: GPUDevice };
    readonly GPUQueue: { readonly prototype: GPUQueue };
  };
}

/** The add-on, once asked for. */
let addOn: Promise<DawnModule> | undefined;

/**
 * Instances by toggles, referenced for good: an instance that is garbage-collected takes its devices with it, and the next
 * wait for one of them ends the process.
 */
const instances = new Map<string, Promise<GPU>>();

/**
 * Loads Dawn on first use.
 *
 * @param toggles unsafe toggles
 * @throws {DawnError} if the package cannot be fetched or loaded
 */
export function dawn(toggles: readonly string[]): Promise<GPU> {
  const options = dawnOptions(toggles);
  const key = options.join();
  let instance = instances.get(key);
  if (!instance) {
    addOn ??= load();
    instances.set(key, instance = addOn.then(({ create }) => create(options)));
  }
  return instance;
}

/** Options of Dawn's `create`. On Linux Vulkan is asked for, since Dawn could also choose OpenGL. */
export function dawnOptions(toggles: readonly string[], os: string = Deno.build.os): string[] {
  return [
    `enable-dawn-features=${[...ENABLED, ...toggles].join()}`,
    `disable-dawn-features=${DISABLED.join()}`,
    ...os === "linux" ? ["backend=vulkan"] : [],
  ];
}

/** Loads the add-on. */
async function load(): Promise<DawnModule> {
  let loaded: DawnModule;
  try {
    loaded = await import(DAWN_PACKAGE);
  } catch (error) {
    throw loadError(error as Error);
  }
  acceptFloat16Arrays(loaded.globals.GPUQueue.prototype);
  collectEncoders(loaded.globals.GPUDevice.prototype);
  pacePolling();
  return loaded;
}

/**
 * Hands Float16Arrays to Dawn's queue as 16-bit integers: it divides by the element size, which is 0 for types that it does
 * not know, and the process would end with SIGFPE.
 */
function acceptFloat16Arrays(queue: GPUQueue): void {
  const { writeBuffer } = queue;
  queue.writeBuffer = function (buffer, offset, data, ...range) {
    const known = data instanceof Float16Array
      ? new Uint16Array(data.buffer, data.byteOffset, data.length)
      : data;
    return writeBuffer.call(this, buffer, offset, known, ...range);
  };
}
