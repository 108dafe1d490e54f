/**
 * The device that the tasks use.
 *
 * @module
 */
import { type Gpu, openGpu } from "../../lib/gpu/device.ts";

/** Share of the machine's free memory that a software adapter may take. */
const SHARE = 0.75;

/** Opens the default adapter; on a software adapter within the machine's free memory. */
export function openTaskGpu(): Promise<Gpu> {
  if (Deno.build.os === "linux" && Deno.env.get("DENO_WEBGPU_BACKEND") === undefined) {
    // Without a Vulkan driver Deno would fall back to OpenGL without a word, which is slower and less tested.
    Deno.env.set("DENO_WEBGPU_BACKEND", "vulkan");
  }
  return openGpu({
    memoryBudget: (software) => software ? SHARE * Deno.systemMemoryInfo().available : Infinity,
  });
}
