/** Group normalisation by definition, in float64 loops: x [N, S, C], gamma, beta [C]. */
import { activationGradientReference, type ActivationName, activationReference } from "./activation.ts";

export interface GroupNorm {
  batch: number;
  spatial: number;
  channels: number;
  groups: number;
  eps: number;
  activation?: ActivationName;
}

type Numbers = ArrayLike<number>;

/** Indices into x of one group of one sample. */
function groupIndices({ spatial, channels, groups }: GroupNorm, n: number, g: number): number[] {
  const size = channels / groups;
  const indices: number[] = [];
  for (let s = 0; s < spatial; s++) {
    for (let c = g * size; c < (g + 1) * size; c++) indices.push((n * spatial + s) * channels + c);
  }
  return indices;
}

/** Mean and 1 / sqrt(var + eps), [N, groups, 2]; the variance in two passes. */
export function groupNormStatsReference(shape: GroupNorm, x: Numbers): Float64Array {
  const stats = new Float64Array(shape.batch * shape.groups * 2);
  for (let n = 0; n < shape.batch; n++) {
    for (let g = 0; g < shape.groups; g++) {
      const values = groupIndices(shape, n, g).map((i) => x[i]);
      const mean = values.reduce((sum, v) => sum + v, 0) / values.length;
      const variance = values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length;
      stats.set([mean, 1 / Math.sqrt(variance + shape.eps)], (n * shape.groups + g) * 2);
    }
  }
  return stats;
}

function normalised(shape: GroupNorm, x: Numbers): Float64Array {
  const stats = groupNormStatsReference(shape, x);
  const xhat = new Float64Array(x.length);
  for (let n = 0; n < shape.batch; n++) {
    for (let g = 0; g < shape.groups; g++) {
      const [mean, rstd] = stats.subarray((n * shape.groups + g) * 2);
      for (const i of groupIndices(shape, n, g)) xhat[i] = (x[i] - mean) * rstd;
    }
  }
  return xhat;
}

/** y. */
export function groupNormReference(
  shape: GroupNorm,
  x: Numbers,
  gamma: Numbers,
  beta: Numbers,
): Float64Array {
  const z = normalised(shape, x).map((v, i) => gamma[i % shape.channels] * v + beta[i % shape.channels]);
  return shape.activation ? activationReference(shape.activation, z) : z;
}

/** Gradients of sum(y * dy). */
export function groupNormGradientReference(
  shape: GroupNorm,
  x: Numbers,
  gamma: Numbers,
  beta: Numbers,
  dy: Numbers,
): { dx: Float64Array; dgamma: Float64Array; dbeta: Float64Array } {
  const { batch, channels, groups } = shape;
  const stats = groupNormStatsReference(shape, x);
  const xhat = normalised(shape, x);
  const z = xhat.map((v, i) => gamma[i % channels] * v + beta[i % channels]);
  const dz = shape.activation ? activationGradientReference(shape.activation, z, dy) : Float64Array.from(dy);
  const dgamma = new Float64Array(channels);
  const dbeta = new Float64Array(channels);
  dz.forEach((v, i) => {
    dgamma[i % channels] += v * xhat[i];
    dbeta[i % channels] += v;
  });
  const dx = new Float64Array(x.length);
  for (let n = 0; n < batch; n++) {
    for (let g = 0; g < groups; g++) {
      const indices = groupIndices(shape, n, g);
      const rstd = stats[(n * groups + g) * 2 + 1];
      let mean = 0;
      let meanXhat = 0;
      for (const i of indices) {
        mean += gamma[i % channels] * dz[i] / indices.length;
        meanXhat += gamma[i % channels] * dz[i] * xhat[i] / indices.length;
      }
      for (const i of indices) dx[i] = rstd * (gamma[i % channels] * dz[i] - mean - xhat[i] * meanXhat);
    }
  }
  return { dx, dgamma, dbeta };
}
