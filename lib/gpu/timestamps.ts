/**
 * Timestamp queries around compute passes, two per pass.
 *
 * @module
 */
import type { Gpu } from "./device.ts";

/** True if the device supports timestamp queries. */
export function hasTimestamps({ device }: Gpu): boolean {
  return device.features.has("timestamp-query");
}

/** Begin and end timestamps of compute passes, in nanoseconds. */
export class Timestamps {
  /** Resolved timestamps, 16 bytes per pass; too small to count against the memory budget. */
  readonly buffer: GPUBuffer;
  readonly #device: GPUDevice;
  readonly #querySets: GPUQuerySet[] = [];

  /** @param passes number of timed passes */
  constructor({ device }: Gpu, passes: number) {
    this.#device = device;
    const size = 16 * passes;
    this.buffer = device.createBuffer({ size, usage: QUERY_RESOLVE | COPY_SRC, label: "timestamps" });
    for (let first = 0; first < passes; first += PASSES_PER_SET) {
      const count = 2 * Math.min(PASSES_PER_SET, passes - first);
      this.#querySets.push(device.createQuerySet({ type: "timestamp", count }));
    }
  }

  /** Descriptor of pass `i`, with its timestamp writes. */
  around(i: number): { timestampWrites: GPUComputePassTimestampWrites } {
    const at = 2 * (i % PASSES_PER_SET);
    const querySet = this.#querySets[Math.floor(i / PASSES_PER_SET)]!; // i is below the constructor's `passes`
    return { timestampWrites: { querySet, beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 } };
  }

  /** Submits the last passes and resolves all timestamps into the buffer. */
  submit(encoder: GPUCommandEncoder): void {
    for (const [i, set] of this.#querySets.entries()) {
      encoder.resolveQuerySet(set, 0, set.count, this.buffer, 16 * PASSES_PER_SET * i);
    }
    this.#device.queue.submit([encoder.finish()]);
    // Some drivers support only a few query sets at a time.
    this.#destroySets();
  }

  /** Frees all queries and the buffer. Submitted work still runs. */
  destroy(): void {
    this.#destroySets();
    this.buffer.destroy();
  }

  #destroySets(): void {
    for (const set of this.#querySets.splice(0)) set.destroy();
  }
}

/** Half of WebGPU's limit of 4096 timestamps per query set. */
const PASSES_PER_SET = 2048;

/** `GPUBufferUsage.QUERY_RESOLVE` and `COPY_SRC`; the global does not exist in a runtime without WebGPU. */
const QUERY_RESOLVE = 0x200;
const COPY_SRC = 4;
