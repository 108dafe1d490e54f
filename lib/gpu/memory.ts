/**
 * Device buffers: made within the byte budget, bound as ranges, freed together.
 *
 * @module
 */
import { DeviceError } from "../errors.ts";
import { mebibytes } from "./budget.ts";
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

/** Owns buffers and other things with a `destroy`, and frees them together. */
export class ResourceScope {
  readonly #gpu: Gpu;
  readonly #what: string;
  readonly #owned: { destroy(): void }[] = [];

  /** @param what in front of every buffer's label, e.g. `training at batch 128` */
  constructor(gpu: Gpu, what: string) {
    this.#gpu = gpu;
    this.#what = what;
  }

  /** A zero-filled buffer that the scope frees. */
  buffer(bytes: number, label: string, role: BufferRole = "storage"): BufferView {
    const buffer = createBuffer(this.#gpu, bytes, `${this.#what}, ${label}`, role);
    this.#owned.push({ destroy: () => destroyBuffer(this.#gpu, buffer) });
    return wholeBuffer(buffer);
  }

  /** Takes something over. */
  own<T extends { destroy(): void }>(resource: T): T {
    this.#owned.push(resource);
    return resource;
  }

  /** Frees everything, last made first. */
  destroy(): void {
    for (const resource of this.#owned.splice(0).reverse()) resource.destroy();
  }

  /** Runs `body`; if it throws, frees everything before the error goes on. */
  async guard<T>(body: () => Promise<T>): Promise<T> {
    try {
      return await body();
    } catch (error) {
      this.destroy();
      throw error;
    }
  }
}
