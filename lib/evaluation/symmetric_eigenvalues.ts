/**
 * Eigenvalues of a real symmetric matrix, in float64: Householder's reduction to a tridiagonal matrix, then QL iterations with
 * implicit shifts (Golub & Van Loan, "Matrix computations", 4th edition, sections 8.3.1 and 8.3.3). `4/3 n^3` operations; no
 * eigenvectors, which would take several times as many.
 *
 * @module
 */

/** A symmetric tridiagonal matrix. */
interface Tridiagonal {
  readonly diagonal: Float64Array;
  /** `offDiagonal[i]` couples rows i and i + 1; the last is 0. */
  readonly offDiagonal: Float64Array;
}

/**
 * Eigenvalues in ascending order.
 *
 * @param matrix [n, n]; only its lower triangle is read
 * @throws {RangeError} if an element is not finite
 */
export function symmetricEigenvalues(matrix: Float64Array, n: number): Float64Array {
  if (!matrix.every(Number.isFinite)) throw new RangeError("eigenvalues: the matrix is not finite");
  const tridiagonal = tridiagonalize(Float64Array.from(matrix), n);
  iterate(tridiagonal, n);
  return tridiagonal.diagonal.sort();
}

/** Householder's reduction; overwrites the lower triangle of `a`. */
function tridiagonalize(a: Float64Array, n: number): Tridiagonal {
  const diagonal = new Float64Array(n);
  const offDiagonal = new Float64Array(n);
  const v = new Float64Array(n);
  const w = new Float64Array(n);
  // Column k becomes zero below its first subdiagonal element.
  for (let k = 0; k < n - 1; k++) {
    diagonal[k] = a[k * n + k]!;
    let scale = 0;
    for (let i = k + 1; i < n; i++) scale = Math.max(scale, Math.abs(a[i * n + k]!));
    if (scale === 0) continue;
    let squares = 0;
    for (let i = k + 1; i < n; i++) squares += (v[i] = a[i * n + k]! / scale) ** 2;
    const first = v[k + 1]!;
    const norm = first > 0 ? -Math.sqrt(squares) : Math.sqrt(squares); // of the sign that does not cancel
    offDiagonal[k] = scale * norm;
    v[k + 1] = first - norm;
    const factor = 1 / (squares - first * norm); // 2 / v^T v
    // w = factor A v, minus factor/2 (w^T v) v; then A -= v w^T + w v^T, all of the trailing block's lower triangle.
    w.fill(0, k + 1);
    for (let i = k + 1; i < n; i++) {
      const row = i * n;
      let sum = a[row + i]! * v[i]!;
      for (let j = k + 1; j < i; j++) {
        sum += a[row + j]! * v[j]!;
        w[j]! += a[row + j]! * v[i]!;
      }
      w[i]! += sum;
    }
    let dot = 0;
    for (let i = k + 1; i < n; i++) dot += (w[i]! *= factor) * v[i]!;
    for (let i = k + 1; i < n; i++) w[i]! -= factor / 2 * dot * v[i]!;
    for (let i = k + 1; i < n; i++) {
      const [row, vi, wi] = [i * n, v[i]!, w[i]!];
      for (let j = k + 1; j <= i; j++) a[row + j]! -= vi * w[j]! + wi * v[j]!;
    }
  }
  if (n > 0) diagonal[n - 1] = a[n * n - 1]!;
  return { diagonal, offDiagonal };
}

/** QL iterations with implicit shifts; leaves the eigenvalues in `diagonal`. */
function iterate({ diagonal: d, offDiagonal: e }: Tridiagonal, n: number): void {
  for (let first = 0; first < n; first++) {
    for (;;) {
      // Splits off the block up to the first negligible coupling.
      let last = first;
      while (last < n - 1) {
        const size = Math.abs(d[last]!) + Math.abs(d[last + 1]!);
        if (size + Math.abs(e[last]!) === size) break;
        last++;
      }
      if (last === first) break;
      // Wilkinson's shift: the eigenvalue of the leading 2x2 block that is closer to its corner
      const half = (d[first + 1]! - d[first]!) / (2 * e[first]!);
      const root = Math.hypot(half, 1);
      let g = d[last]! - d[first]! + e[first]! / (half + (half < 0 ? -root : root));
      let [sine, cosine, shift] = [1, 1, 0];
      let i = last - 1;
      // Chases the bulge up the block by Givens rotations.
      for (; i >= first; i--) {
        const f = sine * e[i]!;
        const b = cosine * e[i]!;
        const r = Math.hypot(f, g);
        e[i + 1] = r;
        if (r === 0) break;
        sine = f / r;
        cosine = g / r;
        g = d[i + 1]! - shift;
        const t = (d[i]! - g) * sine + 2 * cosine * b;
        shift = sine * t;
        d[i + 1] = g + shift;
        g = cosine * t - b;
      }
      if (i >= first) {
        // The rotation vanished: the block splits here.
        d[i + 1]! -= shift;
        e[last] = 0;
        continue;
      }
      d[first]! -= shift;
      e[first] = g;
      e[last] = 0;
    }
  }
}
