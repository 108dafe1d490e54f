/**
 * Opens a WebGPU device: adapter selection, limits, features and fault handling.
 *
 * @module
 */
import type { MatrixUnits } from "../../kernels/target.ts";
import { DeviceError } from "../errors.ts";
import type { Backend, BackendOptions, DawnToggle } from "./backend.ts";
import { MemoryBudget } from "./budget.ts";
import { matrixUnits } from "./matrices.ts";
import { PipelineCache } from "./pipeline.ts";
import { type SubgroupDirective, subgroupDirective } from "./wgsl.ts";

/** Adapter in use. */
export interface AdapterDescription {
  /** WebGPU implementation; `browser` is that of the browser that the page is open in. */
  readonly backend: Backend | "browser";
  /** Unsafe toggles of Dawn in use; absent: none. */
  readonly toggles?: readonly DawnToggle[];
  /** Human-readable name, e.g. `llvmpipe (LLVM 15.0.6, 256 bits)`. */
  readonly name: string;
  /** As WebGPU reports it; may be empty. */
  readonly vendor: string;
  /** True if shaders run on the CPU. */
  readonly software: boolean;
  /** WebGPU features enabled on the device, sorted. */
  readonly features: readonly string[];
  /** Lanes of a subgroup; 0 if the size varies or subgroup operations are unavailable. */
  readonly subgroupSize: number;
  /** Matrix units with float16 operands and float32 sums; absent: none. See {@linkcode Gpu.rejectMatrices}. */
  readonly matrices?: MatrixUnits;
  /** Difference between the adapter's matrix units and their emulation, because of which they are not used. */
  readonly matrixFault?: string;
}

/** Options of a device. */
export interface DeviceOptions {
  /**
   * Memory limit for all buffers in bytes, or a function that returns it for a software or hardware adapter. Default:
   * 4 GiB on a software adapter, unlimited elsewhere.
   */
  memoryBudget?: number | ((software: boolean) => number);
  /** Called once, when the device is lost or reports an uncaptured error. */
  onFault?: (error: DeviceError) => void;
}

/** Options of {@linkcode openGpu}. */
export interface GpuOptions extends BackendOptions, DeviceOptions {
  /**
   * Emulates matrix units where the adapter has none, but `shader-f16`, so that `precision: "mixed"` runs anywhere, for tests:
   * on a GPU slowly, in plain WGSL; on a software adapter by its own kernels, which round alike except in the order of sums.
   * Default: true if the environment variable `DENOISE_MATRICES` is `emulate` and may be read.
   */
  emulateMatrices?: boolean;
}

/** WebGPU implementation that a device is opened by. */
export interface DeviceSource extends Pick<AdapterDescription, "backend" | "toggles"> {
  /** Its entry point. */
  readonly entry: GPU;
  /** What to do where it offers no adapter, for the error. */
  readonly advice: string;
  /** Emulates matrix units where the adapter has none, but `shader-f16`. Default false. */
  readonly emulateMatrices?: boolean;
}

/** Limits raised from WebGPU's defaults to the adapter's maximum. */
const RAISED_LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
] as const;

/** Features enabled where the adapter has them; WebGPU's types lack the last two. */
const OPTIONAL_FEATURES = [
  "timestamp-query",
  "shader-f16",
  "subgroup-size-control",
  "chromium-experimental-subgroup-matrix",
] as readonly GPUFeatureName[];
const SOFTWARE_NAMES = /llvmpipe|lavapipe|swiftshader|softpipe|basic render/i;

/** True if an adapter's name is that of a driver that runs shaders on the CPU. */
export function isSoftwareName(name: string): boolean {
  return SOFTWARE_NAMES.test(name);
}

/**
 * A device with its adapter description, memory budget, pipeline cache and first fault.
 *
 * After `destroy()` most WebGPU calls succeed silently, so all access goes through {@linkcode Gpu.device}, which throws
 * once the device is closed, lost or has failed.
 */
export class Gpu {
  /** Device limits, raised to the adapter's maximum. */
  readonly limits: GPUSupportedLimits;
  /** Memory budget of the device's buffers. */
  readonly memory: MemoryBudget;
  /** Directives for subgroup operations in WGSL; undefined: they do not compile. */
  readonly subgroups: SubgroupDirective;
  /** Cache of compute pipelines. */
  readonly pipelines: PipelineCache;
  #adapter: AdapterDescription;
  #device: GPUDevice;
  #fault: DeviceError | undefined;
  readonly #along: Gpu[] = [];

  /** Use {@linkcode openGpu}, or {@linkcode openDevice}. */
  constructor(
    device: GPUDevice,
    adapter: AdapterDescription,
    options: DeviceOptions,
    subgroups?: SubgroupDirective,
  ) {
    this.#device = device;
    this.#adapter = adapter;
    this.subgroups = subgroups;
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
      // A bug of ours or exhausted memory: later results would be garbage, so the run must stop.
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

  /** Adapter that the device was opened on. */
  get adapter(): AdapterDescription {
    return this.#adapter;
  }

  /** Leaves the adapter without matrix units from now on, because of a fault that `checkMatrices` found. */
  rejectMatrices(fault: string): void {
    const { matrices: _, ...rest } = this.#adapter;
    this.#adapter = { ...rest, matrixFault: fault };
  }

  /**
   * The device.
   * @throws {DeviceError} when it was closed, lost, or has reported an error
   */
  get device(): GPUDevice {
    if (this.#fault) throw this.#fault;
    return this.#device;
  }

  /** First fault of the device; undefined while it is usable. */
  get fault(): DeviceError | undefined {
    return this.#fault;
  }

  /** Closes another device when this one is closed, at once if it is already closed or has failed. */
  closeAlong(other: Gpu): void {
    if (this.#fault) other.close();
    else this.#along.push(other);
  }

  /** Destroys the device and all its resources. Later use throws. */
  close(): void {
    this.#fault ??= new DeviceError("the WebGPU device was closed");
    this.#device.destroy();
    for (const other of this.#along.splice(0)) other.close();
  }
}

/**
 * Opens the high-performance adapter of a WebGPU implementation with its maximum limits.
 *
 * @throws {ConfigError} for a memory budget that is not a number of bytes
 * @throws {DeviceError} if there is no adapter, or it provides no device
 */
export async function openDevice(source: DeviceSource, options: DeviceOptions = {}): Promise<Gpu> {
  const { backend, toggles = [] } = source;
  const adapter = await source.entry.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) throw new DeviceError(`no WebGPU adapter was found. ${source.advice}`);
  const name = adapterName(adapter.info, backend);
  const requiredLimits: Record<string, number> = {};
  for (const limit of RAISED_LIMITS) requiredLimits[limit] = adapter.limits[limit];
  const requiredFeatures = OPTIONAL_FEATURES.filter((feature) => adapter.features.has(feature));
  const subgroups = "subgroups" as GPUFeatureName;
  let device: GPUDevice;
  try {
    // Software Vulkan supports subgroups without listing the feature, so request it and fall back.
    device = await adapter.requestDevice({
      requiredLimits,
      requiredFeatures: [...requiredFeatures, subgroups],
    });
  } catch {
    device = await requestPlainDevice(adapter, name, { requiredLimits, requiredFeatures });
  }
  const { subgroupMinSize, subgroupMaxSize } = adapter.info;
  const directive = device.features.has(subgroups) ? await subgroupDirective(device) : undefined;
  const fixedSize = directive !== undefined && subgroupMinSize === subgroupMaxSize;
  const subgroupSize = fixedSize ? subgroupMinSize : 0;
  const matrices = matrixUnits(adapter.info, device.features, subgroupSize, source.emulateMatrices);
  const description: AdapterDescription = {
    backend,
    ...toggles.length > 0 ? { toggles } : {},
    name,
    vendor: adapter.info.vendor,
    software: adapter.info.isFallbackAdapter || isSoftwareName(name),
    features: [...device.features].sort(),
    subgroupSize,
    ...matrices ? { matrices } : {},
  };
  try {
    return new Gpu(device, description, options, directive);
  } catch (error) {
    device.destroy();
    throw error;
  }
}

/**
 * Human-readable name. Browsers tell vendor and architecture alone, e.g. `nvidia ampere`; Dawn's description is the driver, so the device is put before it: `nvidia-h200 (NVIDIA: 580.159.04)`.
 */
function adapterName(
  { architecture, description, device, vendor }: GPUAdapterInfo,
  backend: AdapterDescription["backend"],
): string {
  if (backend === "dawn" && device && description) {
    return `${device.replace(/^-+|-+$/g, "")} (${description})`;
  }
  return description || device || [vendor, architecture].filter(Boolean).join(" ") || "unnamed adapter";
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
