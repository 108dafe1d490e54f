/**
 * The server's API keys, which follow their file.
 *
 * @module
 */
import { commandLine } from "../../lib/program.ts";
import { type Clock, systemClock } from "../clock.ts";
import type { Log } from "../log.ts";
import { type ApiKey, hasExpired, keyOfSecret } from "./api_key.ts";
import { readKeyFile } from "./key_file.ts";
import { RequestRate } from "./request_rate.ts";

/**
 * Milliseconds between two readings of the file. It is read rather than watched: watchers see neither a file that was replaced
 * by another, as editors and Kubernetes do, nor those of some network file systems.
 */
const INTERVAL = 2000;

/** Options of {@linkcode KeyRing.open} that tests replace. */
export interface KeyRingOptions {
  readonly clock?: Clock;
  /** Time of day, milliseconds since 1970. */
  readonly now?: () => number;
}

/** Result of {@linkcode KeyRing.find}. */
export type KeySearch = { readonly key: ApiKey } | { readonly refused: string };

/** API keys of a file. */
export class KeyRing {
  readonly #path: string;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #now: () => number;
  readonly #rate = new RequestRate();
  readonly #listeners = new Set<(ring: KeyRing) => void>();
  #keys: readonly ApiKey[];
  /** Why the file was not taken last, which is logged once. */
  #problem: string | undefined;
  #callOff = () => {};
  #closed = false;

  private constructor(path: string, keys: readonly ApiKey[], log: Log, options: KeyRingOptions) {
    this.#path = path;
    this.#keys = keys;
    this.#log = log;
    this.#clock = options.clock ?? systemClock;
    this.#now = options.now ?? Date.now;
  }

  /**
   * Reads the file, and again every two seconds from then on. Where it cannot be taken later, the keys stay as they are, and the
   * log says why.
   *
   * @throws {ConfigError} when the file is unreadable, writable by others or malformed
   */
  static async open(path: string, log: Log, options: KeyRingOptions = {}): Promise<KeyRing> {
    const ring = new KeyRing(path, await readKeyFile(path), log, options);
    if (ring.#keys.length === 0) {
      log.warn(`no keys: all requests are refused until \`${commandLine("keys", ["add"])}\` adds one`, {
        path,
      });
    }
    ring.#wait();
    return ring;
  }

  /** Names of all keys, expired ones included. */
  get names(): readonly string[] {
    return this.#keys.map(({ name }) => name);
  }

  /** True if there is a key with this id, expired or not. */
  has(id: string): boolean {
    return this.#keys.some((key) => key.id === id);
  }

  /** The key of a secret, or why there is none. */
  find(secret: string): KeySearch {
    const key = keyOfSecret(secret, this.#keys);
    if (!key) return { refused: "the API key is unknown or revoked" };
    if (hasExpired(key, this.#now())) return { refused: `the API key expired at ${key.expires}` };
    return { key };
  }

  /**
   * Counts a request that draws.
   *
   * @returns 0, or the seconds until the key may send the next one
   */
  take({ id, limits: { perMinute } }: ApiKey): number {
    return perMinute === undefined ? 0 : this.#rate.take(id, perMinute, this.#clock.now());
  }

  /** Adds a listener for changes of the keys. */
  listen(listener: (ring: KeyRing) => void): void {
    this.#listeners.add(listener);
  }

  /** Reads the file again now. */
  async refresh(): Promise<void> {
    let keys: readonly ApiKey[];
    try {
      keys = await readKeyFile(this.#path);
    } catch (error) {
      const { message } = error as Error;
      if (message !== this.#problem) {
        this.#log.error("keys not read again; the old ones stay", { problem: message });
      }
      this.#problem = message;
      return;
    }
    this.#problem = undefined;
    if (this.#closed || JSON.stringify(keys) === JSON.stringify(this.#keys)) return;
    this.#keys = keys;
    this.#rate.keep(new Set(keys.map(({ id }) => id)));
    this.#log.info("keys read again", { keys: keys.length });
    for (const listener of this.#listeners) {
      try {
        listener(this);
      } catch (error) {
        // The next reading must come, so that keys can still be revoked.
        this.#log.error("a change of keys was not carried out everywhere", { problem: String(error) });
      }
    }
  }

  /** Stops reading the file. */
  close(): void {
    this.#closed = true;
    this.#callOff();
  }

  #wait(): void {
    this.#callOff = this.#clock.after(INTERVAL, async () => {
      await this.refresh();
      if (!this.#closed) this.#wait();
    });
  }
}
