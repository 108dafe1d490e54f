/**
 * Device buffers under a byte budget. Real out-of-memory cannot be caught everywhere (some drivers report nothing and
 * crash), so what does not fit is refused before anything is allocated.
 *
 * @module
 */
import { DeviceError } from "../errors.ts";
import type { Gpu } from "./device.ts";

/** A range of a buffer as a kernel sees it. Offsets of bound ranges are multiples of 256. */
export interface BufferView {
  readonly buffer: GPUBuffer;
  /** Bytes from the start of the buffer. */
  readonly offset: number;
  /** Bytes. */
  readonly size: number;
}

/** Offset alignment of bound ranges that every WebGPU device accepts, bytes. */
export const BINDING_ALIGNMENT = 256;

/** Smallest multiple of `alignment` that holds `size`. */
export function alignUp(size: number, alignment: number): number {
  return Math.ceil(size / alignment) * alignment;
}

/** Counts the bytes of live buffers against a limit. */
export class MemoryBudget {
  readonly limit: number;
  #adapter: string;
  #used = 0;
  #live = 0;

  constructor(limit: number, adapter: string) {
    this.limit = limit;
    this.#adapter = adapter;
  }

  /** Bytes held by live buffers. */
  get used(): number {
    return this.#used;
  }

  /** Number of live buffers. */
  get live(): number {
    return this.#live;
  }

  /**
   * Refuses a request that would pass the budget.
   * @param what for the message, e.g. `training small at batch 128`
   * @throws {DeviceError} with the bytes needed, held and allowed
   */
  require(bytes: number, what: string): void {
    if (this.#used + bytes <= this.limit) return;
    throw new DeviceError(
      `${what} needs ${mebibytes(bytes)} of device memory, ${mebibytes(this.#used)} are in use and ` +
        `${
          mebibytes(this.limit)
        } are allowed on ${this.#adapter}; use a smaller batch or model, or raise the memory budget`,
    );
  }

  /** Called by {@linkcode createBuffer} alone. */
  add(bytes: number): void {
    this.#used += bytes;
    this.#live++;
  }

  /** Called by {@linkcode destroyBuffer} alone. */
  remove(bytes: number): void {
    this.#used -= bytes;
    this.#live--;
  }
}

/** Bytes as a readable figure. */
export function mebibytes(bytes: number): string {
  return bytes < 10 * 2 ** 20 ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : `${Math.round(bytes / 2 ** 20)} MiB`;
}

/** How a buffer is used beyond being bound in kernels. */
export type BufferRole = "storage" | "uniform" | "staging";

const USAGE: Record<BufferRole, number> = {
  // Numbers, since GPUBufferUsage is missing where a module is only imported: COPY_SRC 4, COPY_DST 8, MAP_READ 1.
  storage: 128 | 4 | 8,
  uniform: 64 | 8,
  staging: 1 | 8,
};

/**
 * Creates a zero-filled buffer within the budget.
 *
 * @param size bytes; rounded up to a multiple of 4
 * @param label names the buffer in WebGPU's messages
 * @throws {DeviceError} when the device's limits or the budget do not allow it
 */
export function createBuffer(gpu: Gpu, size: number, label: string, role: BufferRole = "storage"): GPUBuffer {
  const bytes = Math.max(16, alignUp(size, 4));
  if (bytes > gpu.limits.maxBufferSize) {
    throw new DeviceError(
      `${label} needs a buffer of ${mebibytes(bytes)}, but ${gpu.adapter.name} allows ${
        mebibytes(gpu.limits.maxBufferSize)
      }; ` +
        "use a smaller batch or model",
    );
  }
  gpu.memory.require(bytes, label);
  const buffer = gpu.device.createBuffer({ size: bytes, usage: USAGE[role], label });
  gpu.memory.add(bytes);
  return buffer;
}

/** Frees a buffer made by {@linkcode createBuffer}. */
export function destroyBuffer(gpu: Gpu, buffer: GPUBuffer): void {
  gpu.memory.remove(buffer.size);
  buffer.destroy();
}

/** The whole of a buffer. */
export function wholeBuffer(buffer: GPUBuffer): BufferView {
  return { buffer, offset: 0, size: buffer.size };
}
