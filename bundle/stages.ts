/**
 * Running commands one after another, each with a log and a time limit, whatever becomes of the others: on a machine that
 * is there for minutes, a stage that hangs or fails must not take the rest along.
 *
 * @module
 */

import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";

/** A program and its arguments. */
export type CommandLine = readonly [program: string, ...args: string[]];

/** What is measured or tested together. */
export interface Stage {
  readonly name: string;
  /** Seconds it may take, at most. */
  readonly limit: number;
  /** Run one after another; one that fails does not keep the next from running. */
  readonly commands: readonly CommandLine[];
  /** Why it cannot run here, if so. */
  readonly missing?: string;
}

/** What became of a stage. */
export interface Outcome {
  readonly name: string;
  /** `ok`, or what went wrong: `exit code 1`, `stopped after 60 s`, `not run: …`. */
  readonly result: string;
  readonly seconds: number;
  /** All that its commands have printed. */
  readonly log: string;
}

/** Options of {@linkcode runStages}. */
export interface StageOptions {
  /** Folder for the logs, one `STAGE.log` each. */
  readonly out: string;
  /** Folder in which the commands run. */
  readonly cwd: string;
  /** Seconds for all stages together. */
  readonly seconds: number;
  /** Ends the command that runs, and all stages after it. */
  readonly signal?: AbortSignal;
  /** Told when a stage begins and when it has ended. */
  readonly onStage?: (stage: Stage, outcome?: Outcome) => void;
}

/** A stage that would get less than this is not begun. */
const LEAST_SECONDS = 5;
/** Seconds between asking a command to end and ending it. */
const GRACE = 3;

/** Runs stages in order, and says what became of each. */
export async function runStages(stages: readonly Stage[], options: StageOptions): Promise<Outcome[]> {
  const end = performance.now() + 1000 * options.seconds;
  const outcomes: Outcome[] = [];
  for (const stage of stages) {
    const left = (end - performance.now()) / 1000 - GRACE;
    const obstacle = stage.missing ?? (options.signal?.aborted ? "interrupted" : undefined) ??
      (left < Math.min(LEAST_SECONDS, stage.limit) ? "no time was left" : undefined);
    const outcome = obstacle === undefined
      ? await runStage(stage, Math.min(left, stage.limit), options)
      : { name: stage.name, result: `not run: ${obstacle}`, seconds: 0, log: "" };
    outcomes.push(outcome);
    options.onStage?.(stage, outcome);
  }
  return outcomes;
}

async function runStage(stage: Stage, limit: number, options: StageOptions): Promise<Outcome> {
  options.onStage?.(stage);
  const path = join(options.out, `${stage.name}.log`);
  Deno.writeTextFileSync(path, "");
  const log = openSync(path, "a"); // every writer of it appends
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

/** Runs a command until its end, the limit's or the signal's; what went wrong by itself, if anything. */
function run(
  [program, ...args]: CommandLine,
  cwd: string,
  log: number,
  limit: number,
  signal?: AbortSignal,
): Promise<string | undefined> {
  return new Promise((resolve) => {
    // In a group of its own, since what it starts must end with it.
    const env = { ...process.env, NO_COLOR: "1" };
    const child = spawn(program, args, { cwd, env, stdio: ["ignore", log, log], detached: true });
    const end = (how: "SIGTERM" | "SIGKILL") => {
      try {
        process.kill(-child.pid!, how);
      } catch {
        // it has ended
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
      if (stopped) end("SIGKILL"); // what it started may not have heeded the first signal
      resolve(stopped ? undefined : problem);
    };
    child.on("error", (error) => settle(`${program}: ${error.message}`));
    child.on("exit", (code, by) => settle(code === 0 ? undefined : by ?? `exit code ${code}`));
  });
}
