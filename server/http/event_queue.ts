/**
 * Queue of events between a producer and a slower reader.
 *
 * @module
 */

/** Queue of events. Replaceable events take at most one place per key. */
export class EventQueue<T> {
  readonly #events: { readonly key?: number; readonly event: T }[] = [];
  #ended = false;
  #wake: (() => void) | undefined;

  /** Adds an event that must be delivered. It supersedes a replaceable event of `key`. */
  push(event: T, key?: number): void {
    if (key !== undefined) this.#drop(key);
    this.#add({ event });
  }

  /** Adds a replaceable event: the next one of its key replaces it if it has not been taken by then. */
  offer(key: number, event: T): void {
    this.#drop(key);
    this.#add({ key, event });
  }

  /** Ends the queue. */
  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  /** Resolves when there is an event or the queue has ended. One caller may wait at a time. */
  async ready(): Promise<void> {
    if (this.#events.length > 0 || this.#ended) return;
    await new Promise<void>((resolve) => this.#wake = resolve);
  }

  /** Removes the oldest event; undefined if there is none. */
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
