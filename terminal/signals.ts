/**
 * Supervision of a process that does this process's work.
 *
 * @module
 */
import { CRASHES, describeEnd } from "../lib/process.ts";
import { complain } from "./output.ts";

/** Signals forwarded; Windows has only the first. */
const SIGNALS = (["SIGINT", "SIGTERM", "SIGHUP"] as const).slice(0, Deno.build.os === "windows" ? 1 : 3);
const FORWARDED: ReadonlySet<Deno.Signal> = new Set(SIGNALS);

/**
 * Forwards signals to a child process until it ends, and reports the end by any other signal: a crash of native code, or the
 * system's for lack of memory. The same Ctrl-C may reach the child from the terminal, from `deno task` and from here: it must
 * treat a signal repeated at once as one.
 *
 * @param name of the child in the report, e.g. `the server`
 * @param advice on what to do if it crashes again
 * @returns its exit code
 */
export async function exitCodeOf(child: Deno.ChildProcess, name: string, advice?: string): Promise<number> {
  const interactive = Deno.stdin.isTerminal();
  for (const signal of SIGNALS) {
    Deno.addSignalListener(signal, () => {
      // SIGHUP asks a service to reload, but also says that the terminal was closed.
      const hungUp = signal === "SIGHUP" && interactive && !Deno.stdin.isTerminal();
      try {
        // A child that is stopped takes no other signal but SIGKILL.
        if (Deno.build.os !== "windows") child.kill("SIGCONT");
        child.kill(hungUp ? "SIGTERM" : signal);
      } catch {
        // the process has just ended
      }
    });
  }
  const status = await child.status;
  const { code, signal } = status;
  if (signal !== null && !FORWARDED.has(signal)) {
    const again = advice !== undefined && CRASHES.includes(signal)
      ? `; if this happens again, ${advice}`
      : "";
    complain(`error: ${name} ${describeEnd(status, "")}${again}`);
  }
  return code;
}
