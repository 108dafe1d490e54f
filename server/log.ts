/**
 * Structured log: one JSON object per line.
 *
 * @module
 */
import { printable } from "../lib/shell.ts";

/** Severity of a line. */
export type LogLevel = "info" | "warn" | "error";

/** Additional fields of a line. Undefined values are omitted. */
export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>;

/** Structured log. Callers must not pass tokens, queries or unvalidated headers. */
export interface Log {
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  /** @param cause internal error, logged with its stack and those of its causes */
  error(message: string, fields?: LogFields, cause?: unknown): void;
}

/** Formats a log line without a newline; control characters are escaped, for terminals. */
export function logLine(time: Date, level: LogLevel, message: string, fields: LogFields = {}): string {
  return printable(JSON.stringify({ time: time.toISOString(), level, message, ...fields }));
}

/** Writes each line as JSON: `time` (UTC), `level`, `message`, then its fields. */
export class JsonLog implements Log {
  readonly #write: (line: string) => void;
  readonly #now: () => Date;

  /** @param write takes a line without a newline; default standard output */
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

/** Stack of an error and of its causes. */
function storyOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const stack = error.stack ?? String(error);
  return error.cause === undefined ? stack : `${stack}\ncaused by ${storyOf(error.cause)}`;
}
