/**
 * Order of turns between models on one device: start-time fair queueing (Goyal, Vin and Cheng 1996) of their turns, by
 * measured seconds.
 *
 * @module
 */

interface Entry {
  weight: number;
  /** Virtual time at which its last turn ended. */
  end: number;
}

/** Order of turns; while they have images, models get time in proportion to their weights. */
export class TurnOrder {
  readonly #entries = new Map<string, Entry>();
  /** Virtual time: that of the start of the last turn. A model that was idle gets no credit for it. */
  #now = 0;

  /** Sets the weight of a model, above 0; default 1. */
  setWeight(model: string, weight: number): void {
    this.#entry(model).weight = weight;
  }

  /** The model whose turn it is, of those with images; undefined if there is none. */
  next(models: Iterable<string>): string | undefined {
    let first: { readonly model: string; readonly start: number } | undefined;
    for (const model of models) {
      const start = Math.max(this.#now, this.#entry(model).end);
      if (!first || start < first.start) first = { model, start };
    }
    return first?.model;
  }

  /** Records a turn. */
  charge(model: string, seconds: number): void {
    const entry = this.#entry(model);
    this.#now = Math.max(this.#now, entry.end);
    entry.end = this.#now + seconds / entry.weight;
  }

  #entry(model: string): Entry {
    let entry = this.#entries.get(model);
    if (!entry) this.#entries.set(model, entry = { weight: 1, end: 0 });
    return entry;
  }
}
