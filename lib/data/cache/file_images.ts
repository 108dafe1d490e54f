/**
 * Images in a file, of which no more are in memory than are being used.
 *
 * @module
 */

import type { ImageReader, ImageStore } from "../image_store.ts";
import { type ImageRows, RowFile } from "./row_file.ts";
import { WorkerReader } from "./worker_reader.ts";

/** Images in a file. */
export class FileImages implements ImageStore {
  readonly file: string;
  readonly count: number;
  readonly bytesPerImage: number;
  readonly #handle: Deno.FsFile;
  readonly #rows: RowFile;

  /** @param handle open for reading; closed with the store */
  constructor(handle: Deno.FsFile, layout: ImageRows) {
    this.file = layout.path;
    this.count = layout.count;
    this.bytesPerImage = layout.bytesPerImage;
    this.#handle = handle;
    this.#rows = new RowFile(handle, layout);
  }

  read(indices: ArrayLike<number>): Uint8Array<ArrayBuffer> {
    return this.#rows.read(indices);
  }

  range(first = 0, end: number = this.count): Uint8Array {
    return this.#rows.read(Uint32Array.from({ length: end - first }, (_, i) => first + i));
  }

  openReader(): ImageReader {
    return new WorkerReader(this.#rows);
  }

  close(): void {
    this.#handle.close();
  }
}
