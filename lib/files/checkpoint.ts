/**
 * Checkpoints of a training run. A run directory is a diffusers pipeline directory with the exponential moving
 * average (EMA) of the weights; `checkpoints/` in it holds everything needed to resume training:
 *
 * ```text
 * RUN/model_index.json
 * RUN/scheduler/scheduler_config.json
 * RUN/unet/config.json
 * RUN/unet/diffusion_pytorch_model.safetensors       EMA weights of the last save
 * RUN/best/                                          the same four files, of the save with the lowest validation loss
 * RUN/checkpoints/step-00001234/                     the same four files, and
 *                               trainer.safetensors  raw weights, moments
 *                               trainer.json         step, seed, options, position in the data
 *                               manifest.json        SHA-256 of each of the other six
 * ```
 *
 * @module
 */
import { join } from "node:path";
import { checkWhole } from "../checks.ts";
import { CheckpointError } from "../errors.ts";
import {
  checkpointPath,
  firstUsable,
  listCheckpoints,
  MANIFEST,
  manifestOf,
  readVerified,
  TRAINER,
  TRAINER_TENSORS,
} from "./checkpoint_files.ts";
import { encodeJson } from "./pipeline_files.ts";
import {
  MODEL_INDEX,
  parseJson,
  PIPELINE_FILES,
  SCHEDULER_CONFIG,
  UNET_CONFIG,
  UNET_WEIGHTS,
} from "./pipeline_files.ts";
import { type DurableOptions, removeDirectoryDurable, writeDirectoryDurable } from "./durable.ts";
import { encodePipeline, type ModelContents } from "./encode_pipeline.ts";
import type { LoadPipelineOptions } from "./pipeline.ts";
import { toWeights } from "./assemble.ts";
import { bestDirectory, publish, removeRunLeftovers } from "./publish.ts";
import { decodeWeights, encodeWeights, type StateTensor } from "./weights.ts";

export { type CheckpointPath, listCheckpoints } from "./checkpoint_files.ts";
export { loadPipeline, type LoadPipelineOptions } from "./pipeline.ts";
export type { Pipeline } from "./assemble.ts";
export type { StateTensor, WeightTensor } from "./weights.ts";

/** Everything needed to resume a run or to sample from it. */
export interface Checkpoint<B extends ArrayBufferLike = ArrayBufferLike> extends ModelContents<B> {
  /** Optimizer steps done, 0 or more. */
  step: number;
  /** The trainer's tensors: raw weights `raw.<name>`, first moments `m.<name>`, second moments `v.<name>`. */
  trainerTensors: Map<string, StateTensor<B>>;
  /** The trainer's other state, as JSON values; NaN and infinity are refused. */
  trainer: Record<string, unknown>;
}

/** A checkpoint read from disk. */
export interface LoadedCheckpoint extends Checkpoint<ArrayBuffer> {
  /** The directory it was read from. */
  path: string;
  /** Content of `unet/config.json`. */
  unetConfig: Record<string, unknown>;
  /** Content of `scheduler/scheduler_config.json`. */
  schedulerConfig: Record<string, unknown>;
  /** Content of `model_index.json`. */
  modelIndex: Record<string, unknown>;
}

/** Options of {@linkcode saveCheckpoint}. */
export interface SaveOptions extends DurableOptions {
  /** Checkpoints to keep, 1 or more. Default 2, so that there is one to fall back on. */
  keep?: number;
  /** Also publishes the EMA as the best model so far. Default false. */
  best?: boolean;
}

/** Options of {@linkcode loadLatestCheckpoint}. */
export interface ResumeOptions extends LoadPipelineOptions {
  /**
   * Additional check of an intact checkpoint.
   * @throws {CheckpointError} to skip it like a damaged one
   */
  check?: (checkpoint: LoadedCheckpoint) => void;
}

/**
 * Saves a checkpoint under `runDir/checkpoints`, publishes its EMA as the model of `runDir`, and removes old checkpoints.
 * A crash at any point leaves an intact checkpoint and an intact model, old or new.
 *
 * @param runDir created if missing; lock it with `lockDirectory`
 * @returns the checkpoint's directory
 * @throws {CheckpointError} naming the path, the reason and what to do, e.g. when the disk is full
 * @throws {ConfigError} if `step` or `keep` is out of range
 */
export async function saveCheckpoint(
  runDir: string,
  checkpoint: Checkpoint,
  options: SaveOptions = {},
): Promise<string> {
  const { keep = 2, best = false, onWarning = console.warn } = options;
  const { step } = checkpoint;
  checkWhole("keep", keep, 1, Number.MAX_SAFE_INTEGER);
  checkWhole("step", step, 0, Number.MAX_SAFE_INTEGER);

  const files = await encodePipeline(checkpoint);
  files.set(TRAINER_TENSORS, await encodeWeights(checkpoint.trainerTensors));
  files.set(TRAINER, encodeJson(checkpoint.trainer, TRAINER));
  files.set(MANIFEST, manifestOf(step, files));

  await removeRunLeftovers(runDir);
  const path = checkpointPath(runDir, step);
  await writeDirectoryDurable(path, files, options);
  await publish(runDir, files, options);
  if (best) await publish(bestDirectory(runDir), files, options);
  try {
    await prune(runDir, step, keep, options);
  } catch (error) {
    // The save itself succeeded, and the next one tries again.
    if (!(error instanceof CheckpointError)) throw error;
    onWarning(error.message);
  }
  return path;
}

/**
 * Reads a run's newest checkpoint that is intact, by the SHA-256 of every file, and passes the `check`. Others are skipped
 * with a warning that names the file and, if known, the tensor.
 *
 * @throws {CheckpointError} if there is no checkpoint, or none is usable, with the reason for each
 */
export async function loadLatestCheckpoint(
  runDir: string,
  { onWarning = console.warn, check = () => {} }: ResumeOptions = {},
): Promise<LoadedCheckpoint> {
  const candidates = await listCheckpoints(runDir);
  if (candidates.length === 0) {
    throw new CheckpointError(
      `${runDir} has no checkpoint: expected a directory ${checkpointPath(runDir, 1)}`,
    );
  }
  return await firstUsable(candidates, async (candidate) => {
    const checkpoint = await loadCheckpoint(candidate);
    check(checkpoint);
    return checkpoint;
  }, onWarning);
}

async function loadCheckpoint({ step, path }: { step: number; path: string }): Promise<LoadedCheckpoint> {
  const files = await readVerified(path, [...PIPELINE_FILES, TRAINER_TENSORS, TRAINER]);
  const json = (name: string) => parseJson(files.get(name)!, join(path, name));
  const tensors = async (name: string) => (await decodeWeights(files.get(name)!, join(path, name))).tensors;
  return {
    step,
    path,
    ema: toWeights(await tensors(UNET_WEIGHTS), join(path, UNET_WEIGHTS)),
    trainerTensors: await tensors(TRAINER_TENSORS) as Map<string, StateTensor<ArrayBuffer>>,
    trainer: json(TRAINER),
    unetConfig: json(UNET_CONFIG),
    schedulerConfig: json(SCHEDULER_CONFIG),
    modelIndex: json(MODEL_INDEX),
  };
}

/**
 * Removes what a save left that was interrupted before it removed old checkpoints: those before the step of the present one,
 * beyond `keep`.
 *
 * @throws {CheckpointError} if one cannot be removed
 */
export async function removeOldCheckpoints(
  runDir: string,
  step: number,
  keep: number,
  options: DurableOptions = {},
): Promise<void> {
  const earlier = (await listCheckpoints(runDir)).filter((each) => each.step <= step);
  for (const { path } of earlier.slice(keep).reverse()) await removeDirectoryDurable(path, options);
}

/** Removes all but `keep` checkpoints. Steps up to `step` are kept first, newest first; later steps go first. */
async function prune(runDir: string, step: number, keep: number, options: DurableOptions): Promise<void> {
  const all = await listCheckpoints(runDir);
  // A later step is from before the run was resumed from an earlier checkpoint, because that one was damaged.
  const byPriority = [...all.filter((each) => each.step <= step), ...all.filter((each) => each.step > step)];
  for (const { path } of byPriority.slice(keep).reverse()) await removeDirectoryDurable(path, options);
}
