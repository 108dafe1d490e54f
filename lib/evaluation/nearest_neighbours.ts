/**
 * Nearest neighbours by Euclidean distance between features.
 *
 * @module
 */
import { checkComparable, type Features, squaredDistance } from "./features.ts";

/** The nearest vector of a set. */
export interface Neighbour {
  /** Its index in the set. */
  readonly index: number;
  readonly distance: number;
}

/**
 * The nearest vector in `among` for each vector of `of`; of several at the same distance, the first.
 *
 * @throws {ShapeError} if the sets have different features
 * @throws {ConfigError} if a set is empty
 */
export function nearestNeighbours(of: Features, among: Features): Neighbour[] {
  checkComparable(of, among, 1);
  return Array.from({ length: of.count }, (_, i) => {
    let [index, least] = [0, Infinity];
    for (let j = 0; j < among.count; j++) {
      const squared = squaredDistance(of, i, among, j);
      if (squared < least) [index, least] = [j, squared];
    }
    return { index, distance: Math.sqrt(least) };
  });
}

/**
 * Squared distance from each vector to its k-th nearest other vector of the same set.
 *
 * @param k 1 or more, below the number of vectors
 */
export function squaredRadii(of: Features, k: number): Float64Array {
  const radii = new Float64Array(of.count);
  const distances = new Float64Array(of.count - 1);
  for (let i = 0; i < of.count; i++) {
    let at = 0;
    for (let j = 0; j < of.count; j++) if (j !== i) distances[at++] = squaredDistance(of, i, of, j);
    radii[i] = distances.sort()[k - 1]!;
  }
  return radii;
}
