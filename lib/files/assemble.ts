/**
 * Assembly of a model from its decoded files.
 *
 * @module
 */
import { CheckpointError } from "../errors.ts";
import { type SafeTensor, toFloat32 } from "./dtypes.ts";
import { checkJsonDigests, hasJsonDigests } from "./json_digests.ts";
import {
  MODEL_INDEX,
  type ModelFiles,
  parseJson,
  PIPELINE_FILES,
  SCHEDULER_CONFIG,
  UNET_CONFIG,
} from "./pipeline_files.ts";
import type { WeightFile, WeightTensor } from "./weights.ts";

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

/** The JSON files of a pipeline. */
export const JSON_FILES: readonly string[] = PIPELINE_FILES.filter((name) => name.endsWith(".json"));

/**
 * Assembles a model, and verifies its JSON files against the digests in its weights.
 *
 * @param path of the model, for messages
 * @param files the JSON files present, by path in the model's directory
 * @param weights the decoded shards of the weights, by path
 * @param pathOf a file's path, for messages
 * @throws {CheckpointError} naming the file and, where there is one, the tensor
 */
export async function assemblePipeline(
  path: string,
  files: ModelFiles["files"],
  weights: ReadonlyMap<string, WeightFile>,
  pathOf: (name: string) => string,
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
  for (const [source, { tensors, metadata, verified }] of weights) {
    pipeline.jsonVerified &&= hasJsonDigests(metadata);
    Object.assign(pipeline.metadata, await checkJsonDigests(metadata, json, pathOf, source));
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
