/**
 * Device buffers of sampling slots: each slot's image and what its edit keeps, and the records of the next step. Uploads,
 * copies and reads them.
 *
 * @module
 */
import { RowLayout, SlotLayout } from "../../../kernels/records/layouts.ts";
import { encodeRows, encodeSlots, type RowsOf, type Slot } from "../../../kernels/records/sampling.ts";
import type { Gpu } from "../../gpu/device.ts";
import { alignUp, type BufferView, type ResourceScope } from "../../gpu/memory.ts";
import { readBack } from "../../gpu/readback.ts";
import { paddedChannels } from "../../graph/tensor.ts";
import { imageChannels, imageSize, type UNetConfig } from "../../model/config.ts";
import { padChannels, unpadChannels } from "../padding.ts";
import type { KnownImage } from "../slot_image.ts";

/** Buffers that are an image's state: its x_t, and the estimates of x_0 of its last step and of the one before. */
const STATE = ["x", "preview", "earlier"] as const;

/** A picture of a slot: `x`, the current x_t, or `preview`, the estimate of x_0 at the last step. */
export interface SlotPicture {
  readonly slot: number;
  readonly of: "x" | "preview";
}

/** Views of the buffers, each over all slots or rows. */
export type SlotViews = Readonly<
  Record<
    "slots" | "rows" | "guideRows" | "out" | "known" | "mask" | "scratch" | "staging" | typeof STATE[number],
    BufferView
  >
>;

/** Buffers of a number of slots. */
export class SlotBuffers {
  readonly views: SlotViews;
  readonly #gpu: Gpu;
  readonly #channels: number;
  /** Bytes of an image in the device's layout. */
  readonly #imageBytes: number;
  /** Known image of each slot on the device, if any; an image that comes into a slot brings its own. */
  readonly #known: (KnownImage | undefined)[] = [];

  /**
   * @param scope owner of the buffers
   * @param rows rows of the network's largest batch
   */
  constructor(gpu: Gpu, scope: ResourceScope, config: UNetConfig, slots: number, rows: number) {
    const imageBytes = imageBytesOf(config);
    this.#gpu = gpu;
    this.#channels = imageChannels(config);
    this.#imageBytes = imageBytes;
    this.views = {
      slots: scope.buffer(SlotLayout.bytes * slots, "slots"),
      rows: scope.buffer(RowLayout.bytes * rows, "rows"),
      guideRows: scope.buffer(RowLayout.bytes * rows, "rows of the guide"),
      x: scope.buffer(slots * imageBytes, "x"),
      out: scope.buffer(slots * imageBytesOf(config, config.outChannels), "guided outputs"),
      preview: scope.buffer(slots * imageBytes, "preview"),
      earlier: scope.buffer(slots * imageBytes, "earlier estimates"),
      known: scope.buffer(slots * imageBytes, "known images"),
      mask: scope.buffer(slots * imageBytes / paddedChannels(this.#channels), "masks"),
      scratch: scope.buffer(STATE.length * imageBytes, "scratch"),
      staging: scope.buffer(2 * slots * alignUp(imageBytes, 8), "read-back", "staging"),
    };
  }

  /** Bytes of an image's state, see {@linkcode SlotBuffers.save}. */
  get stateBytes(): number {
    return STATE.length * this.#imageBytes;
  }

  /** Uploads the records of the slots of a step. */
  writeSlots(slots: readonly (Slot | undefined)[]): void {
    this.#gpu.device.queue.writeBuffer(this.views.slots.buffer, 0, encodeSlots(slots));
  }

  /**
   * Uploads the records of the rows of a step.
   *
   * @param batch rows of the network's batch
   * @param of whose rows
   */
  writeRows(slots: readonly (Slot | undefined)[], batch: number, of: RowsOf): void {
    this.#gpu.device.queue.writeBuffer(this.views[of].buffer, 0, encodeRows(slots, batch, of));
  }

  /** Uploads the `x` that a slot starts from, shape [H, W, C]. */
  writeStart(slot: number, start: Float32Array): void {
    const { buffer } = this.views.x;
    const padded = padChannels(start, this.#channels);
    this.#gpu.device.queue.writeBuffer(buffer, slot * this.#imageBytes, padded);
  }

  /** Uploads the known image of a slot and its mask, unless the slot holds them already. */
  writeKnown(slot: number, known: KnownImage): void {
    if (this.#known[slot] === known) return;
    const { queue } = this.#gpu.device;
    const { image, mask } = known;
    queue.writeBuffer(this.views.known.buffer, slot * this.#imageBytes, padChannels(image, this.#channels));
    queue.writeBuffer(this.views.mask.buffer, slot * mask.byteLength, mask);
    this.#known[slot] = known;
  }

  /**
   * Copies the state of the image in a slot to another buffer: x_t and the latest estimates of x_0. With the index of the
   * next step that is all, since noise depends on seed and step alone, and a known image is uploaded again.
   *
   * @param to a buffer of {@linkcode SlotBuffers.stateBytes}
   */
  save(slot: number, to: GPUBuffer): void {
    this.#copy((part, i) => [this.#picture(slot, part), this.#saved(to, i)]);
  }

  /** Copies an image's state from another buffer into a slot. */
  restore(from: GPUBuffer, slot: number): void {
    this.#copy((part, i) => [this.#saved(from, i), this.#picture(slot, part)]);
  }

  /** Moves an image to another slot. */
  move(from: number, to: number): void {
    const { buffer } = this.views.scratch;
    // Through a second buffer: WebGPU does not allow copies within one.
    this.save(from, buffer);
    this.restore(buffer, to);
  }

  /**
   * Reads pictures after all steps so far, in one read-back.
   *
   * @returns one array per picture, shape [H, W, C] without channel padding, in [-1, 1]
   */
  async read(pictures: readonly SlotPicture[]): Promise<Float32Array<ArrayBuffer>[]> {
    const views = pictures.map(({ slot, of }) => this.#picture(slot, of));
    const copies = await readBack(this.#gpu, views, this.views.staging.buffer);
    return copies.map((copy) => unpadChannels(new Float32Array(copy), this.#channels));
  }

  /** Part of a slot's state. */
  #picture(slot: number, part: typeof STATE[number]): BufferView {
    return { ...this.views[part], offset: slot * this.#imageBytes, size: this.#imageBytes };
  }

  /** Part of a saved state. */
  #saved(buffer: GPUBuffer, part: number): BufferView {
    return { buffer, offset: part * this.#imageBytes, size: this.#imageBytes };
  }

  /** @param ends source and destination of each part of a state */
  #copy(ends: (part: typeof STATE[number], i: number) => readonly [BufferView, BufferView]): void {
    const { device } = this.#gpu;
    const encoder = device.createCommandEncoder();
    for (const [i, part] of STATE.entries()) {
      const [from, to] = ends(part, i);
      encoder.copyBufferToBuffer(from.buffer, from.offset, to.buffer, to.offset, from.size);
    }
    device.queue.submit([encoder.finish()]);
  }
}

function imageBytesOf(config: UNetConfig, channels: number = imageChannels(config)): number {
  const [height, width] = imageSize(config);
  return 4 * height * width * paddedChannels(channels);
}
