/**
 * Data sets of any size, with their digests.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { ImageDataset, ImageDatasetParts } from "./dataset.ts";
import { assembleDataset } from "./dataset_parts.ts";
import { type ImageStore, piecesOf } from "./image_store.ts";

/**
 * Creates a data set; computes its count and digest.
 *
 * @param parts with 3 `channels` by default; arrays are kept, not copied
 * @throws {ShapeError} if the number of bytes does not match the shape
 * @throws {DataError} if `validation` is not ascending, has an index out of range, or leaves no training images
 */
export function imageDataset(parts: ImageDatasetParts): ImageDataset {
  const data = assembleDataset(parts);
  return { ...data, digest: digestOfDataset(data.images, data.labels, data.validation) };
}

/** {@linkcode ImageDataset.digest} of images, labels and a validation set. */
function digestOfDataset(
  images: ImageStore,
  labels: Uint8Array,
  validation: Uint32Array | undefined,
): string {
  const hash = createHash("sha256");
  for (const { bytes } of piecesOf(images)) hash.update(bytes);
  hash.update(labels);
  if (validation) hash.update(`validation ${validation}`);
  return hash.digest("hex");
}
