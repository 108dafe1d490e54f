/**
 * FID, KID and Inception score of images, in the features of InceptionV3.
 *
 * @module
 */
import { type InceptionScore, inceptionScore, softmaxRows } from "../class_scores.ts";
import { type Features, featuresOf } from "../features.ts";
import { frechetDistance } from "../frechet_distance.ts";
import { type KernelDistance, kernelDistance } from "../kernel_distance.ts";
import { type FeatureMoments, featureMoments } from "../moments.ts";
import type { InceptionFeatures } from "./inception_v3.ts";

/** Statistics of reference images. */
export interface InceptionReference {
  /** Mean and covariance of the features of all images. */
  readonly moments: FeatureMoments;
  /** Features of some of the images, of which kernel distances draw their subsets. */
  readonly some: Features;
}

/** Measures of a set of images. */
export interface InceptionMeasures {
  /** Images measured. */
  readonly images: number;
  /** Fréchet Inception distance to the reference. */
  readonly fid: number;
  /** Kernel Inception distance to the reference. */
  readonly kid: KernelDistance;
  readonly inceptionScore: InceptionScore;
}

/** Splits of the Inception score, as of Salimans et al. 2016; fewer for fewer images. */
const SPLITS = 10;

/**
 * Measures images.
 *
 * @throws {ConfigError} for fewer than two images
 * @throws {ShapeError} if the reference has other features
 */
export function measureInception(
  { pool3, logits }: InceptionFeatures,
  { moments, some }: InceptionReference,
): InceptionMeasures {
  const features = featuresOf(pool3, moments.mean.length);
  const classes = logits.length / features.count;
  const probabilities = logits.slice();
  softmaxRows(probabilities, classes);
  return {
    images: features.count,
    fid: frechetDistance(featureMoments(features), moments),
    kid: kernelDistance(features, some),
    inceptionScore: inceptionScore(probabilities, classes, Math.min(SPLITS, features.count)),
  };
}
