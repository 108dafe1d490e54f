/**
 * The command that runs a task: `deno task` in a clone of the project, `deno run` of the published package elsewhere.
 *
 * @module
 */
import { shellQuote } from "./shell.ts";

/** The package's command line, which runs a task by its name. */
export const PACKAGE_CLI: string = "jsr:@denoise/ddpm/cli";

let started: readonly string[] = import.meta.url.startsWith("file:")
  ? ["deno", "task"]
  : ["deno", "run", "-A", PACKAGE_CLI];

/** Sets the words that a user of this process puts before a task's name; they are shown by all messages from then on. */
export function startTasksBy(words: readonly string[]): void {
  started = words;
}

/**
 * A command for a user to type, its words quoted for a shell: `deno task sample --model runs/cats`.
 *
 * @param task name of a task of the published package
 * @param args its arguments
 */
export function commandLine(task: string, args: readonly string[] = []): string {
  return [...started, task, ...args].map(shellQuote).join(" ");
}
