/**
 * Interruption of training by signals, by a closed output pipe, or by a full disk under the log.
 *
 * @module
 */
import { type Output, type OutputFailure, standardOutput } from "./output.ts";
import type { Reporter } from "./progress.ts";

/** Signals and exit codes: 128 plus the signal's number. */
const SIGNALS = [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]] as const;
/** Exit code for a closed pipe: as of SIGPIPE, which in Deno is an error on writing. */
const BROKEN_PIPE = 141;

/**
 * Milliseconds in which a repeated signal is taken for an echo: a terminal sends Ctrl-C to `deno task` and to its child, and
 * `deno task` may forward its own.
 */
const ECHO_MS = 500;

/** Ends training with a save; outside training, ends the process. */
export class Interruption {
  readonly #controller = new AbortController();
  readonly #report: Reporter;
  readonly #output: Output;
  readonly #keeping: string;
  #training = false;
  /** True if another signal ends the process at once. */
  #impatient = false;
  /** Exit code; 0 unless interrupted. */
  exitCode = 0;

  /**
   * Starts listening.
   *
   * @param keeping what happens after the first signal, for its message
   */
  constructor(
    report: Reporter,
    output: Output = standardOutput(),
    keeping = "saving after this step; repeat to quit at once without saving",
  ) {
    this.#report = report;
    this.#output = output;
    this.#keeping = keeping;
    for (const [name, code] of SIGNALS) {
      if (Deno.build.os === "windows" && name !== "SIGINT") continue;
      Deno.addSignalListener(name, () => this.#on(name, code));
    }
    output.onFailure((failure) => this.#onOutput(failure));
  }

  /** Signal for `train()`. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Runs training; during it, the first signal ends training and a second one the process. */
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
    this.#report.line(`${name}: ${this.#keeping}`);
    this.#interrupt(code);
    // Two timers: if the thread was blocked for longer, the echo arrives after the first.
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
