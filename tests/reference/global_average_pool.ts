/** Mean over an image's positions by definition, and its gradient, in float64 loops: [N, P, C] -> [N, C]. */

type Sizes = readonly [batch: number, positions: number, channels: number];

export function averagePoolReference(
  [batch, positions, channels]: Sizes,
  x: ArrayLike<number>,
): Float64Array {
  const y = new Float64Array(batch * channels);
  for (let n = 0; n < batch; n++) {
    for (let p = 0; p < positions; p++) {
      for (let c = 0; c < channels; c++) {
        y[n * channels + c] += x[(n * positions + p) * channels + c] / positions;
      }
    }
  }
  return y;
}

/** @param addend gradient of `x` so far, [N, P, C] */
export function averagePoolGradientReference(
  [batch, positions, channels]: Sizes,
  dy: ArrayLike<number>,
  addend?: ArrayLike<number>,
): Float64Array {
  return Float64Array.from({ length: batch * positions * channels }, (_, i) => {
    const n = Math.floor(i / (positions * channels));
    return dy[n * channels + i % channels] / positions + (addend?.[i] ?? 0);
  });
}
