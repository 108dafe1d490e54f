/**
 * What a run's directory must hold, or must not, before anything is written to it.
 *
 * @module
 */
import { basename, join } from "node:path";
import type { ImageDataset } from "../data/dataset.ts";
import { CheckpointError, ConfigError } from "../errors.ts";
import { listCheckpoints } from "../files/checkpoint.ts";
import {
  CHECKPOINTS,
  MODEL_INDEX,
  noneUsable,
  parseJson,
  readModelFile,
  TRAINER,
  UNET_CONFIG,
  UNET_WEIGHTS,
} from "../files/checkpoint_files.ts";
import { exists } from "../files/durable.ts";
import { METRICS } from "./metrics.ts";
import { RUN_TUNING } from "./run_tuning.ts";
import { resumeSettings, type SettingsOptions } from "./settings.ts";
import { readTrainer } from "./state.ts";

/** A file of each kind of model directory that a run would mix with its own. */
const MODEL_FILES: readonly string[] = [MODEL_INDEX, UNET_CONFIG, UNET_WEIGHTS, basename(UNET_WEIGHTS)];

/**
 * Checks that a run's directory has something to go on with, or nothing to be mixed with: it is new, or there is nothing
 * in it but names with a dot in front and what a run leaves that was ended before its first checkpoint.
 *
 * @throws {CheckpointError} when there is nothing to resume, or it cannot be read
 * @throws {ConfigError} when there is a model, a run that was not asked to be resumed, or something else
 */
export async function checkRunDirectory(out: string, resume: boolean): Promise<void> {
  const names = await namesIn(out, resume ? "resume" : "out");
  const checkpoints = names === undefined ? [] : await listCheckpoints(out);
  if (resume) {
    if (names === undefined) {
      throw new CheckpointError(`${out} does not exist, so there is no run to go on with`);
    }
    if (checkpoints.length === 0) throw new CheckpointError(`${out} has no checkpoint to go on from`);
    return;
  }
  if (checkpoints.length > 0) {
    throw new ConfigError(
      "out",
      out,
      "a directory without a run, or `resume` to go on with the one it holds",
    );
  }
  for (const name of MODEL_FILES) {
    if (!await exists(join(out, name))) continue;
    throw new ConfigError(
      "out",
      out,
      `a directory without a model (there is ${name}), which would be overwritten`,
    );
  }
  const unfinished = await namesIn(join(out, CHECKPOINTS), "out").catch(() => [CHECKPOINTS]) ?? [];
  const left = unfinished.every(isHidden) ? [METRICS, RUN_TUNING, CHECKPOINTS] : [METRICS, RUN_TUNING];
  const other = names?.find((name) => !isHidden(name) && !left.includes(name));
  if (other !== undefined) {
    throw new ConfigError(
      "out",
      out,
      `a new directory or an empty one (there is ${other}, and no run), since files could be overwritten`,
    );
  }
}

/** The data set that a run was started with, as its checkpoints record it. */
export type RunData = Pick<ImageDataset, "name" | "digest" | "source">;

/**
 * Checks what a run is to go on with against what it was started with, as far as that needs no images and no weights; a
 * checkpoint that cannot be read is passed over for one that can.
 *
 * @returns the data set that it was started with
 * @throws {ConfigError} naming a setting that differs and may not, or is out of range
 * @throws {CheckpointError} if none can be read, with each reason
 */
export async function checkResumedSettings(out: string, given: SettingsOptions): Promise<RunData> {
  const reasons: string[] = [];
  for (const { step, path } of await listCheckpoints(out)) {
    const file = join(path, TRAINER);
    try {
      const { settings, dataName: name, dataDigest: digest, dataSource: source } = readTrainer({
        step,
        path,
        trainer: parseJson(await readModelFile(file), file),
      });
      resumeSettings(settings, given);
      return { name, digest, source };
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error;
      reasons.push(error.message);
    }
  }
  throw noneUsable(reasons);
}

/** Names in a directory in order; undefined where there is none. */
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
