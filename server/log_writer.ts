/**
 * Buffered log output, so that a stalled reader of standard output does not block the server.
 *
 * @module
 */

/** Destination of log lines; may accept only part of the bytes. */
export interface LogSink {
  write(bytes: Uint8Array): Promise<number>;
}

/** Maximum number of buffered lines: a few seconds of a busy server. */
const WAITING = 10_000;

/** Writes lines in order, one write at a time. Lines beyond the buffer's limit are dropped and counted. */
export class LogWriter {
  readonly #sink: LogSink;
  readonly #waiting: number;
  readonly #tellDropped: (lines: number) => string;
  readonly #encoder = new TextEncoder();
  #lines: string[] = [];
  #dropped = 0;
  #writing: Promise<void> | undefined;

  /** @param tellDropped formats the line that reports the number of dropped lines */
  constructor(sink: LogSink, tellDropped: (lines: number) => string, waiting: number = WAITING) {
    this.#sink = sink;
    this.#tellDropped = tellDropped;
    this.#waiting = waiting;
  }

  /** Buffers a line without a newline; does not block. */
  write(line: string): void {
    if (this.#lines.length >= this.#waiting) {
      this.#dropped++;
      return;
    }
    this.#lines.push(line);
    this.#writing ??= this.#writeAll();
  }

  /** Resolves when everything so far is written; never, if the reader stalls. */
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
        // The reader is gone, which must not stop the server.
      }
    }
    this.#writing = undefined;
  }

  async #writeBytes(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) at += await this.#sink.write(bytes.subarray(at));
  }
}
