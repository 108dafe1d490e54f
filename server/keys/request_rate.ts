/**
 * Limit on the requests of a key in any minute.
 *
 * @module
 */

/** Length of the window in milliseconds. */
const WINDOW = 60_000;

/** Requests of each key in the last minute. A key has no more in any 60 seconds than its limit; refused ones do not count. */
export class RequestRate {
  /** Times of requests by key, oldest first; at most as many as the key's limit. */
  readonly #times = new Map<string, number[]>();

  /**
   * Takes a request, if the limit allows it now.
   *
   * @param id of the key
   * @param limit requests in any 60 seconds
   * @param now in milliseconds, never less than before
   * @returns 0, or the seconds until the next request is allowed
   */
  take(id: string, limit: number, now: number): number {
    const recent = (this.#times.get(id) ?? []).filter((time) => time > now - WINDOW);
    this.#times.set(id, recent);
    // A limit that was lowered leaves more than it allows.
    const blocking = recent.at(-limit);
    if (blocking !== undefined) return (blocking + WINDOW - now) / 1000;
    recent.push(now);
    return 0;
  }

  /** Forgets keys other than these. */
  keep(ids: ReadonlySet<string>): void {
    for (const id of this.#times.keys()) if (!ids.has(id)) this.#times.delete(id);
  }
}
