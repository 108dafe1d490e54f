/**
 * Timer for a run and its epochs.
 *
 * @module
 */

/** Adds elapsed time to the seconds of a run and of its current epoch. */
export class Stopwatch {
  readonly #progress: { seconds: number; epochSeconds: number };
  #since = performance.now();

  constructor(progress: { seconds: number; epochSeconds: number }) {
    this.#progress = progress;
  }

  /** Starts a lap now; the time since the last lap does not count. */
  start(): void {
    this.#since = performance.now();
  }

  /** Adds the time since the start or the last lap. */
  lap(): void {
    const seconds = (performance.now() - this.#since) / 1000;
    this.start();
    this.#progress.seconds += seconds;
    this.#progress.epochSeconds += seconds;
  }
}
