/**
 * `deno task serve`: finds the model and starts the server in a process that may do next to nothing else.
 *
 * @module
 */
import { showErrorAndExit } from "./terminal/cli.ts";
import { modelDirectory } from "./runs.ts";
import { readServeFlags } from "./serve_flags.ts";
import { complain } from "./terminal/output.ts";
import { needsAllPermissions, startServer } from "./terminal/server_process.ts";

/** Signals that mean something to the server; Windows knows the first only. */
const SIGNALS = (["SIGINT", "SIGTERM", "SIGHUP"] as const).slice(0, Deno.build.os === "windows" ? 1 : 3);

/**
 * Passes signals on to the server. It takes a signal that comes again at once for the same one, and so may be told by
 * the terminal, by `deno task` and from here of the same Ctrl-C.
 */
function passSignalsTo(server: Deno.ChildProcess): void {
  const interactive = Deno.stdin.isTerminal();
  for (const signal of SIGNALS) {
    Deno.addSignalListener(signal, () => {
      // The same signal asks a service to reload and says that the terminal of a program was closed.
      const hungUp = signal === "SIGHUP" && interactive && !Deno.stdin.isTerminal();
      try {
        server.kill(hungUp ? "SIGTERM" : signal);
      } catch {
        // it has just ended by itself
      }
    });
  }
}

async function main(args: string[]): Promise<number> {
  const flags = readServeFlags(args);
  const settings = { ...flags, model: await modelDirectory(flags.model) };
  if (needsAllPermissions(settings)) {
    complain(
      "warning: Deno opens files below /dev, /proc and /sys to programs with all permissions only, " +
        `so this server has them all; a model elsewhere needs next to none (${settings.model})`,
    );
  }
  const server = startServer(settings, { stdout: "inherit", stderr: "inherit" });
  passSignalsTo(server);
  return (await server.status).code;
}

if (import.meta.main) {
  try {
    Deno.exit(await main(Deno.args));
  } catch (error) {
    showErrorAndExit(error);
  }
}
