/**
 * Structured log: one JSON object per line.
 *
 * @module
 */
import { printable } from "../lib/shell.ts";

/** How much a line matters. */
export type LogLevel = "info" | "warn" | "error";

/** What a line tells beside its time, level and message. A value of undefined counts as absent. */
export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>;

/** Takes what happened. Callers never give it a token, a query or a header that was not checked. */
export interface Log {
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  /** @param cause what went wrong inside; its stack is written, and those of its causes */
  error(message: string, fields?: LogFields, cause?: unknown): void;
}

/** A line of the log, without its end; a terminal that shows it obeys nothing in it. */
export function logLine(time: Date, level: LogLevel, message: string, fields: LogFields = {}): string {
  return printable(JSON.stringify({ time: time.toISOString(), level, message, ...fields }));
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
    this.#line("error", message, { ...fields, error: cause === undefined ? undefined : storyOf(cause) });
  }

  #line(level: LogLevel, message: string, fields: LogFields = {}): void {
    this.#write(logLine(this.#now(), level, message, fields));
  }
}

/** An error's stack, and those of what caused it. */
function storyOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const stack = error.stack ?? String(error);
  return error.cause === undefined ? stack : `${stack}\ncaused by ${storyOf(error.cause)}`;
}
