/**
 * The standard normal distribution in float64.
 *
 * @module
 */

/** Terms after which the series of {@linkcode normalCdf} has converged for every argument within 8. */
const MAX_TERMS = 200;

/** Density at `x`. */
export function normalDensity(x: number): number {
  return Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
}

/**
 * Cumulative distribution at `x`, by its Taylor series, with an absolute error below 1e-15:
 *
 * ```text
 * Phi(x) = 1/2 + density(x) (x + x^3 / 3 + x^5 / (3 5) + x^7 / (3 5 7) + …)
 * ```
 */
export function normalCdf(x: number): number {
  if (Math.abs(x) > 8) return x > 0 ? 1 : 0; // within 1e-15
  let [term, sum] = [x, x];
  for (let k = 1; k < MAX_TERMS && Math.abs(term) > 1e-17 * Math.abs(sum); k++) {
    term *= x * x / (2 * k + 1);
    sum += term;
  }
  return 0.5 + normalDensity(x) * sum;
}

/**
 * Quantile: the `x` below which a share `p` of the distribution lies.
 *
 * @param p above 0 and below 1; within 1e-10 of either end the result has few correct digits
 */
export function normalQuantile(p: number): number {
  if (p < 0.5) return -normalQuantile(1 - p);
  // Newton's method rises from 0 to the root without passing it, since the distribution is concave there.
  let x = 0;
  for (let step = 0; step < MAX_TERMS; step++) {
    const next = x + (p - normalCdf(x)) / normalDensity(x);
    if (!(next - x > 1e-14 * next)) return x;
    x = next;
  }
  return x;
}
