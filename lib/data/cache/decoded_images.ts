/**
 * Images of files as a data set, decoded once: what is decoded is kept in a file, and found there at the next start.
 *
 * @module
 */

import { resolve } from "node:path";
import { ConfigError, DataError } from "../../errors.ts";
import type { DataProgressListener, ImageDataset } from "../dataset.ts";
import { readImageFiles } from "../image_files.ts";
import { framingOf, type ImageFileOptions } from "../image_options.ts";
import type { ImageSource } from "../image_source.ts";
import type { Cifar10Split } from "../official.ts";
import { DecodedSink } from "./decoded_sink.ts";
import { openImageFile, type StoredDataset } from "./image_file.ts";
import { cachePaths, mayAccess } from "./places.ts";

/** Where decoded images are kept. */
export interface CacheOptions {
  /**
   * Keep decoded images of image files in a file, where they are found at the next start, and from where data sets larger than
   * memory are streamed: true (default) for 2,000 images or more, or 256 MiB, beside their folder or archive (`.denoise-cache`), or else
   * in `.cache/images` of the working directory; a directory for any number; false for never.
   */
  readonly cache?: boolean | string;
}

/**
 * Images of a source, from the file that has them, if there is one and it is intact and up to date, or else decoded.
 *
 * @param onProgress called with progress and notes
 * @throws {ConfigError} if an option is out of its range
 * @throws {DataError} naming the file or folder that does not fit or cannot be decoded, or if images fit neither into memory nor
 *   into a file
 */
export async function readDecodedImages(
  source: ImageSource,
  split: Cifar10Split,
  options: ImageFileOptions & CacheOptions,
  onProgress: DataProgressListener,
): Promise<ImageDataset> {
  const { cache = true, labelColumn, onBadFile = "stop" } = options;
  if (cache === "" || !["boolean", "string"].includes(typeof cache)) {
    throw new ConfigError("cache", cache, "true, false, or the path of a directory");
  }
  const request = { split, framing: framingOf(options), labelColumn, onBadFile };
  const directory = typeof cache === "string" ? cache : undefined;
  const paths = cache === false ? [] : cachePaths(source.path, request, directory);
  const note = (message: string) => onProgress({ message });
  let stamp: string | undefined;
  for (const path of paths.filter((path) => mayAccess("read", path))) {
    const stored = await openOrNote(path, note);
    if (!stored) continue;
    stamp ??= await source.stamp();
    if (stored.stamp === stamp) {
      note(`images of ${source.path}: decoded before, read from ${path}`);
      const { layoutNotes = [], notes = [] } = stored.dataset.files ?? {};
      layoutNotes.forEach(note);
      for (const message of notes) onProgress({ message, note: true });
      return { ...stored.dataset, source: resolve(source.path) }; // which may have been moved with the file
    }
    stored.dataset.images.close();
    note(`${path}: of other files than ${source.path} has now; the images are decoded anew`);
  }
  const writable = paths.filter((path) => mayAccess("write", path));
  // Before the images are read, so that a change meanwhile is noticed at the next start.
  if (writable.length > 0) stamp ??= await source.stamp();
  await using sink = new DecodedSink(source.path, writable, directory !== undefined, note);
  const dataset = await readImageFiles(source, split, options, onProgress, async (count, bytesPerImage) => {
    await sink.open(count, bytesPerImage);
    return sink;
  });
  return await sink.publish({ dataset, stamp: stamp ?? "" });
}

/** Opens a file, or says why it is of no use. */
async function openOrNote(path: string, note: (message: string) => void): Promise<StoredDataset | undefined> {
  try {
    return await openImageFile(path);
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    note(`${error.message}; the images are decoded anew`);
    return undefined;
  }
}
