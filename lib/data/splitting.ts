/**
 * Stratified splits into training and validation images, and stratified subsets. Both draws depend on their arguments
 * alone, so that a resumed run selects the same images.
 *
 * @module
 */

import { checkWhole } from "../checks.ts";
import { ConfigError, DataError } from "../errors.ts";
import { splitSeed, threefry4x32 } from "../random.ts";
import type { ImageDataset } from "./dataset.ts";

/** Training and validation images of a data set, as ascending indices into it; see {@link splitDataset}. */
export interface DatasetSplit {
  /** Training images. */
  readonly train: Uint32Array;
  /** Held-out images for the validation loss. */
  readonly validation: Uint32Array;
}

/** Last counter words of the draws below; no other use of a seed has them. */
const SPLIT_STREAM = 0x73706c74;
const SUBSET_STREAM = 0x73756273;

/**
 * Training and validation images of a data set: its own split if it comes with one, else a random one.
 *
 * @param seed for {@link splitDataset}
 * @throws {ConfigError} if `seed` is out of its range
 */
export function trainingSplit(
  { count, labels, classes, validation }: ImageDataset,
  seed: number,
): DatasetSplit {
  if (!validation) return splitDataset(labels, Math.max(1, classes.length), { seed });
  const held = new Set(validation);
  return { train: Uint32Array.from({ length: count }, (_, i) => i).filter((i) => !held.has(i)), validation };
}

/**
 * Random stratified split into training and validation images. The validation set has exactly
 * `round(validationFraction * count)` images, each class in proportion to within one image (largest remainder), except
 * that no class loses its last training image. CIFAR-10 gives 45,000 and 5,000.
 *
 * @param labels class of each image, each below `classCount`
 * @param classCount number of classes
 * @param options `validationFraction` in [0, 1), default 0.1; `seed`, an integer in [0, 2^53 - 1]
 * @throws {ConfigError} if an option is out of its range
 * @throws {DataError} if a label is not below `classCount`
 */
export function splitDataset(
  labels: Uint8Array,
  classCount: number,
  options: { validationFraction?: number; seed: number },
): DatasetSplit {
  const { validationFraction = 0.1, seed } = options;
  if (!(validationFraction >= 0 && validationFraction < 1)) {
    throw new ConfigError("validationFraction", validationFraction, "a number in [0, 1)");
  }
  const groups = groupByClass(labels, labels.keys(), classCount, seed, SPLIT_STREAM);
  const portions = groups.map(({ length }) => ({ size: length, least: 0, most: Math.max(0, length - 1) }));
  const shares = apportion(portions, Math.round(validationFraction * labels.length));
  return {
    train: Uint32Array.from(groups.flatMap((group, c) => group.slice(shares[c]))).sort(),
    validation: Uint32Array.from(groups.flatMap((group, c) => group.slice(0, shares[c]))).sort(),
  };
}

/**
 * Random stratified subset of at most `limit` images, the training images under `--limit N`. Classes are in proportion
 * (largest remainder), and each has at least one image unless there are more classes than `limit`.
 *
 * @param indices images to choose from, e.g. {@link DatasetSplit.train}
 * @param limit size of the subset, an integer of 1 or more; `indices.length` or more keeps all
 * @param seed an integer in [0, 2^53 - 1]
 * @param labels class of each image of the data set (not of `indices`)
 * @returns the kept indices, ascending
 * @throws {ConfigError} if `limit` or `seed` is out of its range
 */
export function takeSubset(
  indices: Uint32Array,
  limit: number,
  seed: number,
  labels: Uint8Array,
): Uint32Array {
  checkWhole("limit", limit, 1, Number.MAX_SAFE_INTEGER);
  const groups = groupByClass(labels, indices, 256, seed, SUBSET_STREAM);
  const present = groups.filter(({ length }) => length > 0).length;
  const least = limit >= present ? 1 : 0;
  const portions = groups.map(({ length }) => ({
    size: length,
    least: Math.min(least, length),
    most: length,
  }));
  const shares = apportion(portions, Math.min(limit, indices.length));
  return Uint32Array.from(groups.flatMap((group, c) => group.slice(0, shares[c]))).sort();
}

/**
 * Groups images by class, each class in random order. An image's rank depends on its index and the seed alone, so that
 * two images keep their order whatever others are given.
 */
function groupByClass(
  labels: Uint8Array,
  indices: Iterable<number>,
  classCount: number,
  seed: number,
  stream: number,
): number[][] {
  const key = splitSeed(seed);
  const groups: { index: number; rank: number }[][] = Array.from({ length: classCount }, () => []);
  for (const index of indices) {
    const label = labels[index];
    const group = label === undefined ? undefined : groups[label];
    if (!group) throw new DataError(`labels[${index}]: expected a class below ${classCount}, got ${label}`);
    const [high, low] = threefry4x32([index, 0, 0, stream], key);
    group.push({ index, rank: high * 2 ** 20 + (low >>> 12) });
  }
  return groups.map((group) =>
    group.sort((a, b) => a.rank - b.rank || a.index - b.index).map(({ index }) => index)
  );
}

/**
 * Apportions `total` to integer shares in proportion to `size` (largest remainder, ties to the first), each share within
 * `[least, most]`; the shares add up to `total` wherever the bounds allow it.
 */
function apportion(
  portions: readonly { readonly size: number; readonly least: number; readonly most: number }[],
  total: number,
): number[] {
  const all = portions.reduce((sum, { size }) => sum + size, 0);
  const shares = portions.map(({ size, least, most }) => {
    const exact = all === 0 ? 0 : size * total / all;
    return { exact, least, most, share: Math.min(most, Math.max(least, Math.floor(exact))) };
  });
  let missing = total - shares.reduce((sum, { share }) => sum + share, 0);
  while (missing !== 0) {
    const step = Math.sign(missing);
    const gap = ({ exact, share }: typeof shares[number]) => step * (exact - share);
    const movable = shares.filter(({ share, least, most }) => step > 0 ? share < most : share > least);
    const [first, ...others] = movable;
    if (!first) break;
    const chosen = others.reduce((best, one) => gap(one) > gap(best) ? one : best, first);
    chosen.share += step;
    missing -= step;
  }
  return shares.map(({ share }) => share);
}
