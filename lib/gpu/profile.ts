/**
 * Profiling by dispatch: replays run with one compute pass per dispatch and timestamps around each pass.
 *
 * @module
 */
import { DeviceError } from "../errors.ts";
import type { Gpu } from "./device.ts";
import { wholeBuffer } from "./memory.ts";
import { type Dispatch, type Program, setReplayer } from "./program.ts";
import { readBack } from "./readback.ts";
import { hasTimestamps, Timestamps } from "./timestamps.ts";

/** Start and duration of one dispatch on the device. */
export interface Slice {
  readonly dispatch: Dispatch;
  /** Milliseconds since the first timed dispatch. */
  readonly start: number;
  /** Duration in milliseconds. */
  readonly milliseconds: number;
}

/** Totals of a group of dispatches. */
export interface ProfileEntry {
  /** Group name; by default kernel and entry point, e.g. `group_norm.forward`. */
  readonly name: string;
  /** Number of dispatches. */
  readonly calls: number;
  /** Milliseconds on the device. */
  readonly milliseconds: number;
  /** Fraction of the total time, 0 to 1. */
  readonly share: number;
  /** Floating-point operations of matrix products; 0 for memory-bound kernels. */
  readonly flops: number;
  /** Bytes of the bound buffer ranges, once per dispatch: an upper bound if a dispatch uses only part of a range. */
  readonly bytes: number;
}

/** Selection of replays to time. */
export interface ProfilerOptions {
  /** Warm-up replays that are not timed, for drivers that compile kernels lazily; default 0. */
  readonly skip?: number;
  /** Replays to time; default 1. */
  readonly take?: number;
}

/**
 * Times replays while they run: once created, it runs every replay on the device with timestamps around each dispatch.
 * The same dispatches run once, in the same order, on the same buffers, so results keep their bits.
 *
 * Only replays that start with the first program seen count: in training the steps, not the validation between them.
 * Timed dispatches cannot overlap, and passes have a cost, so the total is an upper bound on the time of a plain replay.
 */
export class Profiler {
  readonly #gpu: Gpu;
  readonly #timed: Timed[] = [];
  #first: Program | undefined;
  #skip: number;
  #take: number;

  /** @throws {DeviceError} if the adapter has no timestamps */
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

  /** True once all requested replays have been submitted. */
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
   * Ends profiling and reads the timestamps.
   *
   * @returns dispatches by replay, both in order; fewer replays than requested if fewer ran
   */
  async finish(): Promise<Slice[][]> {
    setReplayer(this.#gpu, undefined);
    const timed = this.#timed.splice(0);
    if (timed.length === 0) return [];
    try {
      const parts = timed.map(({ stamps }) => wholeBuffer(stamps.buffer));
      const ticks = (await readBack(this.#gpu, parts)).map((bytes) => new BigUint64Array(bytes));
      const origin = ticks[0]![0]!; // `timed` is not empty
      return timed.map(({ dispatches }, replay) =>
        dispatches.map((dispatch, i): Slice => {
          // Two timestamps per dispatch.
          const at = (index: number) => milliseconds(ticks[replay]![index]!, origin);
          const [start, end] = [at(2 * i), at(2 * i + 1)];
          // The clock may be reset between passes; a negative duration would distort the total.
          return { dispatch, start, milliseconds: Math.max(0, end - start) };
        })
      );
    } finally {
      for (const { stamps } of timed) stamps.destroy();
    }
  }
}

/** Submitted replay: its dispatches, and two timestamps for each. */
interface Timed {
  readonly dispatches: readonly Dispatch[];
  readonly stamps: Timestamps;
}

/** Totals by group, longest first. */
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

/** Submits all dispatches together, each in its own pass. */
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
