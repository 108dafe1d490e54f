/**
 * Batches of images, read before they are needed.
 *
 * @module
 */
import type { ImageReader, ImageStore } from "../../data/image_store.ts";

/** Limits on what is read ahead: enough for a pause of the main thread, and little beside the images of a large data set. */
const AHEAD_BYTES = 2 ** 26;
const MOST_BATCHES = 64;
const LEAST_BATCHES = 2;

/** A batch under way. */
interface Batch {
  /** Position in the order. */
  readonly position: number;
  readonly bytes: Promise<Uint8Array<ArrayBuffer>>;
}

/** Reads the batches of an order one after the other, some ahead of the one that is taken. */
export class ReadAhead {
  /** Batches read ahead. */
  readonly depth: number;
  readonly #reader: ImageReader;
  readonly #indices: Uint32Array;
  readonly #batch: number;
  #order: Uint32Array = new Uint32Array();
  /** Position of the next batch to read. */
  #next = 0;
  #ahead: Batch[] = [];

  /**
   * @param indices the run's images in the store
   * @param batch images of a batch
   */
  constructor(images: ImageStore, indices: Uint32Array, batch: number) {
    this.#reader = images.openReader();
    this.#indices = indices;
    this.#batch = batch;
    const fitting = Math.floor(AHEAD_BYTES / (batch * images.bytesPerImage));
    this.depth = Math.min(MOST_BATCHES, Math.max(LEAST_BATCHES, fitting));
  }

  /**
   * Starts with another order.
   *
   * @param order indices among the run's images
   * @param first position of the first batch
   */
  start(order: Uint32Array, first: number): void {
    this.#order = order;
    this.#jump(first);
  }

  /**
   * Takes the batch at a position, and reads on behind it.
   *
   * @param count its images; a last batch may have fewer
   * @throws {DataError} naming file and image, if it cannot be read
   */
  async take(position: number, count: number): Promise<Uint8Array<ArrayBuffer>> {
    if (this.#ahead[0]?.position !== position) this.#jump(position);
    const bytes = this.#ahead.shift()?.bytes ?? this.#read(position, count);
    this.#fill();
    return await bytes;
  }

  /** Ends reading. */
  close(): void {
    this.#ahead = [];
    this.#reader.close();
  }

  #jump(position: number): void {
    this.#ahead = [];
    this.#next = position;
    this.#fill();
  }

  #fill(): void {
    while (this.#ahead.length < this.depth && this.#next < this.#order.length) {
      const count = Math.min(this.#batch, this.#order.length - this.#next);
      const bytes = this.#read(this.#next, count);
      bytes.catch(() => {}); // reported by `take`, if it is taken at all
      this.#ahead.push({ position: this.#next, bytes });
      this.#next += count;
    }
  }

  #read(position: number, count: number): Promise<Uint8Array<ArrayBuffer>> {
    const order = this.#order.subarray(position, position + count);
    return this.#reader.read(order.map((image) => this.#indices[image]!)); // an image of the run
  }
}
