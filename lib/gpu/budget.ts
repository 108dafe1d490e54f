/**
 * Budget for device memory. Running out of memory cannot be caught everywhere (some drivers crash without an error), so
 * requests over the budget are refused before anything is allocated.
 *
 * @module
 */
import { ConfigError, DeviceError } from "../errors.ts";

/** A request that exceeds the memory budget. */
export class OutOfMemory extends DeviceError {}

/** Counts the bytes of live buffers against a limit. */
export class MemoryBudget {
  /** Limit for all buffers together, bytes; Infinity for none. */
  readonly limit: number;
  #adapter: string;
  #used = 0;
  #live = 0;

  /**
   * Starts with nothing allocated.
   *
   * @param limit bytes
   * @param adapter adapter name, for messages
   * @throws {ConfigError} if the limit is not a number of bytes
   */
  constructor(limit: number, adapter: string) {
    if (!(limit > 0)) throw new ConfigError("memoryBudget", limit, "a number of bytes above 0, or Infinity");
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
   * Refuses a request that would exceed the budget.
   * @param what subject of the message, e.g. `training small at batch 128`
   * @throws {OutOfMemory} with the bytes needed, held and allowed
   */
  require(bytes: number, what: string): void {
    if (this.#used + bytes <= this.limit) return;
    throw new OutOfMemory(
      `${what} needs ${mebibytes(bytes)} of device memory, ${mebibytes(this.#used)} are in use and ` +
        `${
          mebibytes(this.limit)
        } are allowed on ${this.#adapter}; use a smaller batch or model, or raise the memory budget`,
    );
  }

  /** Called by {@linkcode createBuffer} only. */
  add(bytes: number): void {
    this.#used += bytes;
    this.#live++;
  }

  /** Called by {@linkcode destroyBuffer} only. */
  remove(bytes: number): void {
    this.#used -= bytes;
    this.#live--;
  }
}

/** Formats a byte count, e.g. `1.5 MiB`; one decimal below 10 MiB, one digit below 0.1 MiB. */
export function mebibytes(bytes: number): string {
  if (bytes > 0 && bytes < 0.1 * 2 ** 20) return `${Number((bytes / 2 ** 20).toPrecision(1))} MiB`;
  return bytes < 10 * 2 ** 20 ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : `${Math.round(bytes / 2 ** 20)} MiB`;
}
