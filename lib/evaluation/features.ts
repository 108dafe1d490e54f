/**
 * Feature vectors of images, and distances between them.
 *
 * @module
 */
import { ConfigError, ShapeError } from "../errors.ts";

/** Feature vectors, one per image. */
export interface Features {
  /** Number of images. */
  readonly count: number;
  /** Features per image. */
  readonly width: number;
  /** [count, width], row-major. */
  readonly values: Float32Array | Float64Array;
}

/**
 * Wraps rows of features.
 * @throws {ShapeError} if the values are not whole rows
 */
export function featuresOf(values: Float32Array | Float64Array, width: number): Features {
  const count = values.length / width;
  if (!Number.isInteger(count)) {
    throw new ShapeError(`features: expected whole rows of ${width} values, got ${values.length} values`);
  }
  return { count, width, values };
}

/** Rows of `features` at `indices`, in their order. */
export function selectFeatures({ width, values }: Features, indices: ArrayLike<number>): Features {
  const selected = new Float64Array(indices.length * width);
  for (let i = 0; i < indices.length; i++) {
    const first = indices[i]! * width;
    selected.set(values.subarray(first, first + width), i * width);
  }
  return { count: indices.length, width, values: selected };
}

/**
 * Checks that two sets can be compared.
 *
 * @param least smallest number of images in each
 * @throws {ShapeError} if they have different features
 * @throws {ConfigError} if one has too few images
 */
export function checkComparable(a: Features, b: Features, least: number): void {
  if (a.width !== b.width) {
    throw new ShapeError(`features: expected as many in both sets, got ${a.width} and ${b.width}`);
  }
  const count = Math.min(a.count, b.count);
  if (count < least) throw new ConfigError("images", count, `at least ${least}`);
}

/** Dot product of row `i` of `a` and row `j` of `b`. */
export function dotOfRows(a: Features, i: number, b: Features, j: number): number {
  const { width } = a;
  const [x, y] = [a.values, b.values];
  let [at, other] = [i * width, j * width];
  let sum = 0;
  for (const end = at + width; at < end; at++, other++) sum += x[at]! * y[other]!;
  return sum;
}

/** Squared Euclidean distance between row `i` of `a` and row `j` of `b`. */
export function squaredDistance(a: Features, i: number, b: Features, j: number): number {
  const { width } = a;
  const [x, y] = [a.values, b.values];
  let [at, other] = [i * width, j * width];
  let sum = 0;
  for (const end = at + width; at < end; at++, other++) sum += (x[at]! - y[other]!) ** 2;
  return sum;
}
