/**
 * Times the candidates of a trial on the device: with memory of their own, filled with small random numbers, alternately,
 * each long enough to be measured.
 *
 * @module
 */
import type { Launch } from "../../kernels/source.ts";
import { DeviceError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import { alignUp, type BufferView, createBuffer, destroyBuffer, wholeBuffer } from "../gpu/memory.ts";
import { buildProgram, type Program } from "../gpu/program.ts";
import { readBack } from "../gpu/readback.ts";
import { hasTimestamps, Timestamps } from "../gpu/timestamps.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { Trial } from "./tune.ts";

/** Seconds of one measurement: with timestamps of the device, and where it must be told from the wait for it. */
const SAMPLE = { stamped: 0.002, waited: 0.1 };
/** Replays in one measurement, at most. */
const MOST_REPLAYS = 500;
/** Measurements of each candidate. */
const ROUNDS = 5;
/** Candidates that are so many times slower than the fastest at first sight are not measured again, if that was no glimpse. */
const HOPELESS = 1.5;
/** Bytes of the random numbers that buffers are filled with, over and over. */
const PATTERN_BYTES = 2 ** 20;
/**
 * Bits of a float16 in [1, 1.5); two of them are a float32 in [1/128, 1/8). A buffer serves tensors of either type, and where
 * numbers are not finite, or subnormal, a device may be slower than in earnest. Zeros would let it save power, and be faster.
 */
const PATTERN_BITS = { first: 0x3c00, count: 0x200 };

/** One run of a program to time. */
interface Run {
  readonly program: Program;
  readonly replays: number;
}

/** Times trials, one after the other; its buffers stay for the next. */
export class TrialTimer {
  readonly #gpu: Gpu;
  readonly #pattern: GPUBuffer;
  /** Largest first. */
  #buffers: GPUBuffer[] = [];

  /** @throws {DeviceError} when the device has no room at all */
  constructor(gpu: Gpu) {
    this.#gpu = gpu;
    const { first, count } = PATTERN_BITS;
    const numbers = Uint16Array.from(
      { length: PATTERN_BYTES / 2 },
      () => first + Math.floor(count * Math.random()),
    );
    this.#pattern = createBuffer(gpu, PATTERN_BYTES, "random numbers to tune with");
    gpu.device.queue.writeBuffer(this.#pattern, 0, numbers);
  }

  /** Median seconds of each candidate that the device has room for and accepts. */
  async measure(trial: Trial): Promise<ReadonlyMap<string, number>> {
    const fitting = this.#makeRoom(trial);
    const programs = new Map<string, Program>();
    try {
      for (const [name, launches] of fitting) {
        const program = await this.#build(launches);
        if (program) programs.set(name, program);
      }
      return await this.#compare(programs);
    } finally {
      for (const program of programs.values()) program.destroy();
    }
  }

  /** Frees its buffers. */
  destroy(): void {
    for (const buffer of [...this.#buffers.splice(0), this.#pattern]) destroyBuffer(this.#gpu, buffer);
  }

  /** Makes buffers for the candidates that the device has room for, and returns these. */
  #makeRoom(trial: Trial): Trial {
    const { memory, limits } = this.#gpu;
    const present = this.#buffers.map(({ size }) => size);
    const room = memory.limit - memory.used + total(present);
    const largest = Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize);
    let needed: readonly number[] = [];
    const fitting = new Map<string, readonly Launch<Tensor>[]>();
    for (const [name, launches] of trial) {
      const grown = larger(needed, tensorsOf(launches).map(bytesOf));
      if (total(grown) > room || grown.some((size) => size > largest)) continue;
      needed = grown;
      fitting.set(name, launches);
    }
    // What is there stays for later trials, unless this one needs its room.
    const both = larger(present, needed);
    const sizes = total(both) <= room ? both : needed;
    const [staying, leaving] = [true, false].map((stays) =>
      this.#buffers.filter(({ size }, i) => (size === sizes[i]) === stays)
    );
    this.#buffers = staying;
    for (const buffer of leaving) destroyBuffer(this.#gpu, buffer);
    for (const [i, size] of sizes.entries()) {
      if (this.#buffers[i]?.size !== size) this.#buffers.splice(i, 0, this.#filled(size));
    }
    return fitting;
  }

  #filled(size: number): GPUBuffer {
    const buffer = createBuffer(this.#gpu, size, "tuning");
    const encoder = this.#gpu.device.createCommandEncoder();
    for (let at = 0; at < buffer.size; at += PATTERN_BYTES) {
      encoder.copyBufferToBuffer(this.#pattern, 0, buffer, at, Math.min(PATTERN_BYTES, buffer.size - at));
    }
    this.#gpu.device.queue.submit([encoder.finish()]);
    return buffer;
  }

  /** The dispatches as a program; undefined where the device refuses one of them. */
  async #build(launches: readonly Launch<Tensor>[]): Promise<Program | undefined> {
    const views = new Map(
      tensorsOf(launches).map((tensor, i): [Tensor, BufferView] => [
        tensor,
        { buffer: this.#buffers[i], offset: 0, size: bytesOf(tensor) },
      ]),
    );
    const placed = launches.map((launch): Launch<BufferView> => ({
      ...launch,
      buffers: Object.fromEntries(
        Object.entries(launch.buffers).map(([name, tensor]) => [name, views.get(tensor)!]),
      ),
    }));
    try {
      return await buildProgram(this.#gpu, placed);
    } catch (error) {
      if (!(error instanceof DeviceError) || this.#gpu.fault) throw error;
      return undefined;
    }
  }

  async #compare(programs: ReadonlyMap<string, Program>): Promise<ReadonlyMap<string, number>> {
    const once = [...programs.values()].map((program): Run => ({ program, replays: 1 }));
    // The first time does not count: it compiles what the driver puts off until then.
    const first = (await this.#time([...once, ...once])).slice(once.length);
    const sample = hasTimestamps(this.#gpu) ? SAMPLE.stamped : SAMPLE.waited;
    // One replay that is shorter than a sample may have taken long by chance, or 0 by the clock's resolution.
    const limit = Math.max(sample, HOPELESS * Math.min(...first));
    const close = [...programs].flatMap(([name, program], i) => {
      if (first[i] > limit) return [];
      const replays = Math.min(MOST_REPLAYS, Math.ceil(sample / Math.max(first[i], 1e-9)));
      return [{ name, program, replays }];
    });
    const seconds = new Map([...programs.keys()].map((name, i) => [name, first[i]]));
    if (close.length < 2) return seconds;
    const taken = await this.#time(Array.from({ length: ROUNDS }, () => close).flat());
    for (const [i, { name }] of close.entries()) {
      seconds.set(name, median(taken.filter((_, j) => j % close.length === i)));
    }
    return seconds;
  }

  /** Seconds of one replay in each run. */
  async #time(runs: readonly Run[]): Promise<number[]> {
    if (runs.length === 0) return [];
    const seconds = hasTimestamps(this.#gpu)
      ? await timeByStamps(this.#gpu, runs)
      : await timeByWaiting(this.#gpu, runs);
    // A fault meanwhile makes the times meaningless; asking for the device throws it.
    void this.#gpu.device;
    return seconds.map((taken, i) => taken / runs[i].replays);
  }
}

/** All that some dispatches touch, largest first; each needs a buffer of its own. */
function tensorsOf(launches: readonly Launch<Tensor>[]): Tensor[] {
  return [...new Set(launches.flatMap(({ buffers }) => Object.values(buffers)))]
    .sort((a, b) => bytesOf(b) - bytesOf(a));
}

function total(sizes: readonly number[]): number {
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** The larger of two sizes each; where one is missing, the other. */
function larger(a: readonly number[], b: readonly number[]): number[] {
  return Array.from({ length: Math.max(a.length, b.length) }, (_, i) => Math.max(a[i] ?? 0, b[i] ?? 0));
}

/** What a buffer for it takes. */
function bytesOf({ bytes }: Tensor): number {
  return Math.max(16, alignUp(bytes, 4));
}

async function timeByStamps(gpu: Gpu, runs: readonly Run[]): Promise<number[]> {
  const stamps = new Timestamps(gpu, runs.length);
  try {
    for (const [i, { program, replays }] of runs.entries()) {
      const encoder = gpu.device.createCommandEncoder();
      const pass = encoder.beginComputePass(stamps.around(i));
      for (let replay = 0; replay < replays; replay++) program.record(pass);
      pass.end();
      if (i === runs.length - 1) stamps.submit(encoder);
      else gpu.device.queue.submit([encoder.finish()]);
    }
    const [bytes] = await readBack(gpu, [wholeBuffer(stamps.buffer)]);
    const ticks = new BigInt64Array(bytes);
    return runs.map((_, i) => Math.max(0, Number(ticks[2 * i + 1] - ticks[2 * i])) / 1e9);
  } finally {
    stamps.destroy();
  }
}

async function timeByWaiting({ device }: Gpu, runs: readonly Run[]): Promise<number[]> {
  const wait = async () => {
    const start = performance.now();
    await device.queue.onSubmittedWorkDone();
    return performance.now() - start;
  };
  const seconds: number[] = [];
  await wait();
  for (const { program, replays } of runs) {
    // Waiting takes a while where there is nothing to wait for, too.
    const idle = await wait();
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (let replay = 0; replay < replays; replay++) program.record(pass);
    pass.end();
    device.queue.submit([encoder.finish()]);
    seconds.push(Math.max(0, await wait() - idle) / 1000);
  }
  return seconds;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}
