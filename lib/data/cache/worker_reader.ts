/**
 * Reading of batches from a file in a worker.
 *
 * @module
 */

import { DataError } from "../../errors.ts";
import type { ImageReader } from "../image_store.ts";
import type { ReaderAnswer, ReaderJob } from "./reader_worker.ts";
import type { RowFile } from "./row_file.ts";

/** Reads batches in a worker, one after the other. Must be closed, or the process does not exit. */
export class WorkerReader implements ImageReader {
  readonly #worker: Worker;
  readonly #path: string;
  /** Batches under way, the next answer's first. */
  readonly #pending: { resolve(bytes: Uint8Array<ArrayBuffer>): void; reject(error: Error): void }[] = [];
  #failure: DataError | undefined;

  constructor({ layout, state }: RowFile) {
    this.#path = layout.path;
    const url = new URL("./reader_worker.ts", import.meta.url);
    this.#worker = new Worker(url, { type: "module", name: "image reader" });
    this.#worker.onmessage = ({ data }: MessageEvent<ReaderAnswer>) => {
      const { resolve, reject } = this.#pending.shift()!; // an answer for each batch
      if ("bytes" in data) resolve(data.bytes);
      else reject(new DataError(data.error));
    };
    this.#worker.onerror = (event) => {
      event.preventDefault(); // else it terminates this process, too
      this.#fail(`the reader crashed: ${event.message}`);
    };
    const { dev, ino, size, mtime } = state;
    this.#post({ open: layout, state: { dev, ino, size, mtime } });
  }

  read(indices: Uint32Array): Promise<Uint8Array<ArrayBuffer>> {
    if (this.#failure) return Promise.reject(this.#failure);
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array<ArrayBuffer>>();
    this.#pending.push({ resolve, reject });
    this.#post({ indices });
    return promise;
  }

  close(): void {
    this.#worker.terminate();
    this.#fail("closed");
  }

  #post(job: ReaderJob): void {
    this.#worker.postMessage(job);
  }

  #fail(what: string): void {
    this.#failure = new DataError(`${this.#path}: ${what}`);
    for (const { reject } of this.#pending.splice(0)) reject(this.#failure);
  }
}
