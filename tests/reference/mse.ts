/** The weighted mean squared error and its gradient in float64; plain [N, elements] without padding. */

export interface MseReferenceInput {
  prediction: ArrayLike<number>;
  targets: ArrayLike<number>;
  /** Of each sample. */
  weights: number[];
  count: number;
  gradientScale: number;
}

/** Losses of the samples; the batch's loss is their sum over `count`. */
export function mseReference({ prediction, targets, weights, count }: MseReferenceInput): number[] {
  const elements = prediction.length / weights.length;
  return weights.map((weight, n) => {
    if (n >= count) return 0;
    let sum = 0;
    for (let i = n * elements; i < (n + 1) * elements; i++) sum += (prediction[i] - targets[i]) ** 2;
    return weight * sum / elements;
  });
}

export function mseGradientReference(input: MseReferenceInput): number[] {
  const { prediction, targets, weights, count, gradientScale } = input;
  const elements = prediction.length / weights.length;
  return Array.from(prediction, (value, i) => {
    const n = Math.floor(i / elements);
    return n >= count ? 0 : gradientScale * weights[n] * 2 * (value - targets[i]) / (elements * count);
  });
}
