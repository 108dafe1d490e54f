/**
 * `deno task report`: writes a run's report anew, or compares runs in one file.
 *
 * @module
 */
import { join, resolve } from "node:path";
import { ConfigError } from "../lib/errors.ts";
import { REPORT, writeReport } from "../lib/report/write_report.ts";

import { TaskCommand } from "../terminal/cli.ts";
import { path } from "../terminal/values.ts";
import { standardOutput } from "../terminal/output.ts";
import { checkWritable } from "../terminal/pictures.ts";
import { runToExit, type Task } from "../terminal/task.ts";
import { runCommands } from "./run_commands.ts";

/** Comparison of several runs, by default. */
const COMPARISON = "comparison.html";

async function main(args: readonly string[]): Promise<void> {
  const command = new TaskCommand(
    "report",
    "Writes the report of a training run anew, or compares several runs in one: an HTML file that loads nothing, and can be sent as it is.",
  ).argument("<runs...>", "directories of runs").usage("[options] RUN...");
  const { out: given } = command
    .flag("--out <FILE>", "file to write", {
      value: path(),
      defaultText: `${REPORT} in the run's directory; for several runs ${COMPARISON} here`,
    })
    .read<{ out?: string }>(args);
  const runs = command.args;
  const twice = runs.find((run, i) => runs.some((other, j) => j < i && resolve(other) === resolve(run)));
  if (twice !== undefined) throw new ConfigError("runs", twice, "each directory once");
  const [run] = runs;
  const out = given ?? (runs.length === 1 && run !== undefined ? join(run, REPORT) : COMPARISON);
  await checkWritable("--out", out);
  await writeReport(out, runs, runCommands);
  standardOutput().write(`report: ${out}\n`);
}

/** `deno task report`. */
export const reportTask: Task = { main };

if (import.meta.main) await runToExit(reportTask, Deno.args);
