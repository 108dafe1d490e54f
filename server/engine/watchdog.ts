/**
 * Watchdog timer for messages of the GPU worker.
 *
 * @module
 */
import type { Clock } from "../clock.ts";

/** Number of intervals that the timeout is divided into. */
const PARTS = 4;

/**
 * Watchdog timer. The timeout is divided into intervals: after the computer slept or the thread was blocked, at most one of
 * them has expired before pending messages are handled.
 */
export class Watchdog {
  readonly #clock: Clock;
  #onLate: () => void = () => {};
  /** Milliseconds of an interval, and those left in total. */
  #part = 0;
  #left = 0;
  /** Start of the current interval; undefined while the timer is stopped. */
  #since: number | undefined;
  #callOff: () => void = () => {};

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Starts or restarts the timer; calls back after some milliseconds, pauses excluded. */
  wait(milliseconds: number, onLate: () => void): void {
    this.pause();
    this.#onLate = onLate;
    this.#part = milliseconds / PARTS;
    this.#left = milliseconds;
    this.resume();
  }

  /** Pauses the timer, keeping the elapsed time. */
  pause(): void {
    if (this.#since === undefined) return;
    this.#callOff();
    this.#left -= Math.min(this.#part, this.#clock.now() - this.#since);
    this.#since = undefined;
  }

  /** Resumes the timer; no effect while it runs. */
  resume(): void {
    if (this.#since !== undefined) return;
    this.#since = this.#clock.now();
    this.#callOff = this.#clock.after(Math.min(this.#part, this.#left), () => {
      this.pause();
      if (this.#left > 0) this.resume();
      else this.#onLate();
    });
  }
}
