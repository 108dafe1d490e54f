/**
 * Benchmarks kernel candidates on the device: on buffers of small random numbers, in interleaved rounds, with enough replays
 * per measurement for the clock's resolution.
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
import type { Trial } from "./trials.ts";

/** Target duration of one measurement in seconds: with device timestamps, or by waiting for the queue. */
const SAMPLE = { stamped: 0.001, waited: 0.1 };
/** Limit on replays per measurement. */
const MAX_REPLAYS = 500;
/** Measurements per candidate: a few, then more of the candidates that are still close. */
const ROUNDS = [2, 3];
/** Candidates this many times slower than the fastest in the first replay are not measured further. */
const TOO_SLOW = 1.5;
/** Likewise, in the first measurements. */
const CLEARLY_SLOWER = 1.1;
/** Bytes of random numbers, repeated to fill each buffer. */
const PATTERN_BYTES = 2 ** 20;
/**
 * Bits of a float16 in [1, 1.5); a pair of them is a float32 in [1/128, 1/8). A buffer serves tensors of either type.
 * Non-finite or subnormal numbers may slow a device down, and zeros may speed it up by saving power.
 */
const PATTERN_BITS = { first: 0x3c00, count: 0x200 };

/** Measurement: a program and its number of replays. */
interface Run {
  readonly program: Program;
  readonly replays: number;
}

/** Times trials one at a time; buffers are reused by later trials. */
export class TrialTimer {
  readonly #gpu: Gpu;
  readonly #pattern: GPUBuffer;
  /** Largest first. */
  #buffers: GPUBuffer[] = [];

  /** @throws {DeviceError} if the device has too little memory for the random numbers */
  constructor(gpu: Gpu) {
    this.#gpu = gpu;
    const { first, count } = PATTERN_BITS;
    const numbers = Uint16Array.from(
      { length: PATTERN_BYTES / 2 },
      () => first + Math.floor(count * Math.random()),
    );
    this.#pattern = createBuffer(gpu, PATTERN_BYTES, "random numbers for tuning");
    gpu.device.queue.writeBuffer(this.#pattern, 0, numbers);
  }

  /** Median seconds by candidate, without those that do not fit in memory or that the device rejects. */
  async measure(trial: Trial): Promise<ReadonlyMap<string, number>> {
    const fitting = this.#allocate(trial);
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

  /** Frees all buffers. */
  destroy(): void {
    for (const buffer of [...this.#buffers.splice(0), this.#pattern]) destroyBuffer(this.#gpu, buffer);
  }

  /** Allocates buffers for the candidates that fit in memory, and returns those candidates. */
  #allocate(trial: Trial): Trial {
    const { memory, limits } = this.#gpu;
    const present = this.#buffers.map(({ size }) => size);
    const available = memory.limit - memory.used + total(present);
    const largest = Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize);
    let needed: readonly number[] = [];
    const fitting = new Map<string, readonly Launch<Tensor>[]>();
    for (const [name, launches] of trial) {
      const grown = larger(needed, tensorsOf(launches).map(bytesOf));
      if (total(grown) > available || grown.some((size) => size > largest)) continue;
      needed = grown;
      fitting.set(name, launches);
    }
    // Keep existing buffers for later trials, unless this one needs their memory.
    const both = larger(present, needed);
    const sizes = total(both) <= available ? both : needed;
    const kept = this.#buffers.filter(({ size }, i) => size === sizes[i]);
    for (const buffer of this.#buffers.filter((buffer) => !kept.includes(buffer))) {
      destroyBuffer(this.#gpu, buffer);
    }
    this.#buffers = kept;
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

  /** Builds a program; undefined if the device rejects one of its dispatches. */
  async #build(launches: readonly Launch<Tensor>[]): Promise<Program | undefined> {
    const views = new Map(
      tensorsOf(launches).map((tensor, i): [Tensor, BufferView] => [
        tensor,
        // #allocate created a buffer for each tensor, in this order.
        { buffer: this.#buffers[i]!, offset: 0, size: bytesOf(tensor) },
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
    // The first replay is a warm-up: drivers may compile lazily.
    const first = (await this.#time([...once, ...once])).slice(once.length);
    const sample = hasTimestamps(this.#gpu) ? SAMPLE.stamped : SAMPLE.waited;
    // A replay shorter than a sample is too noisy to reject a candidate, and may read as 0 on a coarse clock.
    const limit = Math.max(sample, TOO_SLOW * Math.min(...first));
    const seconds = new Map([...programs.keys()].map((name, i) => [name, first[i]!])); // one measurement per program
    let close = [...programs].flatMap(([name, program]) => {
      const once = seconds.get(name)!;
      if (once > limit) return [];
      return [{ name, program, replays: Math.min(MAX_REPLAYS, Math.ceil(sample / Math.max(once, 1e-9))) }];
    });
    const samples = new Map<string, number[]>(close.map(({ name }) => [name, []]));
    for (const rounds of ROUNDS) {
      if (close.length < 2) break;
      const taken = await this.#time(Array.from({ length: rounds }, () => close).flat());
      for (const [i, { name }] of close.entries()) {
        samples.get(name)!.push(...taken.filter((_, j) => j % close.length === i));
        seconds.set(name, median(samples.get(name)!));
      }
      const least = Math.min(...close.map(({ name }) => seconds.get(name)!));
      close = close.filter(({ name }) => seconds.get(name)! <= CLEARLY_SLOWER * least);
    }
    return seconds;
  }

  /** Seconds per replay, for each run. */
  async #time(runs: readonly Run[]): Promise<number[]> {
    if (runs.length === 0) return [];
    const seconds = hasTimestamps(this.#gpu)
      ? await timeByStamps(this.#gpu, runs)
      : await timeByWaiting(this.#gpu, runs);
    // A fault invalidates the measurements; this access throws it.
    void this.#gpu.device;
    return runs.map(({ replays }, i) => seconds[i]! / replays); // one measurement per run
  }
}

/** Tensors of the dispatches, largest first. */
function tensorsOf(launches: readonly Launch<Tensor>[]): Tensor[] {
  return [...new Set(launches.flatMap(({ buffers }) => Object.values(buffers)))]
    .sort((a, b) => bytesOf(b) - bytesOf(a));
}

function total(sizes: readonly number[]): number {
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Elementwise maximum of two lists of sizes; missing elements count as 0. */
function larger(a: readonly number[], b: readonly number[]): number[] {
  return Array.from({ length: Math.max(a.length, b.length) }, (_, i) => Math.max(a[i] ?? 0, b[i] ?? 0));
}

/** Buffer size of a tensor, bytes. */
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
    const ticks = new BigInt64Array(bytes!); // one copy per view
    // Two timestamps per run.
    return runs.map((_, i) => Math.max(0, Number(ticks[2 * i + 1]! - ticks[2 * i]!)) / 1e9);
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
    // Waiting has a latency of its own, even on an idle queue.
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

/** Median of at least one value, the lower one of two. */
function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) / 2)]!;
}
