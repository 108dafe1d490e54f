/**
 * Trial of Dawn in a process of its own: native code that does not suit a machine or its driver ends the process that loads
 * it, or never returns.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { describeEnd, permissionFlag } from "../../process.ts";
import { DawnError, loadError } from "./error.ts";
import { DAWN_PACKAGE, DAWN_VERSION } from "./package.ts";

/** Time limit of a trial in milliseconds; on a busy machine without a GPU it takes a second. */
const LIMIT = 60_000;

/**
 * Path of Dawn's binary for this machine. Downloads the package on first use; needs no permission.
 *
 * @throws {DawnError} if it cannot be downloaded, or has no binary for this system
 */
export async function dawnBinary(): Promise<string> {
  const json = `${DAWN_PACKAGE}/package.json`;
  try {
    await import(json, { with: { type: "json" } });
  } catch (error) {
    throw loadError(error as Error);
  }
  return fileURLToPath(new URL(binaryName(Deno.build), import.meta.resolve(json)));
}

/**
 * Path of a system's binary in the package.
 *
 * @throws {DawnError} if there is none
 */
export function binaryName({ os, arch }: { readonly os: string; readonly arch: string }): string {
  const folder = FOLDERS[`${os}-${arch}`];
  if (folder === undefined) {
    throw new DawnError(`Dawn ${DAWN_VERSION} has no binary for ${os} on ${arch}`);
  }
  return `dist/${folder}/dawn.node`;
}

/** The package's folders by operating system and processor. */
const FOLDERS: Readonly<Record<string, string>> = {
  "linux-x86_64": "linux-x64",
  "linux-aarch64": "linux-arm64",
  "darwin-x86_64": "darwin-universal",
  "darwin-aarch64": "darwin-universal",
  "windows-x86_64": "win32-x64",
  "windows-aarch64": "win32-arm64",
};

/** Substitutes for the trial's program and time limit in milliseconds; for tests. */
export interface ProbeMeans {
  readonly program?: string;
  readonly limit?: number;
}

/**
 * Opens a device in a process that has permission for Dawn's binary and nothing else. Needs permission to run Deno.
 *
 * @param binary path, from {@linkcode dawnBinary}
 * @param toggles unsafe toggles
 * @throws {DawnError} with the reason if that fails, crashes, or takes longer than a minute
 * @throws {ConfigError} if the binary's path cannot be given permission
 */
export async function probeDawn(
  binary: string,
  toggles: readonly string[],
  { program = new URL("./probe_main.ts", import.meta.url).href, limit = LIMIT }: ProbeMeans = {},
): Promise<void> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--quiet",
      "--no-prompt",
      "--no-config",
      "--no-lock",
      permissionFlag("ffi", [binary], "DENO_DIR"),
      program,
      ...toggles,
    ],
    env: { NO_COLOR: "1" },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, limit);
  const { stdout, stderr, ...status } = await child.output();
  clearTimeout(timer);
  // Open until now: the trial ends with this pipe, so that it does not outlive a parent that is killed.
  await child.stdin.close().catch(() => {});
  const [said, complained] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes).trim());
  const verdict = said!.split(/\r?\n/).find((line) => line.startsWith(VERDICT))?.slice(VERDICT.length);
  // An abort after that is a software driver's at exit.
  if (verdict === OPENED) return;
  const fault = "the backend dawn does not work here: in a trial it";
  if (late) throw new DawnError(`${fault} did not open a device within ${limit / 1000} s`);
  if (verdict !== undefined) throw new DawnError(`${fault} ${verdict}`);
  const why = firstError(complained!) || (status.signal ? "" : "no device was opened");
  throw new DawnError(`${fault} ${describeEnd(status, why)}`, binary);
}

/** The error among the lines that Deno and drivers print on standard error. */
function firstError(text: string): string {
  const lines = text.split("\n");
  return lines.find((line) => line.startsWith("error: "))?.slice("error: ".length) ?? lines[0]!;
}

/** Start of the line with a trial's result: libraries that it loads may print lines of their own. */
export const VERDICT = "trial of dawn: ";
/** Result of a successful trial. */
export const OPENED = "opened";
