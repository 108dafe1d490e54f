/**
 * Loads images as a data set: image files in folders or archives, or CIFAR-10's batches.
 *
 * @module
 */

import { resolve } from "node:path";
import { ConfigError, DataError } from "../errors.ts";
import { readArchive } from "./archive.ts";
import { findBatchFolder, readBatchFolder } from "./batch_folder.ts";
import { BatchAssembly, parseBatchName } from "./batches.ts";
import type { DataProgressListener, ImageDataset } from "./dataset.ts";
import { readHead, unreadable } from "./files.ts";
import { type CacheOptions, readDecodedImages } from "./cache/decoded_images.ts";
import { framingOf, type ImageFileOptions } from "./image_options.ts";
import { type Cifar10Split, IMAGE_SIDE } from "./official.ts";
import type { ImageSource } from "./image_source.ts";
import { isParquetName, ParquetSource } from "./parquet/parquet_source.ts";
import { FolderTree } from "./tree/folder_tree.ts";
import { TreeSource } from "./tree/tree_source.ts";
import { archiveKind, openTree } from "./tree/open.ts";
import { firstMember } from "./tree/tar_tree.ts";

/** Options of {@linkcode loadImages}. */
export interface LoadImagesOptions extends ImageFileOptions, CacheOptions {
  /** `train` (default), or `test`, which needs a `test` folder beside `train`. */
  readonly split?: Cifar10Split;
  /**
   * Require CIFAR-10's archives and batch files to be the official ones, verified by MD5. Default true; without meaning for image
   * files.
   */
  readonly official?: boolean;
  /** Called with progress, and with notes on skipped entries, splits and converted images. */
  readonly onProgress?: DataProgressListener;
}

/**
 * Loads the images of a folder, or of a zip, tar or tar.gz archive: PNG, JPEG, WebP or GIF (of animations the first frame), recognised by content.
 *
 * Classes are taken from a label file beside the images (`metadata.jsonl`, `metadata.csv`, `labels.csv` or `dataset.json`), else from
 * one subfolder per class; images that lie in the folder itself have none. Folders `train`, `val` and `test` (or their usual other names)
 * are splits, the images of `val` being the validation set. CIFAR-10's archives, and folders with its batch files, are read, too.
 *
 * A source image may have up to 16,384 pixels a side and 2^26 in all.
 *
 * @param path the folder or archive
 * @param options size, colours and classes; `split`, and a progress listener
 * @returns images as `[count, height, width, channels]` bytes, by class folder and file name, or as in the label file
 * @throws {ConfigError} if an option is out of its range
 * @throws {DataError} naming the file that is missing, cannot be decoded, or does not fit the others
 *
 * @example Images of 64 x 64 pixels, damaged ones left out
 * ```ts ignore
 * import { loadImages, train } from "@denoise/ddpm";
 *
 * const data = await loadImages("pets.zip", { size: 64, onBadFile: "skip", onProgress: ({ message }) => console.error(message) });
 * console.log(data.count, data.classes, data.files?.widths);
 * for await (const event of train({ data, steps: 3000, out: "runs/pets" })) console.log(event.type);
 * ```
 */
export async function loadImages(path: string, options: LoadImagesOptions = {}): Promise<ImageDataset> {
  const { split = "train", official = true, onProgress = () => {} } = options;
  if (split !== "train" && split !== "test") throw new ConfigError("split", split, '"train" or "test"');
  if (path === "") throw new ConfigError("data", path, "the path of a folder or an archive");
  framingOf(options); // checks them
  const trimmed = path.replace(/(?<=.)[/\\]+$/, ""); // so that messages have no double slash
  const batches = await findBatches(trimmed);
  if (!batches) {
    await using source = await openSource(trimmed, onProgress);
    return await readDecodedImages(source, split, options, onProgress);
  }
  checkBatchOptions(options);
  const assembly = new BatchAssembly(split, official);
  if (batches.kind === "folder") await readBatchFolder(batches.path, assembly, onProgress);
  else await readArchive(batches.path, assembly, onProgress);
  return { ...assembly.finish(trimmed), source: resolve(trimmed) };
}

/**
 * Loads the images of a folder; see {@linkcode loadImages}, which also reads archives and CIFAR-10's batches.
 *
 * @throws {ConfigError} if an option is out of its range
 * @throws {DataError} naming the file or folder
 */
export async function imageFolder(path: string, options: LoadImagesOptions = {}): Promise<ImageDataset> {
  const { split = "train", onProgress = () => {} } = options;
  await using source = new TreeSource(await FolderTree.open(path.replace(/(?<=.)[/\\]+$/, "")));
  return await readDecodedImages(source, split, options, onProgress);
}

/**
 * Checks that options of image files are not given for CIFAR-10's batches, which are read as they are.
 *
 * @throws {ConfigError} naming the option
 */
export function checkBatchOptions(options: ImageFileOptions): void {
  const { height, width, channels } = framingOf(options);
  const { fit, background, labelColumn } = options;
  const given = {
    size: height === IMAGE_SIDE && width === IMAGE_SIDE ? undefined : `${height}x${width}`,
    channels: channels === 3 ? undefined : channels,
    fit,
    background: background?.join(","),
    labelColumn,
  };
  const [wrong] = Object.entries(given).filter(([, value]) => value !== undefined);
  if (!wrong) return;
  const own = `${IMAGE_SIDE}x${IMAGE_SIDE} pixels in colour, with classes of their own`;
  throw new ConfigError(...wrong, `no value for CIFAR-10's images, which are ${own}`);
}

/** Parquet files, or a folder or archive of image files. */
export async function openSource(path: string, onProgress: DataProgressListener): Promise<ImageSource> {
  const isParquet = await isFolder(path) || isParquetHead(await readHead(path, 4));
  const parquet = isParquet ? await ParquetSource.open(path) : undefined;
  if (parquet) return parquet;
  const tree = await openTree(path, (done) => {
    if (done % 10_000 === 0) onProgress({ message: `${path}: ${done} entries` });
  });
  const packed = tree.files.find(isParquetName);
  if (packed === undefined) return new TreeSource(tree);
  await tree[Symbol.asyncDispose]();
  throw new DataError(`${tree.describe(packed)}: Parquet files are not read from archives; unpack it`);
}

function isParquetHead(head: Uint8Array): boolean {
  return new TextDecoder().decode(head) === "PAR1";
}

/** CIFAR-10's batches at a path; undefined if there is something else. */
export async function findBatches(
  path: string,
): Promise<{ readonly kind: "folder" | "archive"; readonly path: string } | undefined> {
  if (await isFolder(path)) {
    const folder = await findBatchFolder(path);
    return folder === undefined ? undefined : { kind: "folder", path: folder };
  }
  const head = await readHead(path, 512);
  if (isParquetHead(head.subarray(0, 4))) return undefined;
  const kind = archiveKind(head, path);
  if (kind === "zip") return undefined;
  const first = await firstMember(path, kind === "tar.gz");
  const isBatch = first !== undefined &&
    first.split("/").some((part) =>
      part.startsWith("cifar-10-batches-") || parseBatchName(part) !== undefined
    );
  return isBatch ? { kind: "archive", path } : undefined;
}

async function isFolder(path: string): Promise<boolean> {
  try {
    const { isDirectory, isFile } = await Deno.stat(path);
    // Hashing /dev/zero never ends, and hashing a pipe empties it.
    if (!isDirectory && !isFile) throw new DataError(`${path}: neither a file nor a folder`);
    return isDirectory;
  } catch (error) {
    if (error instanceof DataError) throw error;
    if (!(error instanceof Deno.errors.NotFound)) throw unreadable(path, error);
    throw new DataError(
      `${path}: no such file or folder; expected a folder or an archive of images, cifar-10-binary.tar.gz, ` +
        "cifar-10-python.tar.gz, or the folder that one of them was unpacked to",
    );
  }
}
