/**
 * All measures of a set of images against a data set, in the features of a classifier.
 *
 * @module
 */
import { classConsistency, inceptionScore } from "./class_scores.ts";
import type { Classified } from "./classifier/pass.ts";
import { type Features, featuresOf, selectFeatures } from "./features.ts";
import { frechetDistance } from "./frechet_distance.ts";
import { type KernelDistance, kernelDistance } from "./kernel_distance.ts";
import { featureMoments } from "./moments.ts";
import { NEIGHBOURS, precisionRecall } from "./precision_recall.ts";
import { evenSubset } from "./subsets.ts";

/** Measures of a set of images. */
export interface ImageMeasures {
  /** Images measured. */
  readonly images: number;
  readonly frechetDistance: number;
  readonly kernelDistance: KernelDistance;
  /** Against as many reference images, evenly spaced; null for too few images. */
  readonly precision: number | null;
  readonly recall: number | null;
  /** Share of images that are classified as their label; null without labels. */
  readonly classConsistency: number | null;
  /** Score of the classifier's probabilities, in one split. */
  readonly classifierScore: number;
}

/** Images limit of precision and recall, whose time grows with the square of the number of images. */
const MOST_NEIGHBOURS = 5000;

/** What images are measured against. */
export interface ReferenceFeatures {
  readonly features: Features;
  readonly moments: ReturnType<typeof featureMoments>;
}

/** Prepares a reference set. */
export function referenceOf({ features }: Classified, width: number): ReferenceFeatures {
  const rows = featuresOf(features, width);
  return { features: rows, moments: featureMoments(rows) };
}

/**
 * Measures a set of images.
 *
 * @param classes number of classes of the classifier
 * @param labels class of each image; null for images without classes
 * @throws {ConfigError} for fewer than two images
 */
export function measureImages(
  { features, probabilities }: Classified,
  classes: number,
  reference: ReferenceFeatures,
  labels: ArrayLike<number> | null,
): ImageMeasures {
  const rows = featuresOf(features, reference.features.width);
  const compared = Math.min(rows.count, reference.features.count, MOST_NEIGHBOURS);
  const shares = compared > NEIGHBOURS
    ? precisionRecall(
      selectFeatures(rows, evenSubset(rows.count, compared)),
      selectFeatures(reference.features, evenSubset(reference.features.count, compared)),
    )
    : { precision: null, recall: null };
  return {
    images: rows.count,
    frechetDistance: frechetDistance(featureMoments(rows), reference.moments),
    kernelDistance: kernelDistance(rows, reference.features),
    ...shares,
    classConsistency: labels && classConsistency(probabilities, classes, labels),
    classifierScore: inceptionScore(probabilities, classes, 1).mean,
  };
}
