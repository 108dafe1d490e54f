/**
 * Where the time of a program goes: one compute pass per dispatch, each with a timestamp before and after.
 *
 * @module
 */
import { DeviceError } from "../errors.ts";
import type { Gpu } from "./device.ts";
import { wholeBuffer } from "./memory.ts";
import { type Dispatch, type Program, setReplayer } from "./program.ts";
import { readBack } from "./readback.ts";
import { hasTimestamps, Timestamps } from "./timestamps.ts";

/** When the device executed a dispatch. */
export interface Slice {
  readonly dispatch: Dispatch;
  /** Milliseconds since the first dispatch that was timed. */
  readonly start: number;
  /** Milliseconds that it took. */
  readonly milliseconds: number;
}

/** What the dispatches of one group took together. */
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
  /** Bytes of the buffer ranges bound, each once a dispatch; less is moved where but a part of a range is used. */
  readonly bytes: number;
}

/** Which replays to time. */
export interface ProfilerOptions {
  /** Replays that run as ever before the first that is timed, for kernels to be compiled; 0 unless given. */
  readonly skip?: number;
  /** Replays to time; 1 unless given. */
  readonly take?: number;
}

/**
 * Times replays as they happen: from its making on, what runs on a device runs with a timestamp around every dispatch.
 * The same dispatches run in the same order on the same buffers, so results keep their bits; nothing runs twice.
 *
 * Counted are replays that begin with the program that is seen first: in training the steps, not a validation between
 * them. Dispatches cannot overlap while timed, and passes cost something, so the sum is an upper bound of what a plain
 * replay takes.
 */
export class Profiler {
  readonly #gpu: Gpu;
  readonly #timed: Timed[] = [];
  #first: Program | undefined;
  #skip: number;
  #take: number;

  /** @throws {DeviceError} when the adapter has no timestamps */
  constructor(gpu: Gpu, { skip = 0, take = 1 }: ProfilerOptions = {}) {
    if (!hasTimestamps(gpu)) {
      throw new DeviceError(
        `${gpu.adapter.name} has no timestamps (feature timestamp-query), so it cannot be profiled`,
      );
    }
    this.#gpu = gpu;
    this.#skip = skip;
    this.#take = take;
    setReplayer(gpu, (programs) => this.#replay(programs));
  }

  /** Whether all replays asked for have run, or been submitted. */
  get complete(): boolean {
    return this.#take === 0;
  }

  #replay(programs: readonly Program[]): boolean {
    this.#first ??= programs[0];
    if (programs[0] !== this.#first || this.#skip-- > 0) return false;
    const dispatches = programs.flatMap((program) => program.dispatches);
    this.#timed.push({ dispatches, stamps: submitTimed(this.#gpu, dispatches) });
    if (--this.#take === 0) setReplayer(this.#gpu, undefined);
    return true;
  }

  /**
   * Ends profiling and reads what was timed.
   *
   * @returns the replays in order, of each its dispatches in order; fewer than asked for where fewer ran
   */
  async finish(): Promise<Slice[][]> {
    setReplayer(this.#gpu, undefined);
    const timed = this.#timed.splice(0);
    if (timed.length === 0) return [];
    try {
      const parts = timed.map(({ stamps }) => wholeBuffer(stamps.buffer));
      const ticks = (await readBack(this.#gpu, parts)).map((bytes) => new BigUint64Array(bytes));
      const origin = ticks[0]![0]!;
      return timed.map(({ dispatches }, replay) =>
        dispatches.map((dispatch, i): Slice => {
          const at = (index: number) => milliseconds(ticks[replay]![index]!, origin);
          const [start, end] = [at(2 * i), at(2 * i + 1)];
          // A device may reset its clock between two passes; a negative time would spoil the sum.
          return { dispatch, start, milliseconds: Math.max(0, end - start) };
        })
      );
    } finally {
      for (const { stamps } of timed) stamps.destroy();
    }
  }
}

/** A replay under way: its dispatches, and where two timestamps of each will be. */
interface Timed {
  readonly dispatches: readonly Dispatch[];
  readonly stamps: Timestamps;
}

/** Adds up by name, longest first, and works out the shares. */
export function summarizeProfile(
  slices: readonly Slice[],
  groupBy: (dispatch: Dispatch) => string = ({ kernel }) => kernel,
): ProfileEntry[] {
  const groups = new Map<string, { calls: number; milliseconds: number; flops: number; bytes: number }>();
  for (const { dispatch, milliseconds } of slices) {
    const name = groupBy(dispatch);
    const group = groups.get(name) ?? { calls: 0, milliseconds: 0, flops: 0, bytes: 0 };
    group.calls++;
    group.milliseconds += milliseconds;
    group.flops += dispatch.flops;
    group.bytes += dispatch.bytes;
    groups.set(name, group);
  }
  const total = slices.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  return [...groups]
    .map(([name, group]) => ({ name, ...group, share: total > 0 ? group.milliseconds / total : 0 }))
    .sort((a, b) => b.milliseconds - a.milliseconds);
}

/** Submits dispatches in one go, each in a pass of its own. */
function submitTimed(gpu: Gpu, dispatches: readonly Dispatch[]): Timestamps {
  const stamps = new Timestamps(gpu, dispatches.length);
  const encoder = gpu.device.createCommandEncoder();
  for (const [i, { pipeline, bindGroup, workgroups }] of dispatches.entries()) {
    const pass = encoder.beginComputePass(stamps.around(i));
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bindGroup);
    pass.dispatchWorkgroups(...workgroups);
    pass.end();
  }
  stamps.submit(encoder);
  return stamps;
}

function milliseconds(ticks: bigint, origin: bigint): number {
  return Number(BigInt.asIntN(64, ticks - origin)) / 1e6;
}
