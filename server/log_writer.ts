/**
 * Buffered log output, so that a stalled reader of standard output does not block the server.
 *
 * @module
 */

/** Where lines go: takes some or all of the bytes, in its own time. */
export interface LogSink {
  write(bytes: Uint8Array): Promise<number>;
}

/** Lines that may wait for their reader: some seconds of a busy server. */
const WAITING = 10_000;

/** Writes lines in order, one write at a time; drops those that come while too many wait, and then tells how many. */
export class LogWriter {
  readonly #sink: LogSink;
  readonly #waiting: number;
  readonly #tellDropped: (lines: number) => string;
  readonly #encoder = new TextEncoder();
  #lines: string[] = [];
  #dropped = 0;
  #writing: Promise<void> | undefined;

  /** @param tellDropped makes the line that tells how many are missing */
  constructor(sink: LogSink, tellDropped: (lines: number) => string, waiting: number = WAITING) {
    this.#sink = sink;
    this.#tellDropped = tellDropped;
    this.#waiting = waiting;
  }

  /** Takes a line without its end; returns at once. */
  write(line: string): void {
    if (this.#lines.length >= this.#waiting) {
      this.#dropped++;
      return;
    }
    this.#lines.push(line);
    this.#writing ??= this.#writeAll();
  }

  /** Resolves when everything so far is written, which may be never. */
  async flush(): Promise<void> {
    await this.#writing;
  }

  async #writeAll(): Promise<void> {
    while (this.#lines.length > 0) {
      const lines = this.#lines.splice(0);
      if (this.#dropped > 0) lines.push(this.#tellDropped(this.#dropped));
      this.#dropped = 0;
      try {
        await this.#writeBytes(this.#encoder.encode(lines.map((line) => `${line}\n`).join("")));
      } catch {
        // Nobody reads it any more: a log without a reader must not end the server.
      }
    }
    this.#writing = undefined;
  }

  async #writeBytes(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) at += await this.#sink.write(bytes.subarray(at));
  }
}
