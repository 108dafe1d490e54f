/**
 * GPU device of the tasks.
 *
 * @module
 */
import type { Gpu } from "../lib/gpu/device.ts";
import { openGpu } from "../lib/gpu/open.ts";
import { complain } from "./output.ts";

/** Share of the machine's free memory available to a software adapter. */
const SHARE = 0.75;

let noted = false;

/**
 * Opens the default adapter; a software adapter is limited to a share of the free memory. The first time, a note says so if
 * matrix units are emulated.
 */
export async function openTaskGpu(): Promise<Gpu> {
  if (Deno.build.os === "linux" && Deno.env.get("DENO_WEBGPU_BACKEND") === undefined) {
    // Without a Vulkan driver, Deno would silently fall back to OpenGL, which is slower and less tested.
    Deno.env.set("DENO_WEBGPU_BACKEND", "vulkan");
  }
  const gpu = await openGpu({
    memoryBudget: (software) => software ? SHARE * Deno.systemMemoryInfo().available : Infinity,
  });
  if (!noted && gpu.adapter.matrices?.dialect === "emulation") {
    noted = true;
    complain("note: matrix units are emulated: for tests, slower than float32, used with --precision mixed");
  }
  return gpu;
}
