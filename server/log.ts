/**
 * What happened, a line of JSON each.
 *
 * @module
 */

/** How much a line matters. */
export type LogLevel = "info" | "warn" | "error";

/** What a line tells beside its time, level and message. A value of undefined counts as absent. */
export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>;

/** Takes what happened. Callers never give it a token, a query or a header that was not checked. */
export interface Log {
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  /** @param cause what went wrong inside; its stack is written */
  error(message: string, fields?: LogFields, cause?: unknown): void;
}

/** Writes each line as JSON: `time` (UTC), `level`, `message`, then its fields. */
export class JsonLog implements Log {
  readonly #write: (line: string) => void;
  readonly #now: () => Date;

  /** @param write takes a line without its end; default standard output */
  constructor(write: (line: string) => void = console.log, now: () => Date = () => new Date()) {
    this.#write = write;
    this.#now = now;
  }

  info(message: string, fields?: LogFields): void {
    this.#line("info", message, fields);
  }

  warn(message: string, fields?: LogFields): void {
    this.#line("warn", message, fields);
  }

  error(message: string, fields?: LogFields, cause?: unknown): void {
    const error = cause === undefined ? undefined : cause instanceof Error ? cause.stack : String(cause);
    this.#line("error", message, { ...fields, error });
  }

  #line(level: LogLevel, message: string, fields: LogFields = {}): void {
    this.#write(JSON.stringify({ time: this.#now().toISOString(), level, message, ...fields }));
  }
}
