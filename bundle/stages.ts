/**
 * Stages of a visit: commands in sequence, with a log and a time limit each. A stage that hangs or fails does not stop the
 * others, because the machine is available only for minutes.
 *
 * @module
 */

import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";

/** A program and its arguments. */
export type CommandLine = readonly [program: string, ...args: string[]];

/** Commands that are measured or tested together. */
export interface Stage {
  readonly name: string;
  /** Time limit, seconds. */
  readonly limit: number;
  /** Run in sequence, even after one fails. */
  readonly commands: readonly CommandLine[];
  /** Reason why the stage cannot run here. */
  readonly missing?: string;
}

/** Result of a stage. */
export interface Outcome {
  readonly name: string;
  /** `ok`, or what went wrong: `exit code 1`, `stopped after 60 s`, `not run: …`; `skipped: …` if the machine lacks what it needs. */
  readonly result: string;
  readonly seconds: number;
  /** Output of its commands. */
  readonly log: string;
}

/** Options of {@linkcode runStages}. */
export interface StageOptions {
  /** Folder for the logs, one `STAGE.log` each. */
  readonly out: string;
  /** Working directory of the commands. */
  readonly cwd: string;
  /** Time limit for all stages together, seconds. */
  readonly seconds: number;
  /** Ends the running command, and skips all further stages. */
  readonly signal?: AbortSignal;
  /** Called when a stage begins, and again with its outcome. */
  readonly onStage?: (stage: Stage, outcome?: Outcome) => void;
}

/** True unless a stage failed or was not run; a skipped one could not have done more here. */
export function isFine({ result }: Outcome): boolean {
  return result === "ok" || result.startsWith("skipped: ");
}

/** Shortest time for which a stage is begun, seconds. */
const LEAST_SECONDS = 5;
/** Seconds between SIGTERM and SIGKILL. */
const GRACE = 3;

/** Runs stages in order, and returns the outcome of each. */
export async function runStages(stages: readonly Stage[], options: StageOptions): Promise<Outcome[]> {
  const end = performance.now() + 1000 * options.seconds;
  const outcomes: Outcome[] = [];
  for (const stage of stages) {
    const left = (end - performance.now()) / 1000 - GRACE;
    const obstacle = (stage.missing && `skipped: ${stage.missing}`) ??
      (options.signal?.aborted ? "not run: interrupted" : undefined) ??
      (left < Math.min(LEAST_SECONDS, stage.limit) ? "not run: no time was left" : undefined);
    const outcome = obstacle === undefined
      ? await runStage(stage, Math.min(left, stage.limit), options)
      : { name: stage.name, result: obstacle, seconds: 0, log: "" };
    outcomes.push(outcome);
    options.onStage?.(stage, outcome);
  }
  return outcomes;
}

async function runStage(stage: Stage, limit: number, options: StageOptions): Promise<Outcome> {
  options.onStage?.(stage);
  const path = join(options.out, `${stage.name}.log`);
  Deno.writeTextFileSync(path, "");
  const log = openSync(path, "a"); // append mode: the commands write to it too
  const start = performance.now();
  const elapsed = () => (performance.now() - start) / 1000;
  const problems: string[] = [];
  try {
    for (const command of stage.commands) {
      const left = limit - elapsed();
      if (left <= 0 || options.signal?.aborted) break;
      writeSync(log, `$ ${command.join(" ")}\n`);
      const problem = await run(command, options.cwd, log, left, options.signal);
      if (problem === undefined) continue;
      problems.push(problem);
      writeSync(log, `(${problem})\n`);
    }
  } finally {
    closeSync(log);
  }
  const seconds = elapsed();
  if (options.signal?.aborted) problems.push("interrupted");
  else if (seconds >= limit) problems.push(`stopped after ${Math.round(limit)} s`);
  const result = [...new Set(problems)].join("; ") || "ok";
  return { name: stage.name, result, seconds, log: readFileSync(path, "utf8") };
}

/** Runs a command until it exits, `limit` seconds pass or the signal aborts; returns its own failure, if any. */
function run(
  [program, ...args]: CommandLine,
  cwd: string,
  log: number,
  limit: number,
  signal?: AbortSignal,
): Promise<string | undefined> {
  return new Promise((resolve) => {
    // A process group of its own, so that child processes end with it.
    const env = { ...process.env, NO_COLOR: "1" };
    const child = spawn(program, args, { cwd, env, stdio: ["ignore", log, log], detached: true });
    const end = (how: "SIGTERM" | "SIGKILL") => {
      try {
        process.kill(-child.pid!, how);
      } catch {
        // already exited
      }
    };
    let killing: ReturnType<typeof setTimeout> | undefined;
    const stop = () => {
      end("SIGTERM");
      killing ??= setTimeout(() => end("SIGKILL"), 1000 * GRACE);
    };
    const limiting = setTimeout(stop, 1000 * limit);
    signal?.addEventListener("abort", stop, { once: true });
    const settle = (problem?: string) => {
      const stopped = killing !== undefined;
      clearTimeout(limiting);
      clearTimeout(killing);
      signal?.removeEventListener("abort", stop);
      if (stopped) end("SIGKILL"); // child processes may have ignored SIGTERM
      resolve(stopped ? undefined : problem);
    };
    child.on("error", (error) => settle(`${program}: ${error.message}`));
    child.on("exit", (code, by) => settle(code === 0 ? undefined : by ?? `exit code ${code}`));
  });
}
