/**
 * Compilation before the first dispatch, on two threads, for software adapters.
 *
 * llvmpipe compiles a kernel when it is first dispatched, in the thread of the device's queue, one after the other. A dispatch
 * of no workgroups compiles as well, so all kernels of a program are dispatched so as soon as they are known. A second device
 * does the same from the other end of the list; what it has compiled, the first one finds in the driver's cache on disk, and
 * they meet where both are done. Where that cache is off, the second device's work is lost.
 *
 * @module
 */
import type { Launch } from "../../kernels/source.ts";
import { DeviceError } from "../errors.ts";
import { ownWebGpu } from "./backend.ts";
import { type Gpu, openDevice } from "./device.ts";
import { type BufferView, ResourceScope } from "./memory.ts";
import { pipelineCacheKey } from "./pipeline.ts";
import { buildProgram } from "./program.ts";

/** Fewest kernels that a second device is opened for. */
const WORTHWHILE = 6;

/** Kernels that are compiled first, to see whether they come from the cache. */
const PROBES = 3;

/** Milliseconds in which the shortest kernels come from the cache; compiling them takes at least 100. */
const CACHED_MS = 50;

/** Share of the kernels that the second device compiles at most: the two meet near the middle. */
const HELPED = 2 / 3;

/** Size of the buffers bound in place of tensors; more than the fixed part of any kernel's buffer. */
const PLACEHOLDER_BYTES = 2 ** 14;

/** Memory that must be left, bytes; it is free again when the work begins. */
const MEMORY = 2 ** 20;

/**
 * Begins to compile the kernels of launches on a software adapter; does nothing on a GPU, whose driver compiles when a
 * pipeline is created. Returns while kernels are still being compiled; work submitted later waits for them.
 *
 * @param cachedMs if the shortest kernels are there within this time, the rest are left to their first dispatch
 * @throws {DeviceError} naming the kernel that the device rejects
 */
export async function precompile(
  gpu: Gpu,
  launches: readonly Launch<unknown>[],
  cachedMs: number = CACHED_MS,
): Promise<void> {
  const { adapter: { software, backend }, memory } = gpu;
  // Not measured on Dawn, nor in browsers.
  if (!software || backend !== "deno" || memory.limit - memory.used < MEMORY) return;
  const kernels = uncompiled(gpu, launches);
  if (kernels.length < WORTHWHILE || await areCached(gpu, kernels.splice(-PROBES), cachedMs)) return;
  const ordered = longestAtBothEnds(kernels);
  const helped = Math.ceil(HELPED * ordered.length);
  // A device creates no pipeline while it compiles, so it gets all that it begins with at once.
  await submitEmpty(gpu, ordered.slice(0, -helped));
  const helper = await helperOf(gpu);
  if (helper) await submitHelp(helper, ordered.toReversed().slice(0, helped));
  await submitEmpty(gpu, ordered.slice(-helped));
}

/** Compiles kernels, and returns true if they came from the driver's cache. */
async function areCached(gpu: Gpu, kernels: readonly Launch<unknown>[], cachedMs: number): Promise<boolean> {
  const start = performance.now();
  await submitEmpty(gpu, kernels);
  await gpu.device.queue.onSubmittedWorkDone();
  return performance.now() - start < cachedMs;
}

/** One launch of each pipeline that does not exist yet, those with the longest text first. */
function uncompiled(gpu: Gpu, launches: readonly Launch<unknown>[]): Launch<unknown>[] {
  const byKey = new Map<string, Launch<unknown>>();
  for (const launch of launches) {
    const key = pipelineCacheKey(launch.kernel, launch.entry, launch.constants, Object.keys(launch.buffers));
    if (!gpu.pipelines.has(key)) byKey.set(key, launch);
  }
  return [...byKey.values()].sort((a, b) => b.kernel.code.length - a.kernel.code.length);
}

/** Orders by length from both ends to the middle, where the two devices may compile the same kernel. */
function longestAtBothEnds<T>(longestFirst: readonly T[]): T[] {
  const even = longestFirst.filter((_, i) => i % 2 === 0);
  const odd = longestFirst.filter((_, i) => i % 2 === 1);
  return [...even, ...odd.reverse()];
}

/** Second device of each device that has needed one; it serves all later programs, too. */
const helpers = new WeakMap<Gpu, Promise<Gpu | undefined>>();

function helperOf(gpu: Gpu): Promise<Gpu | undefined> {
  let helper = helpers.get(gpu);
  if (!helper) {
    helper = openHelper(gpu);
    helpers.set(gpu, helper);
  }
  return helper;
}

/** A second device like the first, closed with it; undefined if none can be opened. */
async function openHelper(gpu: Gpu): Promise<Gpu | undefined> {
  try {
    const helper = await openDevice({ backend: "deno", entry: ownWebGpu(), advice: "" });
    gpu.closeAlong(helper);
    return helper;
  } catch {
    return undefined; // the first device compiles everything, and reports its own faults
  }
}

/** Dispatches kernels on the second device. Its faults are ignored: the first device compiles every kernel itself. */
async function submitHelp(helper: Gpu, launches: readonly Launch<unknown>[]): Promise<void> {
  try {
    await submitEmpty(helper, launches);
  } catch (error) {
    if (!(error instanceof DeviceError)) throw error;
  }
}

/** Dispatches kernels with no workgroups. */
async function submitEmpty(gpu: Gpu, launches: readonly Launch<unknown>[]): Promise<void> {
  const scope = new ResourceScope(gpu, "compilation");
  try {
    // Two, because a dispatch may not read from the buffer that it writes.
    const read = scope.buffer(PLACEHOLDER_BYTES, "read");
    const written = scope.buffer(PLACEHOLDER_BYTES, "written");
    const empty = launches.map((launch): Launch<BufferView> => {
      const { bindings } = launch.kernel;
      const buffers = Object.keys(launch.buffers).map((name): [string, BufferView] => [
        name,
        bindings[name]?.access === "read" ? read : written,
      ]);
      return { ...launch, buffers: Object.fromEntries(buffers), workgroups: [0, 0, 0] };
    });
    const program = scope.own(await buildProgram(gpu, empty));
    // Not run as a program, which a profile would count as a step.
    const encoder = gpu.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    program.record(pass);
    pass.end();
    gpu.device.queue.submit([encoder.finish()]);
  } finally {
    scope.destroy();
  }
}
