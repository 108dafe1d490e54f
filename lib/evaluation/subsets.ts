/**
 * Random subsets for estimates, by seed.
 *
 * @module
 */
import { permutation } from "../random.ts";

/**
 * Draws `size` of the indices 0 to `count - 1` without repetition.
 *
 * @param seed integer from 0 to 2^53 - 1
 * @param draw number of the draw; each is independent of the others
 */
export function randomSubset(count: number, size: number, seed: number, draw: number): Uint32Array {
  return permutation(count, seed, draw).subarray(0, size);
}

/** `size` of the indices 0 to `count - 1`, evenly spaced, ascending; all if there are no more. */
export function evenSubset(count: number, size: number): Uint32Array {
  const kept = Math.min(size, count);
  return Uint32Array.from({ length: kept }, (_, i) => Math.floor(i * count / kept));
}
