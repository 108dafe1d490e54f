/**
 * Pixels of a data set, in memory or in a file.
 *
 * @module
 */

import { ShapeError } from "../errors.ts";

/** Pixels of a data set's images, all of one size: uint8, row-major, 0 to 255. */
export interface ImageStore {
  /** Number of images. */
  readonly count: number;
  /** Bytes of an image: height times width times channels. */
  readonly bytesPerImage: number;
  /** Path of the file that images are read from; undefined if they are in memory. */
  readonly file?: string;
  /**
   * Copies images, in the order of `indices`.
   *
   * @returns shape `[indices.length, height, width, channels]`
   * @throws {ShapeError} for an index that is out of range
   * @throws {DataError} naming file and image, if it cannot be read
   */
  read(indices: ArrayLike<number>): Uint8Array<ArrayBuffer>;
  /**
   * Consecutive images, which must not be modified: they may be a view of all.
   *
   * @param first index of the first image, default 0
   * @param end one after the last, default `count`
   * @throws {DataError} naming file and image, if it cannot be read
   */
  range(first?: number, end?: number): Uint8Array;
  /** Starts reading batches ahead of their use. */
  openReader(): ImageReader;
  /** Closes the file, if there is one, after which no image can be read; its readers are closed one by one. */
  close(): void;
}

/** Reads batches, several at a time where images are in a file, in the order of the calls. */
export interface ImageReader {
  /** {@linkcode ImageStore.read} without blocking the caller. */
  read(indices: Uint32Array): Promise<Uint8Array<ArrayBuffer>>;
  /** Ends it; batches not yet read are never delivered. */
  close(): void;
}

/** Images in memory. */
export class MemoryImages implements ImageStore {
  readonly count: number;
  readonly bytesPerImage: number;
  readonly #bytes: Uint8Array;

  /**
   * @param bytes kept, not copied
   * @throws {ShapeError} if they are not whole images
   */
  constructor(bytes: Uint8Array, bytesPerImage: number) {
    if (bytes.length % bytesPerImage !== 0) {
      throw new ShapeError(`images: ${bytes.length} bytes are not a multiple of ${bytesPerImage}`);
    }
    this.#bytes = bytes;
    this.count = bytes.length / bytesPerImage;
    this.bytesPerImage = bytesPerImage;
  }

  read(indices: ArrayLike<number>): Uint8Array<ArrayBuffer> {
    const { bytesPerImage } = this;
    const bytes = new Uint8Array(indices.length * bytesPerImage);
    for (let i = 0; i < indices.length; i++) {
      const index = checkedIndex(indices[i]!, this.count);
      bytes.set(this.#bytes.subarray(index * bytesPerImage, (index + 1) * bytesPerImage), i * bytesPerImage);
    }
    return bytes;
  }

  range(first = 0, end: number = this.count): Uint8Array {
    return this.#bytes.subarray(first * this.bytesPerImage, end * this.bytesPerImage);
  }

  openReader(): ImageReader {
    return { read: (indices) => Promise.resolve(this.read(indices)), close: () => {} };
  }

  close(): void {}
}

/**
 * Checks an image's index.
 *
 * @throws {ShapeError} if it is out of range
 */
export function checkedIndex(index: number, count: number): number {
  if (Number.isInteger(index) && index >= 0 && index < count) return index;
  throw new ShapeError(`image ${index}: expected a whole number from 0 to ${count - 1}`);
}

/** Images read at a time where all are needed one after the other, bytes. */
const PIECE_BYTES = 2 ** 24;

/** All images of a store, in consecutive pieces of bounded size. */
export function* piecesOf(
  images: ImageStore,
): Generator<{ readonly first: number; readonly bytes: Uint8Array }> {
  const most = Math.max(1, Math.floor(PIECE_BYTES / images.bytesPerImage));
  for (let first = 0; first < images.count; first += most) {
    yield { first, bytes: images.range(first, Math.min(images.count, first + most)) };
  }
}
