/** Embedding of timesteps by fixed frequencies in float64, as diffusers' GaussianFourierProjection with the logarithm. */

/** [N, 2 K]: sines, then cosines of `2 pi f_k ln t_n`. */
export function fourierEmbeddingReference(
  timesteps: ArrayLike<number>,
  frequencies: ArrayLike<number>,
): Float64Array {
  const count = frequencies.length;
  const y = new Float64Array(timesteps.length * 2 * count);
  for (let n = 0; n < timesteps.length; n++) {
    for (let k = 0; k < count; k++) {
      const angle = 2 * Math.PI * frequencies[k] * Math.log(timesteps[n]);
      y[n * 2 * count + k] = Math.sin(angle);
      y[n * 2 * count + count + k] = Math.cos(angle);
    }
  }
  return y;
}
