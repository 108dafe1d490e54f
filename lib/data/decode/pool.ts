/**
 * Worker pool for decoding images in parallel.
 *
 * @module
 */

import { DataError } from "../../errors.ts";
import type { DecodeAnswer, DecodedImage, DecodeJob } from "./worker.ts";

/** Limit on workers: an image of the largest size takes 1.2 GB in its worker, 1.7 GB with 16 bits per sample. */
const MAX_WORKERS = 4;
/** Images that justify one more worker; starting one takes as long as decoding as many small images. */
const IMAGES_PER_WORKER = 4;

interface QueuedJob {
  readonly job: DecodeJob;
  readonly resolve: (image: DecodedImage) => void;
  readonly reject: (error: Error) => void;
}

/** Decodes images in workers, one at a time in each. Must be disposed of, or the process does not exit. */
export class DecoderPool implements Disposable {
  /** Number of workers. */
  readonly size: number;
  readonly #workers: Worker[] = [];
  readonly #idle: Worker[] = [];
  readonly #queue: QueuedJob[] = [];
  /** Set when a worker has crashed; fails all further jobs. */
  #failure: Error | undefined;

  /** @param images expected number of images, which bounds the number of workers */
  constructor(images: number) {
    const most = Math.min(MAX_WORKERS, navigator.hardwareConcurrency);
    this.size = Math.max(1, Math.min(most, Math.ceil(images / IMAGES_PER_WORKER)));
  }

  /**
   * Decodes one image.
   *
   * @param bytes the whole file; its buffer is transferred to the worker
   * @param file file name for errors
   * @param side height and width to crop and resize to; if undefined, the image keeps its size and alpha is dropped
   * @throws {DataError} if the image cannot be decoded
   */
  decode(bytes: Uint8Array<ArrayBuffer>, file: string, side?: number): Promise<DecodedImage> {
    if (this.#failure) return Promise.reject(this.#failure);
    const { promise, resolve, reject } = Promise.withResolvers<DecodedImage>();
    this.#queue.push({ job: { bytes, file, side }, resolve, reject });
    if (this.#idle.length === 0 && this.#workers.length < this.size) this.#idle.push(this.#start());
    this.#next();
    return promise;
  }

  /**
   * Calls `work` for 0 to `count - 1` in order, with one more call in flight than there are workers, so that a file is
   * read while the workers decode.
   *
   * @throws the error of the first `work` in order that failed
   */
  async forEach(count: number, work: (i: number) => Promise<void>): Promise<void> {
    let next = 0;
    const failures = new Map<number, unknown>();
    const lane = async () => {
      while (next < count && failures.size === 0) {
        const i = next++;
        await work(i).catch((error) => failures.set(i, error));
      }
    };
    await Promise.all(Array.from({ length: this.size + 1 }, lane));
    if (failures.size > 0) throw failures.get(Math.min(...failures.keys()));
  }

  [Symbol.dispose](): void {
    for (const worker of this.#workers) worker.terminate();
  }

  #start(): Worker {
    const url = new URL("./worker.ts", import.meta.url);
    const worker = new Worker(url, { type: "module", name: "image decoder" });
    this.#workers.push(worker);
    return worker;
  }

  #next(): void {
    if (this.#idle.length === 0 || this.#queue.length === 0) return;
    const worker = this.#idle.pop()!; // neither is empty
    const { job, resolve, reject } = this.#queue.shift()!;
    worker.onmessage = ({ data }: MessageEvent<DecodeAnswer>) => {
      this.#idle.push(worker);
      if ("image" in data) resolve(data.image);
      else reject(data.isDataError ? new DataError(data.error) : new Error(data.error));
      this.#next();
    };
    worker.onerror = (event) => {
      event.preventDefault(); // else it terminates this process, too
      this.#failure = new DataError(`${job.file}: the decoder crashed: ${event.message}`);
      for (const pending of [{ reject }, ...this.#queue.splice(0)]) pending.reject(this.#failure);
    };
    worker.postMessage(job, [job.bytes.buffer]);
  }
}
