/**
 * `deno task serve`: finds the model, and starts the server in a process with minimal permissions.
 *
 * @module
 */
import { showErrorAndExit } from "../terminal/cli.ts";
import { modelDirectory } from "./runs.ts";
import { readServeFlags } from "./serve_flags.ts";
import { complain } from "../terminal/output.ts";
import { needsAllPermissions, startServer } from "../terminal/server_process.ts";

/** Signals that the server handles; Windows has only the first. */
const SIGNALS = (["SIGINT", "SIGTERM", "SIGHUP"] as const).slice(0, Deno.build.os === "windows" ? 1 : 3);

/**
 * Forwards signals to the server. The same Ctrl-C may reach it from the terminal, from `deno task` and from here: it treats
 * a signal repeated at once as one.
 */
function passSignalsTo(server: Deno.ChildProcess): void {
  const interactive = Deno.stdin.isTerminal();
  for (const signal of SIGNALS) {
    Deno.addSignalListener(signal, () => {
      // SIGHUP asks a service to reload, but also says that the terminal was closed.
      const hungUp = signal === "SIGHUP" && interactive && !Deno.stdin.isTerminal();
      try {
        server.kill(hungUp ? "SIGTERM" : signal);
      } catch {
        // the server has just ended
      }
    });
  }
}

async function main(args: string[]): Promise<number> {
  const flags = readServeFlags(args);
  const settings = { ...flags, model: await modelDirectory(flags.model) };
  if (needsAllPermissions(settings)) {
    complain(
      "warning: Deno opens files in /dev, /proc and /sys only to programs with all permissions, so this server " +
        `runs with all permissions; a model elsewhere needs hardly any (${settings.model})`,
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
