/**
 * Data set in device memory: uint8 images and labels, from which kernels gather batches.
 *
 * @module
 */
import type { ImageDataset } from "../../data/dataset.ts";
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
    const bytesPerImage = data.height * data.width * 3;
    const largest = Math.min(gpu.limits.maxStorageBufferBindingSize, gpu.limits.maxBufferSize);
    const perChunk = Math.floor(largest / bytesPerImage);
    const scope = new ResourceScope(gpu, "data set");
    const upload = (bytes: Uint8Array<ArrayBuffer>, label: string): BufferView => {
      const view = scope.buffer(bytes.length, label);
      gpu.device.queue.writeBuffer(view.buffer, 0, bytes);
      return view;
    };
    try {
      const chunks: ImageChunk[] = [];
      for (let first = 0; first < indices.length; first += perChunk) {
        const count = Math.min(perChunk, indices.length - first);
        const bytes = new Uint8Array(alignUp(count * bytesPerImage, 4));
        for (let i = 0; i < count; i++) {
          const from = indices[first + i]! * bytesPerImage; // below indices.length by the choice of count
          bytes.set(data.images.subarray(from, from + bytesPerImage), i * bytesPerImage);
        }
        chunks.push({ first, count, images: upload(bytes, `images ${first} to ${first + count - 1}`) });
      }
      const labels = new Uint8Array(alignUp(indices.length, 4));
      indices.forEach((index, i) => labels[i] = data.labels[index]!); // an image has a label
      return new ResidentDataset(scope, chunks, upload(labels, "labels"), indices.length);
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
