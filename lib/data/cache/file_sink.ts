/**
 * Decoded images, written to a file as they come.
 *
 * @module
 */

import { crc32 } from "node:zlib";
import { dirname } from "node:path";
import { makeDirectory, removeLeftovers } from "../../files/durable.ts";
import { Temporary } from "../../files/temporary.ts";
import type { ImageStore } from "../image_store.ts";
import type { PixelSink } from "../pixel_sink.ts";
import { FileImages } from "./file_images.ts";
import { HEADER_BYTES, readAt, type StoredDataset, write, writeRest } from "./image_file.ts";

/** Writes images to a temporary file beside their path, which has them only when all is there. */
export class FileSink implements PixelSink {
  /** Path of the finished file. */
  readonly path: string;
  readonly #temporary: Temporary;
  readonly #file: Deno.FsFile;
  readonly #bytesPerImage: number;
  #checksums: Uint32Array<ArrayBuffer>;
  #moved = 0;

  private constructor(
    path: string,
    temporary: Temporary,
    file: Deno.FsFile,
    count: number,
    bytesPerImage: number,
  ) {
    this.path = path;
    this.#temporary = temporary;
    this.#file = file;
    this.#bytesPerImage = bytesPerImage;
    this.#checksums = new Uint32Array(count);
  }

  /**
   * Creates the temporary file, and removes those that crashed processes left.
   *
   * @throws {Deno.errors} the system's error
   * @throws {CheckpointError} if files of crashed processes cannot be removed
   */
  static async create(path: string, count: number, bytesPerImage: number): Promise<FileSink> {
    const directory = dirname(path);
    await makeDirectory(directory);
    await removeLeftovers(directory);
    const temporary = new Temporary(directory);
    try {
      const file = await temporary.createFile();
      return new FileSink(path, temporary, file, count, bytesPerImage);
    } catch (error) {
      temporary.release();
      throw error;
    }
  }

  /** @throws {Deno.errors} the system's error, as on a full disk */
  put(i: number, pixels: Uint8Array): void {
    write(this.#file, this.#place(i), pixels);
    this.#checksums[i] = crc32(pixels);
  }

  /** Image data written so far, in its places; what is not yet written is zero. */
  written(into: Uint8Array): void {
    const piece = 2 ** 24;
    for (let at = 0; at < into.length; at += piece) {
      into.set(readAt(this.#file, HEADER_BYTES + at, Math.min(piece, into.length - at)), at);
    }
  }

  /** Images that `finish` has moved to their places, also if it failed. */
  get moved(): number {
    return this.#moved;
  }

  /** @throws {Deno.errors} the system's error */
  finish(kept: readonly number[]): ImageStore {
    for (const [to, from] of kept.entries()) {
      if (from !== to) {
        write(this.#file, this.#place(to), readAt(this.#file, this.#place(from), this.#bytesPerImage));
        this.#checksums[to] = this.#checksums[from]!; // an image that was put
      }
      this.#moved++;
    }
    this.#checksums = this.#checksums.slice(0, kept.length);
    this.#file.truncateSync(this.#place(kept.length));
    return new FileImages(this.#file, {
      path: this.#temporary.path,
      offset: HEADER_BYTES,
      count: kept.length,
      bytesPerImage: this.#bytesPerImage,
      checksums: this.#checksums,
    });
  }

  /**
   * Completes the file and gives it its name, in place of another that has it.
   *
   * @throws {Deno.errors} the system's error; `written` still gives the images
   */
  async publish(stored: StoredDataset): Promise<void> {
    writeRest(this.#file, stored, this.#checksums);
    await this.#file.sync();
    await Deno.rename(this.#temporary.path, this.path);
  }

  /** Closes the file, after it is published. */
  release(): void {
    this.#temporary.release();
  }

  /** Closes the file, and removes it if it is not published. */
  async discard(): Promise<void> {
    await this.#temporary.remove();
    this.release();
  }

  #place(i: number): number {
    return HEADER_BYTES + i * this.#bytesPerImage;
  }
}
