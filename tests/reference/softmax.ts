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
