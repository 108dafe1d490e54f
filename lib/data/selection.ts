/**
 * Selections of a data set's images as data sets of their own.
 *
 * @module
 */

import type { ImageDataset } from "./dataset.ts";
import { imageDataset } from "./image_dataset.ts";
import { checkedIndex, type ImageReader, type ImageStore } from "./image_store.ts";

/**
 * Some images of a data set as a data set of its own, in the order of `indices`. Images in a file stay there.
 *
 * @param indices images to select, each below the data set's count
 * @throws {ShapeError} for an index that is out of range
 */
export function selectDataset(data: ImageDataset, indices: Uint32Array): ImageDataset {
  const { images, labels, name, classes, height, width, channels, source, imageOptions } = data;
  return imageDataset({
    images: new SelectedImages(images, indices),
    labels: Uint8Array.from(indices, (index) => labels[index]!),
    ...{ name, classes, height, width, channels },
    ...source === undefined ? {} : { source },
    ...imageOptions === undefined ? {} : { imageOptions },
  });
}

/** Some images of a store, which stays open when this one is closed: others may use it. */
class SelectedImages implements ImageStore {
  readonly count: number;
  readonly bytesPerImage: number;
  readonly file?: string;
  readonly #all: ImageStore;
  readonly #indices: Uint32Array;

  constructor(all: ImageStore, indices: Uint32Array) {
    for (const index of indices) checkedIndex(index, all.count);
    this.#all = all;
    this.#indices = indices;
    this.count = indices.length;
    this.bytesPerImage = all.bytesPerImage;
    if (all.file !== undefined) this.file = all.file;
  }

  read(indices: ArrayLike<number>): Uint8Array<ArrayBuffer> {
    return this.#all.read(this.#ofAll(indices));
  }

  range(first = 0, end: number = this.count): Uint8Array {
    return this.#all.read(this.#indices.subarray(first, end));
  }

  openReader(): ImageReader {
    const reader = this.#all.openReader();
    return { read: (indices) => reader.read(this.#ofAll(indices)), close: () => reader.close() };
  }

  close(): void {}

  #ofAll(indices: ArrayLike<number>): Uint32Array {
    return Uint32Array.from(indices, (index) => this.#indices[checkedIndex(index, this.count)]!);
  }
}
