/**
 * Fréchet distance between two sets of features, each taken for a normal distribution (Heusel et al. 2017, "GANs trained by a
 * two time-scale update rule converge to a local Nash equilibrium", equation 6):
 *
 * `d^2 = |m_1 - m_2|^2 + tr(C_1 + C_2 - 2 (C_1 C_2)^(1/2))`
 *
 * With the features of InceptionV3 it is the FID; with those of another network its values are other ones.
 *
 * @module
 */
import { ShapeError } from "../errors.ts";
import type { FeatureMoments } from "./moments.ts";
import { symmetricEigenvalues } from "./symmetric_eigenvalues.ts";

/**
 * Squared Fréchet distance, as it is usually reported. The trace of the root is the sum of the roots of the eigenvalues of
 * `C_1 C_2`, which with `C_1 = L L^T` are those of the symmetric matrix `L^T C_2 L`; covariances may be singular, as they are
 * for fewer images than features.
 *
 * @throws {ShapeError} if the sets have different features
 */
export function frechetDistance(a: FeatureMoments, b: FeatureMoments): number {
  const width = a.mean.length;
  if (b.mean.length !== width) {
    throw new ShapeError(`features: expected as many in both sets, got ${width} and ${b.mean.length}`);
  }
  const product = sandwich(cholesky(a.covariance, width), b.covariance, width);
  const eigenvalues = symmetricEigenvalues(product, width);
  // Eigenvalues of zero are off by rounding, whose roots would be half of the digits.
  const negligible = width * Number.EPSILON * Math.abs(eigenvalues.at(-1)!);
  const rootTrace = eigenvalues.reduce((sum, value) => sum + (value > negligible ? Math.sqrt(value) : 0), 0);
  let distance = -2 * rootTrace;
  for (let i = 0; i < width; i++) {
    distance += (a.mean[i]! - b.mean[i]!) ** 2 + a.covariance[i * width + i]! + b.covariance[i * width + i]!;
  }
  return Math.max(0, distance);
}

/** Lower triangular L with `L L^T = matrix`, which may be singular: a column without a positive pivot is zero. */
function cholesky(matrix: Float64Array, n: number): Float64Array {
  const l = new Float64Array(n * n);
  let largest = 0;
  for (let i = 0; i < n; i++) largest = Math.max(largest, matrix[i * n + i]!);
  const negligible = n * Number.EPSILON * largest;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = matrix[i * n + j]!;
      for (let k = 0; k < j; k++) sum -= l[i * n + k]! * l[j * n + k]!;
      if (i === j) l[i * n + i] = sum > negligible ? Math.sqrt(sum) : 0;
      else if (l[j * n + j]! > 0) l[i * n + j] = sum / l[j * n + j]!;
    }
  }
  return l;
}

/** `L^T matrix L` for a lower triangular L and a symmetric matrix. */
function sandwich(l: Float64Array, matrix: Float64Array, n: number): Float64Array {
  const half = multiplyByLower(matrix, l, n); // matrix L; its transpose is L^T matrix
  return multiplyByLower(transposed(half, n), l, n);
}

/** `a L`, row by row, so that memory is read in order. */
function multiplyByLower(a: Float64Array, l: Float64Array, n: number): Float64Array {
  const result = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    const row = i * n;
    for (let k = 0; k < n; k++) {
      const [factor, of] = [a[row + k]!, k * n];
      for (let j = 0; j <= k; j++) result[row + j]! += factor * l[of + j]!;
    }
  }
  return result;
}

function transposed(a: Float64Array, n: number): Float64Array {
  return Float64Array.from(a, (_, at) => a[at % n * n + Math.floor(at / n)]!);
}
