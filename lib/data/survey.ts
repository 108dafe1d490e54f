/**
 * Survey of image files: how many there are, of which classes, and how large, from their headers alone.
 *
 * @module
 */
import { claimedDimensions } from "./decode/header.ts";
import { findBatches, openSource } from "./load_images.ts";
import { CIFAR10_CLASSES, IMAGE_SIDE } from "./official.ts";

/** Most headers that are read, spread evenly over all images. */
const MOST_HEADERS = 200;

/** CIFAR-10's training images without a tenth for validation. */
const CIFAR10_TRAINING = 45_000;

/** Image files at a glance. */
export interface ImageSurvey {
  /** Images for training, those for validation not counted. */
  readonly images: number;
  readonly classes: readonly string[];
  /** Shorter side of the image in the middle of those looked at, by that side, pixels; undefined if no header can be read. */
  readonly shortSide: number | undefined;
  /** Files among those looked at whose headers cannot be read, in words for messages. */
  readonly damaged: readonly string[];
  /** True for CIFAR-10's batches, which take no options. */
  readonly batches: boolean;
}

/**
 * Looks at the images of a folder, an archive or Parquet files, without decoding any.
 *
 * @throws {DataError} naming what cannot be read, or does not fit
 */
export async function surveyImages(path: string): Promise<ImageSurvey> {
  if (await findBatches(path)) {
    return {
      images: CIFAR10_TRAINING,
      classes: CIFAR10_CLASSES,
      shortSide: IMAGE_SIDE,
      damaged: [],
      batches: true,
    };
  }
  await using source = await openSource(path, () => {});
  const { images, classes, validation } = await source.layout("train", undefined);
  const step = Math.max(1, images.length / MOST_HEADERS);
  const some = Array.from(
    { length: Math.min(images.length, MOST_HEADERS) },
    (_, i) => images[Math.floor(i * step)]!.file, // below the number of images
  );
  const sides: number[] = [];
  const damaged: string[] = [];
  for await (const content of source.read(some)) {
    const dimensions = "bytes" in content ? claimedDimensions(content.bytes) : undefined;
    if (dimensions) sides.push(Math.min(dimensions.width, dimensions.height));
    else damaged.push(source.describe(content.file));
  }
  sides.sort((a, b) => a - b);
  const kept = validation ? images.length : Math.floor(images.length * 0.9); // a tenth is kept for validation
  return {
    images: kept,
    classes,
    shortSide: sides[Math.floor(sides.length / 2)],
    damaged: damaged.sort(),
    batches: false,
  };
}
