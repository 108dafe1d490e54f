/**
 * Workers that decode images side by side.
 *
 * @module
 */

import { DataError } from "../../errors.ts";
import type { DecodeAnswer, DecodedImage, DecodeJob } from "./worker.ts";

/** An image of the largest size takes 1.2 GB in its worker, with 16 bits a sample 1.7 GB, so there are few. */
const MOST_WORKERS = 4;
/** Starting a worker takes as long as decoding so many small images. */
const IMAGES_PER_WORKER = 4;

interface Waiting {
  readonly job: DecodeJob;
  readonly resolve: (image: DecodedImage) => void;
  readonly reject: (error: Error) => void;
}

/** Decodes images in workers, one at a time in each. To be disposed of, or the process does not end. */
export class DecoderPool implements Disposable {
  /** How many images are decoded at once. */
  readonly size: number;
  readonly #workers: Worker[] = [];
  readonly #idle: Worker[] = [];
  readonly #queue: Waiting[] = [];
  /** Why a worker ended, if one did. */
  #failure: Error | undefined;

  /** @param images how many there will be; few are not worth a second worker */
  constructor(images: number) {
    const most = Math.min(MOST_WORKERS, navigator.hardwareConcurrency);
    this.size = Math.max(1, Math.min(most, Math.ceil(images / IMAGES_PER_WORKER)));
  }

  /**
   * Decodes one image.
   *
   * @param bytes the whole file; not to be used afterwards, since they move to the worker
   * @param file its name, for errors
   * @param side rows and columns to crop and scale it to; without it, it keeps its dimensions and loses its alpha
   * @throws {DataError} if it is no image that can be decoded
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
   * Does work that decodes, for 0 to `count - 1`, begun in that order: one more at once than there are workers, so that
   * the next file is read meanwhile.
   *
   * @throws what `work` throws; of several failures the first in order
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
    const worker = this.#idle.pop()!;
    const { job, resolve, reject } = this.#queue.shift()!;
    worker.onmessage = ({ data }: MessageEvent<DecodeAnswer>) => {
      this.#idle.push(worker);
      if ("image" in data) resolve(data.image);
      else reject(data.isDataError ? new DataError(data.error) : new Error(data.error));
      this.#next();
    };
    worker.onerror = (event) => {
      event.preventDefault(); // else it ends this process, too
      this.#failure = new DataError(`${job.file}: the worker that decodes it ended: ${event.message}`);
      for (const waiting of [{ reject }, ...this.#queue.splice(0)]) waiting.reject(this.#failure);
    };
    worker.postMessage(job, [job.bytes.buffer]);
  }
}
