/**
 * Reads trained models from disk.
 *
 * @module
 */
import { basename, resolve } from "node:path";
import { loadPipeline } from "../files/pipeline.ts";
import type { Precision } from "../model/precision.ts";
import { type TrainedModel, trainedModel } from "./trained_model.ts";

interface ReadModelOptions {
  readonly variant?: string;
  readonly onWarning?: (message: string) => void;
}

/**
 * Reads a run directory, a diffusers pipeline directory, a directory with a single network, or a weight file.
 *
 * @param directory the directory or file
 * @param precision determines the layout of the weights
 * @param options `variant`: of the weights, such as `fp16`; `onWarning`: called when a damaged file was replaced by an older one, and for each assumption about
 *   missing information
 * @throws {CheckpointError} naming the file, and the tensor if one is affected
 * @throws {ConfigError} naming file and field, for an unsupported network or schedule, or a variant that is not there
 */
export async function readModel(
  directory: string,
  precision: Precision,
  { variant, onWarning = console.warn }: ReadModelOptions = {},
): Promise<TrainedModel> {
  const pipeline = await loadPipeline(directory, { variant, onWarning });
  return await trainedModel(pipeline, basename(resolve(pipeline.path)), precision, onWarning);
}
