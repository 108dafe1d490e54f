/**
 * Timestamps of a device around compute passes, two a pass.
 *
 * @module
 */
import type { Gpu } from "./device.ts";

/** Whether a device has timestamps. */
export function hasTimestamps({ device }: Gpu): boolean {
  return device.features.has("timestamp-query");
}

/** Timestamps that a device writes at the beginning and the end of passes, in nanoseconds. */
export class Timestamps {
  /** Where they are when they are resolved, 16 bytes a pass; too little for the byte budget to count. */
  readonly buffer: GPUBuffer;
  readonly #device: GPUDevice;
  readonly #querySets: GPUQuerySet[] = [];

  /** @param passes how many are timed */
  constructor({ device }: Gpu, passes: number) {
    this.#device = device;
    const size = 16 * passes;
    this.buffer = device.createBuffer({ size, usage: QUERY_RESOLVE | COPY_SRC, label: "timestamps" });
    for (let first = 0; first < passes; first += PASSES_PER_SET) {
      const count = 2 * Math.min(PASSES_PER_SET, passes - first);
      this.#querySets.push(device.createQuerySet({ type: "timestamp", count }));
    }
  }

  /** What the descriptor of pass `i` says. */
  around(i: number): { timestampWrites: GPUComputePassTimestampWrites } {
    const at = 2 * (i % PASSES_PER_SET);
    const querySet = this.#querySets[Math.floor(i / PASSES_PER_SET)]!;
    return { timestampWrites: { querySet, beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 } };
  }

  /** Submits the last passes, and brings all timestamps to the buffer. */
  submit(encoder: GPUCommandEncoder): void {
    for (const [i, set] of this.#querySets.entries()) {
      encoder.resolveQuerySet(set, 0, set.count, this.buffer, 16 * PASSES_PER_SET * i);
    }
    this.#device.queue.submit([encoder.finish()]);
    // Some drivers have room for few sets at a time.
    this.#destroySets();
  }

  /** Frees everything. What was submitted still runs. */
  destroy(): void {
    this.#destroySets();
    this.buffer.destroy();
  }

  #destroySets(): void {
    for (const set of this.#querySets.splice(0)) set.destroy();
  }
}

/** A query set holds at most 4096 timestamps, which every device allows. */
const PASSES_PER_SET = 2048;

/** `GPUBufferUsage.QUERY_RESOLVE` and `COPY_SRC`, as numbers because the global is missing where only imported. */
const QUERY_RESOLVE = 0x200;
const COPY_SRC = 4;
