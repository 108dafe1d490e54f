/**
 * The program's modules as main modules of other processes.
 *
 * @module
 */
import { basename } from "node:path";
import { fileURLToPath } from "node:url";

/** The project's folder, or the URL of the published package's version. */
const ROOT = new URL("../", import.meta.url);

/** True if this program's files are on this machine's disk: not those of a published package, nor inside an executable. */
export const IS_ON_DISK: boolean = ROOT.protocol === "file:" && !Deno.build.standalone;

/** Command of the package's command line that is the server's process, for executables, which can start only themselves. */
export const SERVER_COMMAND = "server-process";

/**
 * Path of one of the program's files or folders; only where {@linkcode IS_ON_DISK}.
 *
 * @param path from the project's folder
 */
export function programPath(path: string): string {
  return fileURLToPath(new URL(path, ROOT));
}

/**
 * Arguments for `Deno.execPath()` to run one of the program's modules in another process. A published package has its npm specifiers
 * in its modules; a clone, in its `deno.json`. An executable starts itself, with its own permissions.
 *
 * @param path `server/main.ts` or the module of a task, from the project's folder
 * @param options Deno's, such as permissions
 * @param args of the module
 * @param isExecutable true in an executable that `deno compile` has made
 */
export function processArguments(
  path: string,
  options: readonly string[],
  args: readonly string[],
  isExecutable: boolean = Deno.build.standalone,
): string[] {
  if (isExecutable) {
    const task = basename(path, ".ts").replace("_", ":");
    return [path === "server/main.ts" ? SERVER_COMMAND : task, ...args];
  }
  const module = IS_ON_DISK
    ? [`--config=${programPath("deno.json")}`, programPath(path)]
    : ["--no-config", "--no-lock", new URL(path, ROOT).href];
  return ["run", ...options, ...module, ...args];
}
