/**
 * Transfer of a run's weights, moments and averages between device and checkpoint.
 *
 * @module
 */
import { CheckpointError } from "../errors.ts";
import type { LoadedCheckpoint } from "../files/checkpoint.ts";
import type { WeightTensor } from "../files/weights.ts";
import type { Gpu } from "../gpu/device.ts";
import type { BufferView, ResourceScope } from "../gpu/memory.ts";
import { readBack } from "../gpu/readback.ts";
import type { HostTensor, ParameterTable } from "../model/parameters.ts";
import type { WeightBuffers } from "./device/optimizer.ts";
import type { TrainingStep } from "./device/step.ts";

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

/** Reads a flat buffer as tensors in checkpoint layout. */
export async function readTensors(
  gpu: Gpu,
  { table }: Pick<TrainingStep, "table">,
  view: BufferView,
  staging: GPUBuffer,
): Promise<Map<string, WeightTensor>> {
  const tensors = table.fromMemory(await readFlat(gpu, view, staging));
  return new Map([...tensors].map(([name, { shape, data }]) => [name, { shape: [...shape], data }]));
}

/**
 * Reads the trainer's tensors, their names prefixed: raw weights `raw.`, moments `m.` and `v.`, averages `ema0.` and so on. One
 * buffer at a time, so that at most one is in memory in both layouts.
 */
export async function readTrainerTensors(
  gpu: Gpu,
  step: TrainingStep,
  staging: GPUBuffer,
): Promise<Map<string, WeightTensor>> {
  const trainerTensors = new Map<string, WeightTensor>();
  for (const [i, view] of trainerBuffers(step.weights).entries()) {
    for (const [name, tensor] of await readTensors(gpu, step, view, staging)) {
      trainerTensors.set(`${trainerPrefix(i)}.${name}`, tensor);
    }
  }
  return trainerTensors;
}

/** Writes random initial weights to the device. */
export function initializeWeights(gpu: Gpu, { weights, table }: TrainingStep, seed: number): void {
  writeInitialWeights(gpu, weights, table.initialize(seed));
}

/** Writes a flat buffer of initial weights to the device; all averages start as a copy of them. */
export function writeInitialWeights(
  gpu: Gpu,
  { parameters, ema, profiles }: WeightBuffers,
  flat: Float32Array<ArrayBuffer>,
): void {
  for (const { buffer } of [parameters, ema, ...profiles]) gpu.device.queue.writeBuffer(buffer, 0, flat);
}

/** Writes a checkpoint's weights, moments and averages to the device. */
export function restoreWeights(
  gpu: Gpu,
  { weights, table }: TrainingStep,
  checkpoint: LoadedCheckpoint,
): void {
  const views = [weights.ema, ...trainerBuffers(weights)];
  let i = 0;
  for (const flat of flatBuffers(checkpoint, table, weights.profiles.length)) {
    gpu.device.queue.writeBuffer(views[i++]!.buffer, 0, flat); // as many as there are flat buffers
  }
}

/**
 * Checks that a checkpoint's tensors match its network.
 *
 * @param profiles averages with power-function profiles
 * @throws {CheckpointError} naming the file and the tensor
 */
export function checkTensors(checkpoint: LoadedCheckpoint, table: ParameterTable, profiles: number): void {
  for (const _ of flatBuffers(checkpoint, table, profiles)) {
    // Laying them out is the check.
  }
}

/** Buffers of `trainer.safetensors`, in order. */
function trainerBuffers({ parameters, firstMoment, secondMoment, profiles }: WeightBuffers): BufferView[] {
  return [parameters, firstMoment, secondMoment, ...profiles];
}

/** Prefix of the tensors of the `i`-th of the {@linkcode trainerBuffers}. */
function trainerPrefix(i: number): string {
  return ["raw", "m", "v"][i] ?? `ema${i - 3}`;
}

/** A checkpoint's EMA, and then its {@linkcode trainerBuffers}, in the device's layout, one at a time. */
function* flatBuffers(
  checkpoint: LoadedCheckpoint,
  table: ParameterTable,
  profiles: number,
): Generator<Float32Array<ArrayBuffer>> {
  const file = `${checkpoint.path}/trainer.safetensors`;
  const tensorsOf = (i: number) => prefixedTensors(checkpoint, `${trainerPrefix(i)}.`, file);
  // Nothing uses the EMA of weights that are part of training alone: it goes on from the weights.
  const ema = new Map<string, HostTensor>([...checkpoint.ema, ...table.ofTraining(tensorsOf(0))]);
  yield table.toMemory(ema, `${checkpoint.path}/unet`);
  for (let i = 0; i < 3 + profiles; i++) yield table.toMemory(tensorsOf(i), file);
}

/** Tensors of `trainer.safetensors` with a prefix, by the names after it. */
function prefixedTensors(
  { trainerTensors }: LoadedCheckpoint,
  prefix: string,
  file: string,
): Map<string, HostTensor> {
  const tensors = new Map<string, HostTensor>();
  for (const [name, { shape, data }] of trainerTensors) {
    if (!name.startsWith(prefix)) continue;
    if (!(data instanceof Float32Array)) {
      throw new CheckpointError(`${file}: tensor ${name} is not float32`);
    }
    tensors.set(name.slice(prefix.length), { shape, data });
  }
  return tensors;
}
