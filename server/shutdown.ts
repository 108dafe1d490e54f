/**
 * Signal handling: the first signal shuts down gracefully, the next one at once.
 *
 * @module
 */

/** Signals that end the server, and the exit status of one that is ended at once. */
const FORCED = { SIGINT: 130, SIGTERM: 143 } as const;

/**
 * Milliseconds in which another signal is the same wish. A terminal sends Ctrl-C to every process of the command, and
 * those before this one pass it on; a service manager may do likewise with SIGTERM.
 */
const SAME_MS = 500;

/** What {@linkcode createShutdown} needs. */
export interface ShutdownOptions {
  /** Ends what is under way; the process then exits 0, or 1 where this fails. */
  readonly finish: () => Promise<void>;
  /** Told of the first signal and of one that does not wait. */
  readonly onSignal: (why: string, forced: boolean) => void;
  readonly exit: (status: number) => void;
  /** Milliseconds on a clock that only goes forward. */
  readonly now?: () => number;
}

/**
 * Makes the handler of signals.
 *
 * @returns to be called with each signal, and with `undefined` when the process that started the server has gone
 */
export function createShutdown(
  options: ShutdownOptions,
): (signal: keyof typeof FORCED | undefined) => void {
  const { finish, onSignal, exit, now = () => performance.now() } = options;
  let began: number | undefined;
  return (signal) => {
    if (began === undefined) {
      began = now();
      onSignal(signal ?? "the process that started this one has ended", false);
      finish().then(() => exit(0), () => exit(1));
    } else if (signal !== undefined && now() - began >= SAME_MS) {
      onSignal(signal, true);
      exit(FORCED[signal]);
    }
  };
}

/** Calls `stop` for each signal that ends the server, `reload` for the one that asks for it. */
export function listenForSignals(stop: (signal: keyof typeof FORCED) => void, reload: () => void): void {
  Deno.addSignalListener("SIGINT", () => stop("SIGINT"));
  if (Deno.build.os === "windows") return; // knows none of the others
  Deno.addSignalListener("SIGTERM", () => stop("SIGTERM"));
  Deno.addSignalListener("SIGHUP", reload);
}
