/**
 * Trained models: configuration, schedule, class names and weights in device layout, from the files of a pipeline.
 *
 * @module
 */
import { samplerFromDiffusers } from "../diffusion/diffusers_sampler.ts";
import type { SamplerChoice } from "../diffusion/sampler.ts";
import { defaultSchedule, NoiseSchedule } from "../diffusion/schedule.ts";
import { processFromDiffusers, type TrainedProcess } from "../diffusion/trained_process.ts";
import { CheckpointError, ConfigError } from "../errors.ts";
import type { Pipeline } from "../files/assemble.ts";
import { type UNetConfig, unetConfigFromJson } from "../model/config.ts";
import { unetParameters } from "../model/network.ts";
import { modelDigest } from "./model_digest.ts";
import { checkProcessTimes } from "./network_times.ts";
import type { Precision } from "../model/precision.ts";

/** A trained model in memory. */
export interface TrainedModel {
  readonly config: UNetConfig;
  /** Forward process of the training. */
  readonly schedule: TrainedProcess;
  /** Sampler and spacing of the scheduler configuration; undefined where it leaves the choice. */
  readonly sampling: Required<SamplerChoice> | undefined;
  /**
   * Class names by label; empty for an unconditional model. As many as the class table has rows, or one fewer if its last
   * row is the null class.
   */
  readonly classes: readonly string[];
  /** Directory or address of the model. */
  readonly path: string;
  /** Last part of it, which pictures tell without details of the machine. */
  readonly name: string;
  /** SHA-256 of the weights. */
  readonly digest: string;
  /** Weights in device layout (`ParameterTable`), for the requested precision. */
  readonly flat: Float32Array<ArrayBuffer>;
}

type OnWarning = (message: string) => void;

/**
 * Checks a model's files against each other.
 *
 * @param pipeline its files
 * @param name of the model
 * @param precision determines the layout of the weights
 * @param onWarning called for each assumption about missing information
 * @throws {CheckpointError} naming the file, and the tensor if one is affected
 * @throws {ConfigError} naming file and field, for an unsupported network or schedule
 */
export async function trainedModel(
  pipeline: Pipeline,
  name: string,
  precision: Precision,
  onWarning: OnWarning,
): Promise<TrainedModel> {
  const { tensors, path } = pipeline;
  const config = inFile(`${path}: config.json`, () => unetConfigFromJson(pipeline.unetConfig));
  const { schedule, sampling } = readSchedule(pipeline, onWarning);
  inFile(`${path}: config.json`, () => checkProcessTimes(config, schedule));
  const classes = readClasses(config, pipeline, onWarning);
  const table = unetParameters(config, precision);
  for (const [name, { data }] of tensors) requireFinite(data, `${path}: tensor ${JSON.stringify(name)}`);
  const named = modernNames(tensors, path);
  const flat = table.toMemory(named, path);
  return { config, schedule, sampling, classes, path, name, flat, digest: await modelDigest(named) };
}

/** Prefixes a ConfigError with the file, so that its field is not taken for a command-line flag. */
function inFile<T>(file: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new ConfigError(`${file}: ${error.field}`, error.value, error.allowed);
  }
}

/** Reads the schedule; if there is none, warns and takes the paper's. */
function readSchedule(
  { path, schedulerConfig }: Pipeline,
  onWarning: OnWarning,
): Pick<TrainedModel, "schedule" | "sampling"> {
  if (schedulerConfig) {
    const file = `${path}: scheduler_config.json`;
    const onNote = (note: string) => onWarning(`${file}: ${note}`);
    return inFile(file, () => ({
      schedule: processFromDiffusers(schedulerConfig, onNote),
      sampling: samplerFromDiffusers(schedulerConfig, onNote),
    }));
  }
  const { numTrainTimesteps, betaSchedule, betaStart, betaEnd, objective, varianceType } = defaultSchedule;
  onWarning(
    `${path} has no scheduler_config.json: assuming ${numTrainTimesteps} timesteps, ${betaSchedule} betas from ` +
      `${betaStart} to ${betaEnd}, objective ${objective}, variance ${varianceType}`,
  );
  return { schedule: new NoiseSchedule(), sampling: undefined };
}

function requireFinite(data: Float32Array, where: string): void {
  // findIndex takes seconds for tens of millions of weights.
  for (let i = 0; i < data.length; i++) {
    if (!Number.isFinite(data[i])) {
      throw new CheckpointError(
        `${where} holds ${data[i]} at ${i}: expected finite weights`,
      );
    }
  }
}

/** Prefixes of tensor names from `torch.compile` and parallel training. */
const WRAPPERS = /(^|\.)_orig_mod\.|^module\./;

/** Names of the attention projections in old diffusers files. */
const OLD_NAMES: readonly (readonly [RegExp, string])[] = [
  [/\.query\.(weight|bias)$/, ".to_q.$1"],
  [/\.key\.(weight|bias)$/, ".to_k.$1"],
  [/\.value\.(weight|bias)$/, ".to_v.$1"],
  [/\.proj_attn\.(weight|bias)$/, ".to_out.0.$1"],
];

/** Renames tensors to the names of current diffusers versions. */
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
 * Class names from the model's files, or numbers if there are none.
 *
 * In models trained here, the last row of the class table is the null class. In others it is only if they name one class
 * fewer than the table has rows.
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
    onWarning(`${path}: expected a list of ${rows - 1} or ${rows} class names; classes are numbered instead`);
  }
  if (count === rows) {
    onWarning(
      `${path}: all ${rows} rows of its class table are classes and none is a null class ("no class"), so guidance is off` +
        (fitting
          ? ""
          : `; if the last row is one, list the names of the other ${
            rows - 1
          } as _class_labels in model_index.json`),
    );
  }
  return fitting ?? Array.from({ length: count }, (_, label) => String(label));
}
