/** Loss of a learned variance and its gradient in float64; plain [N, pixels, channels] without padding. */

export interface VarianceRowReference {
  weight: number;
  meanScale: number;
  logVarianceMin: number;
  logVarianceRange: number;
  x0FromX: number;
  x0FromTarget: number;
}

export interface HybridLossReferenceInput {
  /** [N, pixels, 2 C]: mean part, then v, of each pixel. */
  prediction: ArrayLike<number>;
  /** [N, pixels, C]. */
  targets: ArrayLike<number>;
  /** [N, pixels, C]. */
  xt: ArrayLike<number>;
  rows: readonly VarianceRowReference[];
  /** Row of each sample. */
  levels: readonly number[];
  channels: number;
  count: number;
  gradientScale: number;
  delta: number;
  boundScale: number;
}

/** Losses of the samples; the batch's loss is their sum over `count`. */
export function hybridLossReference(input: HybridLossReferenceInput): number[] {
  const { levels, count, targets } = input;
  const elements = targets.length / levels.length;
  return levels.map((_, n) => {
    if (n >= count) return 0;
    let sum = 0;
    for (let i = n * elements; i < (n + 1) * elements; i++) {
      const { squared, bound } = terms(input, i);
      sum += squared + bound;
    }
    return sum / elements;
  });
}

/** Terms of one element: of the squared error, weighted, and of the bound, scaled. */
export function terms(
  input: HybridLossReferenceInput,
  i: number,
): { squared: number; bound: number } {
  const { prediction, targets, xt, rows, levels, channels, delta, boundScale } = input;
  const level = levels[Math.floor(i / (targets.length / levels.length))];
  const row = rows[level];
  const [pixel, c] = [Math.floor(i / channels), i % channels];
  const difference = prediction[pixel * 2 * channels + c] - targets[i];
  const v = prediction[pixel * 2 * channels + channels + c];
  const size = Math.abs(difference);
  const squared = row.weight * (size <= delta ? size ** 2 : delta * (2 * size - delta));
  const logVariance = row.logVarianceMin + (v + 1) / 2 * row.logVarianceRange;
  const shift = row.meanScale * difference; // of the mean from that of the posterior, which at level 0 is x_0
  if (level > 0) {
    const variance = Math.exp(logVariance);
    const nats = 0.5 *
      (logVariance - row.logVarianceMin + (Math.exp(row.logVarianceMin) + shift ** 2) / variance - 1);
    return { squared, bound: boundScale * nats };
  }
  const x0 = row.x0FromX * xt[i] + row.x0FromTarget * targets[i];
  const deviation = Math.exp(logVariance / 2);
  const below = (edge: number) => cumulative((edge - (x0 + shift)) / deviation);
  const upper = x0 > 0.998 ? 1 : below(x0 + 1 / 255);
  const lower = x0 < -0.998 ? 0 : below(x0 - 1 / 255);
  return { squared, bound: -boundScale * Math.log(Math.max(upper - lower, 1e-12)) };
}

/** Cumulative normal distribution by Simpson's rule from 0, within 1e-12. */
function cumulative(x: number): number {
  const steps = 2000;
  const h = Math.min(Math.max(x, -9), 9) / steps;
  let sum = 0;
  for (let k = 0; k <= steps; k++) {
    const factor = k === 0 || k === steps ? 1 : k % 2 === 1 ? 4 : 2;
    sum += factor * Math.exp(-((k * h) ** 2) / 2);
  }
  return 0.5 + sum * h / 3 / Math.sqrt(2 * Math.PI);
}

/** Gradient by central differences: of the mean part by the squared error alone, of v by the bound alone. */
export function hybridLossGradientReference(input: HybridLossReferenceInput): number[] {
  const { prediction, targets, levels, channels, count, gradientScale } = input;
  const elements = targets.length / levels.length;
  return Array.from(prediction, (_, j) => {
    const [pixel, lane] = [Math.floor(j / (2 * channels)), j % (2 * channels)];
    const i = pixel * channels + lane % channels;
    if (Math.floor(i / elements) >= count) return 0;
    const of = lane < channels ? "squared" : "bound";
    const at = (shift: number) =>
      terms(
        { ...input, prediction: Array.from(prediction, (value, k) => k === j ? value + shift : value) },
        i,
      )[of];
    return gradientScale * (at(1e-5) - at(-1e-5)) / 2e-5 / (elements * count);
  });
}
