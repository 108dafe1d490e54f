/**
 * The files of a trained model, ready for a device.
 *
 * @module
 */
import { defaultSchedule, NoiseSchedule } from "../diffusion/schedule.ts";
import { CheckpointError } from "../errors.ts";
import { loadPipeline, type Pipeline } from "../files/pipeline.ts";
import { type UNetConfig, unetConfigFromJson } from "../model/config.ts";
import { unetParameters } from "../model/network.ts";
import type { Precision } from "../model/precision.ts";

/** A model as it was read. */
export interface TrainedModel {
  readonly config: UNetConfig;
  readonly schedule: NoiseSchedule;
  /**
   * Class names in the order of their labels; empty for an unconditional model. As many as the class table has rows, or
   * one fewer where its last row is the null class.
   */
  readonly classes: readonly string[];
  /** Directory it was read from. */
  readonly path: string;
  /** The weights as they lie in one buffer of the device, for a network of the precision asked for. */
  readonly flat: Float32Array<ArrayBuffer>;
}

type OnWarning = (message: string) => void;

/**
 * Reads a run directory, a diffusers pipeline directory, or a directory with one network.
 *
 * @param options `onWarning` is told when a damaged file was replaced by an older one, and what was assumed in place of
 *   what the files do not say
 * @throws {CheckpointError} naming the file, and the tensor where there is one
 * @throws {ConfigError} for a network or schedule with features that are not supported
 */
export async function readModel(
  directory: string,
  precision: Precision,
  { onWarning = console.warn }: { readonly onWarning?: OnWarning } = {},
): Promise<TrainedModel> {
  const pipeline = await loadPipeline(directory, { onWarning });
  const { tensors, path } = pipeline;
  const config = unetConfigFromJson(pipeline.unetConfig);
  const schedule = readSchedule(pipeline, onWarning);
  const classes = readClasses(config, pipeline, onWarning);
  const table = unetParameters(config, precision);
  for (const [name, { data }] of tensors) requireFinite(data, `${path}: tensor ${JSON.stringify(name)}`);
  const flat = table.toMemory(modernNames(tensors, path), path);
  return { config, schedule, classes, path, flat };
}

/** The schedule of the files; without one the paper's, which must be told, since it decides what is drawn. */
function readSchedule({ path, schedulerConfig }: Pipeline, onWarning: OnWarning): NoiseSchedule {
  if (schedulerConfig) {
    return NoiseSchedule.fromDiffusers(
      schedulerConfig,
      (note) => onWarning(`${path}: scheduler_config.json: ${note}`),
    );
  }
  const { numTrainTimesteps, betaSchedule, betaStart, betaEnd, predictionType, varianceType } =
    defaultSchedule;
  onWarning(
    `${path} has no scheduler_config.json: assuming ${numTrainTimesteps} timesteps, ${betaSchedule} betas from ` +
      `${betaStart} to ${betaEnd}, prediction of ${predictionType}, variance ${varianceType}`,
  );
  return new NoiseSchedule();
}

function requireFinite(data: Float32Array, where: string): void {
  // A loop, because findIndex takes seconds for the tens of millions of a network.
  for (let i = 0; i < data.length; i++) {
    if (!Number.isFinite(data[i])) {
      throw new CheckpointError(
        `${where} holds ${data[i]} at ${i}: no image can come of weights that are not finite`,
      );
    }
  }
}

/** Wrappers of `torch.compile` and of parallel training, which leave their name in front of every tensor's. */
const WRAPPERS = /(^|\.)_orig_mod\.|^module\./;

/** Old diffusers files name the attention projections otherwise. */
const OLD_NAMES: readonly (readonly [RegExp, string])[] = [
  [/\.query\.(weight|bias)$/, ".to_q.$1"],
  [/\.key\.(weight|bias)$/, ".to_k.$1"],
  [/\.value\.(weight|bias)$/, ".to_v.$1"],
  [/\.proj_attn\.(weight|bias)$/, ".to_out.0.$1"],
];

/** Tensors by the names that diffusers gives them today. */
function modernNames<T>(tensors: ReadonlyMap<string, T>, path: string): Map<string, T> {
  const modern = new Map<string, T>();
  for (const [given, tensor] of tensors) {
    let name = given;
    while (WRAPPERS.test(name)) name = name.replace(WRAPPERS, "$1");
    name = OLD_NAMES.reduce((n, [from, to]) => n.replace(from, to), name);
    if (modern.has(name)) {
      throw new CheckpointError(`${path}: tensor ${JSON.stringify(given)} is there twice, once as ${name}`);
    }
    modern.set(name, tensor);
  }
  return modern;
}

/**
 * Class names as the files state them, or numbers where they do not tell.
 *
 * The table of a model trained here has a last row for "no class". Others have such a row only where they name one class
 * fewer than there are rows.
 */
function readClasses(config: UNetConfig, pipeline: Pipeline, onWarning: OnWarning): readonly string[] {
  const { numClassEmbeds: rows } = config;
  const { path, modelIndex, verified } = pipeline;
  if (rows === null) return [];
  const named = modelIndex?._class_labels ?? modelIndex?.class_labels;
  const names = Array.isArray(named) && named.every((name) => typeof name === "string") ? named : undefined;
  const fitting = names?.length === rows || names?.length === rows - 1 ? names : undefined;
  const count = fitting?.length ?? (verified ? rows - 1 : rows);
  if (named !== undefined && !fitting) {
    onWarning(`${path}: the class names are no list of ${rows - 1} or ${rows}, so classes go by number`);
  }
  if (count === rows) {
    onWarning(
      `${path}: all ${rows} rows of its class table are classes and none stands for "no class", so there is no ` +
        `guidance (it is 1)` +
        (fitting
          ? ""
          : `; if the last row does, list the names of the other ${
            rows - 1
          } as _class_labels in model_index.json`),
    );
  }
  return fitting ?? Array.from({ length: count }, (_, label) => String(label));
}
