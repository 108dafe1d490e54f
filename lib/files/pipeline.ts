/**
 * Reading a model: a run directory, a diffusers pipeline directory, or the directory of a network alone.
 *
 * @module
 */
import { basename, dirname, join } from "node:path";
import { CheckpointError } from "../errors.ts";
import { checkJsonDigests } from "./json_digests.ts";
import { type SafeTensor, toFloat32 } from "./safetensors.ts";
import { findWeights } from "./weight_files.ts";
import {
  type Files,
  firstWhole,
  listCheckpoints,
  MODEL_INDEX,
  parseJson,
  PIPELINE_FILES,
  readModelFile,
  readVerified,
  SCHEDULER_CONFIG,
  UNET_CONFIG,
  UNET_WEIGHTS,
} from "./checkpoint_files.ts";
import { unpublished } from "./publish.ts";
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
  /** Whether the weights carry digests, as those that this project wrote do. */
  verified: boolean;
}

/** Options of loading. */
export interface LoadPipelineOptions {
  /**
   * Told when something is damaged or missing, and what is used or assumed in its place; `console.warn` if not given.
   */
  onWarning?: (message: string) => void;
}

/**
 * Reads a model from a run directory, a diffusers pipeline directory (`unet/`, `scheduler/`), or a directory with
 * `config.json` and `diffusion_pytorch_model.safetensors`, which may also be in parts or a variant such as fp16. Where a
 * run's model is damaged, or older than its newest checkpoint because a save was cut short, the newest checkpoint that is
 * whole takes its place, with a warning.
 *
 * @throws {CheckpointError} naming the file and, where there is one, the tensor
 */
export async function loadPipeline(
  directory: string,
  { onWarning = console.warn }: LoadPipelineOptions = {},
): Promise<Pipeline> {
  try {
    const published = await loadDirectory(directory, onWarning);
    const newer = await unpublished(directory);
    if (!newer) return published;
    onWarning(
      `${directory}: its model is older than its newest checkpoint, since a save was cut short or is under way; ` +
        `using ${newer.path} instead`,
    );
    return await loadFromCheckpoint(newer);
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
  const files = await readVerified(path, PIPELINE_FILES);
  const weights = new Map([[join(path, UNET_WEIGHTS), files.get(UNET_WEIGHTS)!]]);
  return assemble(path, files, weights, (name) => join(path, name));
}

async function loadDirectory(directory: string, onWarning: (message: string) => void): Promise<Pipeline> {
  const inParts = (await namesIn(directory)).has("unet");
  // A network alone has all its files at the top, as the hub's older pipelines do.
  const pathOf = (name: string) => join(directory, inParts ? name : basename(name));
  const network = dirname(pathOf(UNET_WEIGHTS));
  const weights: Files = new Map();
  for (const path of await findWeights(network, await namesIn(network))) {
    weights.set(path, await readModelFile(path));
  }
  const files: Files = new Map();
  for (const name of JSON_FILES) {
    const path = pathOf(name);
    if (name === UNET_CONFIG || (await namesIn(dirname(path))).has(basename(path))) {
      files.set(name, await readModelFile(path));
    }
  }
  const pipeline = assemble(directory, files, weights, pathOf);
  if (inParts && !pipeline.modelIndex) {
    onWarning(`${directory} has no ${MODEL_INDEX}, which would name the pipeline's parts and classes`);
  }
  return pipeline;
}

const JSON_FILES = PIPELINE_FILES.filter((name) => name.endsWith(".json"));

/**
 * Puts a model together from its files.
 *
 * @param files the JSON files that there are, by path in the model's directory
 * @param weights the parts of the weights, by their paths
 */
function assemble(
  path: string,
  files: Files,
  weights: Files,
  pathOf: (name: string) => string,
): Pipeline {
  const json = new Map(
    JSON_FILES.filter((name) => files.has(name)).map((
      name,
    ) => [name, parseJson(files.get(name)!, pathOf(name))]),
  );
  const pipeline: Pipeline = {
    path,
    unetConfig: json.get(UNET_CONFIG)!,
    schedulerConfig: json.get(SCHEDULER_CONFIG) ?? null,
    modelIndex: json.get(MODEL_INDEX) ?? null,
    tensors: new Map(),
    metadata: {},
    verified: true,
  };
  for (const [source, bytes] of weights) {
    const { tensors, metadata, verified } = decodeWeights(bytes, source);
    Object.assign(pipeline.metadata, checkJsonDigests(metadata, json, pathOf, source));
    for (const [name, tensor] of toWeights(tensors, source)) {
      if (pipeline.tensors.has(name)) {
        throw new CheckpointError(`${source}: tensor ${JSON.stringify(name)} is in another part, too`);
      }
      pipeline.tensors.set(name, tensor);
    }
    pipeline.verified &&= verified;
  }
  return pipeline;
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
