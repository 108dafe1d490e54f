/**
 * Assembles a CIFAR-10 split from its batch files, which may arrive in any order.
 *
 * @module
 */

import { DataError } from "../errors.ts";
import type { ImageDataset } from "./dataset.ts";
import { imageDataset } from "./image_dataset.ts";
import {
  BATCH_RECORDS,
  CIFAR10_CLASSES,
  type Cifar10Split,
  CONTENT_SHA256,
  IMAGE_BYTES,
  IMAGE_SIDE,
  PLANE_BYTES,
} from "./official.ts";

/** Parsed name of a batch file. */
export interface BatchName {
  /** The split that the batch belongs to. */
  readonly split: Cifar10Split;
  /** Position in the split, from 0. */
  readonly index: number;
  /** `binary` for fixed records (`.bin`), `python` for a pickle (no extension). */
  readonly format: "binary" | "python";
}

/** Memory for one batch: views into the arrays of the whole split. */
export interface BatchSlice {
  /** Shape `[records, 32, 32, 3]`. */
  readonly images: Uint8Array;
  /** Shape `[records]`. */
  readonly labels: Uint8Array;
}

/** Parses `data_batch_1` to `data_batch_5` or `test_batch`, with or without `.bin`; undefined for any other name. */
export function parseBatchName(name: string): BatchName | undefined {
  const match = /^(?:data_batch_([1-5])|test_batch)(\.bin)?$/.exec(name);
  if (match === null) return undefined;
  return {
    split: match[1] === undefined ? "test" : "train",
    index: match[1] === undefined ? 0 : Number(match[1]) - 1,
    format: match[2] === undefined ? "python" : "binary",
  };
}

/**
 * Converts one image from planes of red, green and blue, `[3, 32, 32]`, to `[32, 32, 3]`.
 *
 * @param from source; at least `offset + 3072` bytes
 * @param offset start of the red plane in `from`
 * @param to result, 3072 bytes
 */
export function interleavePlanes(from: Uint8Array, offset: number, to: Uint8Array): void {
  for (let pixel = 0; pixel < PLANE_BYTES; pixel++) {
    to[pixel * 3] = from[offset + pixel]!; // `from` has three planes from `offset` on
    to[pixel * 3 + 1] = from[offset + PLANE_BYTES + pixel]!;
    to[pixel * 3 + 2] = from[offset + 2 * PLANE_BYTES + pixel]!;
  }
}

/** Collects the batches of one split directly in the arrays of the finished data set, so that nothing is copied. */
export class BatchAssembly {
  /** The split being assembled. */
  readonly split: Cifar10Split;
  /** Require the official images, 10,000 a batch; if false, batches may have any equal size. */
  readonly official: boolean;
  #records = 0;
  #images: Uint8Array = new Uint8Array(0);
  #labels: Uint8Array = new Uint8Array(0);
  /** Source file of each batch. */
  readonly #sources: (string | undefined)[];

  /**
   * @param split the split to assemble
   * @param official require the official images, 10,000 a batch
   */
  constructor(split: Cifar10Split, official: boolean) {
    this.split = split;
    this.official = official;
    this.#sources = new Array(split === "train" ? 5 : 1).fill(undefined);
  }

  /** Number of batches in the split. */
  get batchCount(): number {
    return this.#sources.length;
  }

  /**
   * Reserves memory for one batch, to be filled by the caller.
   *
   * @param file file name for errors
   * @param index position of the batch in the split, from 0
   * @param records number of images in the batch
   * @throws {DataError} if the number of images is wrong or the batch was already reserved
   */
  reserve(file: string, index: number, records: number): BatchSlice {
    const before = this.#sources[index];
    if (before !== undefined) throw new DataError(`${file}: this batch was already read from ${before}`);
    if (this.#records === 0) {
      if (records === 0) throw new DataError(`${file}: holds no images`);
      this.#records = this.official ? BATCH_RECORDS : records;
      this.#images = new Uint8Array(this.batchCount * this.#records * IMAGE_BYTES);
      this.#labels = new Uint8Array(this.batchCount * this.#records);
    }
    if (records !== this.#records) {
      const why = this.official ? "" : " like the batch before it";
      throw new DataError(`${file}: expected ${this.#records} images${why}, found ${records}`);
    }
    this.#sources[index] = file;
    const start = index * records;
    return {
      images: this.#images.subarray(start * IMAGE_BYTES, (start + records) * IMAGE_BYTES),
      labels: this.#labels.subarray(start, start + records),
    };
  }

  /**
   * Returns the finished data set.
   *
   * @param source archive, folder or package of the batches, for errors
   * @throws {DataError} if a batch is missing, or if official images are required and the digest differs
   */
  finish(source: string): ImageDataset {
    const missing = [...this.#sources.keys()].filter((index) => this.#sources[index] === undefined);
    if (missing.length > 0) {
      const names = missing.map((index) => this.split === "test" ? "test_batch" : `data_batch_${index + 1}`);
      throw new DataError(`${source}: missing ${names.join(", ")}`);
    }
    const dataset = imageDataset({
      name: "cifar10",
      images: this.#images,
      labels: this.#labels,
      classes: CIFAR10_CLASSES,
      height: IMAGE_SIDE,
      width: IMAGE_SIDE,
    });
    const expected = CONTENT_SHA256[this.split];
    if (this.official && dataset.digest !== expected) {
      throw new DataError(
        `${source}: not the official ${this.split} images: expected SHA-256 ${expected}, found ${dataset.digest}`,
      );
    }
    return dataset;
  }
}
