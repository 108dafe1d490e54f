/**
 * Worker pool for decoding images in parallel.
 *
 * @module
 */

import { DataError } from "../../errors.ts";
import type { Framing } from "./framing.ts";
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
   * @param framing frame to fit it into; if undefined, the image keeps its size and alpha is dropped
   * @throws {DataError} if the image cannot be decoded
   */
  decode(bytes: Uint8Array<ArrayBuffer>, file: string, framing?: Framing): Promise<DecodedImage> {
    if (this.#failure) return Promise.reject(this.#failure);
    const { promise, resolve, reject } = Promise.withResolvers<DecodedImage>();
    this.#queue.push({ job: { bytes, file, framing }, resolve, reject });
    if (this.#idle.length === 0 && this.#workers.length < this.size) this.#idle.push(this.#start());
    this.#next();
    return promise;
  }

  /**
   * Calls `work` for each item in order, with one more call in flight than there are workers, so that a file is read while the
   * workers decode.
   *
   * @throws the error of the first `work` in order that failed, or that of the items
   */
  async forEach<T>(items: AsyncIterable<T> | Iterable<T>, work: (item: T) => Promise<void>): Promise<void> {
    const iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
    let order = 0;
    const failures = new Map<number, unknown>();
    // One lane at a time takes an item.
    let taken: Promise<unknown> = Promise.resolve();
    const take = () => {
      const next = taken.then(() => iterator.next());
      taken = next.catch(() => {});
      return next;
    };
    const lane = async () => {
      while (failures.size === 0) {
        const i = order++;
        try {
          const { done, value } = await take();
          if (done) return;
          await work(value);
        } catch (error) {
          failures.set(i, error);
        }
      }
    };
    await Promise.all(Array.from({ length: this.size + 1 }, lane));
    if (failures.size === 0) return;
    await iterator.return?.();
    throw failures.get(Math.min(...failures.keys()));
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
