/**
 * Reading a model: a run directory, a diffusers pipeline directory, or the directory of a network alone.
 *
 * @module
 */
import { basename, dirname, join } from "node:path";
import { CheckpointError } from "../errors.ts";
import { type SafeTensor, toFloat32 } from "./safetensors.ts";
import {
  type Files,
  firstWhole,
  listCheckpoints,
  MODEL_INDEX,
  parseJson,
  PIPELINE_FILES,
  readBytes,
  readVerified,
  SCHEDULER_CONFIG,
  UNET_CONFIG,
  UNET_WEIGHTS,
} from "./checkpoint_files.ts";
import { decodeWeights, type WeightTensor } from "./weights.ts";

/** What sampling needs of a model's directory. */
export interface Pipeline {
  /** The directory it was read from: the one asked for, or the checkpoint that took its place. */
  path: string;
  /** diffusers' `UNet2DModel` configuration, unchecked. */
  unetConfig: Record<string, unknown>;
  /** diffusers' scheduler configuration, unchecked; null if the directory has none. */
  schedulerConfig: Record<string, unknown> | null;
  /** `model_index.json`, unchecked; null if the directory has none. */
  modelIndex: Record<string, unknown> | null;
  /** The weights by the names in the file; other floating-point types are converted to 32 bits. */
  tensors: Map<string, WeightTensor<ArrayBuffer>>;
  /** The weight file's free-text metadata. */
  metadata: Record<string, string>;
}

/** Options of loading. */
export interface LoadOptions {
  /** Told when something is damaged and what is used in its place; `console.warn` if not given. */
  onWarning?: (message: string) => void;
}

/**
 * Reads a model from a run directory, a diffusers pipeline directory (`unet/`, `scheduler/`), or a directory with
 * `config.json` and `diffusion_pytorch_model.safetensors`. Where a run's model is damaged, its newest checkpoint that
 * is whole takes its place, with a warning.
 *
 * @throws {CheckpointError} naming the file and, where there is one, the tensor
 */
export async function loadPipeline(
  directory: string,
  { onWarning = console.warn }: LoadOptions = {},
): Promise<Pipeline> {
  try {
    return await loadDirectory(directory);
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    const checkpoints = await listCheckpoints(directory);
    if (checkpoints.length === 0) throw error;
    return await firstWhole(checkpoints, loadFromCheckpoint, onWarning, [error.message]);
  }
}

/**
 * A file's tensors as 32-bit floats.
 *
 * @throws {CheckpointError} naming the first tensor that is not of floating point
 */
export function toWeights(
  tensors: Map<string, SafeTensor<ArrayBuffer>>,
  source: string,
): Map<string, WeightTensor<ArrayBuffer>> {
  const weights = new Map<string, WeightTensor<ArrayBuffer>>();
  for (const [name, tensor] of tensors) {
    const data = toFloat32(tensor, `${source}: tensor ${JSON.stringify(name)}`);
    weights.set(name, { shape: tensor.shape, data });
  }
  return weights;
}

async function loadFromCheckpoint({ path }: { path: string }): Promise<Pipeline> {
  return assemble(path, await readVerified(path, PIPELINE_FILES), (name) => join(path, name));
}

async function loadDirectory(directory: string): Promise<Pipeline> {
  const entries = await namesIn(directory);
  // A network alone has all its files at the top, as the hub's older pipelines do.
  const pathOf = (name: string) => join(directory, entries.has("unet") ? name : basename(name));
  await requireSafetensors(pathOf(UNET_WEIGHTS));
  const files: Files = new Map();
  for (const name of PIPELINE_FILES) {
    const path = pathOf(name);
    const optional = name === MODEL_INDEX || name === SCHEDULER_CONFIG;
    if (!optional || (await namesIn(dirname(path))).has(basename(path))) {
      files.set(name, await readBytes(path));
    }
  }
  return assemble(directory, files, pathOf);
}

function assemble(path: string, files: Files, pathOf: (name: string) => string): Pipeline {
  const json = (name: string) => parseJson(files.get(name)!, pathOf(name));
  const optional = (name: string) => files.has(name) ? json(name) : null;
  const { tensors, metadata } = decodeWeights(files.get(UNET_WEIGHTS)!, pathOf(UNET_WEIGHTS));
  return {
    path,
    unetConfig: json(UNET_CONFIG),
    schedulerConfig: optional(SCHEDULER_CONFIG),
    modelIndex: optional(MODEL_INDEX),
    tensors: toWeights(tensors, pathOf(UNET_WEIGHTS)),
    metadata,
  };
}

/** Says what to do about the forms that are not read: pickles, which can run code, and files in parts. */
async function requireSafetensors(path: string): Promise<void> {
  const directory = dirname(path);
  const names = await namesIn(directory);
  const name = basename(path);
  if (names.has(name)) return;
  const stem = name.replace(/\.safetensors$/, "");
  const other = [...names].filter((each) => each.startsWith(stem)).sort();
  if (other.length === 0) {
    throw new CheckpointError(
      `${directory}: no model here: expected ${name} beside config.json, here or in a directory unet`,
    );
  }
  throw new CheckpointError(
    `${directory}: expected ${name}, found only ${other.join(", ")}; convert it with Python's diffusers: ` +
      `UNet2DModel.from_pretrained(${JSON.stringify(directory)}).save_pretrained(${
        JSON.stringify(directory)
      }, ` +
      `max_shard_size="100GB")`,
  );
}

async function namesIn(directory: string): Promise<Set<string>> {
  const names = new Set<string>();
  try {
    for await (const { name } of Deno.readDir(directory)) names.add(name);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) {
      throw new CheckpointError(`${directory}: cannot be read: ${(error as Error).message}`);
    }
  }
  return names;
}
