/**
 * Loading of models from a run directory, a diffusers pipeline directory, or the directory of a single network.
 *
 * @module
 */
import { basename, dirname, join } from "node:path";
import { CheckpointError } from "../errors.ts";
import { commandLine } from "../program.ts";
import { checkJsonDigests, hasJsonDigests } from "./json_digests.ts";
import { type SafeTensor, toFloat32 } from "./dtypes.ts";
import { decodeTorchFile } from "./torch_file.ts";
import { EXPECTED_FILES, findWeights, weightFileModel } from "./weight_files.ts";
import {
  type CheckpointPath,
  type Files,
  firstUsable,
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
import { decodeWeights, type WeightFile, type WeightTensor } from "./weights.ts";

type OnWarning = (message: string) => void;

/** Contents of a model directory that sampling needs. */
export interface Pipeline {
  /** The directory it was read from: the requested one, or a checkpoint used instead. */
  path: string;
  /** diffusers' `UNet2DModel` configuration, unchecked. */
  unetConfig: Record<string, unknown>;
  /** diffusers' scheduler configuration, unchecked; null if the directory has none. */
  schedulerConfig: Record<string, unknown> | null;
  /** `model_index.json`, unchecked; null if the directory has none. */
  modelIndex: Record<string, unknown> | null;
  /** Weights by their names in the file; other floating-point types are converted to float32. */
  tensors: Map<string, WeightTensor<ArrayBuffer>>;
  /** The weight file's free-text metadata. */
  metadata: Record<string, string>;
  /** True if the weights carry digests, as files written by this project do. */
  verified: boolean;
  /** True if the weights carry digests of the JSON files, which were then verified. */
  jsonVerified: boolean;
}

/** Options of {@linkcode loadPipeline}. */
export interface LoadPipelineOptions {
  /** Variant of the weights, such as `fp16` or `non_ema`; by default those without a variant, else the most precise. */
  variant?: string | undefined;
  /** Called when something is damaged or missing, with what is used or assumed instead; default `console.warn`. */
  onWarning?: (message: string) => void;
}

/**
 * Reads a model from a run directory, a diffusers pipeline directory (`unet/`, `scheduler/`), a directory with `config.json`
 * and the weights, or a weight file with `config.json` beside it. Weights are safetensors or PyTorch checkpoints, possibly
 * sharded, or a variant such as fp16. If a run's model is damaged, or older than its newest checkpoint because a save was
 * interrupted, the newest intact checkpoint is used instead, with a warning.
 *
 * @param path the directory or weight file
 * @throws {CheckpointError} naming the file and, where there is one, the tensor
 * @throws {ConfigError} for a variant that is not there
 */
export async function loadPipeline(
  path: string,
  { variant, onWarning = console.warn }: LoadPipelineOptions = {},
): Promise<Pipeline> {
  const file = weightFileModel(path);
  if (file) return await loadNetwork(file.directory, [path], onWarning, file.isPipeline);
  const directory = path;
  try {
    const published = await loadDirectory(directory, variant, onWarning);
    const newer = await unpublished(directory);
    if (!newer) return published;
    onWarning(
      `${directory}: its model is older than its newest checkpoint, because a save was interrupted or is in progress; ` +
        `using ${newer.path} instead`,
    );
    return await assembleVerified(newer.path, newer.files, onWarning);
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    const checkpoints = await listCheckpoints(directory);
    if (checkpoints.length === 0) throw error;
    const load = async ({ path }: CheckpointPath) =>
      await assembleVerified(path, await readVerified(path, PIPELINE_FILES), onWarning);
    return await firstUsable(checkpoints, load, onWarning, [error.message]);
  }
}

/**
 * Converts tensors to float32.
 *
 * @throws {CheckpointError} naming the first tensor that is not of a floating-point type
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

/** A checkpoint's model from its files, compared with the manifest already. */
async function assembleVerified(path: string, files: Files, onWarning: OnWarning): Promise<Pipeline> {
  const weights = new Map([[join(path, UNET_WEIGHTS), files.get(UNET_WEIGHTS)!]]);
  return await assemble(path, files, weights, (name) => join(path, name), onWarning);
}

async function loadDirectory(
  directory: string,
  variant: string | undefined,
  onWarning: OnWarning,
): Promise<Pipeline> {
  const isPipeline = (await namesIn(directory, missingModel)).has("unet");
  const network = isPipeline ? join(directory, dirname(UNET_WEIGHTS)) : directory;
  const { paths, note } = await findWeights(network, await namesIn(network), variant);
  if (note !== undefined) onWarning(note);
  const pipeline = await loadNetwork(directory, paths, onWarning, isPipeline);
  if (isPipeline && !pipeline.modelIndex) {
    onWarning(`${directory} has no ${MODEL_INDEX}, which lists the pipeline's components and class names`);
  }
  return pipeline;
}

/**
 * Reads a network and its schedule.
 *
 * @param paths the files with its weights
 * @param isPipeline files are in a directory per component; if not, all are at the top level, as in the directory of a
 *   network and in the hub's older pipelines
 */
async function loadNetwork(
  directory: string,
  paths: readonly string[],
  onWarning: OnWarning,
  isPipeline = false,
): Promise<Pipeline> {
  const pathOf = (name: string) => join(directory, isPipeline ? name : basename(name));
  const weights: Files = new Map();
  for (const path of paths) weights.set(path, await readModelFile(path));
  const files: Files = new Map();
  for (const name of JSON_FILES) {
    const path = pathOf(name);
    if (name === UNET_CONFIG || (await namesIn(dirname(path))).has(basename(path))) {
      files.set(name, await readModelFile(path));
    }
  }
  const pipeline = await assemble(directory, files, weights, pathOf, onWarning);
  if (!pipeline.jsonVerified) {
    onWarning(
      `${directory}: its weights hold no digests of its JSON files, so a change in those would go unnoticed; ` +
        `\`${commandLine("export")}\` writes a copy that has them`,
    );
  }
  return pipeline;
}

const JSON_FILES = PIPELINE_FILES.filter((name) => name.endsWith(".json"));

/**
 * Assembles a model from its files.
 *
 * @param files the JSON files present, by path in the model's directory
 * @param weights the shards of the weights, by path
 */
async function assemble(
  path: string,
  files: Files,
  weights: Files,
  pathOf: (name: string) => string,
  onWarning: OnWarning,
): Promise<Pipeline> {
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
    jsonVerified: true,
  };
  for (const [source, bytes] of weights) {
    const { tensors, metadata, verified } = await decodeWeightFile(bytes, source, onWarning);
    pipeline.jsonVerified &&= hasJsonDigests(metadata);
    Object.assign(pipeline.metadata, checkJsonDigests(metadata, json, pathOf, source));
    for (const [name, tensor] of toWeights(tensors, source)) {
      if (pipeline.tensors.has(name)) {
        throw new CheckpointError(`${source}: tensor ${JSON.stringify(name)} is also in another shard`);
      }
      pipeline.tensors.set(name, tensor);
    }
    pipeline.verified &&= verified;
  }
  return pipeline;
}

/**
 * Decodes a safetensors file, or a PyTorch checkpoint, which has no metadata and no digests.
 *
 * @param source the file's name, whose extension tells them apart
 * @throws {CheckpointError} naming the file and what is damaged or refused
 */
export async function decodeWeightFile(
  bytes: Uint8Array<ArrayBuffer>,
  source: string,
  onWarning: OnWarning,
): Promise<WeightFile> {
  if (source.endsWith(".safetensors")) return decodeWeights(bytes, source);
  const { tensors, note } = await decodeTorchFile(bytes, source);
  if (note !== undefined) onWarning(note);
  return { tensors, metadata: {}, verified: false };
}

/** @param onMissing called if there is no such directory; otherwise that is as good as an empty one */
async function namesIn(directory: string, onMissing?: (directory: string) => never): Promise<Set<string>> {
  const names = new Set<string>();
  try {
    for await (const { name } of Deno.readDir(directory)) names.add(name);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) {
      throw new CheckpointError(`${directory}: cannot be read: ${(error as Error).message}`);
    }
    onMissing?.(directory);
  }
  return names;
}

function missingModel(directory: string): never {
  throw new CheckpointError(`${directory}: no such file or directory; expected ${EXPECTED_FILES}`);
}
