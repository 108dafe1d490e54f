/**
 * Destination of decoded images.
 *
 * @module
 */

import { type ImageStore, MemoryImages } from "./image_store.ts";

/** Takes images one by one, in any order. */
export interface PixelSink {
  /**
   * Keeps an image.
   *
   * @param i its index
   */
  put(i: number, pixels: Uint8Array): void;
  /**
   * Ends it.
   *
   * @param kept ascending indices of the images that were put; they move together
   */
  finish(kept: readonly number[]): ImageStore;
}

/** Opens a sink for a number of images of one size. */
export type OpenSink = (count: number, bytesPerImage: number) => Promise<PixelSink>;

/** Keeps images in memory. */
export class MemorySink implements PixelSink {
  readonly #bytes: Uint8Array;
  readonly #bytesPerImage: number;

  /** @param bytes memory of all images */
  constructor(bytes: Uint8Array, bytesPerImage: number) {
    this.#bytes = bytes;
    this.#bytesPerImage = bytesPerImage;
  }

  put(i: number, pixels: Uint8Array): void {
    this.#bytes.set(pixels, i * this.#bytesPerImage);
  }

  /** @param moved images that are in their places already, the first of `kept` */
  finish(kept: readonly number[], moved = 0): ImageStore {
    const size = this.#bytesPerImage;
    const all = this.#bytes;
    if (kept.length * size === all.length) return new MemoryImages(all, size);
    for (const [to, from] of kept.entries()) {
      if (to >= moved) all.copyWithin(to * size, from * size, (from + 1) * size);
    }
    return new MemoryImages(all.slice(0, kept.length * size), size);
  }
}
