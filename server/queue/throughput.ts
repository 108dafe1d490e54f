/**
 * Recent throughput of the batch, for the `Retry-After` of refused requests.
 *
 * @module
 */
import type { EngineTurn } from "../engine/engine.ts";

/** Decay of a turn's weight with each later turn: about the last twenty count. */
const FADING = 0.95;

/** Measured speed of an engine. */
export class Throughput {
  #work = 0;
  #seconds = 0;

  /** Records a turn. */
  add({ rows, steps, seconds }: EngineTurn): void {
    this.#work = FADING * this.#work + rows * steps;
    this.#seconds = FADING * this.#seconds + seconds;
  }

  /**
   * Seconds for some work; undefined before the first measurement.
   *
   * @param work network rows times steps
   */
  secondsFor(work: number): number | undefined {
    return this.#work === 0 ? undefined : work * this.#seconds / this.#work;
  }
}
