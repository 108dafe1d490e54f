/**
 * How fast the batch has been lately, to tell a client that is turned away when to come back.
 *
 * @module
 */
import type { EngineTurn } from "../engine/engine.ts";

/** What a turn's weight becomes with each one after it: about the last twenty count. */
const FADING = 0.95;

/** Measured speed of an engine. */
export class Throughput {
  #work = 0;
  #seconds = 0;

  /** Takes a turn into account. */
  add({ rows, steps, seconds }: EngineTurn): void {
    this.#work = FADING * this.#work + rows * steps;
    this.#seconds = FADING * this.#seconds + seconds;
  }

  /**
   * Seconds that some work takes; undefined where nothing was measured.
   *
   * @param work network rows times steps
   */
  secondsFor(work: number): number | undefined {
    return this.#work === 0 ? undefined : work * this.#seconds / this.#work;
  }
}
