/** Noised images and errors of a network at noise levels in float64; plain [N, H * W, C] without padding. */
import { normals } from "./threefry.ts";

export interface RowReference {
  image: number;
  level: number;
  key: [number, number];
  signal: number;
  noise: number;
  targetFromX0: number;
  targetFromNoise: number;
  x0FromOut: number;
  clip: number;
  logRatio: number;
}

/** The network's input and target of one row. */
export function noiseRowReference(
  row: RowReference,
  x0: ArrayLike<number>,
  channels: number,
): { x: number[]; targets: number[] } {
  const blocks = Math.ceil(channels / 4);
  const eps = Array.from(x0, (_, i) => {
    const c = i % channels;
    const block = Math.floor(i / channels) * blocks + Math.floor(c / 4);
    return normals([block, row.level, row.image, 3], row.key)[c % 4];
  });
  return {
    x: eps.map((e, i) => row.signal * x0[i] + row.noise * e),
    targets: eps.map((e, i) => row.targetFromX0 * x0[i] + row.targetFromNoise * e),
  };
}

/** Estimates of x_0, and means of one row; v is the second half of the network's channels. */
export function denoisingErrorReference(
  row: RowReference,
  x0: ArrayLike<number>,
  prediction: ArrayLike<number>,
  targets: ArrayLike<number>,
  v?: ArrayLike<number>,
): { estimates: number[]; logRatios: number[]; target: number; x0: number; bound: number; variance: number } {
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const estimates = Array.from(
    x0,
    (value, i) =>
      Math.min(row.clip, Math.max(-row.clip, value + row.x0FromOut * (prediction[i] - targets[i]))),
  );
  const logRatios = estimates.map((_, i) => v ? (v[i] + 1) / 2 * row.logRatio : 0);
  return {
    estimates,
    logRatios,
    bound: mean(estimates.map((estimate, i) => (estimate - x0[i]) ** 2 / Math.exp(logRatios[i]))),
    variance: mean(logRatios.map((log) => (log + Math.exp(-log) - 1) / 2)),
    target: mean(estimates.map((_, i) => (prediction[i] - targets[i]) ** 2)),
    x0: mean(estimates.map((estimate, i) => (estimate - x0[i]) ** 2)),
  };
}
