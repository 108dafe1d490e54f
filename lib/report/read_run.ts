/**
 * Reading of runs from their directories, those of earlier versions and unfinished ones too.
 *
 * @module
 */
import { basename, join, resolve } from "node:path";
import { CheckpointError, ConfigError } from "../errors.ts";
import { listCheckpoints } from "../files/checkpoint.ts";
import { readModelFile, TRAINER } from "../files/checkpoint_files.ts";
import { MODEL_INDEX, parseJson, UNET_CONFIG } from "../files/pipeline_files.ts";
import { fileProblem } from "../files/durable.ts";
import { isSoftwareName } from "../gpu/device.ts";
import { type UNetConfig, unetConfig, unetConfigFromJson } from "../model/config.ts";
import { unetParameters } from "../model/network.ts";
import { commandLine } from "../program.ts";
import { METRICS } from "../train/metrics.ts";
import { readStoredSettings, type TrainSettings } from "../train/settings.ts";
import { readTrainer } from "../train/state.ts";
import { readPictures } from "./read_pictures.ts";
import { parseLog } from "./run_log.ts";
import type { RunRecord } from "./run_record.ts";

/** A run without the commands, which depend on the command line. */
export type ReadRun = Omit<RunRecord, "commands">;

/**
 * Reads a run.
 *
 * @param directory the run's directory
 * @param pictureBytes limit on the size of its sample grids
 * @throws {CheckpointError} if the directory is not that of a run, or cannot be read
 */
export async function readRun(directory: string, pictureBytes: number): Promise<ReadRun> {
  const metrics = await readMetrics(directory);
  const trainer = await readNewestTrainer(directory);
  if (metrics === undefined && trainer === undefined) throw await notARun(directory);
  const log = parseLog(metrics ?? "");
  const start = log.starts.at(-1);
  const settings = (start && checkedSettings(start.settings)) ?? trainer?.settings;
  const history = log.epochs.length > 0 ? log.epochs : trainer?.progress.history ?? [];
  const name = trainer?.computation.adapter;
  const model = settings?.model ?? await readNetwork(directory);
  return {
    name: basename(resolve(directory)),
    directory,
    log,
    history,
    settings,
    model,
    parameters: start?.parameters ?? (model && unetParameters(model).count),
    resumable: trainer !== undefined,
    grids: start?.grids ?? trainer?.grids,
    dataset: start?.dataset ??
      (trainer && {
        name: trainer.dataName,
        digest: trainer.dataDigest,
        source: trainer.dataSource,
        imageOptions: trainer.imageOptions,
      }),
    machine: start?.machine ??
      (name === undefined ? undefined : { adapter: { name, software: isSoftwareName(name) } }),
    classes: settings?.model.numClassEmbeds === null ? [] : start?.classes ?? await readClasses(directory),
    init: start?.init ?? trainer?.progress.init,
    pictures: await readPictures(directory, pictureBytes),
  };
}

async function readMetrics(directory: string): Promise<string | undefined> {
  const path = join(directory, METRICS);
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return undefined;
    throw new CheckpointError(`cannot read ${path}: ${fileProblem(error)}`);
  }
}

/** State in the newest checkpoint that can be read, without its tensors. */
async function readNewestTrainer(directory: string): Promise<ReturnType<typeof readTrainer> | undefined> {
  const checkpoints = await listCheckpoints(directory).catch(unless(CheckpointError, []));
  for (const { step, path } of checkpoints) {
    try {
      const file = join(path, TRAINER);
      return readTrainer({ step, path, trainer: parseJson(await readModelFile(file), file) });
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error;
    }
  }
  return undefined;
}

/** Settings as this version knows them; undefined for those of a version that had others. */
function checkedSettings(stored: TrainSettings): TrainSettings | undefined {
  try {
    return { ...readStoredSettings(stored), model: unetConfig(stored.model) };
  } catch (error) {
    if (error instanceof ConfigError || error instanceof TypeError) return undefined;
    throw error;
  }
}

/** Class names in the model's index; none if there is no index. */
async function readClasses(directory: string): Promise<readonly string[]> {
  const file = join(directory, MODEL_INDEX);
  try {
    const { _class_labels: labels } = parseJson(await readModelFile(file), file);
    return Array.isArray(labels) ? labels.map(String) : [];
  } catch (error) {
    return unless(CheckpointError, [])(error);
  }
}

/** The network of the run's model; undefined if it cannot be read. */
async function readNetwork(directory: string): Promise<UNetConfig | undefined> {
  const file = join(directory, UNET_CONFIG);
  try {
    return unetConfigFromJson(parseJson(await readModelFile(file), file));
  } catch (error) {
    if (error instanceof CheckpointError || error instanceof ConfigError) return undefined;
    throw error;
  }
}

async function notARun(directory: string): Promise<CheckpointError> {
  const expected = `expected the directory of a run of \`${
    commandLine("train")
  }\`, with ${METRICS} or checkpoints/`;
  try {
    const { isDirectory } = await Deno.stat(directory);
    return new CheckpointError(
      `${directory}: ${expected}${isDirectory ? ", which are not in it" : ", not a file"}`,
    );
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) {
      return new CheckpointError(`${directory}: cannot be read: ${fileProblem(error)}`);
    }
    return new CheckpointError(`${directory}: does not exist; ${expected}`);
  }
}

/** Handler that gives `value` for errors of a type, and throws others. */
function unless<T>(type: new (...args: never[]) => Error, value: T): (error: unknown) => T {
  return (error) => {
    if (error instanceof type) return value;
    throw error;
  };
}
