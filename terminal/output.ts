/**
 * Standard output whose failure does not fail a task: a reader may close the pipe (`| head -1`), and a log's disk fill up.
 *
 * @module
 */
import process from "node:process";
import { fileProblem } from "../lib/files/durable.ts";
import { printable } from "../lib/shell.ts";

/** The part of Node's streams used here; for tests. */
interface Stream {
  readonly isTTY?: boolean;
  write(text: string): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
}

/** Reason that output failed: `EPIPE` for a closed pipe, otherwise the system's code, e.g. `ENOSPC`. */
export interface OutputFailure {
  readonly code: string | undefined;
  readonly reason: string;
}

/**
 * Writes text until that fails. After a closed pipe the rest is silently dropped. Any other failure is reported on standard
 * error, and the rest is written there.
 */
export class Output {
  readonly #stream: Stream;
  readonly #errors: Stream;
  readonly #listeners: ((failure: OutputFailure) => void)[] = [];
  #failure: OutputFailure | undefined;

  constructor(stream: Stream, errors: Stream) {
    this.#stream = stream;
    this.#errors = errors;
    // Pipes report a failure as an event, files by throwing.
    stream.on("error", (error) => this.#fail(error));
    errors.on("error", () => {});
  }

  /** True if it is a terminal. */
  get isTTY(): boolean {
    return this.#stream.isTTY ?? false;
  }

  /** The failure, if any. */
  get failure(): OutputFailure | undefined {
    return this.#failure;
  }

  /** True if output failed for any reason other than a closed pipe. */
  get incomplete(): boolean {
    return this.#failure !== undefined && this.#failure.code !== "EPIPE";
  }

  /** Calls the listener once on failure; immediately if it has already failed. */
  onFailure(listener: (failure: OutputFailure) => void): void {
    if (this.#failure) listener(this.#failure);
    else this.#listeners.push(listener);
  }

  /** Writes text, or drops it; never throws. */
  write(text: string): void {
    try {
      if (!this.#failure) this.#stream.write(text);
    } catch (error) {
      this.#fail(error as Error);
    }
    if (this.incomplete) this.#complain(text);
  }

  #fail(error: Error): void {
    if (this.#failure) return;
    this.#failure = { code: (error as { code?: string }).code, reason: fileProblem(error) };
    if (this.incomplete) {
      this.#complain(`error: cannot write standard output: ${printable(this.#failure.reason)}\n`);
    }
    for (const listener of this.#listeners) listener(this.#failure);
  }

  #complain(text: string): void {
    try {
      this.#errors.write(text);
    } catch {
      // Standard error is closed, too.
    }
  }
}

/** Prints a message on standard error with control characters escaped; ignores a failure to do so. */
export function complain(message: string): void {
  try {
    console.error(printable(message));
  } catch {
    // Standard error is closed.
  }
}

let shared: Output | undefined;

/** This process's standard output. */
export function standardOutput(): Output {
  return shared ??= new Output(process.stdout, process.stderr);
}
