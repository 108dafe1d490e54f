/**
 * Mean and covariance of feature vectors, in float64.
 *
 * @module
 */
import { ConfigError } from "../errors.ts";
import type { Features } from "./features.ts";

/** First two moments of a set of feature vectors. */
export interface FeatureMoments {
  /** Number of vectors. */
  readonly count: number;
  /** [width]. */
  readonly mean: Float64Array;
  /** [width, width], unbiased: divided by `count - 1`. */
  readonly covariance: Float64Array;
}

/**
 * Moments of feature vectors. Deviations from the mean are summed, so that nothing cancels.
 *
 * @throws {ConfigError} for fewer than two vectors
 */
export function featureMoments({ count, width, values }: Features): FeatureMoments {
  if (count < 2) throw new ConfigError("images", count, "at least 2");
  const mean = new Float64Array(width);
  for (let i = 0; i < values.length; i += width) {
    for (let j = 0; j < width; j++) mean[j]! += values[i + j]!;
  }
  for (let j = 0; j < width; j++) mean[j]! /= count;
  const covariance = new Float64Array(width * width);
  const deviation = new Float64Array(width);
  for (let i = 0; i < values.length; i += width) {
    for (let j = 0; j < width; j++) deviation[j] = values[i + j]! - mean[j]!;
    for (let j = 0; j < width; j++) {
      const [factor, row] = [deviation[j]!, j * width];
      for (let k = 0; k <= j; k++) covariance[row + k]! += factor * deviation[k]!;
    }
  }
  for (let j = 0; j < width; j++) {
    for (let k = 0; k <= j; k++) {
      covariance[k * width + j] = covariance[j * width + k]! /= count - 1;
    }
  }
  return { count, mean, covariance };
}
