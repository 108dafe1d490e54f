/**
 * Signal handling: the first signal shuts down gracefully, the next one at once.
 *
 * @module
 */

/** Exit statuses of a forced shutdown, by signal. */
const FORCED = { SIGINT: 130, SIGTERM: 143 } as const;

/**
 * Milliseconds in which repeated signals count as one. A terminal sends Ctrl-C to every process of the command, and parent
 * processes forward it as well; a service manager may do the same with SIGTERM.
 */
const SAME_MS = 500;

/** Options of {@linkcode createShutdown}. */
export interface ShutdownOptions {
  /** Shuts down gracefully; the process then exits with 0, or with 1 if this fails. */
  readonly finish: () => Promise<void>;
  /** Called for the first signal, and for the one that forces the exit. */
  readonly onSignal: (why: string, forced: boolean) => void;
  readonly exit: (status: number) => void;
  /** Monotonic time in milliseconds. */
  readonly now?: () => number;
}

/**
 * Creates the signal handler.
 *
 * @returns called with each signal, or with `undefined` when the parent process has ended
 */
export function createShutdown(
  options: ShutdownOptions,
): (signal: keyof typeof FORCED | undefined) => void {
  const { finish, onSignal, exit, now = () => performance.now() } = options;
  let began: number | undefined;
  return (signal) => {
    if (began === undefined) {
      began = now();
      onSignal(signal ?? "the parent process has ended", false);
      finish().then(() => exit(0), () => exit(1));
    } else if (signal !== undefined && now() - began >= SAME_MS) {
      onSignal(signal, true);
      exit(FORCED[signal]);
    }
  };
}

/** Calls `stop` on SIGINT and SIGTERM, `reload` on SIGHUP. */
export function listenForSignals(stop: (signal: keyof typeof FORCED) => void, reload: () => void): void {
  Deno.addSignalListener("SIGINT", () => stop("SIGINT"));
  if (Deno.build.os === "windows") return; // has no other signals
  Deno.addSignalListener("SIGTERM", () => stop("SIGTERM"));
  Deno.addSignalListener("SIGHUP", reload);
}
