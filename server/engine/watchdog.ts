/**
 * Watchdog timer for messages of the GPU worker.
 *
 * @module
 */
import type { Clock } from "../clock.ts";

/** Parts of the time that are waited one after the other. */
const PARTS = 4;

/**
 * Waits for one thing at a time. The time is waited in parts: a computer that sleeps, or a thread that is held up, lets
 * one of them pass at most before what has come meanwhile is heard of.
 */
export class Watchdog {
  readonly #clock: Clock;
  #onLate: () => void = () => {};
  /** Milliseconds of a part, and those that are left in all. */
  #part = 0;
  #left = 0;
  /** When the part under way began; undefined while nothing is waited for. */
  #since: number | undefined;
  #callOff: () => void = () => {};

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Begins to wait; calls back after some milliseconds, those of pauses not counted, unless it is called anew by then. */
  wait(milliseconds: number, onLate: () => void): void {
    this.pause();
    this.#onLate = onLate;
    this.#part = milliseconds / PARTS;
    this.#left = milliseconds;
    this.resume();
  }

  /** Stops waiting, and keeps in mind how long it has waited. */
  pause(): void {
    if (this.#since === undefined) return;
    this.#callOff();
    this.#left -= Math.min(this.#part, this.#clock.now() - this.#since);
    this.#since = undefined;
  }

  /** Goes on waiting; where it does already, nothing changes. */
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
