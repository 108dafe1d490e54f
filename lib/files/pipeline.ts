/**
 * Loading of models from a run directory, a diffusers pipeline directory, or the directory of a single network.
 *
 * @module
 */
import { basename, dirname, join } from "node:path";
import { CheckpointError } from "../errors.ts";
import { commandLine } from "../program.ts";
import { decodeTorchFile } from "./torch_file.ts";
import { EXPECTED_FILES, findWeights, weightFileModel } from "./weight_files.ts";
import {
  type CheckpointPath,
  firstUsable,
  listCheckpoints,
  readModelFile,
  readVerified,
} from "./checkpoint_files.ts";
import { type Files, MODEL_INDEX, PIPELINE_FILES, UNET_CONFIG, UNET_WEIGHTS } from "./pipeline_files.ts";
import { unpublished } from "./publish.ts";
import { assemblePipeline, JSON_FILES, type Pipeline } from "./assemble.ts";
import { decodeWeights, type WeightFile } from "./weights.ts";

type OnWarning = (message: string) => void;

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

/**
 * Decodes a model's files.
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
  const decoded = new Map<string, WeightFile>();
  for (const [source, bytes] of weights) {
    decoded.set(source, await decodeWeightFile(bytes, source, onWarning));
  }
  return await assemblePipeline(path, files, decoded, pathOf);
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
  if (source.endsWith(".safetensors")) return await decodeWeights(bytes, source);
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
