/**
 * A data set on the device: uint8 images and labels, from which kernels gather batches.
 *
 * @module
 */
import type { ImageDataset } from "../data/dataset.ts";
import type { Gpu } from "../gpu/device.ts";
import { alignUp, type BufferView, createBuffer, destroyBuffer, wholeBuffer } from "../gpu/memory.ts";

/** Some of a data set's images in one buffer; a binding holds at most `maxStorageBufferBindingSize` bytes. */
export interface ImageChunk {
  /** Index of the first image in the resident set. */
  readonly first: number;
  readonly count: number;
  readonly images: BufferView;
}

/** The images of some indices of a data set, renumbered from 0 in the order of the indices. */
export class ResidentDataset {
  readonly chunks: readonly ImageChunk[];
  /** One byte an image. */
  readonly labels: BufferView;
  readonly count: number;
  readonly #gpu: Gpu;

  private constructor(gpu: Gpu, chunks: ImageChunk[], labels: BufferView, count: number) {
    this.#gpu = gpu;
    this.chunks = chunks;
    this.labels = labels;
    this.count = count;
  }

  /** Uploads the images of `indices`. */
  static upload(gpu: Gpu, data: ImageDataset, indices: Uint32Array): ResidentDataset {
    const bytesPerImage = data.height * data.width * 3;
    const largest = Math.min(gpu.limits.maxStorageBufferBindingSize, gpu.limits.maxBufferSize);
    const perChunk = Math.floor(largest / bytesPerImage);
    const chunks: ImageChunk[] = [];
    for (let first = 0; first < indices.length; first += perChunk) {
      const count = Math.min(perChunk, indices.length - first);
      const bytes = new Uint8Array(alignUp(count * bytesPerImage, 4));
      for (let i = 0; i < count; i++) {
        const from = indices[first + i] * bytesPerImage;
        bytes.set(data.images.subarray(from, from + bytesPerImage), i * bytesPerImage);
      }
      chunks.push({
        first,
        count,
        images: upload(gpu, bytes, `training images ${first} to ${first + count - 1}`),
      });
    }
    const labels = new Uint8Array(alignUp(indices.length, 4));
    indices.forEach((index, i) => labels[i] = data.labels[index]);
    return new ResidentDataset(gpu, chunks, upload(gpu, labels, "training labels"), indices.length);
  }

  /** Frees the buffers. */
  destroy(): void {
    for (const { images } of this.chunks) destroyBuffer(this.#gpu, images.buffer);
    destroyBuffer(this.#gpu, this.labels.buffer);
  }
}

function upload(gpu: Gpu, bytes: Uint8Array<ArrayBuffer>, label: string): BufferView {
  const buffer = createBuffer(gpu, bytes.length, label);
  gpu.device.queue.writeBuffer(buffer, 0, bytes);
  return wholeBuffer(buffer);
}
