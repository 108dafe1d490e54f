/**
 * What the files of a trained model say, ready for a device.
 *
 * @module
 */
import { NoiseSchedule } from "../diffusion/schedule.ts";
import { classCount, type UNetConfig, unetConfigFromJson } from "../model/config.ts";
import { unetParameters } from "../model/network.ts";
import type { Precision } from "../model/precision.ts";
import { loadPipeline } from "../files/pipeline.ts";

/** A model as it was read. */
export interface TrainedModel {
  readonly config: UNetConfig;
  readonly schedule: NoiseSchedule;
  /** Class names in the order of their labels; empty for an unconditional model. */
  readonly classes: readonly string[];
  /** Directory it was read from. */
  readonly path: string;
  /** The weights as they lie in one buffer of the device, for a network of the precision asked for. */
  readonly flat: Float32Array<ArrayBuffer>;
}

/**
 * Reads a run directory, a diffusers pipeline directory, or a directory with one network.
 *
 * @param options `onWarning` is told when a damaged file was replaced by an older one
 * @throws {CheckpointError} naming the file, and the tensor where there is one
 * @throws {ConfigError} for a network or schedule with features that are not supported
 */
export async function readModel(
  directory: string,
  precision: Precision,
  options: { readonly onWarning?: (message: string) => void } = {},
): Promise<TrainedModel> {
  const { tensors, path, unetConfig, schedulerConfig, modelIndex } = await loadPipeline(directory, options);
  const config = unetConfigFromJson(unetConfig);
  const schedule = schedulerConfig ? NoiseSchedule.fromDiffusers(schedulerConfig) : new NoiseSchedule();
  const flat = unetParameters(config, precision).toMemory(modernNames(tensors), path);
  return { config, schedule, classes: classNames(config, modelIndex), path, flat };
}

/** Old diffusers files name the attention projections otherwise. */
const OLD_NAMES: readonly (readonly [RegExp, string])[] = [
  [/\.query\.(weight|bias)$/, ".to_q.$1"],
  [/\.key\.(weight|bias)$/, ".to_k.$1"],
  [/\.value\.(weight|bias)$/, ".to_v.$1"],
  [/\.proj_attn\.(weight|bias)$/, ".to_out.0.$1"],
];

function modernNames<T>(tensors: ReadonlyMap<string, T>): Map<string, T> {
  return new Map(
    [...tensors].map(([name, tensor]) => [
      OLD_NAMES.reduce((n, [from, to]) => n.replace(from, to), name),
      tensor,
    ]),
  );
}

/** Class names as the run wrote them, or numbers where the files do not tell. */
function classNames(config: UNetConfig, modelIndex: Record<string, unknown> | null): string[] {
  const count = classCount(config);
  const names = modelIndex?._class_labels;
  if (Array.isArray(names) && names.length === count && names.every((name) => typeof name === "string")) {
    return names;
  }
  return Array.from({ length: count }, (_, i) => String(i));
}
