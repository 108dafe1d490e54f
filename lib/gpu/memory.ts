/**
 * Device buffers: creation within the memory budget, views for binding, scopes that free them together.
 *
 * @module
 */
import { DeviceError } from "../errors.ts";
import { mebibytes } from "./budget.ts";
import type { Gpu } from "./device.ts";

/** Range of a buffer that is bound to a kernel. Its offset is a multiple of {@linkcode BINDING_ALIGNMENT}. */
export interface BufferView {
  readonly buffer: GPUBuffer;
  /** Bytes from the start of the buffer. */
  readonly offset: number;
  /** Bytes. */
  readonly size: number;
}

/** Alignment of binding offsets that every WebGPU device accepts, bytes. */
export const BINDING_ALIGNMENT = 256;

/** Rounds `size` up to a multiple of `alignment`. */
export function alignUp(size: number, alignment: number): number {
  return Math.ceil(size / alignment) * alignment;
}

/** Use of a buffer: kernel storage, shape uniforms, or read-back to the CPU. */
export type BufferRole = "storage" | "uniform" | "staging";

const USAGE: Record<BufferRole, number> = {
  // Literals, because GPUBufferUsage does not exist in a runtime without WebGPU: COPY_SRC 4, COPY_DST 8, MAP_READ 1,
  // UNIFORM 64, STORAGE 128.
  storage: 128 | 4 | 8,
  uniform: 64 | 8,
  staging: 1 | 8,
};

/**
 * Creates a zero-filled buffer within the budget.
 *
 * @param size bytes; rounded up to a multiple of 4, at least 16
 * @param label name of the buffer in error messages
 * @throws {DeviceError} if the size exceeds the device's limit or the budget
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

/** Contents of a buffer on the CPU, a multiple of 4 bytes. */
type UploadSource = ArrayBuffer | ArrayBufferView<ArrayBuffer>;

/**
 * Creates a buffer with contents from the CPU.
 *
 * @param label name of the buffer in error messages
 * @throws {DeviceError} if the size exceeds the device's limit or the budget
 */
export function uploadBuffer(gpu: Gpu, contents: UploadSource, label: string): GPUBuffer {
  const buffer = createBuffer(gpu, contents.byteLength, label);
  gpu.device.queue.writeBuffer(buffer, 0, contents);
  return buffer;
}

/** Frees a buffer created by {@linkcode createBuffer}. */
export function destroyBuffer(gpu: Gpu, buffer: GPUBuffer): void {
  gpu.memory.remove(buffer.size);
  buffer.destroy();
}

/** View of a whole buffer. */
export function wholeBuffer(buffer: GPUBuffer): BufferView {
  return { buffer, offset: 0, size: buffer.size };
}

/** Smallest range that covers both; undefined if they lie in different buffers or it exceeds `limit` bytes. */
export function hull(view: BufferView, other: BufferView | undefined, limit: number): BufferView | undefined {
  if (other?.buffer !== view.buffer) return undefined;
  const offset = Math.min(view.offset, other.offset);
  const size = Math.max(view.offset + view.size, other.offset + other.size) - offset;
  return size <= limit ? { buffer: view.buffer, offset, size } : undefined;
}

/** Owns buffers and other resources with a `destroy` method, and frees them together. */
export class ResourceScope {
  readonly #gpu: Gpu;
  readonly #what: string;
  readonly #owned: { destroy(): void }[] = [];

  /** @param what prefix of every buffer's label, e.g. `training at batch 128` */
  constructor(gpu: Gpu, what: string) {
    this.#gpu = gpu;
    this.#what = what;
  }

  /** Creates a zero-filled buffer owned by the scope. The view ends with the last of the bytes, rounded up to a multiple of 4. */
  buffer(bytes: number, label: string, role: BufferRole = "storage"): BufferView {
    return this.#view(createBuffer(this.#gpu, bytes, `${this.#what}, ${label}`, role), bytes);
  }

  /** The same with contents from the CPU. */
  upload(contents: UploadSource, label: string): BufferView {
    return this.#view(uploadBuffer(this.#gpu, contents, `${this.#what}, ${label}`), contents.byteLength);
  }

  #view(buffer: GPUBuffer, bytes: number): BufferView {
    this.#owned.push({ destroy: () => destroyBuffer(this.#gpu, buffer) });
    return { buffer, offset: 0, size: alignUp(bytes, 4) };
  }

  /** Takes ownership of a resource. */
  own<T extends { destroy(): void }>(resource: T): T {
    this.#owned.push(resource);
    return resource;
  }

  /** Frees everything in reverse order of creation. */
  destroy(): void {
    for (const resource of this.#owned.splice(0).reverse()) resource.destroy();
  }

  /** Runs `body`; if it throws, frees everything and rethrows. */
  async guard<T>(body: () => Promise<T>): Promise<T> {
    try {
      return await body();
    } catch (error) {
      this.destroy();
      throw error;
    }
  }
}
