/**
 * A byte budget for device memory. Real out-of-memory cannot be caught everywhere (some drivers report nothing and
 * crash), so what does not fit is refused before anything is allocated.
 *
 * @module
 */
import { DeviceError } from "../errors.ts";

/** Counts the bytes of live buffers against a limit. */
export class MemoryBudget {
  /** Bytes that buffers may take in all; Infinity for no limit. */
  readonly limit: number;
  #adapter: string;
  #used = 0;
  #live = 0;

  /**
   * A budget of which nothing is spent.
   *
   * @param limit bytes
   * @param adapter its name, for messages
   */
  constructor(limit: number, adapter: string) {
    this.limit = limit;
    this.#adapter = adapter;
  }

  /** Bytes held by live buffers. */
  get used(): number {
    return this.#used;
  }

  /** Number of live buffers. */
  get live(): number {
    return this.#live;
  }

  /**
   * Refuses a request that would pass the budget.
   * @param what for the message, e.g. `training small at batch 128`
   * @throws {DeviceError} with the bytes needed, held and allowed
   */
  require(bytes: number, what: string): void {
    if (this.#used + bytes <= this.limit) return;
    throw new DeviceError(
      `${what} needs ${mebibytes(bytes)} of device memory, ${mebibytes(this.#used)} are in use and ` +
        `${
          mebibytes(this.limit)
        } are allowed on ${this.#adapter}; use a smaller batch or model, or raise the memory budget`,
    );
  }

  /** Called by {@linkcode createBuffer} alone. */
  add(bytes: number): void {
    this.#used += bytes;
    this.#live++;
  }

  /** Called by {@linkcode destroyBuffer} alone. */
  remove(bytes: number): void {
    this.#used -= bytes;
    this.#live--;
  }
}

/** Bytes as a readable figure. */
export function mebibytes(bytes: number): string {
  return bytes < 10 * 2 ** 20 ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : `${Math.round(bytes / 2 ** 20)} MiB`;
}
