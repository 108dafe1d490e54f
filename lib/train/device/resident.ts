/**
 * Data set in device memory: uint8 images and labels, from which kernels gather batches.
 *
 * @module
 */
import type { StepState } from "../../../kernels/records/step_state.ts";
import type { ImageDataset } from "../../data/dataset.ts";
import type { ImageStore } from "../../data/image_store.ts";
import type { Gpu } from "../../gpu/device.ts";
import { type BufferView, ResourceScope } from "../../gpu/memory.ts";
import { type DeviceImages, type ImageChunk, wholeWords } from "./device_images.ts";

/** Subset of a data set on the device, renumbered from 0. */
export class ResidentDataset implements DeviceImages {
  readonly chunks: readonly ImageChunk[];
  readonly labels: BufferView;
  readonly order: BufferView;
  readonly count: number;
  readonly #gpu: Gpu;
  readonly #scope: ResourceScope;

  private constructor(
    gpu: Gpu,
    scope: ResourceScope,
    chunks: ImageChunk[],
    labels: BufferView,
    count: number,
  ) {
    this.#gpu = gpu;
    this.#scope = scope;
    this.chunks = chunks;
    this.labels = labels;
    this.order = scope.buffer(4 * count, "order");
    this.count = count;
  }

  /**
   * Uploads the images of `indices`.
   *
   * @throws {DeviceError} if there is too little device memory; nothing stays allocated
   * @throws {DataError} naming file and image, if it cannot be read
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
      const labels = wholeWords(Uint8Array.from(indices, (index) => data.labels[index]!)); // an image has a label
      return new ResidentDataset(gpu, scope, chunks, scope.upload(labels, "labels"), indices.length);
    } catch (error) {
      scope.destroy();
      throw error;
    }
  }

  setOrder(order: Uint32Array<ArrayBuffer>): void {
    this.#gpu.device.queue.writeBuffer(this.order.buffer, 0, order);
  }

  place(state: StepState): Promise<StepState> {
    return Promise.resolve(state);
  }

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
    gpu.device.queue.submit([]); // else the copies of all pieces are kept until the first step
  }
}
