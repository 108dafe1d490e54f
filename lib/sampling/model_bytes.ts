/**
 * Models from the contents of their files.
 *
 * @module
 */
import { CheckpointError } from "../errors.ts";
import { assemblePipeline } from "../files/assemble.ts";
import { type ModelFiles, UNET_CONFIG, UNET_WEIGHTS } from "../files/pipeline_files.ts";
import { decodeWeights } from "../files/weights.ts";
import { openBrowserGpu } from "../gpu/browser.ts";
import type { Precision } from "../model/precision.ts";
import { Tuning } from "../tuning/tuning.ts";
import { DeviceModel, type ModelOptions } from "./device_model.ts";
import { type TrainedModel, trainedModel } from "./trained_model.ts";

/**
 * Brings a model to a device, with the default kernels.
 *
 * @throws {CheckpointError} naming the file, and the tensor if one is affected
 */
export async function openModelFiles(model: ModelFiles, options: ModelOptions): Promise<DeviceModel> {
  return await DeviceModel.open({
    openGpu: openBrowserGpu,
    read: (precision, onWarning) => readModelFiles(model, precision, onWarning),
    openTuning: (gpu) => Promise.resolve(Tuning.of(gpu)),
  }, options);
}

async function readModelFiles(
  { path, files }: ModelFiles,
  precision: Precision,
  onWarning: (message: string) => void,
): Promise<TrainedModel> {
  const base = path.replace(/\/+$/, "");
  const pathOf = (name: string) => `${base}/${name}`;
  for (const name of [UNET_CONFIG, UNET_WEIGHTS]) {
    if (!files.has(name)) throw new CheckpointError(`${pathOf(name)} is missing`);
  }
  const source = pathOf(UNET_WEIGHTS);
  const weights = new Map([[source, await decodeWeights(files.get(UNET_WEIGHTS)!, source)]]);
  const pipeline = await assemblePipeline(base, files, weights, pathOf);
  return await trainedModel(pipeline, base.slice(base.lastIndexOf("/") + 1), precision, onWarning);
}
