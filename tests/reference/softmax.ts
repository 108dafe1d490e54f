/** Softmax within rows, by definition, in float64: x, y [rows, length]. */

type Numbers = ArrayLike<number>;

/** y. */
export function softmaxReference(x: Numbers, length: number): Float64Array {
  const y = new Float64Array(x.length);
  for (let base = 0; base < x.length; base += length) {
    const row = Array.from({ length }, (_, j) => x[base + j]);
    const maximum = Math.max(...row);
    const total = row.reduce((sum, v) => sum + Math.exp(v - maximum), 0);
    row.forEach((v, j) => y[base + j] = Math.exp(v - maximum) / total);
  }
  return y;
}

/** Gradient of sum(softmax(scale * u) * dy) with respect to u, by the whole Jacobian: y_j (delta_jk - y_k). */
export function softmaxGradientReference(
  y: Numbers,
  dy: Numbers,
  length: number,
  scale: number,
): Float64Array {
  const dx = new Float64Array(y.length);
  for (let base = 0; base < y.length; base += length) {
    for (let j = 0; j < length; j++) {
      for (let k = 0; k < length; k++) {
        dx[base + j] += scale * dy[base + k] * y[base + k] * (Number(j === k) - y[base + j]);
      }
    }
  }
  return dx;
}
