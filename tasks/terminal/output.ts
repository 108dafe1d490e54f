/**
 * Standard output that cannot fail a task: its reader may go away (`| head -1`), and the disk of a log may fill up.
 *
 * @module
 */
import process from "node:process";
import { fileProblem } from "../../lib/files/durable.ts";
import { printable } from "../../lib/shell.ts";

/** Where output and complaints go; for tests. */
interface Stream {
  readonly isTTY?: boolean;
  write(text: string): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
}

/** Why output stopped: `EPIPE` where nobody reads it, or else what the system says, e.g. `ENOSPC`. */
export interface OutputFailure {
  readonly code: string | undefined;
  readonly reason: string;
}

/**
 * Writes text until that fails. A reader that has gone wants no more, so the rest is dropped without a word. Any other
 * failure is told on standard error, and what is still to be said goes there.
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

  /** Whether it is a terminal. */
  get isTTY(): boolean {
    return this.#stream.isTTY ?? false;
  }

  /** Why no more is written, if that is so. */
  get failure(): OutputFailure | undefined {
    return this.#failure;
  }

  /** Whether output was lost for another reason than that its reader had gone. */
  get incomplete(): boolean {
    return this.#failure !== undefined && this.#failure.code !== "EPIPE";
  }

  /** Tells of the failure when it comes, once; at once where it has come already. */
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
      // Nobody is left to tell.
    }
  }
}

/** Prints a message on standard error, control characters shown; where that cannot be written, nobody is left to tell. */
export function complain(message: string): void {
  try {
    console.error(printable(message));
  } catch {
    // see above
  }
}

let shared: Output | undefined;

/** This process's standard output. */
export function standardOutput(): Output {
  return shared ??= new Output(process.stdout, process.stderr);
}
