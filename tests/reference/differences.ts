/** Central differences in float64, against which reference gradients are checked, and numbers to check them on. */

/** Numbers in [-1, 1) that repeat from run to run (a linear congruential generator). */
export function noise(count: number, seed: number): Float64Array {
  let state = Math.imul(seed, 2654435761) >>> 0;
  return Float64Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.fround(state / 2 ** 31 - 1);
  });
}

/**
 * Gradient of `sum(f(x) * weights)` by central differences: O(step^2) off for smooth `f`.
 *
 * @param f the function; `x` is changed and restored between calls
 */
export function differences(
  f: () => Float64Array,
  x: Float64Array,
  weights: ArrayLike<number>,
  step = 1e-4,
): Float64Array {
  const dot = () => f().reduce((sum, value, i) => sum + value * weights[i], 0);
  return x.map((value, i) => {
    x[i] = value + step;
    const above = dot();
    x[i] = value - step;
    const below = dot();
    x[i] = value;
    return (above - below) / (2 * step);
  });
}
