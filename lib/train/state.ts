/**
 * A run's state as a checkpoint: `trainer.json`, and what it is captured from.
 *
 * @module
 */
import {
  decodeLossScale,
  encodeLossScale,
  initialLossScale,
  type LossScale,
} from "../../kernels/loss_scale.ts";
import type { ImageDataset } from "../data/dataset.ts";
import type { ImageFileOptions } from "../data/image_options.ts";
import { processToDiffusers } from "../diffusion/trained_process.ts";
import { CheckpointError, ConfigError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import { readBack } from "../gpu/readback.ts";
import { unetConfig, unetConfigToJson } from "../model/config.ts";
import { unetParameters } from "../model/network.ts";
import type { Checkpoint, LoadedCheckpoint } from "../files/checkpoint.ts";
import type { ModelContents } from "../files/encode_pipeline.ts";
import type { Computation } from "./device/computation.ts";
import type { BestModel, EpochRecord } from "./events.ts";
import { checkGrids, type GridSettings } from "./options.ts";
import { processOf } from "./objective_settings.ts";
import { readStoredSettings, type TrainSettings } from "./settings.ts";
import type { TrainingStep } from "./device/step.ts";
import { checkTensors, readTensors, readTrainerTensors } from "./weight_transfer.ts";

/** State of a run besides its tensors. */
export interface Progress {
  /** Optimizer steps done. */
  step: number;
  /** Sum and count of the losses in the current epoch. */
  lossSum: number;
  lossCount: number;
  /** Seconds spent in the current epoch. */
  epochSeconds: number;
  /** Finished epochs. */
  history: EpochRecord[];
  /** Seconds of training and validation so far. */
  seconds: number;
  /** The model in the run's directory of the best, if any. */
  best?: BestModel;
  /** Directory of the model that the run was started from, if any. */
  readonly init?: string;
  /** Loss scale of the checkpoint that the run was resumed from, if that was in mixed precision. */
  readonly lossScale?: LossScale;
}

/** Raised when older runs can no longer be resumed faithfully: 2 draws random numbers differently. */
const FORMAT = 2;

/** Contents of `trainer.json`: everything except tensors. */
interface TrainerJson extends Progress {
  readonly format: typeof FORMAT;
  readonly settings: TrainSettings;
  readonly grids: GridSettings;
  readonly dataDigest: string;
  readonly dataName: string;
  /** Absent for data without a path, and in checkpoints of versions that did not record it. */
  readonly dataSource?: string;
  /** Absent for data that is not made of image files, and in checkpoints of versions that did not record them. */
  readonly imageOptions?: ImageFileOptions;
  readonly computation: Computation;
}

/**
 * Reads a run's model from the device: its EMA weights, and its configuration.
 *
 * @param staging from {@linkcode stagingFor}
 */
export async function captureModel(
  gpu: Gpu,
  step: TrainingStep,
  settings: TrainSettings,
  classes: readonly string[],
  staging: GPUBuffer,
): Promise<ModelContents> {
  const schedulerConfig = processToDiffusers(processOf(settings));
  return {
    ema: step.table.ofNetwork(await readTensors(gpu, step, step.weights.ema, staging)),
    unetConfig: unetConfigToJson(settings.model),
    schedulerConfig,
    modelIndex: modelIndex(settings, schedulerConfig._class_name, classes),
  };
}

/**
 * Reads a run's state from the device as a checkpoint.
 *
 * @param staging from {@linkcode stagingFor}
 */
export async function captureCheckpoint(
  gpu: Gpu,
  step: TrainingStep,
  settings: TrainSettings,
  grids: GridSettings,
  progress: Progress,
  data: Pick<ImageDataset, "digest" | "name" | "source" | "imageOptions" | "classes">,
  staging: GPUBuffer,
): Promise<Checkpoint> {
  const model = await captureModel(gpu, step, settings, data.classes, staging);
  const trainerTensors = await readTrainerTensors(gpu, step, staging);
  const trainer: TrainerJson = {
    format: FORMAT,
    settings,
    grids,
    dataDigest: data.digest,
    dataName: data.name,
    dataSource: data.source,
    imageOptions: data.imageOptions,
    ...progress,
    lossScale: step.lossScale && decodeLossScale((await readBack(gpu, [step.lossScale]))[0]!), // one per view
    computation: { adapter: gpu.adapter.name, kernels: step.kernels },
  };
  return {
    step: progress.step,
    ...model,
    trainerTensors,
    trainer: trainer as unknown as Record<string, unknown>,
  };
}

/** diffusers' `model_index.json`, with class names for our own readers. */
function modelIndex(settings: TrainSettings, scheduler: unknown, classes: readonly string[]): object {
  return {
    _class_name: "DDPMPipeline",
    _diffusers_version: "0.42.1",
    scheduler: ["diffusers", scheduler],
    unet: ["diffusers", "UNet2DModel"],
    ...(settings.model.numClassEmbeds === null ? {} : { _class_labels: classes }),
  };
}

/** Writes the loss scale to the device, in mixed precision: the checkpoint's, or the initial one. */
export function writeLossScale(
  gpu: Gpu,
  { lossScale }: TrainingStep,
  betas: Pick<TrainSettings, "beta1" | "beta2">,
  { step, lossScale: saved }: Pick<Progress, "step" | "lossScale">,
): void {
  if (!lossScale) return;
  const state = saved ?? initialLossScale(betas, step);
  gpu.device.queue.writeBuffer(lossScale.buffer, 0, encodeLossScale(state));
}

/**
 * Reads `trainer.json` of a checkpoint.
 *
 * @throws {CheckpointError} for a format or settings that this version does not know
 */
export function readTrainer(
  checkpoint: Pick<LoadedCheckpoint, "path" | "step" | "trainer">,
): {
  settings: TrainSettings;
  /** Precision as stored, perhaps a removed one; `settings` has what it is now. */
  storedPrecision: string;
  grids: GridSettings;
  progress: Progress;
  dataDigest: string;
  dataName: string;
  dataSource?: string;
  imageOptions?: ImageFileOptions;
  computation: Computation;
} {
  const trainer = checkpoint.trainer as unknown as TrainerJson;
  const file = `${checkpoint.path}/trainer.json`;
  if (trainer.format !== FORMAT) {
    const format = JSON.stringify(trainer.format);
    throw new CheckpointError(
      `${file}: format ${format}, which this version cannot resume: it needs format ${FORMAT} ` +
        "(sample, serve and export read any format)",
    );
  }
  if (trainer.step !== checkpoint.step) {
    throw new CheckpointError(`${file}: step ${trainer.step} in the directory of step ${checkpoint.step}`);
  }
  const { settings: stored, grids, dataDigest, dataName, dataSource, imageOptions, computation, ...rest } =
    trainer;
  const { step, lossSum, lossCount, epochSeconds, history, seconds, best, init, lossScale } = rest;
  let settings: TrainSettings;
  try {
    const known = readStoredSettings(stored);
    checkGrids(grids);
    settings = { ...known, model: unetConfig(known.model) };
  } catch (error) {
    if (error instanceof ConfigError) throw new CheckpointError(`${file}: ${error.message}`);
    throw error;
  }
  return {
    settings,
    storedPrecision: stored.precision ?? settings.precision,
    grids,
    dataDigest,
    dataName,
    dataSource,
    imageOptions,
    computation,
    progress: { step, lossSum, lossCount, epochSeconds, history, seconds, best, init, lossScale },
  };
}

/**
 * Checks that a run can resume from a checkpoint: its format is known, and its tensors match its network.
 *
 * @throws {CheckpointError} naming the file and what is wrong with it
 */
export function checkState(checkpoint: LoadedCheckpoint): void {
  const { settings } = readTrainer(checkpoint);
  const table = unetParameters(settings.model, "float32", settings.augment > 0);
  checkTensors(checkpoint, table, settings.emaProfiles?.length ?? 0);
}
