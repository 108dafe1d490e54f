/**
 * Scores of a classifier's probabilities for samples: class consistency and the Inception score.
 *
 * @module
 */
import { ConfigError, ShapeError } from "../errors.ts";

/** Mean and standard deviation over splits. */
export interface InceptionScore {
  /** Mean over the splits, 1 to the number of classes. */
  readonly mean: number;
  /** Standard deviation over the splits. */
  readonly deviation: number;
}

/** Replaces the logits of each row, one per class, by their softmax. */
export function softmaxRows(logits: Float32Array, classes: number): void {
  for (let first = 0; first < logits.length; first += classes) {
    const row = logits.subarray(first, first + classes);
    const highest = row.reduce((a, b) => Math.max(a, b), -Infinity);
    const powers = Float64Array.from(row, (z) => Math.exp(z - highest));
    const sum = powers.reduce((a, b) => a + b, 0);
    row.set(powers.map((power) => power / sum));
  }
}

/** Most probable class of each row; of several, the first. */
export function mostProbable(probabilities: ArrayLike<number>, classes: number): Uint32Array {
  const rows = probabilities.length / classes;
  if (!Number.isInteger(rows)) {
    throw new ShapeError(
      `probabilities: expected whole rows of ${classes} values, got ${probabilities.length} values`,
    );
  }
  return Uint32Array.from({ length: rows }, (_, row) => {
    let best = 0;
    for (let k = 1; k < classes; k++) {
      if (probabilities[row * classes + k]! > probabilities[row * classes + best]!) best = k;
    }
    return best;
  });
}

/**
 * Share of images whose most probable class is their label: the accuracy for images of a data set, the class consistency
 * for samples of a conditional model.
 *
 * @param probabilities [count, classes]
 * @param labels class of each image
 * @throws {ShapeError} if there are not as many rows as labels
 */
export function classConsistency(
  probabilities: ArrayLike<number>,
  classes: number,
  labels: ArrayLike<number>,
): number {
  const chosen = mostProbable(probabilities, classes);
  if (chosen.length !== labels.length) {
    throw new ShapeError(`probabilities: expected ${labels.length} rows, got ${chosen.length}`);
  }
  return chosen.reduce((right, k, i) => right + (k === labels[i] ? 1 : 0), 0) / labels.length;
}

/**
 * Inception score (Salimans et al. 2016, "Improved techniques for training GANs", section 4): `exp(E_x KL(p(y|x) || p(y)))`,
 * where `p(y)` is the mean over the images of a split. From 1 to the number of classes.
 *
 * @param probabilities [count, classes], each row adding up to 1
 * @param splits parts of consecutive images, a score each; default 10
 * @throws {ConfigError} for fewer images than splits
 */
export function inceptionScore(
  probabilities: ArrayLike<number>,
  classes: number,
  splits = 10,
): InceptionScore {
  const count = mostProbable(probabilities, classes).length;
  if (count < splits) throw new ConfigError("images", count, `at least ${splits}, one per split`);
  const scores = Array.from({ length: splits }, (_, split) => {
    const [first, end] = [split, split + 1].map((i) => Math.floor(i * count / splits)) as [number, number];
    return scoreOf(probabilities, classes, first, end);
  });
  const mean = scores.reduce((sum, score) => sum + score, 0) / splits;
  const variance = scores.reduce((sum, score) => sum + (score - mean) ** 2, 0) / splits;
  return { mean, deviation: Math.sqrt(variance) };
}

/** Score of the rows from `first` up to `end`. */
function scoreOf(probabilities: ArrayLike<number>, classes: number, first: number, end: number): number {
  const marginal = new Float64Array(classes);
  for (let i = first; i < end; i++) {
    for (let k = 0; k < classes; k++) marginal[k]! += probabilities[i * classes + k]! / (end - first);
  }
  let divergence = 0;
  for (let i = first; i < end; i++) {
    for (let k = 0; k < classes; k++) {
      const p = probabilities[i * classes + k]!;
      if (p > 0) divergence += p * Math.log(p / marginal[k]!);
    }
  }
  return Math.exp(divergence / (end - first));
}
