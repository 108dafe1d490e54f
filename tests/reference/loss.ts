/** The weighted mean squared error, or Huber's loss, and its gradient in float64; plain [N, elements] without padding. */

export interface LossReferenceInput {
  prediction: ArrayLike<number>;
  targets: ArrayLike<number>;
  /** Of each sample. */
  weights: number[];
  count: number;
  gradientScale: number;
  /** Infinite for the squared error. */
  delta: number;
}

/** Losses of the samples; the batch's loss is their sum over `count`. */
export function lossReference({ prediction, targets, weights, count, delta }: LossReferenceInput): number[] {
  const elements = prediction.length / weights.length;
  return weights.map((weight, n) => {
    if (n >= count) return 0;
    let sum = 0;
    for (let i = n * elements; i < (n + 1) * elements; i++) {
      const error = Math.abs(prediction[i] - targets[i]);
      sum += error <= delta ? error ** 2 : delta * (2 * error - delta);
    }
    return weight * sum / elements;
  });
}

export function lossGradientReference(input: LossReferenceInput): number[] {
  const { prediction, targets, weights, count, gradientScale, delta } = input;
  const elements = prediction.length / weights.length;
  return Array.from(prediction, (value, i) => {
    const n = Math.floor(i / elements);
    const slope = Math.min(Math.max(value - targets[i], -delta), delta);
    return n >= count ? 0 : gradientScale * weights[n] * 2 * slope / (elements * count);
  });
}
