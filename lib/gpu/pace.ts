/**
 * Limit on work in flight, the batches submitted before the CPU waits for the device.
 *
 * Waiting blocks the thread until all submitted work is done, so the work in flight decides how long signals and timers are
 * delayed; but each wait costs 10 ms, too much to wait after every step. The limit is about a second's work.
 *
 * @module
 */
import type { Gpu } from "./device.ts";

/** Target for the work in flight, seconds. */
const SECONDS_PER_WAIT = 1;

/** Counts submitted batches, and says when to wait by the time of the last ones. */
export class Pace {
  readonly #now: () => number;
  #batches = 0;
  /** One at first: batch times are unknown, and kernels are compiled at first use. */
  #limit = 1;
  #since: number;

  /** @param now clock in milliseconds; for tests */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#since = now();
  }

  /** True when the CPU should wait for the device. */
  get due(): boolean {
    return this.#batches >= this.#limit || (this.#batches > 0 && this.#seconds() >= SECONDS_PER_WAIT);
  }

  /** Call after each batch is submitted. */
  submitted(): void {
    // Time before the first batch is not the device's.
    if (this.#batches++ === 0) this.#since = this.#now();
  }

  /** Call after any wait for the device. */
  waited(): void {
    if (this.#batches === 0) return;
    this.#limit = Math.max(1, Math.floor(this.#batches / this.#seconds() * SECONDS_PER_WAIT));
    this.#batches = 0;
  }

  #seconds(): number {
    return (this.#now() - this.#since) / 1000;
  }
}

/**
 * Waits for all submitted work.
 *
 * @throws {DeviceError} if the device has failed
 */
export async function settle(gpu: Gpu): Promise<void> {
  await gpu.device.queue.onSubmittedWorkDone();
  // The getter throws if the device has failed meanwhile.
  void gpu.device;
}
