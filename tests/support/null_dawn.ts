/** Dawn without a GPU: its null backend accepts and validates everything, matrix units included, and runs nothing. */
import { DAWN_PACKAGE } from "../../lib/gpu/dawn/package.ts";
import { withDirectives } from "../../lib/gpu/wgsl.ts";

/** Device of the null backend. */
export interface NullDawn {
  readonly device: GPUDevice;
  /** Kept here, because Dawn's threads end with it. */
  readonly instance: GPU;
  /** Limit on a workgroup's memory in bytes. */
  readonly workgroupBytes: number;
}

/** Opens the null backend; returns the reason where the package has no binary for this platform. */
export async function openNullDawn(): Promise<NullDawn | string> {
  let create: (options: string[]) => GPU;
  try {
    ({ create } = await import(DAWN_PACKAGE));
  } catch (error) {
    return (error as Error).message;
  }
  const instance = create(["enable-dawn-features=allow_unsafe_apis", "backend=null"]);
  const adapter = await instance.requestAdapter();
  if (!adapter) return "Dawn has no null backend";
  const features = [
    "shader-f16",
    "subgroups",
    "subgroup-size-control",
    "chromium-experimental-subgroup-matrix",
  ] as readonly GPUFeatureName[];
  const missing = features.filter((feature) => !adapter.features.has(feature));
  if (missing.length > 0) return `Dawn's null backend lacks ${missing.join()}`;
  const { maxComputeWorkgroupStorageSize } = adapter.limits;
  const device = await adapter.requestDevice({
    requiredFeatures: [...features],
    requiredLimits: { maxComputeWorkgroupStorageSize },
  });
  return { device, instance, workgroupBytes: maxComputeWorkgroupStorageSize };
}

/**
 * Validates WGSL, and with `pipeline` also what only a pipeline shows, such as the workgroup's size and memory.
 *
 * @returns errors, and warnings of the compiler
 */
export async function messagesOf({ device }: NullDawn, code: string, pipeline?: string): Promise<string[]> {
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ code: withDirectives(code, "enable subgroups;") });
  const { messages } = await module.getCompilationInfo();
  if (pipeline !== undefined) {
    device.createComputePipeline({ layout: "auto", compute: { module, entryPoint: pipeline } });
  }
  const error = await device.popErrorScope();
  const lines = messages.map(({ type, lineNum, message }) => `${type} in line ${lineNum}: ${message}`);
  return error && lines.length === 0 ? [error.message] : lines;
}
