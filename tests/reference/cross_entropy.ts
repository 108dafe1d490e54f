/** Softmax cross-entropy with label smoothing and its gradient in float64; logits [N, K] without padding. */

export interface CrossEntropyReferenceInput {
  logits: ArrayLike<number>;
  labels: ArrayLike<number>;
  classes: number;
  smoothing: number;
  count: number;
  gradientScale: number;
}

function probabilities(row: readonly number[]): number[] {
  const highest = Math.max(...row);
  const powers = row.map((z) => Math.exp(z - highest));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

function rows({ logits, labels, classes, smoothing }: CrossEntropyReferenceInput) {
  return Array.from({ length: labels.length }, (_, n) => {
    const row = Array.from({ length: classes }, (_, k) => logits[n * classes + k]);
    const targets = row.map((_, k) => (k === labels[n] ? 1 - smoothing : 0) + smoothing / classes);
    return { row, targets };
  });
}

/** Losses of the samples; the batch's loss is their sum over `count`. */
export function crossEntropyReference(input: CrossEntropyReferenceInput): number[] {
  return rows(input).map(({ row, targets }, n) => {
    if (n >= input.count) return 0;
    const highest = Math.max(...row);
    const logSum = highest + Math.log(row.reduce((sum, z) => sum + Math.exp(z - highest), 0));
    return targets.reduce((sum, q, k) => sum + (q === 0 ? 0 : q * (logSum - row[k])), 0);
  });
}

export function crossEntropyGradientReference(input: CrossEntropyReferenceInput): number[] {
  const { count, gradientScale } = input;
  return rows(input).flatMap(({ row, targets }, n) =>
    probabilities(row).map((p, k) => n >= count ? 0 : gradientScale / count * (p - targets[k]))
  );
}
