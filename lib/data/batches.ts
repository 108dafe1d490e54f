/**
 * Puts the batch files of one CIFAR-10 split together, in whatever order they come.
 *
 * @module
 */

import { DataError } from "../errors.ts";
import { type ImageDataset, imageDataset } from "./dataset.ts";
import {
  BATCH_RECORDS,
  CIFAR10_CLASSES,
  type Cifar10Split,
  CONTENT_SHA256,
  IMAGE_BYTES,
  IMAGE_SIDE,
  PLANE_BYTES,
} from "./official.ts";

/** What the name of a batch file says. */
export interface BatchName {
  /** The split that the batch belongs to. */
  readonly split: Cifar10Split;
  /** Its place in the split, from 0. */
  readonly index: number;
  /** `binary` for fixed records (`.bin`), `python` for a pickle (no extension). */
  readonly format: "binary" | "python";
}

/** Where the images and labels of one batch go: views into the whole split. */
export interface BatchRoom {
  /** Shape `[records, 32, 32, 3]`. */
  readonly images: Uint8Array;
  /** Shape `[records]`. */
  readonly labels: Uint8Array;
}

/** Reads the name of a batch file, `data_batch_1` to `5` or `test_batch`, with `.bin` or without; else undefined. */
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
 * Rearranges one image from the official order, a plane each of red, green and blue, to `[32, 32, 3]`.
 *
 * @param from bytes that hold the planes
 * @param offset where the red plane starts
 * @param to 3072 bytes to fill
 */
export function interleavePlanes(from: Uint8Array, offset: number, to: Uint8Array): void {
  for (let pixel = 0; pixel < PLANE_BYTES; pixel++) {
    to[pixel * 3] = from[offset + pixel];
    to[pixel * 3 + 1] = from[offset + PLANE_BYTES + pixel];
    to[pixel * 3 + 2] = from[offset + 2 * PLANE_BYTES + pixel];
  }
}

/**
 * The batches of one split, written straight into the arrays of the finished data set, so that nothing is held twice.
 */
export class BatchAssembly {
  /** The split that is put together. */
  readonly split: Cifar10Split;
  /** Whether the files must be the official ones, 10,000 images each; else any equal number will do. */
  readonly official: boolean;
  #records = 0;
  #images: Uint8Array = new Uint8Array(0);
  #labels: Uint8Array = new Uint8Array(0);
  /** File that each batch came from. */
  readonly #sources: (string | undefined)[];

  /**
   * @param split which split to put together
   * @param official whether every batch must have the official 10,000 images
   */
  constructor(split: Cifar10Split, official: boolean) {
    this.split = split;
    this.official = official;
    this.#sources = new Array(split === "train" ? 5 : 1).fill(undefined);
  }

  /** How many batches the split has. */
  get batchCount(): number {
    return this.#sources.length;
  }

  /**
   * Room for one batch, to be filled by the caller.
   *
   * @param file name for errors
   * @param index place of the batch in the split, from 0
   * @param records how many images it has
   * @throws {DataError} if that number is wrong or the batch is already there
   */
  room(file: string, index: number, records: number): BatchRoom {
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
   * The finished data set.
   *
   * @param source archive, folder or package that the batches came from, for errors
   * @throws {DataError} if a batch is missing, or the images should be the official ones and are not
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
