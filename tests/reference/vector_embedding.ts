/** A linear layer without bias: table [K, dim], vectors [N, K], y [N, dim]. */

type Numbers = ArrayLike<number>;

/** y. */
export function vectorEmbeddingReference(
  table: Numbers,
  vectors: Numbers,
  rows: number,
  dim: number,
): Float64Array {
  return Float64Array.from({ length: vectors.length / rows * dim }, (_, i) => {
    const [n, d] = [Math.floor(i / dim), i % dim];
    let sum = 0;
    for (let k = 0; k < rows; k++) sum += vectors[n * rows + k] * table[k * dim + d];
    return sum;
  });
}

/** Gradient of sum(y * dy) with respect to the table. */
export function vectorEmbeddingGradientReference(
  vectors: Numbers,
  dy: Numbers,
  rows: number,
  dim: number,
): Float64Array {
  return Float64Array.from({ length: rows * dim }, (_, i) => {
    const [k, d] = [Math.floor(i / dim), i % dim];
    let sum = 0;
    for (let n = 0; n < vectors.length / rows; n++) sum += vectors[n * rows + k] * dy[n * dim + d];
    return sum;
  });
}
