/**
 * Clock interface, so that tests can control time.
 *
 * @module
 */

/** Where the time comes from. */
export interface Clock {
  /** Milliseconds from some moment on; never goes back. */
  now(): number;
  /**
   * Calls back once.
   * @returns what calls it off; harmless when it is too late
   */
  after(milliseconds: number, callback: () => void): () => void;
}

/** The computer's. */
export const systemClock: Clock = {
  now: () => performance.now(),
  after(milliseconds, callback) {
    const timer = setTimeout(callback, milliseconds);
    return () => clearTimeout(timer);
  },
};
