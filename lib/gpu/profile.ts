/**
 * Where the time of a program goes: one compute pass per dispatch, each with a timestamp before and after.
 *
 * @module
 */
import { DeviceError } from "../errors.ts";
import type { Gpu } from "./device.ts";
import type { Dispatch, Program } from "./program.ts";
import { readBack } from "./readback.ts";

/** What the dispatches of one group took together, over all repeats. */
export interface ProfileEntry {
  /** What was grouped by, e.g. the kernel and entry point `group_norm.forward`. */
  readonly name: string;
  /** Dispatches. */
  readonly calls: number;
  /** Milliseconds on the device. */
  readonly milliseconds: number;
  /** Part of the time of all groups, 0 to 1. */
  readonly share: number;
  /** Floating-point operations of products; 0 where memory traffic is what counts. */
  readonly flops: number;
}

/** Options of {@linkcode profilePrograms}. */
export interface ProfileOptions {
  /** How often the programs are replayed; 1 unless given. */
  repeats?: number;
  /** The group of a dispatch; its kernel unless given. */
  groupBy?: (dispatch: Dispatch) => string;
}

/** Two timestamps a dispatch in a query set of at most 4096, which every device allows. */
const DISPATCHES_PER_SET = 2048;

/**
 * Replays programs with a timestamp around every dispatch, and adds up by kernel. Dispatches cannot overlap then, and
 * passes cost something, so the sum is an upper bound of what a plain replay takes.
 *
 * @param programs run one after the other, as in `runPrograms`
 * @returns the groups, longest first
 * @throws {DeviceError} when the adapter has no timestamps
 */
export async function profilePrograms(
  gpu: Gpu,
  programs: readonly Program[],
  { repeats = 1, groupBy = ({ kernel }) => kernel }: ProfileOptions = {},
): Promise<ProfileEntry[]> {
  if (!gpu.device.features.has("timestamp-query")) {
    throw new DeviceError(
      `${gpu.adapter.name} has no timestamps (feature timestamp-query), so it cannot be profiled`,
    );
  }
  const dispatches = programs.flatMap((program) => program.dispatches);
  const nanoseconds = new Float64Array(dispatches.length);
  for (let repeat = 0; repeat < repeats; repeat++) {
    for (let first = 0; first < dispatches.length; first += DISPATCHES_PER_SET) {
      const part = dispatches.slice(first, first + DISPATCHES_PER_SET);
      const times = await timeEach(gpu, part);
      times.forEach((time, i) => nanoseconds[first + i] += time);
    }
  }
  return summarize(dispatches.map((dispatch, i) => ({
    name: groupBy(dispatch),
    milliseconds: nanoseconds[i] / 1e6,
    calls: repeats,
    flops: repeats * dispatch.flops,
  })));
}

/** Adds up by name, longest first, and works out the shares. */
export function summarize(parts: readonly Omit<ProfileEntry, "share">[]): ProfileEntry[] {
  const groups = new Map<string, { calls: number; milliseconds: number; flops: number }>();
  for (const { name, calls, milliseconds, flops } of parts) {
    const group = groups.get(name) ?? { calls: 0, milliseconds: 0, flops: 0 };
    group.calls += calls;
    group.milliseconds += milliseconds;
    group.flops += flops;
    groups.set(name, group);
  }
  const total = parts.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  return [...groups]
    .map(([name, group]) => ({ name, ...group, share: total > 0 ? group.milliseconds / total : 0 }))
    .sort((a, b) => b.milliseconds - a.milliseconds);
}

/** Nanoseconds of each dispatch. */
async function timeEach(gpu: Gpu, dispatches: readonly Dispatch[]): Promise<number[]> {
  const { device } = gpu;
  const querySet = device.createQuerySet({ type: "timestamp", count: 2 * dispatches.length });
  // At most 32 KiB, so the byte budget does not count it.
  const size = 16 * dispatches.length;
  const stamps = device.createBuffer({ size, usage: QUERY_RESOLVE | COPY_SRC, label: "timestamps" });
  try {
    const encoder = device.createCommandEncoder();
    dispatches.forEach(({ pipeline, bindGroup, workgroups }, i) => {
      const pass = encoder.beginComputePass({
        timestampWrites: { querySet, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 },
      });
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, bindGroup);
      pass.dispatchWorkgroups(...workgroups);
      pass.end();
    });
    encoder.resolveQuerySet(querySet, 0, 2 * dispatches.length, stamps, 0);
    device.queue.submit([encoder.finish()]);
    const [bytes] = await readBack(gpu, [{ buffer: stamps, offset: 0, size }]);
    const ticks = new BigUint64Array(bytes);
    // A device may reset its clock between two passes; a negative time would spoil the sum.
    return dispatches.map((_, i) => Math.max(0, Number(BigInt.asIntN(64, ticks[2 * i + 1] - ticks[2 * i]))));
  } finally {
    stamps.destroy();
    querySet.destroy();
  }
}

/** `GPUBufferUsage.QUERY_RESOLVE` and `COPY_SRC`, as numbers because the global is missing where only imported. */
const QUERY_RESOLVE = 0x200;
const COPY_SRC = 4;
