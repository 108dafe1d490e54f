/**
 * Clock interface, so that tests can control time.
 *
 * @module
 */

/** Source of time. */
export interface Clock {
  /** Monotonic time in milliseconds. */
  now(): number;
  /**
   * Calls back once, like `setTimeout`.
   * @returns cancels the callback; no effect after it ran
   */
  after(milliseconds: number, callback: () => void): () => void;
}

/** The system clock. */
export const systemClock: Clock = {
  now: () => performance.now(),
  after(milliseconds, callback) {
    const timer = setTimeout(callback, milliseconds);
    return () => clearTimeout(timer);
  },
};
