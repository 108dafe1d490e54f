/**
 * Signs of life between ranks. Operations of all ranks wait for the slowest, however long that takes, so a rank that hangs or was
 * stopped would keep the others waiting for ever; one that ends is noticed by the launcher.
 *
 * @module
 */

/** Messages of single words between two ranks, which neither waits for. */
export interface Mailbox {
  /** Sends a word; false if the one before has not been taken yet. */
  send(to: number): boolean;
  /** Takes the words that have come since the last call; true if there were any. */
  receive(from: number): boolean;
}

/** Ranks that watch each other: rank 0 all others, and they rank 0. */
export interface Watched {
  readonly rank: number;
  readonly size: number;
}

/** Options of {@linkcode Heartbeat}. */
export interface HeartbeatOptions {
  /** Seconds without a sign of life after which a rank is taken for dead. */
  readonly timeout: number;
  /** Called once, with the first rank that is silent for too long. */
  readonly onSilent: (rank: number) => void;
  /** Clock in milliseconds; for tests. */
  readonly now?: () => number;
}

/** Milliseconds between beats. */
const INTERVAL = 1000;

/** Sends and expects signs of life. */
export class Heartbeat {
  readonly #mailbox: Mailbox;
  readonly #peers: readonly number[];
  readonly #options: HeartbeatOptions;
  readonly #now: () => number;
  readonly #heard: Map<number, number>;
  #last: number;
  #over = false;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor({ rank, size }: Watched, mailbox: Mailbox, options: HeartbeatOptions) {
    this.#mailbox = mailbox;
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#peers = rank === 0 ? Array.from({ length: size - 1 }, (_, i) => i + 1) : [0];
    this.#last = this.#now();
    this.#heard = new Map(this.#peers.map((peer) => [peer, this.#last]));
  }

  /** Beats from now on, as long as this process lives and its thread is free now and then. */
  start(): void {
    this.#timer = setInterval(() => this.beat(), INTERVAL);
    Deno.unrefTimer(this.#timer);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** One beat. */
  beat(): void {
    if (this.#over) return;
    const now = this.#now();
    const { timeout, onSilent } = this.#options;
    // It was this process that was stopped or busy, and words may be on their way.
    const slept = now - this.#last > timeout * 1000 / 2;
    this.#last = now;
    for (const peer of this.#peers) {
      this.#mailbox.send(peer);
      if (this.#mailbox.receive(peer) || slept) this.#heard.set(peer, now);
      if (now - this.#heard.get(peer)! <= timeout * 1000) continue; // each has an entry
      this.#over = true;
      this.stop();
      onSilent(peer);
      return;
    }
  }
}
