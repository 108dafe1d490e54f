/**
 * Data sets from their parts.
 *
 * @module
 */
import { sha256Of } from "../digest.ts";
import { DataError, ShapeError } from "../errors.ts";
import type { ImageDataset, ImageDatasetParts } from "./dataset.ts";
import { MemoryImages } from "./image_store.ts";

/**
 * Checks the parts of a data set, and fills in what follows from them, except for the digest.
 *
 * @throws {ShapeError} if the number of bytes does not match the shape
 * @throws {DataError} if `validation` is not ascending, has an index out of range, or leaves no training images
 */
export function assembleDataset(parts: ImageDatasetParts): Omit<ImageDataset, "digest"> {
  const { labels, height, width, channels = 3, validation } = parts;
  const count = labels.length;
  const bytesPerImage = height * width * channels;
  const given = parts.images;
  const bytes = given instanceof Uint8Array ? given.length : given.count * given.bytesPerImage;
  if (bytes !== count * bytesPerImage) {
    throw new ShapeError(`images: expected [${count},${height},${width},${channels}], got ${bytes} bytes`);
  }
  const images = given instanceof Uint8Array ? new MemoryImages(given, bytesPerImage) : given;
  if (validation) checkValidation(validation, count);
  return { ...parts, images, channels, count };
}

/**
 * Creates a data set of images in memory, in a browser, too.
 *
 * @param parts with 3 `channels` by default; arrays are kept, not copied
 * @throws {ShapeError} if the number of bytes does not match the shape
 * @throws {DataError} if `validation` is not ascending, has an index out of range, or leaves no training images
 */
export async function memoryDataset(
  parts: ImageDatasetParts & { readonly images: Uint8Array },
): Promise<ImageDataset> {
  const { images, labels, validation } = parts;
  const data = assembleDataset(parts);
  const split = validation ? [`validation ${validation}`] : [];
  return { ...data, digest: await sha256Of(images, labels, ...split) };
}

function checkValidation(validation: Uint32Array, count: number): void {
  const wrong = validation.findIndex((index, i) => index >= count || index <= (validation[i - 1] ?? -1));
  if (wrong >= 0) {
    throw new DataError(
      `validation[${wrong}]: expected ascending indices below ${count}, got ${validation[wrong]}`,
    );
  }
  if (validation.length === count) throw new DataError("validation: expected fewer than all images");
}
