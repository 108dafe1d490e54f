/**
 * Checks of a run directory before anything is written to it.
 *
 * @module
 */
import { basename, join } from "node:path";
import type { ImageDataset } from "../data/dataset.ts";
import { CheckpointError, ConfigError } from "../errors.ts";
import { listCheckpoints } from "../files/checkpoint.ts";
import { CHECKPOINTS, noneUsable, readModelFile, TRAINER } from "../files/checkpoint_files.ts";
import { MODEL_INDEX, parseJson, UNET_CONFIG, UNET_WEIGHTS } from "../files/pipeline_files.ts";
import { EMA_SNAPSHOTS } from "../files/ema_snapshots.ts";
import { exists } from "../files/durable.ts";
import type { AdapterDescription } from "../gpu/device.ts";
import { METRICS } from "./metrics.ts";
import { checkResumedPrecision } from "./run_precision.ts";
import { RUN_TUNING } from "./run_tuning.ts";
import type { GridSettings } from "./options.ts";
import { resumeSettings, type SettingsOptions, type TrainSettings } from "./settings.ts";
import type { SplitSettings } from "./run_plan.ts";
import { readTrainer } from "./state.ts";

/** Contact sheet of a run's images, written before its first checkpoint. */
export const DATA_SHEET = "data.png";

/** Files that identify a model directory, which a run must not overwrite. */
const MODEL_FILES: readonly string[] = [MODEL_INDEX, UNET_CONFIG, UNET_WEIGHTS, basename(UNET_WEIGHTS)];

/**
 * Checks that a run directory has a checkpoint to resume from, or that a new run overwrites nothing in it: hidden files and
 * leftovers of a run that ended before its first checkpoint are allowed.
 *
 * @throws {CheckpointError} if there is nothing to resume, or the directory cannot be read
 * @throws {ConfigError} if a new run's directory has a run, a model, or other files
 */
export async function checkRunDirectory(out: string, resume: boolean): Promise<void> {
  const names = await namesIn(out, resume ? "resume" : "out");
  const checkpoints = names === undefined ? [] : await listCheckpoints(out);
  if (resume) {
    if (names === undefined) {
      throw new CheckpointError(`${out} does not exist, so there is no run to resume`);
    }
    if (checkpoints.length === 0) throw new CheckpointError(`${out} has no checkpoint to resume from`);
    return;
  }
  if (checkpoints.length > 0) {
    throw new ConfigError(
      "out",
      out,
      "a directory without a run, or `resume` to continue the one in it",
    );
  }
  for (const name of MODEL_FILES) {
    if (!await exists(join(out, name))) continue;
    throw new ConfigError(
      "out",
      out,
      `a directory without a model, which would be overwritten (found ${name})`,
    );
  }
  const unfinished = await namesIn(join(out, CHECKPOINTS), "out").catch(() => [CHECKPOINTS]) ?? [];
  const leftovers = [
    ...[METRICS, DATA_SHEET, RUN_TUNING, EMA_SNAPSHOTS],
    ...unfinished.every(isHidden) ? [CHECKPOINTS] : [],
  ];
  const other = names?.find((name) => !isHidden(name) && !leftovers.includes(name));
  if (other !== undefined) {
    throw new ConfigError(
      "out",
      out,
      `a new or empty directory, since files could be overwritten (found ${other}, but no run)`,
    );
  }
}

/** The data set of a run, as recorded in its checkpoints. */
export type RunData = Pick<ImageDataset, "name" | "digest" | "source" | "imageOptions">;

/** A run to resume. */
export interface ResumedRun {
  /** The data set that it was started with. */
  readonly data: RunData;
  /** Its settings, with the changes that are given. */
  readonly settings: TrainSettings;
  /** Its settings of sample grids. */
  readonly grids: GridSettings;
}

/**
 * Checks settings given on resume against the run's newest readable checkpoint and the adapter, without reading images or
 * weights.
 *
 * @returns the run at that checkpoint
 * @throws {ConfigError} naming a setting that is out of range, or cannot change on resume
 * @throws {CheckpointError} if no checkpoint can be read, with each reason, or the adapter lacks the run's precision
 */
export async function checkResumedSettings(
  out: string,
  given: SettingsOptions,
  adapter: AdapterDescription,
): Promise<ResumedRun> {
  const reasons: string[] = [];
  for (const { step, path } of await listCheckpoints(out)) {
    const file = join(path, TRAINER);
    let trainer: ReturnType<typeof readTrainer>;
    try {
      trainer = readTrainer({ step, path, trainer: parseJson(await readModelFile(file), file) });
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error;
      reasons.push(error.message);
      continue;
    }
    const { settings, storedPrecision } = trainer;
    const resumed = { settings: resumeSettings(settings, given), storedPrecision };
    checkResumedPrecision(out, adapter, resumed, given);
    return { data: dataOf(trainer), settings: resumed.settings, grids: trainer.grids };
  }
  throw noneUsable(reasons);
}

/**
 * Data set of the run in a directory; undefined if there is no run that can be read, such as in a model's directory.
 */
export async function readRunData(directory: string): Promise<RunData | undefined> {
  const trainer = await readNewestTrainer(directory);
  return trainer && dataOf(trainer);
}

/** Settings by which the run in a directory split its images; undefined if there is no run that can be read. */
export async function readRunSplit(directory: string): Promise<SplitSettings | undefined> {
  const trainer = await readNewestTrainer(directory);
  return trainer && { limit: trainer.settings.limit, seed: trainer.settings.seed };
}

/** State of the run in a directory at its newest checkpoint that can be read. */
async function readNewestTrainer(directory: string): Promise<ReturnType<typeof readTrainer> | undefined> {
  for (const { step, path } of await listCheckpoints(directory).catch(() => [])) {
    try {
      const file = join(path, TRAINER);
      return readTrainer({ step, path, trainer: parseJson(await readModelFile(file), file) });
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error;
    }
  }
  return undefined;
}

function dataOf({ dataName, dataDigest, dataSource, imageOptions }: ReturnType<typeof readTrainer>): RunData {
  return { name: dataName, digest: dataDigest, source: dataSource, imageOptions };
}

/** Sorted names in a directory; undefined if it does not exist. */
async function namesIn(directory: string, field: string): Promise<string[] | undefined> {
  const names: string[] = [];
  try {
    for await (const { name } of Deno.readDir(directory)) names.push(name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    if (error instanceof Deno.errors.NotADirectory) {
      throw new ConfigError(field, directory, "a directory, not a file");
    }
    throw new CheckpointError(`${directory}: cannot be read: ${(error as Error).message}`);
  }
  return names.sort();
}

function isHidden(name: string): boolean {
  return name.startsWith(".");
}
