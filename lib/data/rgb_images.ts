/**
 * Grey data sets in RGB, for networks and pictures that take no others.
 *
 * @module
 */

import type { ImageDataset } from "./dataset.ts";
import type { ImageReader, ImageStore } from "./image_store.ts";

/**
 * A data set in RGB: itself, or its grey images with equal channels. The digest stays, since it identifies the data set that was
 * read.
 */
export function inRgb(data: ImageDataset): ImageDataset {
  return data.channels === 3 ? data : { ...data, images: new RgbImages(data.images), channels: 3 };
}

/** Grey images, each value three times. */
class RgbImages implements ImageStore {
  readonly count: number;
  readonly bytesPerImage: number;
  readonly file?: string;
  readonly #grey: ImageStore;

  constructor(grey: ImageStore) {
    this.#grey = grey;
    this.count = grey.count;
    this.bytesPerImage = 3 * grey.bytesPerImage;
    if (grey.file !== undefined) this.file = grey.file;
  }

  read(indices: ArrayLike<number>): Uint8Array<ArrayBuffer> {
    return tripled(this.#grey.read(indices));
  }

  range(first?: number, end?: number): Uint8Array {
    return tripled(this.#grey.range(first, end));
  }

  openReader(): ImageReader {
    const reader = this.#grey.openReader();
    return { read: async (indices) => tripled(await reader.read(indices)), close: () => reader.close() };
  }

  close(): void {
    this.#grey.close();
  }
}

function tripled(grey: Uint8Array): Uint8Array<ArrayBuffer> {
  const rgb = new Uint8Array(3 * grey.length);
  grey.forEach((value, i) => rgb.fill(value, 3 * i, 3 * i + 3));
  return rgb;
}
