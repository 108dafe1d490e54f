/**
 * Event files of a run, for `--tensorboard`.
 *
 * @module
 */
import { basename, join, resolve } from "node:path";
import { ConfigError } from "../lib/errors.ts";
import { eventFileIn } from "../lib/tensorboard/event_file.ts";
import { TrainingLog } from "../lib/tensorboard/training_log.ts";
import { warn } from "../terminal/pictures.ts";
import type { Reporter } from "../terminal/progress.ts";

/**
 * Opens the log of a run in a folder of its own, because TensorBoard shows each folder as a run.
 *
 * @param directory value of `--tensorboard`
 * @param out run directory
 * @throws {ConfigError} if a new run's folder has event files already, which TensorBoard would take for the same run
 */
export async function openTensorBoard(
  directory: string,
  out: string,
  resume: boolean,
  report: Reporter,
): Promise<TrainingLog> {
  const folder = join(directory, basename(resolve(out)));
  const present = resume ? undefined : await eventFileIn(folder);
  if (present !== undefined) {
    throw new ConfigError(
      "tensorboard",
      directory,
      `a directory without event files of another run of this name (found ${join(folder, present)})`,
    );
  }
  return new TrainingLog({ directory: folder, onWarning: (message) => warn(report, message) });
}
