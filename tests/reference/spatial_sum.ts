/** Sum over an image's positions by definition, in float64 loops: dy [N, P, C] -> [N, C]. */
export function spatialSumReference(
  [batch, positions, channels]: readonly [number, number, number],
  dy: ArrayLike<number>,
): Float64Array {
  const sums = new Float64Array(batch * channels);
  for (let n = 0; n < batch; n++) {
    for (let p = 0; p < positions; p++) {
      for (let c = 0; c < channels; c++) sums[n * channels + c] += dy[(n * positions + p) * channels + c];
    }
  }
  return sums;
}
