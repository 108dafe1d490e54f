/**
 * Transfer of a run's state between device and checkpoint.
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
import { processToDiffusers } from "../diffusion/trained_process.ts";
import { CheckpointError, ConfigError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import type { BufferView, ResourceScope } from "../gpu/memory.ts";
import { readBack } from "../gpu/readback.ts";
import { unetConfig, unetConfigToJson } from "../model/config.ts";
import { unetParameters } from "../model/network.ts";
import type { HostTensor, ParameterTable } from "../model/parameters.ts";
import type { Checkpoint, LoadedCheckpoint } from "../files/checkpoint.ts";
import type { Computation } from "./device/computation.ts";
import type { BestModel, EpochRecord } from "./events.ts";
import { checkGrids, type GridSettings } from "./options.ts";
import { processOf } from "./objective_settings.ts";
import { readStoredSettings, type TrainSettings } from "./settings.ts";
import type { TrainingStep, WeightBuffers } from "./device/step.ts";

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
  readonly computation: Computation;
}

/** Weight buffers by the prefix of their tensors in `trainer.safetensors`. */
const PREFIXES = { raw: "parameters", m: "firstMoment", v: "secondMoment" } as const satisfies Record<
  string,
  keyof WeightBuffers
>;

/** Limit on the staging buffer, bytes: a map costs 10 ms, but memory beside the weights is scarce. */
const MAX_STAGING_BYTES = 64 * 2 ** 20;

/**
 * Allocates the staging buffer for reading a run's flat buffers, in parts if it is smaller. Allocated with the run: running
 * out of memory at the first save would cost an epoch.
 *
 * @param elements length of a flat buffer
 */
export function stagingFor(gpu: Gpu, scope: ResourceScope, elements: number): GPUBuffer {
  const bytes = Math.min(4 * elements, MAX_STAGING_BYTES, gpu.limits.maxBufferSize);
  return scope.buffer(bytes - bytes % 8, "weights read-back", "staging").buffer;
}

/** Reads a flat buffer through a staging buffer, which may be smaller. */
export async function readFlat(
  gpu: Gpu,
  { buffer, offset, size }: BufferView,
  staging: GPUBuffer,
): Promise<Float32Array<ArrayBuffer>> {
  const flat = new Float32Array(size / 4);
  for (let done = 0; done < size; done += staging.size) {
    const part = { buffer, offset: offset + done, size: Math.min(staging.size, size - done) };
    const [bytes] = await readBack(gpu, [part], staging);
    flat.set(new Float32Array(bytes!), done / 4); // one per view
  }
  return flat;
}

/**
 * Reads a run's state from the device as a checkpoint.
 *
 * @param staging from {@linkcode stagingFor}
 */
export async function captureCheckpoint(
  gpu: Gpu,
  { weights, table, lossScale, kernels }: TrainingStep,
  settings: TrainSettings,
  grids: GridSettings,
  progress: Progress,
  data: Pick<ImageDataset, "digest" | "name" | "source" | "classes">,
  staging: GPUBuffer,
): Promise<Checkpoint> {
  // One buffer at a time, so that at most one is in memory in both layouts.
  const tensorsIn = async (key: keyof WeightBuffers, prefix = ""): Promise<[string, Tensor][]> => {
    const tensors = table.fromMemory(await readFlat(gpu, weights[key], staging));
    return [...tensors].map(([name, { shape, data }]) => [prefix + name, { shape: [...shape], data }]);
  };
  const ema = new Map(await tensorsIn("ema"));
  const trainerTensors = new Map<string, Tensor>();
  for (const [prefix, key] of Object.entries(PREFIXES)) {
    for (const [name, tensor] of await tensorsIn(key, `${prefix}.`)) trainerTensors.set(name, tensor);
  }
  const schedulerConfig = processToDiffusers(processOf(settings));
  const trainer: TrainerJson = {
    format: FORMAT,
    settings,
    grids,
    dataDigest: data.digest,
    dataName: data.name,
    dataSource: data.source,
    ...progress,
    lossScale: lossScale && decodeLossScale((await readBack(gpu, [lossScale]))[0]!), // one per view
    computation: { adapter: gpu.adapter.name, kernels },
  };
  return {
    step: progress.step,
    ema,
    trainerTensors,
    trainer: trainer as unknown as Record<string, unknown>,
    unetConfig: unetConfigToJson(settings.model),
    schedulerConfig,
    modelIndex: modelIndex(settings, schedulerConfig._class_name, data.classes),
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

interface Tensor {
  shape: number[];
  data: Float32Array;
}

/** Writes random initial weights to the device. */
export function initializeWeights(gpu: Gpu, { weights, table }: TrainingStep, seed: number): void {
  writeInitialWeights(gpu, { weights }, table.initialize(seed));
}

/** Writes a flat buffer of initial weights to the device; the EMA starts as a copy of them. */
export function writeInitialWeights(
  gpu: Gpu,
  { weights }: Pick<TrainingStep, "weights">,
  flat: Float32Array<ArrayBuffer>,
): void {
  gpu.device.queue.writeBuffer(weights.parameters.buffer, 0, flat);
  gpu.device.queue.writeBuffer(weights.ema.buffer, 0, flat);
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
  const { settings: stored, grids, dataDigest, dataName, dataSource, computation, ...rest } = trainer;
  const { step, lossSum, lossCount, epochSeconds, history, seconds, best, init, lossScale } = rest;
  let settings: TrainSettings;
  try {
    settings = readStoredSettings(stored);
    checkGrids(grids);
    unetConfig(settings.model);
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
  const table = unetParameters(readTrainer(checkpoint).settings.model);
  for (const _ of flatBuffers(checkpoint, table)) {
    // Laying them out is the check.
  }
}

/** Writes a checkpoint's weights and moments to the device. */
export function restoreWeights(
  gpu: Gpu,
  { weights, table }: TrainingStep,
  checkpoint: LoadedCheckpoint,
): void {
  for (const [key, flat] of flatBuffers(checkpoint, table)) {
    gpu.device.queue.writeBuffer(weights[key].buffer, 0, flat);
  }
}

/** A checkpoint's weights and moments in the device's layout, one buffer at a time. */
function* flatBuffers(
  checkpoint: LoadedCheckpoint,
  table: ParameterTable,
): Generator<[keyof WeightBuffers, Float32Array<ArrayBuffer>]> {
  const file = `${checkpoint.path}/trainer.safetensors`;
  yield ["ema", table.toMemory(checkpoint.ema, `${checkpoint.path}/unet`)];
  for (const [prefix, key] of Object.entries(PREFIXES)) {
    const tensors = new Map<string, HostTensor>();
    for (const [name, { shape, data }] of checkpoint.trainerTensors) {
      if (!name.startsWith(`${prefix}.`)) continue;
      if (!(data instanceof Float32Array)) {
        throw new CheckpointError(`${file}: tensor ${name} is not float32`);
      }
      tensors.set(name.slice(prefix.length + 1), { shape, data });
    }
    yield [key, table.toMemory(tensors, file)];
  }
}
