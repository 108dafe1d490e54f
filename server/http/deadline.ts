/**
 * Deadlines of requests: one for all that is done for a request, from its arrival to its encoded answer. A stream's is for
 * arrival to drawn images: its pictures are encoded when the reader is ready, each with a timeout of its own.
 *
 * @module
 */
import type { Clock } from "../clock.ts";

/** The deadline of a request. */
export class Deadline {
  readonly #clock: Clock;
  readonly #at: number;

  /** @param seconds time from now */
  constructor(clock: Clock, seconds: number) {
    this.#clock = clock;
    this.#at = clock.now() + 1000 * seconds;
  }

  /** Seconds until the deadline, 0 past it. */
  get secondsLeft(): number {
    return Math.max(0, this.#at - this.#clock.now()) / 1000;
  }
}
