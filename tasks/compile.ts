/**
 * `deno task compile`: one executable with the package's command line, for machines without Deno.
 *
 * @module
 */
import { basename, dirname, join } from "node:path";
import project from "../deno.json" with { type: "json" };
import { findPackages } from "../bundle/packages.ts";
import { DenoiseError } from "../lib/errors.ts";
import { CHART_PACKAGES } from "../lib/image/chart.ts";
import { UPLOT } from "../lib/report/uplot.ts";
import { TaskCommand } from "../terminal/cli.ts";
import { programPath } from "../terminal/modules.ts";
import { standardOutput } from "../terminal/output.ts";
import { checkWritable } from "../terminal/pictures.ts";
import { runToExit, type Task } from "../terminal/task.ts";
import { oneOf, path } from "../terminal/values.ts";

/** Main modules of workers: those start by URL, so that no import leads to them. */
const WORKERS = [
  "lib/data/cache/reader_worker.ts",
  "lib/data/decode/worker.ts",
  "server/engine/worker.ts",
  "server/pictures/decoder_worker.ts",
  "server/pictures/encoder_worker.ts",
];

/** What `deno compile` does not find by itself: workers, and packages that are imported by computed names. */
export const EMBEDDED: readonly string[] = [...WORKERS, ...CHART_PACKAGES, UPLOT];

/** Platforms that Deno has a runtime for. */
const TARGETS = [
  "x86_64-unknown-linux-gnu",
  "aarch64-unknown-linux-gnu",
  "x86_64-apple-darwin",
  "aarch64-apple-darwin",
  "x86_64-pc-windows-msvc",
  "aarch64-pc-windows-msvc",
] as const;
type Target = typeof TARGETS[number];

const NOTES = `\
The executable has the commands of jsr:@denoise/ddpm/cli, runs with all permissions, which Deno compiles in, and on Deno's own WebGPU: \
the machine must have a driver, and Dawn is not in it. Deno fetches its runtime for the platform (denort) once, from dl.deno.land; without a \
network, DENORT_BIN names one.`;

interface Flags {
  readonly out: string;
  readonly target?: Target;
}

function readFlags(args: readonly string[]): Flags {
  return new TaskCommand("compile", "Makes one executable of the package's command line, Deno included.")
    .flag("--out <FILE>", "file to write; on Windows with .exe at its end", {
      value: path(),
      default: "dist/denoise",
    })
    .flag("--target <PLATFORM>", "platform to run on", { value: oneOf(TARGETS), defaultText: "this one" })
    .notes(NOTES)
    .read<Flags>(args);
}

/**
 * Folders of packages to leave out: the test data of `bintrees`, which `prom-client` needs. Deno 2.9 reads it as a module, and
 * overflows its stack (denoland/deno issue 36746).
 */
async function leftOut(): Promise<string[]> {
  const packages = await findPackages(programPath("."), [project.imports["prom-client"]]);
  return packages.filter(({ name }) => name === "bintrees").map(({ localPath }) => join(localPath, "test"));
}

/**
 * Arguments of `deno` that make the executable.
 *
 * @param without folders to leave out
 */
export function compileArguments({ out, target }: Flags, without: readonly string[]): string[] {
  return [
    "compile",
    "--no-check", // `deno task types` does
    "--allow-all",
    "--no-prompt",
    "--unstable-no-legacy-abort", // for the server, as in terminal/server_process.ts
    `--config=${programPath("deno.json")}`,
    "--exclude-unused-npm",
    ...EMBEDDED.flatMap((each) => ["--include", each.startsWith("npm:") ? each : programPath(each)]),
    ...without.flatMap((folder) => ["--exclude", folder]),
    ...target === undefined ? [] : ["--target", target],
    "--output",
    out,
    programPath("cli.ts"),
  ];
}

/**
 * What is missing, if Deno could not fetch its runtime.
 *
 * @param output of `deno compile`
 * @returns undefined for another failure
 */
export function missingRuntime(output: string): string | undefined {
  const url = /https:\/\/\S*\/(denort-\S+\.zip)/.exec(output);
  if (!url || !/error sending request|HTTP status|Failed|404/i.test(output)) return undefined;
  return `Deno's runtime for executables could not be fetched from ${
    url[0]
  }: run this where that address can be reached, or unpack ` +
    `${url[1]} of the same version of Deno (${Deno.version.deno}) here and name the file by DENORT_BIN`;
}

/** Path of the executable: for Windows, Deno adds an ending. */
export function executablePath({ out, target }: Flags, os: typeof Deno.build.os = Deno.build.os): string {
  const isWindows = target === undefined ? os === "windows" : target.includes("windows");
  return isWindows && !/[.]exe$/i.test(out) ? `${out}.exe` : out;
}

async function main(args: readonly string[]): Promise<void> {
  const flags = readFlags(args);
  const path = executablePath(flags);
  await Deno.mkdir(dirname(path), { recursive: true });
  await checkWritable("--out", path);
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: compileArguments(flags, await leftOut()),
    env: { NO_COLOR: "1" },
    stdout: "inherit",
    stderr: "piped",
  }).output();
  const output = new TextDecoder().decode(stderr);
  if (!success) {
    const problem = missingRuntime(output);
    throw new DenoiseError(`${problem ? `${problem}\n` : ""}deno compile failed:\n${output.trim()}`);
  }
  const { size } = await Deno.stat(path);
  standardOutput().write(
    `${path}: ${(size / 1e6).toFixed(0)} MB; ${basename(path)} --help lists its commands\n`,
  );
}

/** `deno task compile`. */
export const compileTask: Task = { main };

if (import.meta.main) await runToExit(compileTask, Deno.args);
