/**
 * The time that training takes.
 *
 * @module
 */

/** Adds the time that passes to a run's seconds, and to those of its epoch. */
export class Stopwatch {
  readonly #progress: { seconds: number; epochSeconds: number };
  #since = performance.now();

  constructor(progress: { seconds: number; epochSeconds: number }) {
    this.#progress = progress;
  }

  /** Counts from now on; what passed since the last lap went to other things. */
  start(): void {
    this.#since = performance.now();
  }

  /** Adds what has passed since the start, or the last lap. */
  lap(): void {
    const seconds = (performance.now() - this.#since) / 1000;
    this.start();
    this.#progress.seconds += seconds;
    this.#progress.epochSeconds += seconds;
  }
}
