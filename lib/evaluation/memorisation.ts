/**
 * Nearest training images of samples, beside those of test images: a model that memorises draws samples that are nearer to
 * training images than test images are.
 *
 * @module
 */
import type { ImageDataset } from "../data/dataset.ts";
import { Images } from "../image/images.ts";
import { type Features, selectFeatures } from "./features.ts";
import { nearestNeighbours, type Neighbour } from "./nearest_neighbours.ts";
import { evenSubset } from "./subsets.ts";

/** Images compared at most, of either kind: each is compared with all training images. */
const MOST = 500;

/** An image and its nearest training image. */
export interface NearestPair extends Neighbour {
  /** Index of the image in its set. */
  readonly of: number;
}

/** Distances of a set to its nearest training images. */
export interface NearestSummary {
  /** Images compared. */
  readonly images: number;
  readonly smallest: number;
  readonly median: number;
  /** All pairs, the nearest first. */
  readonly pairs: readonly NearestPair[];
}

/** Finds the nearest training image of each of up to 500 images, evenly spaced. */
export function nearestTraining(images: Features, training: Features): NearestSummary {
  const indices = evenSubset(images.count, MOST);
  const found = nearestNeighbours(selectFeatures(images, indices), training);
  const pairs = found.map((neighbour, i): NearestPair => ({ ...neighbour, of: indices[i]! }))
    .sort((a, b) => a.distance - b.distance || a.of - b.of);
  return {
    images: pairs.length,
    smallest: pairs[0]!.distance, // nearestNeighbours rejects empty sets
    median: pairs[Math.floor(pairs.length / 2)]!.distance,
    pairs,
  };
}

/** Images of equal size. */
type StoredImages = Pick<ImageDataset, "images" | "height" | "width">;

/** Pairs in a picture. */
const SHOWN = 10;

/**
 * Picture of the pairs with the smallest distances: images above, their nearest training images below, distances between.
 */
export function neighbourPicture(
  { pairs }: NearestSummary,
  of: StoredImages,
  training: StoredImages,
  name: string,
): Images {
  const shown = pairs.slice(0, SHOWN);
  const rows = [
    ...shown.map((pair) => imageAt(of, pair.of)),
    ...shown.map(({ index }) => imageAt(training, index)),
  ];
  return Images.concat(rows).grid({
    columns: shown.length,
    scale: 2,
    rowLabels: [name, "nearest training"],
    columnLabels: shown.map(({ distance }) => distance.toPrecision(3)),
  });
}

function imageAt({ images, height, width }: StoredImages, index: number): Images {
  return new Images(images.read([index]), 1, height, width);
}
