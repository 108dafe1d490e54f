/**
 * Forwarding of signals to a process that does this process's work.
 *
 * @module
 */

/** Signals forwarded; Windows has only the first. */
const SIGNALS = (["SIGINT", "SIGTERM", "SIGHUP"] as const).slice(0, Deno.build.os === "windows" ? 1 : 3);

/**
 * Forwards signals to a child process. The same Ctrl-C may reach it from the terminal, from `deno task` and from here: it
 * must treat a signal repeated at once as one.
 */
export function passSignalsTo(child: Deno.ChildProcess): void {
  const interactive = Deno.stdin.isTerminal();
  for (const signal of SIGNALS) {
    Deno.addSignalListener(signal, () => {
      // SIGHUP asks a service to reload, but also says that the terminal was closed.
      const hungUp = signal === "SIGHUP" && interactive && !Deno.stdin.isTerminal();
      try {
        child.kill(hungUp ? "SIGTERM" : signal);
      } catch {
        // the process has just ended
      }
    });
  }
}
