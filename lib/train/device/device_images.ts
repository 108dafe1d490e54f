/**
 * Images of a run as its kernels see them.
 *
 * @module
 */
import type { StepState } from "../../../kernels/records/step_state.ts";
import { alignUp, type BufferView } from "../../gpu/memory.ts";

/** Images in one buffer, as a binding is limited to `maxStorageBufferBindingSize` bytes. */
export interface ImageChunk {
  /** Index of the first image among those on the device. */
  readonly first: number;
  readonly count: number;
  readonly images: BufferView;
}

/** Images on the device, from which kernels gather batches: all of a run's, or those of one batch. */
export interface DeviceImages {
  readonly chunks: readonly ImageChunk[];
  /** One byte an image. */
  readonly labels: BufferView;
  /** u32 indices of the images on the device; batches are consecutive entries. */
  readonly order: BufferView;
  /** Number of images on the device, and of entries of `order`. */
  readonly count: number;
  /**
   * Sets the order in which the run's images are used, in an epoch or in validation.
   *
   * @param order indices among the run's images
   * @param first position of the batch that is used next
   */
  setOrder(order: Uint32Array<ArrayBuffer>, first?: number): void;
  /**
   * Brings the batch of a step to the device, in place of the one before, once the work submitted so far is done.
   *
   * @param state step state with a position in the order that was set
   * @returns the state for the kernels, to be submitted before the next batch is placed
   * @throws {DataError} naming file and image, if it cannot be read
   */
  place(state: StepState): Promise<StepState>;
  /** Frees the buffers. */
  destroy(): void;
}

/** Bytes with zeros up to a multiple of 4, as WebGPU copies whole words. */
export function wholeWords(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (bytes.length % 4 === 0) return bytes;
  const padded = new Uint8Array(alignUp(bytes.length, 4));
  padded.set(bytes);
  return padded;
}
