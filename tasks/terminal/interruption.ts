/**
 * Ends training from outside: on signals, or when nobody reads its output or no disk takes it.
 *
 * @module
 */
import { type Output, type OutputFailure, standardOutput } from "./output.ts";
import type { Reporter } from "./progress.ts";

/** Signals and what the process ends with, 128 and the signal's number. */
const SIGNALS = [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]] as const;
/** The same of SIGPIPE, which Deno does not have: writing to a pipe that nobody reads is an error here. */
const BROKEN_PIPE = 141;

/**
 * Milliseconds in which a signal that comes again is the same one: a terminal sends Ctrl-C to `deno task` and to its
 * child, and `deno task` may pass its own on.
 */
const ECHO_MS = 500;

/** What ends training with a save, and the process without one where there is nothing to save. */
export class Interruption {
  readonly #controller = new AbortController();
  readonly #report: Reporter;
  readonly #output: Output;
  #training = false;
  /** Whether another signal is meant to end the process at once. */
  #impatient = false;
  /** What the process ends with; 0 as long as nothing interrupted it. */
  exitCode = 0;

  /** Listens from now on. */
  constructor(report: Reporter, output: Output = standardOutput()) {
    this.#report = report;
    this.#output = output;
    for (const [name, code] of SIGNALS) {
      if (Deno.build.os === "windows" && name !== "SIGINT") continue;
      Deno.addSignalListener(name, () => this.#on(name, code));
    }
    output.onFailure((failure) => this.#onOutput(failure));
  }

  /** Ends training with a save. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Runs training: meanwhile the first signal ends it, another one the process; else the first ends the process. */
  async during<T>(training: () => Promise<T>): Promise<T> {
    this.#training = true;
    if (this.#output.failure) this.#onOutput(this.#output.failure);
    try {
      return await training();
    } finally {
      this.#training = false;
    }
  }

  #on(name: string, code: number): void {
    if (!this.#training || this.#impatient) Deno.exit(code);
    if (this.signal.aborted) return;
    this.#report.line(`${name}: saving after this step; once more ends at once without saving`);
    this.#interrupt(code);
    // In two parts: where the thread was busy for so long, an echo is heard after the first.
    setTimeout(() => setTimeout(() => this.#impatient = true, ECHO_MS / 2), ECHO_MS / 2);
  }

  #onOutput({ code }: OutputFailure): void {
    if (this.#training && !this.signal.aborted) this.#interrupt(code === "EPIPE" ? BROKEN_PIPE : 1);
  }

  #interrupt(code: number): void {
    this.exitCode = code;
    this.#controller.abort();
  }
}
