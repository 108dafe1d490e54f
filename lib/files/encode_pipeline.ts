/**
 * Files of a trained model.
 *
 * @module
 */
import { jsonDigests } from "./json_digests.ts";
import {
  encodeJson,
  type Files,
  MODEL_INDEX,
  SCHEDULER_CONFIG,
  UNET_CONFIG,
  UNET_WEIGHTS,
} from "./pipeline_files.ts";
import { encodeWeights, type WeightTensor } from "./weights.ts";

/** The model of a checkpoint. */
export interface ModelContents<B extends ArrayBufferLike = ArrayBufferLike> {
  /** EMA of the weights, by diffusers' names. */
  ema: Map<string, WeightTensor<B>>;
  /** Content of `unet/config.json`. */
  unetConfig: object;
  /** Content of `scheduler/scheduler_config.json`. */
  schedulerConfig: object;
  /** Content of `model_index.json`. */
  modelIndex: object;
}

/** Encodes a model as the files of a diffusers pipeline, with their digests. */
export async function encodePipeline(model: ModelContents): Promise<Files> {
  const files: Files = new Map([
    [MODEL_INDEX, encodeJson(model.modelIndex, MODEL_INDEX)],
    [SCHEDULER_CONFIG, encodeJson(model.schedulerConfig, SCHEDULER_CONFIG)],
    [UNET_CONFIG, encodeJson(model.unetConfig, UNET_CONFIG)],
  ]);
  return files.set(UNET_WEIGHTS, await encodeWeights(model.ema, await jsonDigests(files)));
}
