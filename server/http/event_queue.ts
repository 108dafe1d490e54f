/**
 * Queue of events between a producer and a slower reader.
 *
 * @module
 */

/** Holds events until they are taken. What may be dropped takes one place at most for each key. */
export class EventQueue<T> {
  readonly #events: { readonly key?: number; readonly event: T }[] = [];
  #ended = false;
  #wake: (() => void) | undefined;

  /** Adds an event that must arrive; one that was offered under `key` is dropped: this is what it led to. */
  push(event: T, key?: number): void {
    if (key !== undefined) this.#drop(key);
    this.#add({ event });
  }

  /** Adds an event that the next one of its key takes the place of, if it has not been taken by then. */
  offer(key: number, event: T): void {
    this.#drop(key);
    this.#add({ key, event });
  }

  /** Nothing comes any more. */
  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  /** Resolves when there is an event, or there will be none. One may wait at a time. */
  async ready(): Promise<void> {
    if (this.#events.length > 0 || this.#ended) return;
    await new Promise<void>((resolve) => this.#wake = resolve);
  }

  /** The oldest event; undefined where there is none. */
  take(): T | undefined {
    return this.#events.shift()?.event;
  }

  #drop(key: number): void {
    const at = this.#events.findIndex((entry) => entry.key === key);
    if (at >= 0) this.#events.splice(at, 1);
  }

  #add(entry: { readonly key?: number; readonly event: T }): void {
    this.#events.push(entry);
    this.#wake?.();
  }
}
