/**
 * Kernel distance between two sets of features (Bińkowski et al. 2018, "Demystifying MMD GANs", section 4): the squared
 * maximum mean discrepancy with the cubic kernel `k(x, y) = (x^T y / width + 1)^3`, by its unbiased estimate
 *
 * `1/(m (m-1)) sum_{i != j} k(x_i, x_j) + 1/(m (m-1)) sum_{i != j} k(y_i, y_j) - 2/m^2 sum_{i, j} k(x_i, y_j)`
 *
 * over random subsets of m images each. Unlike the Fréchet distance it has no bias for few images; it may be slightly
 * negative. With the features of InceptionV3 it is the KID.
 *
 * @module
 */
import { checkComparable, dotOfRows, type Features, selectFeatures } from "./features.ts";
import { randomSubset } from "./subsets.ts";

/** Options of {@linkcode kernelDistance}. */
export interface KernelDistanceOptions {
  /** Number of random subsets; default 50. */
  readonly subsets?: number;
  /** Images per subset, at most all of the smaller set; default 500. */
  readonly size?: number;
  /** Seed of the subsets; default 0. */
  readonly seed?: number;
}

/** Estimates over subsets. */
export interface KernelDistance {
  /** Mean over the subsets. */
  readonly mean: number;
  /** Standard deviation over the subsets. */
  readonly deviation: number;
}

/**
 * Kernel distance.
 *
 * @throws {ShapeError} if the sets have different features
 * @throws {ConfigError} for fewer than two images in a set
 */
export function kernelDistance(
  a: Features,
  b: Features,
  { subsets = 50, size = 500, seed = 0 }: KernelDistanceOptions = {},
): KernelDistance {
  checkComparable(a, b, 2);
  const count = Math.min(size, a.count, b.count);
  const estimates = Array.from({ length: subsets }, (_, draw) =>
    squaredDiscrepancy(
      selectFeatures(a, randomSubset(a.count, count, seed, 2 * draw)),
      selectFeatures(b, randomSubset(b.count, count, seed, 2 * draw + 1)),
    ));
  const mean = estimates.reduce((sum, value) => sum + value, 0) / subsets;
  const variance = estimates.reduce((sum, value) => sum + (value - mean) ** 2, 0) / subsets;
  return { mean, deviation: Math.sqrt(variance) };
}

/** Unbiased estimate of the squared maximum mean discrepancy between two sets of the same size, 2 or more. */
export function squaredDiscrepancy(x: Features, y: Features): number {
  const count = x.count;
  const kernel = (dot: number) => (dot / x.width + 1) ** 3;
  let [within, between] = [0, 0];
  for (let i = 0; i < count; i++) {
    for (let j = 0; j < i; j++) {
      within += kernel(dotOfRows(x, i, x, j)) + kernel(dotOfRows(y, i, y, j));
    }
    for (let j = 0; j < count; j++) between += kernel(dotOfRows(x, i, y, j));
  }
  return 2 * within / (count * (count - 1)) - 2 * between / count ** 2;
}
