/** Batched matrix product by definition in float64, over the strided layouts of attention. */

export interface Operand {
  first?: number;
  rowStride: number;
  batchStride: number;
  headStride: number;
  transposed?: boolean;
}

export interface Product {
  batch: number;
  heads: number;
  m: number;
  n: number;
  k: number;
  a: Operand;
  b: Operand;
  c: Operand;
  alpha: number;
}

function index(operand: Operand, batch: number, head: number, row: number, column: number): number {
  const base = (operand.first ?? 0) + batch * operand.batchStride + head * operand.headStride;
  return operand.transposed
    ? base + column * operand.rowStride + row
    : base + row * operand.rowStride + column;
}

/** c[i,j] = alpha * sum_k a(i,k) b(k,j) + addend[i,j]; elements of `c` that belong to no product stay 0. */
export function matmulReference(
  p: Product,
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  addend: ArrayLike<number> | undefined,
  size: number,
): Float64Array {
  const out = new Float64Array(size);
  for (let batch = 0; batch < p.batch; batch++) {
    for (let head = 0; head < p.heads; head++) {
      for (let i = 0; i < p.m; i++) {
        for (let j = 0; j < p.n; j++) {
          let sum = 0;
          for (let k = 0; k < p.k; k++) {
            sum += a[index(p.a, batch, head, i, k)] * b[index(p.b, batch, head, k, j)];
          }
          const at = index(p.c, batch, head, i, j);
          out[at] = p.alpha * sum + (addend ? addend[at] : 0);
        }
      }
    }
  }
  return out;
}
