/**
 * Choice of the epochs that are shown: not each of hundreds that pass quickly.
 *
 * @module
 */
import type { EpochEvent } from "../mod.ts";

/** Number of epochs up to which each is shown. */
const ALL = 100;
/** About as many are shown of more. */
const SOME = 50;
/** Seconds of an epoch from which on each is shown. */
const LONG = 30;

/** Chooses the epochs of a run. */
export class ShownEpochs {
  readonly #every: number;
  #hidden: EpochEvent | undefined;

  /** @param epochs of the whole run */
  constructor(epochs: number) {
    this.#every = epochs <= ALL ? 1 : Math.ceil(epochs / SOME);
  }

  /** One in so many quick epochs is shown. */
  get every(): number {
    return this.#every;
  }

  /** True if an epoch that has ended is to be shown now. */
  shows(event: EpochEvent): boolean {
    const isShown = event.seconds >= LONG || event.epoch === 1 || event.epoch % this.#every === 0;
    this.#hidden = isShown ? undefined : event;
    return isShown;
  }

  /** The last epoch of the run, if it was not shown. */
  takeLast(): EpochEvent | undefined {
    const last = this.#hidden;
    this.#hidden = undefined;
    return last;
  }
}
