/**
 * Improved precision and recall (Kynkäänniemi et al. 2019, "Improved precision and recall metric for assessing generative
 * models", equations 1 and 2). The manifold of a set is the union of the balls around its feature vectors that reach to the
 * k-th nearest other one. Precision is the share of samples in the manifold of the reference images, recall the share of
 * reference images in that of the samples.
 *
 * @module
 */
import { checkComparable, type Features, squaredDistance } from "./features.ts";
import { squaredRadii } from "./nearest_neighbours.ts";

/** Neighbour that the balls reach to, as in the paper. */
export const NEIGHBOURS = 3;

/** Shares, from 0 to 1. */
export interface PrecisionRecall {
  /** Quality: share of samples that look like a reference image. */
  readonly precision: number;
  /** Variety: share of reference images that look like a sample. */
  readonly recall: number;
}

/**
 * Precision and recall. Both depend on the number of images; the paper takes as many of either kind.
 *
 * @throws {ShapeError} if the sets have different features
 * @throws {ConfigError} if a set has no more than k images
 */
export function precisionRecall(samples: Features, reference: Features, k = NEIGHBOURS): PrecisionRecall {
  checkComparable(samples, reference, k + 1);
  return { precision: shareWithin(samples, reference, k), recall: shareWithin(reference, samples, k) };
}

/** Share of `points` in the manifold of `set`. */
function shareWithin(points: Features, set: Features, k: number): number {
  const radii = squaredRadii(set, k);
  let inside = 0;
  for (let i = 0; i < points.count; i++) {
    for (let j = 0; j < set.count; j++) {
      if (squaredDistance(points, i, set, j) > radii[j]!) continue;
      inside++;
      break;
    }
  }
  return inside / points.count;
}
