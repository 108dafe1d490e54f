/**
 * Data set in device memory: uint8 images and labels, from which kernels gather batches.
 *
 * @module
 */
import type { ImageDataset } from "../../data/dataset.ts";
import type { ImageStore } from "../../data/image_store.ts";
import type { Gpu } from "../../gpu/device.ts";
import { alignUp, type BufferView, ResourceScope } from "../../gpu/memory.ts";

/** Images of a data set in one buffer, as a binding is limited to `maxStorageBufferBindingSize` bytes. */
export interface ImageChunk {
  /** Index of the first image in the resident set. */
  readonly first: number;
  readonly count: number;
  readonly images: BufferView;
}

/** Subset of a data set on the device, renumbered from 0. */
export class ResidentDataset {
  readonly chunks: readonly ImageChunk[];
  /** One byte an image. */
  readonly labels: BufferView;
  readonly count: number;
  readonly #scope: ResourceScope;

  private constructor(scope: ResourceScope, chunks: ImageChunk[], labels: BufferView, count: number) {
    this.#scope = scope;
    this.chunks = chunks;
    this.labels = labels;
    this.count = count;
  }

  /**
   * Uploads the images of `indices`.
   *
   * @throws {DeviceError} if there is too little device memory; nothing stays allocated
   */
  static upload(gpu: Gpu, data: ImageDataset, indices: Uint32Array): ResidentDataset {
    const { bytesPerImage } = data.images;
    const largest = Math.min(gpu.limits.maxStorageBufferBindingSize, gpu.limits.maxBufferSize);
    const perChunk = Math.floor(largest / bytesPerImage);
    const scope = new ResourceScope(gpu, "data set");
    try {
      const chunks: ImageChunk[] = [];
      for (let first = 0; first < indices.length; first += perChunk) {
        const count = Math.min(perChunk, indices.length - first);
        const images = scope.buffer(count * bytesPerImage, `images ${first} to ${first + count - 1}`);
        writeImages(gpu, images, data.images, indices.subarray(first, first + count));
        chunks.push({ first, count, images });
      }
      const labels = new Uint8Array(alignUp(indices.length, 4));
      indices.forEach((index, i) => labels[i] = data.labels[index]!); // an image has a label
      return new ResidentDataset(scope, chunks, scope.upload(labels, "labels"), indices.length);
    } catch (error) {
      scope.destroy();
      throw error;
    }
  }

  /** Frees the buffers. */
  destroy(): void {
    this.#scope.destroy();
  }
}

/** Limit on what is copied to the device at a time, bytes. */
const WRITE_BYTES = 2 ** 24;

/** Writes images one after the other. */
function writeImages(gpu: Gpu, { buffer }: BufferView, images: ImageStore, indices: Uint32Array): void {
  // A multiple of 4, so that every piece but the last is whole words.
  const most = 4 * Math.max(1, Math.floor(WRITE_BYTES / images.bytesPerImage / 4));
  for (let first = 0; first < indices.length; first += most) {
    const bytes = wholeWords(images.read(indices.subarray(first, first + most)));
    gpu.device.queue.writeBuffer(buffer, first * images.bytesPerImage, bytes);
  }
}

/** Bytes with zeros up to a multiple of 4, as WebGPU copies whole words. */
export function wholeWords(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (bytes.length % 4 === 0) return bytes;
  const padded = new Uint8Array(alignUp(bytes.length, 4));
  padded.set(bytes);
  return padded;
}
