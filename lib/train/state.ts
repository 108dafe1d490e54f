/**
 * A run's state between device and checkpoint.
 *
 * @module
 */
import { CheckpointError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import { readBack } from "../gpu/readback.ts";
import type { HostTensor, ParameterTable } from "../model/parameters.ts";
import { toDiffusersConfig } from "../diffusion/schedule_config.ts";
import { NoiseSchedule } from "../diffusion/schedule.ts";
import { unetConfigToJson } from "../model/config.ts";
import type { Checkpoint, LoadedCheckpoint } from "./checkpoint.ts";
import type { EpochRecord } from "./events.ts";
import { scheduleOf, type TrainSettings } from "./settings.ts";
import type { TrainingStep, WeightBuffers } from "./step.ts";

/** What a run must know besides its weights in order to go on. */
export interface Progress {
  /** Optimizer steps done. */
  step: number;
  /** Sum and count of the losses of the epoch under way. */
  lossSum: number;
  lossCount: number;
  /** Finished epochs. */
  history: EpochRecord[];
  /** Seconds of training so far. */
  seconds: number;
}

/** `trainer.json`: everything that is not a tensor. */
interface TrainerJson extends Progress {
  readonly format: 1;
  readonly settings: TrainSettings;
  readonly dataDigest: string;
  readonly dataName: string;
}

/** A run's buffers by the prefix of their tensors in `trainer.safetensors`. */
const PREFIXES = { raw: "parameters", m: "firstMoment", v: "secondMoment" } as const satisfies Record<
  string,
  keyof WeightBuffers
>;

/** Reads the run's state off the device as a checkpoint. */
export async function captureCheckpoint(
  gpu: Gpu,
  step: TrainingStep,
  settings: TrainSettings,
  progress: Progress,
  data: { digest: string; name: string; classes: readonly string[] },
): Promise<Checkpoint> {
  const { weights, table } = step;
  const keys = Object.entries(PREFIXES);
  const copies = await readBack(gpu, [weights.ema, ...keys.map(([, key]) => weights[key])]);
  const tensors = (bytes: ArrayBuffer) => table.fromMemory(new Float32Array(bytes));
  const trainerTensors = new Map<string, Tensor>();
  keys.forEach(([prefix], i) => {
    for (const [name, tensor] of tensors(copies[i + 1])) {
      trainerTensors.set(`${prefix}.${name}`, mutable(tensor));
    }
  });
  const trainer: TrainerJson = {
    format: 1,
    settings,
    dataDigest: data.digest,
    dataName: data.name,
    ...progress,
  };
  return {
    step: progress.step,
    ema: new Map([...tensors(copies[0])].map(([name, tensor]) => [name, mutable(tensor)])),
    trainerTensors,
    trainer: trainer as unknown as Record<string, unknown>,
    unetConfig: unetConfigToJson(settings.model),
    schedulerConfig: toDiffusersConfig(new NoiseSchedule(scheduleOf(settings)).config),
    modelIndex: modelIndex(settings, data.classes),
  };
}

/** diffusers' `model_index.json`, with the names of the classes for our own readers. */
function modelIndex(settings: TrainSettings, classes: readonly string[]): object {
  return {
    _class_name: "DDPMPipeline",
    _diffusers_version: "0.42.1",
    scheduler: ["diffusers", "DDPMScheduler"],
    unet: ["diffusers", "UNet2DModel"],
    ...(settings.model.numClassEmbeds === null ? {} : { _class_labels: classes }),
  };
}

interface Tensor {
  shape: number[];
  data: Float32Array;
}

function mutable({ shape, data }: HostTensor): Tensor {
  return { shape: [...shape], data };
}

/** Writes initial weights to the device; the moving average starts as a copy of them. */
export function initializeWeights(gpu: Gpu, { weights, table }: TrainingStep, seed: number): void {
  const flat = table.initialize(seed);
  gpu.device.queue.writeBuffer(weights.parameters.buffer, 0, flat);
  gpu.device.queue.writeBuffer(weights.ema.buffer, 0, flat);
}

/** What a checkpoint says of its run. */
export function readTrainer(
  checkpoint: LoadedCheckpoint,
): { settings: TrainSettings; progress: Progress; dataDigest: string; dataName: string } {
  const trainer = checkpoint.trainer as unknown as TrainerJson;
  const file = `${checkpoint.path}/trainer.json`;
  if (trainer.format !== 1) {
    throw new CheckpointError(
      `${file}: format ${JSON.stringify(trainer.format)} is not known to this version, which reads format 1`,
    );
  }
  if (trainer.step !== checkpoint.step) {
    throw new CheckpointError(`${file}: step ${trainer.step} in the directory of step ${checkpoint.step}`);
  }
  const { step, lossSum, lossCount, history, seconds, settings, dataDigest, dataName } = trainer;
  return { settings, dataDigest, dataName, progress: { step, lossSum, lossCount, history, seconds } };
}

/** Writes a checkpoint's weights and moments to the device. */
export function restoreWeights(
  gpu: Gpu,
  { weights, table }: TrainingStep,
  checkpoint: LoadedCheckpoint,
): void {
  const file = `${checkpoint.path}/trainer.safetensors`;
  const write = (buffer: GPUBuffer, tensors: ReadonlyMap<string, HostTensor>, source: string) =>
    gpu.device.queue.writeBuffer(buffer, 0, table.toMemory(tensors, source));
  write(weights.ema.buffer, checkpoint.ema, `${checkpoint.path}/unet`);
  for (const [prefix, key] of Object.entries(PREFIXES)) {
    const tensors = new Map<string, HostTensor>();
    for (const [name, { shape, data }] of checkpoint.trainerTensors) {
      if (!name.startsWith(`${prefix}.`)) continue;
      if (!(data instanceof Float32Array)) {
        throw new CheckpointError(`${file}: tensor ${name} is not float32`);
      }
      tensors.set(name.slice(prefix.length + 1), { shape, data });
    }
    write(weights[key].buffer, tensors, file);
  }
}

/** The parameter in whose gradient a value is not finite, if there is one. */
export function nonFiniteParameter(gradients: Float32Array, table: ParameterTable): string | undefined {
  const index = gradients.findIndex((value) => !Number.isFinite(value));
  return index < 0 ? undefined : table.at(index).name;
}
