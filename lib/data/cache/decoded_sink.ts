/**
 * Destination of decoded images: a file where that pays and is possible, else memory.
 *
 * @module
 */

import { dirname } from "node:path";
import { CheckpointError, DataError } from "../../errors.ts";
import { fileProblem } from "../../files/durable.ts";
import { mebibytes } from "../../gpu/budget.ts";
import type { ImageDataset } from "../dataset.ts";
import { type ImageStore, MemoryImages } from "../image_store.ts";
import { MemorySink, type PixelSink } from "../pixel_sink.ts";
import { FileSink } from "./file_sink.ts";
import { openImageFile, type StoredDataset } from "./image_file.ts";

/** Images from which on a file is worth its place: fewer are decoded in seconds. */
export const CACHED_IMAGES = 2000;
/** The same in bytes of decoded images, for large ones. */
export const CACHED_BYTES: number = 2 ** 28;

/** Decoded images, in a file where that pays and is possible, else in memory. */
export class DecodedSink implements PixelSink, AsyncDisposable {
  readonly #source: string;
  readonly #paths: readonly string[];
  readonly #always: boolean;
  readonly #note: (message: string) => void;
  #bytes = 0;
  #bytesPerImage = 0;
  #file: FileSink | undefined;
  #memory: MemorySink | undefined;

  /**
   * @param paths for the file, the best first
   * @param always true to write a file for any number of images
   */
  constructor(source: string, paths: readonly string[], always: boolean, note: (message: string) => void) {
    this.#source = source;
    this.#paths = paths;
    this.#always = always;
    this.#note = note;
  }

  async open(count: number, bytesPerImage: number): Promise<void> {
    this.#bytes = count * bytesPerImage;
    this.#bytesPerImage = bytesPerImage;
    if (this.#always || count >= CACHED_IMAGES || this.#bytes >= CACHED_BYTES) await this.#openFile(count);
    if (!this.#file) this.#memory = this.#inMemory();
  }

  put(i: number, pixels: Uint8Array): void {
    try {
      this.#file?.put(i, pixels);
    } catch (error) {
      this.#leaveFile(error);
    }
    this.#memory?.put(i, pixels);
  }

  finish(kept: readonly number[]): ImageStore {
    const file = this.#file;
    if (!file) return this.#memory!.finish(kept); // there is a file or a memory
    try {
      return file.finish(kept);
    } catch (error) {
      const bytes = this.#leaveFile(error);
      return new MemorySink(bytes, this.#bytesPerImage).finish(kept, file.moved);
    }
  }

  /** Gives the file its name; a data set of its images, or of those in memory. */
  async publish(stored: StoredDataset): Promise<ImageDataset> {
    const file = this.#file;
    if (!file) return stored.dataset;
    const { dataset } = stored;
    try {
      await file.publish(stored);
      const published = await openImageFile(file.path);
      if (!published) throw new DataError(`${file.path}: gone as soon as it was written`);
      this.#file = undefined;
      file.release();
      this.#note(`decoded images are kept in ${file.path} (${mebibytes(this.#bytes)})`);
      return published.dataset;
    } catch (error) {
      const bytes = this.#leaveFile(error).subarray(0, dataset.count * this.#bytesPerImage);
      return { ...dataset, images: new MemoryImages(bytes, this.#bytesPerImage) };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file?.discard();
  }

  async #openFile(count: number): Promise<void> {
    const problems: string[] = [];
    for (const path of this.#paths) {
      try {
        this.#file = await FileSink.create(path, count, this.#bytesPerImage);
        break;
      } catch (error) {
        problems.push(problemOf(dirname(path), error));
      }
    }
    if (!this.#file && problems.length > 0) this.#note(`decoded images are not kept: ${problems.join("; ")}`);
  }

  /** Goes on in memory after a failed write. */
  #leaveFile(error: unknown): Uint8Array {
    const file = this.#file!; // only a file fails
    this.#file = undefined;
    const problem = problemOf(file.path, error);
    try {
      const bytes = this.#allocate(problem);
      file.written(bytes);
      this.#memory = new MemorySink(bytes, this.#bytesPerImage);
      this.#note(`decoded images are not kept: ${problem}`);
      return bytes;
    } finally {
      file.discard(); // its errors are none
    }
  }

  #inMemory(): MemorySink {
    const why = this.#paths.length === 0
      ? "a file for them is not allowed"
      : "no file can be written for them";
    return new MemorySink(this.#allocate(why), this.#bytesPerImage);
  }

  /** @param why there is no file */
  #allocate(why: string): Uint8Array<ArrayBuffer> {
    const left = memoryLeft();
    if (this.#bytes > left) {
      throw new DataError(
        `${this.#source}: the decoded images take ${mebibytes(this.#bytes)}, more than the ${
          mebibytes(left)
        } of memory ` +
          `left, and ${why}`,
      );
    }
    return new Uint8Array(this.#bytes);
  }
}

function problemOf(path: string, error: unknown): string {
  return error instanceof CheckpointError || error instanceof DataError
    ? error.message
    : `${path}: ${fileProblem(error)}`;
}

/** Bytes of memory that are available, as far as the program may know. */
function memoryLeft(): number {
  const { state } = Deno.permissions.querySync({ name: "sys", kind: "systemMemoryInfo" });
  return state === "granted" ? Deno.systemMemoryInfo().available : Infinity;
}
