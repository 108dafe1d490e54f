/**
 * Addition of gradients on the host, with the bits of `kernels/accumulate.wgsl`.
 *
 * @module
 */

const SMALLEST_NORMAL = 2 ** -126;

/** Zero for a subnormal number, which some devices cannot hold. */
function flushed(x: number): number {
  return Math.abs(x) < SMALLEST_NORMAL ? 0 : x;
}

/**
 * Adds gradients: a single rounding to float32, subnormal operands and results 0.
 *
 * @param sum in and out
 * @param addend of the same length
 */
export function addGradients(sum: Float32Array, addend: Float32Array): void {
  // The sum of two float32 in float64, rounded to float32, is the correctly rounded sum.
  for (let i = 0; i < sum.length; i++) {
    sum[i] = flushed(Math.fround(flushed(sum[i]!) + flushed(addend[i]!)));
  }
}
