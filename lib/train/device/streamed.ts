/**
 * Data set in host memory or in a file, of which the device has the images of one batch.
 *
 * @module
 */
import type { StepState } from "../../../kernels/records/step_state.ts";
import type { ImageDataset } from "../../data/dataset.ts";
import type { Gpu } from "../../gpu/device.ts";
import { type BufferView, ResourceScope } from "../../gpu/memory.ts";
import { type DeviceImages, type ImageChunk, wholeWords } from "./device_images.ts";
import { ReadAhead } from "./read_ahead.ts";

/**
 * Subset of a data set, streamed to the device batch by batch. A batch's images lie one after the other, so that kernels give
 * the bits that they give with all images on the device.
 */
export class StreamedDataset implements DeviceImages {
  readonly chunks: readonly ImageChunk[];
  readonly labels: BufferView;
  readonly order: BufferView;
  readonly count: number;
  readonly #gpu: Gpu;
  readonly #scope: ResourceScope;
  readonly #data: ImageDataset;
  readonly #indices: Uint32Array;
  readonly #ahead: ReadAhead;
  #order: Uint32Array = new Uint32Array();

  private constructor(
    gpu: Gpu,
    scope: ResourceScope,
    data: ImageDataset,
    indices: Uint32Array,
    batch: number,
  ) {
    this.#gpu = gpu;
    this.#scope = scope;
    this.#data = data;
    this.#indices = indices;
    this.count = batch;
    const images = scope.buffer(batch * data.images.bytesPerImage, "images of a batch");
    this.chunks = [{ first: 0, count: batch, images }];
    this.labels = scope.buffer(batch, "labels of a batch");
    this.order = scope.upload(Uint32Array.from({ length: batch }, (_, i) => i), "order of a batch");
    this.#ahead = new ReadAhead(data.images, indices, batch);
  }

  /**
   * Prepares streaming of the images of `indices`.
   *
   * @param batch images of a batch
   * @throws {DeviceError} if there is too little device memory; nothing stays allocated
   */
  static open(gpu: Gpu, data: ImageDataset, indices: Uint32Array, batch: number): StreamedDataset {
    const scope = new ResourceScope(gpu, "data set");
    try {
      return new StreamedDataset(gpu, scope, data, indices, batch);
    } catch (error) {
      scope.destroy();
      throw error;
    }
  }

  setOrder(order: Uint32Array<ArrayBuffer>, first = 0): void {
    this.#order = order;
    this.#ahead.start(order, first);
  }

  async place(state: StepState): Promise<StepState> {
    const { position, count } = state;
    const bytes = wholeWords(await this.#ahead.take(position, count));
    const labels = Uint8Array.from(
      this.#order.subarray(position, position + count),
      (image) => this.#data.labels[this.#indices[image]!]!, // an image of the run, which has a label
    );
    const { queue } = this.#gpu.device;
    queue.writeBuffer(this.chunks[0]!.images.buffer, 0, bytes); // the only one
    queue.writeBuffer(this.labels.buffer, 0, wholeWords(labels));
    return { ...state, position: 0 };
  }

  destroy(): void {
    this.#ahead.close();
    this.#scope.destroy();
  }
}
