/** Rows of a table by label, by definition: table [rows, dim], labels [N], y [N, dim]. */

type Numbers = ArrayLike<number>;

/** y. */
export function embeddingReference(table: Numbers, labels: Numbers, dim: number): Float64Array {
  return Float64Array.from({ length: labels.length * dim }, (_, i) => {
    return table[labels[Math.floor(i / dim)] * dim + i % dim];
  });
}

/** Gradient of sum(y * dy) with respect to the table. */
export function embeddingGradientReference(
  labels: Numbers,
  dy: Numbers,
  rows: number,
  dim: number,
): Float64Array {
  const dtable = new Float64Array(rows * dim);
  for (let n = 0; n < labels.length; n++) {
    for (let d = 0; d < dim; d++) dtable[labels[n] * dim + d] += dy[n * dim + d];
  }
  return dtable;
}
