/**
 * How much work the device is given before the CPU waits for it.
 *
 * Waiting blocks the thread until everything submitted is done, so what is in flight decides how long a signal or a
 * timer goes unheard; and each wait costs 10 ms, so there must not be one a step. About a second's work is between.
 *
 * @module
 */
import type { Gpu } from "../gpu/device.ts";

/** Seconds of work that are aimed at. */
const SECONDS_PER_WAIT = 1;

/** Counts batches submitted, and says when to wait, by how long the last ones took. */
export class Pace {
  readonly #now: () => number;
  #batches = 0;
  /** One at first: nothing is known of its time yet, and kernels are compiled at their first use. */
  #most = 1;
  #since: number;

  /** @param now the time in milliseconds; for tests */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#since = now();
  }

  /** Whether it is time to wait. */
  get due(): boolean {
    return this.#batches >= this.#most || (this.#batches > 0 && this.#seconds() >= SECONDS_PER_WAIT);
  }

  /** Call after each batch is submitted. */
  submitted(): void {
    // What passed before the first of them was not the device's time.
    if (this.#batches++ === 0) this.#since = this.#now();
  }

  /** Call after the CPU has waited, in whatever way. */
  waited(): void {
    if (this.#batches === 0) return;
    this.#most = Math.max(1, Math.floor(this.#batches / this.#seconds() * SECONDS_PER_WAIT));
    this.#batches = 0;
  }

  #seconds(): number {
    return (this.#now() - this.#since) / 1000;
  }
}

/**
 * Waits until the device has done everything submitted.
 *
 * @throws {DeviceError} if it has failed by then
 */
export async function settle(gpu: Gpu): Promise<void> {
  await gpu.device.queue.onSubmittedWorkDone();
  // A fault meanwhile leaves the results meaningless; asking for the device throws it.
  void gpu.device;
}
