/**
 * Writing of reports.
 *
 * @module
 */
import { writeDurable } from "../files/durable.ts";
import { reportHtml } from "./page.ts";
import { type ReadRun, readRun } from "./read_run.ts";
import type { RunCommands, RunRecord } from "./run_record.ts";
import { readChartLibrary } from "./uplot.ts";

/** Name of a run's report in its directory. */
export const REPORT = "report.html";

/** Limit on the size of all sample grids of a report, in bytes; base64 adds a third. */
const PICTURE_BYTES = 8 * 2 ** 20;

/**
 * Writes a report of a run, or a comparison of several.
 *
 * @param path file to write, atomically
 * @param directories of the runs
 * @param commandsOf commands that the report of a run shows
 * @throws {CheckpointError} if a directory is not that of a run, or the file cannot be written
 */
export async function writeReport(
  path: string,
  directories: readonly string[],
  commandsOf: (run: ReadRun) => RunCommands,
): Promise<void> {
  const runs: RunRecord[] = [];
  for (const directory of directories) {
    const run = await readRun(directory, PICTURE_BYTES / directories.length);
    runs.push({ ...run, commands: commandsOf(run) });
  }
  const parts = { charts: await readChartLibrary(), time: new Date().toISOString() };
  await writeDurable(path, new TextEncoder().encode(reportHtml(uniquelyNamed(runs), parts)));
}

/** Runs of the same name are named by their directories. */
function uniquelyNamed(runs: readonly RunRecord[]): RunRecord[] {
  const isUnique = ({ name }: RunRecord) => runs.filter((other) => other.name === name).length === 1;
  return runs.map((run) => isUnique(run) ? run : { ...run, name: run.directory });
}
