/**
 * GPU device of the tasks.
 *
 * @module
 */
import { type Gpu, openGpu } from "../lib/gpu/device.ts";

/** Share of the machine's free memory available to a software adapter. */
const SHARE = 0.75;

/** Opens the default adapter; a software adapter is limited to a share of the free memory. */
export function openTaskGpu(): Promise<Gpu> {
  if (Deno.build.os === "linux" && Deno.env.get("DENO_WEBGPU_BACKEND") === undefined) {
    // Without a Vulkan driver, Deno would silently fall back to OpenGL, which is slower and less tested.
    Deno.env.set("DENO_WEBGPU_BACKEND", "vulkan");
  }
  return openGpu({
    memoryBudget: (software) => software ? SHARE * Deno.systemMemoryInfo().available : Infinity,
  });
}
