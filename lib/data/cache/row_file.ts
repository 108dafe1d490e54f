/**
 * Images in an open file, each checked as it is read.
 *
 * @module
 */

import { crc32 } from "node:zlib";
import { DataError } from "../../errors.ts";
import { reason } from "../files.ts";
import { checkedIndex } from "../image_store.ts";

/** Where images lie in a file. */
export interface ImageRows {
  /** Path of the file, for opening and for messages. */
  readonly path: string;
  /** Byte of the first image. */
  readonly offset: number;
  readonly count: number;
  readonly bytesPerImage: number;
  /** CRC-32 of each image. */
  readonly checksums: Uint32Array;
}

/** A file's size and when it was last changed, by which a change is noticed. */
export type FileState = Pick<Deno.FileInfo, "dev" | "ino" | "size" | "mtime">;

/** True if two states are of the same, unchanged file. */
export function sameState(a: FileState, b: FileState): boolean {
  return a.dev === b.dev && a.ino === b.ino && a.size === b.size && a.mtime?.getTime() === b.mtime?.getTime();
}

/** Images of an open file. */
export class RowFile {
  readonly layout: ImageRows;
  /** The file when it was opened. */
  readonly state: FileState;
  readonly #file: Deno.FsFile;

  /**
   * @param file open for reading; closed by the caller
   * @param state the file as it must be; default: as it is now
   */
  constructor(file: Deno.FsFile, layout: ImageRows, state: FileState = file.statSync()) {
    this.#file = file;
    this.layout = layout;
    this.state = state;
  }

  /**
   * Reads images in the order of `indices`.
   *
   * @throws {ShapeError} for an index that is out of range
   * @throws {DataError} naming file and image, if it cannot be read, is damaged, or the file was changed
   */
  read(indices: ArrayLike<number>): Uint8Array<ArrayBuffer> {
    const { bytesPerImage, count } = this.layout;
    const bytes = new Uint8Array(indices.length * bytesPerImage);
    if (indices.length > 0) this.#checkUnchanged(checkedIndex(indices[0]!, count));
    for (let i = 0; i < indices.length;) {
      const first = checkedIndex(indices[i]!, count);
      let run = 1; // consecutive images are read at once
      while (i + run < indices.length && indices[i + run] === first + run && first + run < count) run++;
      this.#readRun(first, bytes.subarray(i * bytesPerImage, (i + run) * bytesPerImage));
      i += run;
    }
    return bytes;
  }

  #readRun(first: number, into: Uint8Array): void {
    const { offset, bytesPerImage, checksums } = this.layout;
    let filled = 0;
    const image = () => first + Math.floor(filled / bytesPerImage);
    try {
      this.#file.seekSync(offset + first * bytesPerImage, Deno.SeekMode.Start);
      while (filled < into.length) {
        const n = this.#file.readSync(into.subarray(filled));
        if (n === null) break;
        filled += n;
      }
    } catch (error) {
      throw this.#error(image(), `cannot be read: ${reason(error)}`, error);
    }
    if (filled < into.length) throw this.#error(image(), "the file ends before it");
    for (let i = 0; i < into.length / bytesPerImage; i++) {
      if (crc32(into.subarray(i * bytesPerImage, (i + 1) * bytesPerImage)) === checksums[first + i]) continue;
      throw this.#error(first + i, "damaged on the disk; delete the file, and it is made anew");
    }
  }

  #checkUnchanged(image: number): void {
    let now: FileState;
    try {
      now = this.#file.statSync();
    } catch (error) {
      throw this.#error(image, `cannot be read: ${reason(error)}`, error);
    }
    if (sameState(now, this.state)) return;
    const what = now.size < this.state.size ? "cut short" : "changed";
    throw this.#error(image, `the file was ${what} while it was in use`);
  }

  #error(image: number, what: string, cause?: unknown): DataError {
    return new DataError(`${this.layout.path}: image ${image}: ${what}`, { cause });
  }
}
