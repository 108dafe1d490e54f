/**
 * Fine-tuning: a run that starts from a trained model, also one with other classes or of another image size.
 *
 * All weights carry over, since convolutions, norms and attention fit any image size. Of the class table, the rows of classes
 * with the same name carry over, and the row of the null class; the other rows are initialized. The optimizer starts anew.
 *
 * @module
 */
import { ConfigError } from "../errors.ts";
import { type UNetConfig, unetConfig } from "../model/config.ts";
import type { HostTensor, ParameterTable } from "../model/parameters.ts";
import { givesSchedule, type ObjectiveSettings, withoutSchedule } from "./objective_settings.ts";
import type { DataShape, SettingsOptions } from "./settings.ts";

/** Class table: a row per class, then that of the null class. */
const CLASS_TABLE = "class_embedding.weight";
/** Weight of the first convolution, `[out, in, 3, 3]`: with self-conditioning it has twice the inputs. */
const FIRST_WEIGHT = "conv_in.weight";
/** The sum of this bias and a row of the class table enters the time embedding. */
const EMBEDDING_BIAS = "time_embedding.linear_2.bias";

/** A trained model that a run starts from. */
export interface InitialModel {
  /** Directory of the model. */
  readonly path: string;
  readonly config: UNetConfig;
  /** Settings of the forward process that it was trained with. */
  readonly process: Partial<ObjectiveSettings>;
  /** Class names by label; empty for an unconditional model. */
  readonly classes: readonly string[];
  /** Weights by the names of the network's parameters. */
  readonly tensors: ReadonlyMap<string, HostTensor>;
}

/** Weights of a run's network, from those of a model. */
export interface InitialWeights {
  /** Flat buffer of the network's parameters. */
  readonly flat: Float32Array<ArrayBuffer>;
  /** Classes of the run that the model does not have. */
  readonly newClasses: readonly string[];
}

/**
 * Settings of a run that starts from a model: its network, at the size of the data, and its objective and noise schedule, unless another
 * schedule is given.
 *
 * @param given settings given by the caller
 * @throws {ConfigError} if they include a network, or another objective
 */
export function initialSettings(
  given: SettingsOptions,
  { path, config, process }: InitialModel,
  { height, width }: Pick<DataShape, "height" | "width">,
): SettingsOptions {
  if (given.model) {
    throw new ConfigError("init", path, "no `model` beside it: the network is the initial model's");
  }
  if (given.objective !== undefined && given.objective !== process.objective) {
    throw new ConfigError(
      "objective",
      given.objective,
      `${process.objective}, with which the model in ${path} was trained`,
    );
  }
  // A schedule that is given replaces the model's as a whole.
  const learned = givesSchedule(given) ? withoutSchedule(process) : process;
  const sampleSize = height === width ? height : [height, width] as const;
  try {
    return { ...learned, ...given, model: unetConfig({ ...config, sampleSize }) };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new ConfigError(
      "init",
      path,
      `a model whose network fits ${width}x${height} images (${error.message})`,
    );
  }
}

/** Warning that a run has classes which its initial model lacks; undefined if it has none. */
export function describeNewClasses(
  { path }: InitialModel,
  newClasses: readonly string[],
  classes: readonly string[],
): string | undefined {
  if (newClasses.length === 0) return undefined;
  const [some, all] = [newClasses.length, classes.length];
  return some === all
    ? `none of the classes is in the initial model ${path}: all class embeddings start anew`
    : `${some} of the ${all} classes are not in the initial model ${path}: their embeddings start anew`;
}

/**
 * Weights of a run's network that starts from a model.
 *
 * @param table layout of the run's network
 * @param classes the run's classes; of a network without a class table, they are ignored
 * @param seed of the rows of new classes
 * @throws {CheckpointError} naming a tensor that does not fit the network
 * @throws {ConfigError} for other classes, if the model embeds their numbers
 */
export function initialWeights(
  { path, config, tensors, classes: known }: InitialModel,
  table: ParameterTable,
  classes: readonly string[],
  seed: number,
): InitialWeights {
  if (config.classEmbedType === "timestep" && JSON.stringify(classes) !== JSON.stringify(known)) {
    const allowed = `a model with the run's classes in the same order, since it embeds their numbers: ${
      classes.join(", ")
    }`;
    throw new ConfigError("init", path, allowed);
  }
  const given = new Map(tensors);
  const from = given.get(CLASS_TABLE);
  given.delete(CLASS_TABLE);
  const fresh = table.fromMemory(table.initialize(seed));
  for (const [name, tensor] of table.ofTraining(fresh)) given.set(name, tensor);
  const first = given.get(FIRST_WEIGHT);
  const wanted = fresh.get(FIRST_WEIGHT);
  if (first && wanted) given.set(FIRST_WEIGHT, withInputs(first, wanted.shape[1]!));
  const to = fresh.get(CLASS_TABLE);
  const nullRow = from && from.shape[0]! > known.length ? rowOf(from, known.length) : undefined;
  let newClasses: readonly string[] = [];
  if (to) {
    given.set(CLASS_TABLE, to);
    newClasses = classes.filter((name) => !known.includes(name));
    classes.forEach((name, label) => {
      const before = known.indexOf(name);
      if (from && before >= 0) rowOf(to, label).set(rowOf(from, before));
    });
    if (nullRow) rowOf(to, classes.length).set(nullRow);
  } else if (nullRow) {
    // An unconditional network is the conditional one at its null class.
    const bias = given.get(EMBEDDING_BIAS)!;
    given.set(EMBEDDING_BIAS, { ...bias, data: bias.data.map((value, i) => value + nullRow[i]!) });
  }
  return { flat: table.toMemory(given, path), newClasses };
}

/**
 * Weight of a convolution with more or fewer inputs. Those that are new have weight 0, so that a network which becomes
 * self-conditioned starts as it was; one that is no longer goes on as it is without estimates.
 */
function withInputs(weight: HostTensor, inputs: number): HostTensor {
  const [out, before, ...kernel] = weight.shape as [number, number, number, number];
  if (before === inputs) return weight;
  const taps = kernel.reduce((a, b) => a * b, 1);
  const kept = taps * Math.min(before, inputs);
  const data = new Float32Array(out * inputs * taps);
  for (let o = 0; o < out; o++) {
    data.set(weight.data.subarray(o * before * taps, o * before * taps + kept), o * inputs * taps);
  }
  return { shape: [out, inputs, ...kernel], data };
}

/** Row of a class table, as a view. */
function rowOf({ shape, data }: HostTensor, row: number): Float32Array {
  const width = shape[1]!;
  return data.subarray(row * width, (row + 1) * width);
}
