/** Sinusoidal embedding of timesteps (Vaswani et al. 2017) with the options of diffusers, in float64. */

export interface TimestepEmbedding {
  dim: number;
  flipSinToCos: boolean;
  downscaleFreqShift: number;
  maxPeriod: number;
}

/** [N, dim]: sines, then cosines of t * maxPeriod^(-k / (half - shift)); flipped if asked; a zero ends an odd dim. */
export function timestepEmbeddingReference(
  timesteps: ArrayLike<number>,
  { dim, flipSinToCos, downscaleFreqShift, maxPeriod }: TimestepEmbedding,
): Float64Array {
  const half = Math.floor(dim / 2);
  const y = new Float64Array(timesteps.length * dim);
  for (let n = 0; n < timesteps.length; n++) {
    for (let k = 0; k < half; k++) {
      const angle = timesteps[n] * Math.exp(-Math.log(maxPeriod) * k / (half - downscaleFreqShift));
      y[n * dim + k] = flipSinToCos ? Math.cos(angle) : Math.sin(angle);
      y[n * dim + half + k] = flipSinToCos ? Math.sin(angle) : Math.cos(angle);
    }
  }
  return y;
}
