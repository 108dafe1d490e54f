/**
 * Images that have left their slots and wait on the device to be resumed.
 *
 * @module
 */
import type { Gpu } from "../../gpu/device.ts";
import { createBuffer, destroyBuffer } from "../../gpu/memory.ts";
import type { SlotBuffers } from "./slot_buffers.ts";

/** States of parked images, each in a buffer of its own. */
export class ParkedImages {
  readonly #gpu: Gpu;
  readonly #slots: SlotBuffers;
  readonly #parked = new Set<GPUBuffer>();
  /** Buffers of earlier parked images, for reuse. */
  readonly #spare: GPUBuffer[] = [];

  constructor(gpu: Gpu, slots: SlotBuffers) {
    this.#gpu = gpu;
    this.#slots = slots;
  }

  /**
   * Copies the state of the image out of a slot.
   *
   * @returns buffer for {@linkcode ParkedImages.resume} or {@linkcode ParkedImages.discard}
   * @throws {DeviceError} if the device is out of memory
   */
  park(slot: number): GPUBuffer {
    const parked = this.#spare.pop() ??
      createBuffer(this.#gpu, this.#slots.stateBytes, "an image set aside");
    this.#parked.add(parked);
    this.#slots.save(slot, parked);
    return parked;
  }

  /** Copies a parked image into a slot, and releases its buffer for reuse. */
  resume(parked: GPUBuffer, slot: number): void {
    this.#slots.restore(parked, slot);
    this.discard(parked);
  }

  /** Discards a parked image, and releases its buffer for reuse. */
  discard(parked: GPUBuffer): void {
    if (this.#parked.delete(parked)) this.#spare.push(parked);
  }

  /** Frees all buffers. */
  destroy(): void {
    for (const buffer of [...this.#parked, ...this.#spare.splice(0)]) destroyBuffer(this.#gpu, buffer);
    this.#parked.clear();
  }
}
