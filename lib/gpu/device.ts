/**
 * Opening a WebGPU device: adapter, limits, features, and what happens when the device fails.
 *
 * @module
 */
import { DeviceError } from "../errors.ts";
import { MemoryBudget } from "./budget.ts";
import { PipelineCache } from "./pipeline.ts";

/** What is known of the adapter in use. */
export interface AdapterDescription {
  /** Human-readable name, e.g. `llvmpipe (LLVM 15.0.6, 256 bits)`. */
  readonly name: string;
  /** As WebGPU reports it; empty where it does not tell. */
  readonly vendor: string;
  /** True where a CPU executes the shaders. */
  readonly software: boolean;
  /** WebGPU features that the device was opened with, sorted. */
  readonly features: readonly string[];
  /** Lanes of a subgroup where it is one fixed number and subgroup operations can be used, else 0. */
  readonly subgroupSize: number;
}

/** Options of {@linkcode openGpu}. */
export interface GpuOptions {
  /**
   * Bytes that buffers may take in all, or how many for a given kind of adapter. Default: 4 GiB on a software adapter,
   * unbounded elsewhere.
   */
  memoryBudget?: number | ((software: boolean) => number);
  /** Called once with a sentence when the device is lost or reports an error nobody asked for. */
  onFault?: (error: DeviceError) => void;
}

/** Limits worth raising from the specification's minimum to what the adapter has. */
const RAISED_LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
] as const;

const OPTIONAL_FEATURES = ["timestamp-query", "shader-f16"] as const;
const SOFTWARE_NAMES = /llvmpipe|lavapipe|swiftshader|softpipe|basic render/i;

/**
 * A device and what belongs to its life: adapter description, byte budget, pipeline cache, first fault.
 *
 * After `destroy()` most WebGPU calls succeed silently, so the object keeps its own state: every use goes through
 * {@linkcode Gpu.device}, which throws once the device is gone or has failed.
 */
export class Gpu {
  /** What the device runs on. */
  readonly adapter: AdapterDescription;
  /** Limits of the device, raised to what the adapter has. */
  readonly limits: GPUSupportedLimits;
  /** Bytes that buffers take, and may take. */
  readonly memory: MemoryBudget;
  /** Cache of compute pipelines. */
  readonly pipelines: PipelineCache;
  #device: GPUDevice;
  #fault: DeviceError | undefined;

  /** Use {@linkcode openGpu}. */
  constructor(device: GPUDevice, adapter: AdapterDescription, options: GpuOptions) {
    this.#device = device;
    this.adapter = adapter;
    this.limits = device.limits;
    const { memoryBudget = (software) => software ? 4 * 2 ** 30 : Infinity } = options;
    const limit = typeof memoryBudget === "number" ? memoryBudget : memoryBudget(adapter.software);
    this.memory = new MemoryBudget(limit, adapter.name);
    this.pipelines = new PipelineCache(this);
    const fail = (error: DeviceError) => {
      if (this.#fault) return;
      this.#fault = error;
      options.onFault?.(error);
    };
    device.addEventListener("uncapturederror", (event) => {
      // An uncaptured error is a bug of ours or exhausted memory; unless it stops the run, results would be garbage.
      event.preventDefault();
      fail(
        new DeviceError(
          `WebGPU on ${adapter.name} reported: ${(event as GPUUncapturedErrorEvent).error.message}`,
        ),
      );
    });
    device.lost.then((info) => {
      const why = info.message || info.reason || "no reason given";
      fail(
        new DeviceError(
          `the WebGPU device ${adapter.name} was lost (${why}); start again from the last checkpoint`,
        ),
      );
    });
  }

  /**
   * The device.
   * @throws {DeviceError} when it was closed, lost, or has reported an error
   */
  get device(): GPUDevice {
    if (this.#fault) throw this.#fault;
    return this.#device;
  }

  /** Why the device can no longer be used, if so. */
  get fault(): DeviceError | undefined {
    return this.#fault;
  }

  /** Frees the device and everything on it. Later uses throw. */
  close(): void {
    this.#fault ??= new DeviceError("the WebGPU device was closed");
    this.#device.destroy();
  }
}

/**
 * Opens the default WebGPU adapter with the limits it has.
 *
 * @throws {DeviceError} where there is no WebGPU, no adapter, or only one without compute
 */
export async function openGpu(options: GpuOptions = {}): Promise<Gpu> {
  if (typeof navigator === "undefined" || !navigator.gpu) {
    throw new DeviceError(
      "this runtime has no WebGPU (navigator.gpu is missing); use Deno 2.9 or newer, or a browser with WebGPU",
    );
  }
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) {
    throw new DeviceError(
      "no WebGPU adapter was found. On Linux install a Vulkan driver and loader (a software one: " +
        "`apt install mesa-vulkan-drivers libvulkan1`, or run `sh tasks/setup.sh test` in the project); " +
        "macOS and Windows need none",
    );
  }
  const name = adapter.info.description || adapter.info.device || adapter.info.vendor || "unnamed adapter";
  const requiredLimits: Record<string, number> = {};
  for (const limit of RAISED_LIMITS) requiredLimits[limit] = adapter.limits[limit];
  const requiredFeatures: GPUFeatureName[] = OPTIONAL_FEATURES.filter((feature) =>
    adapter.features.has(feature)
  );
  const subgroups = "subgroups" as GPUFeatureName;
  let device: GPUDevice;
  try {
    // Software Vulkan offers subgroups without listing them, so asking is the only way to know.
    device = await adapter.requestDevice({
      requiredLimits,
      requiredFeatures: [...requiredFeatures, subgroups],
    });
  } catch {
    device = await requestPlainDevice(adapter, name, { requiredLimits, requiredFeatures });
  }
  const { subgroupMinSize, subgroupMaxSize } = adapter.info;
  const hasSubgroups = device.features.has(subgroups) && subgroupMinSize === subgroupMaxSize &&
    await acceptsPlainSubgroups(device);
  const description: AdapterDescription = {
    name,
    vendor: adapter.info.vendor,
    software: adapter.info.isFallbackAdapter || SOFTWARE_NAMES.test(name),
    features: [...device.features].sort(),
    subgroupSize: hasSubgroups ? subgroupMinSize : 0,
  };
  return new Gpu(device, description, options);
}

/** A shader with a subgroup operation, and without the line `enable subgroups;`. */
const SUBGROUP_SHADER = `@compute @workgroup_size(8)
fn main(@builtin(subgroup_invocation_id) lane: u32) {
  _ = subgroupBroadcast(lane, 0u);
}`;

/** Whether the device takes the kernels with subgroup operations: browsers want a line there that Deno refuses. */
async function acceptsPlainSubgroups(device: GPUDevice): Promise<boolean> {
  device.pushErrorScope("validation");
  device.createShaderModule({ code: SUBGROUP_SHADER, label: "subgroup probe" });
  return await device.popErrorScope() === null;
}

async function requestPlainDevice(
  adapter: GPUAdapter,
  name: string,
  request: GPUDeviceDescriptor,
): Promise<GPUDevice> {
  try {
    return await adapter.requestDevice(request);
  } catch (error) {
    throw new DeviceError(`the adapter ${name} gave no device: ${(error as Error).message}`);
  }
}
