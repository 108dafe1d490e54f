/**
 * `deno task serve`: finds the model, and starts the server in a process with minimal permissions.
 *
 * @module
 */
import { servedModels } from "./served_models.ts";
import { readServeFlags } from "./serve_flags.ts";
import { selectBackend, WITHOUT_DAWN } from "../terminal/backend.ts";
import { complain } from "../terminal/output.ts";
import { modelPaths, needsAllPermissions, startServer } from "../terminal/server_process.ts";
import { exitCodeOf } from "../terminal/signals.ts";
import { runToExit, type Task } from "../terminal/task.ts";

async function main(args: readonly string[]): Promise<number> {
  const { backend, model, guide, ...flags } = readServeFlags(args);
  const dawn = await selectBackend(backend);
  const models = await servedModels({ model, guide, variant: flags.variant });
  const settings = { ...flags, models, dawn };
  if (needsAllPermissions(settings)) {
    complain(
      "warning: Deno opens files in /dev, /proc and /sys only to programs with all permissions, so this server " +
        `runs with all permissions; models elsewhere need hardly any (${modelPaths(models).join(", ")})`,
    );
  }
  const server = startServer(settings, { stdout: "inherit", stderr: "inherit" });
  return await exitCodeOf(server, "the server", dawn && WITHOUT_DAWN);
}

/** `deno task serve`. */
export const serveTask: Task = { main };

if (import.meta.main) await runToExit(serveTask, Deno.args);
