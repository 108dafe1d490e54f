/**
 * The program's modules as main modules of other processes.
 *
 * @module
 */
import { fileURLToPath } from "node:url";

/** The project's folder, or the URL of the published package's version. */
const ROOT = new URL("../", import.meta.url);

/** True if this program's files are on this machine's disk, not those of a published package. */
export const IS_ON_DISK: boolean = ROOT.protocol === "file:";

/**
 * Path of one of the program's files or folders; only where {@linkcode IS_ON_DISK}.
 *
 * @param path from the project's folder
 */
export function programPath(path: string): string {
  return fileURLToPath(new URL(path, ROOT));
}

/**
 * Deno's last options and the main module, to run one of the program's modules by `deno run`. A published package has its npm
 * specifiers in its modules; a clone, in its `deno.json`.
 *
 * @param path of the module from the project's folder
 */
export function moduleArguments(path: string): string[] {
  return IS_ON_DISK
    ? [`--config=${programPath("deno.json")}`, programPath(path)]
    : ["--no-config", "--no-lock", new URL(path, ROOT).href];
}
