/**
 * Running a task's command line, as a program of its own or for the command line of the package.
 *
 * @module
 */
import { type FlagNames, showErrorAndExit } from "./cli.ts";

/** A task. */
export interface Task {
  /** Does its work. @returns exit code; by default Deno.exitCode, 0 unless it was set */
  readonly main: (args: readonly string[]) => Promise<number | void>;
  /** Flags by the names of the library's options, for its errors. */
  readonly flags?: FlagNames;
}

/** Runs a task with its arguments, and ends the process with its exit code. */
export async function runToExit({ main, flags }: Task, args: readonly string[]): Promise<never> {
  try {
    Deno.exit(await main(args) ?? Deno.exitCode);
  } catch (error) {
    showErrorAndExit(error, flags);
  }
}
