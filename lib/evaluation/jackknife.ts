/**
 * Grouped jackknife: the standard error of any estimate over images, from the same estimate without each group of them
 * (Efron and Tibshirani 1993, "An introduction to the bootstrap", chapter 11).
 *
 * @module
 */

/**
 * Standard errors `sqrt((g - 1)/g sum_k (estimate_k - mean)^2)` of estimates, where `estimate_k` leaves out group `k` of `g`.
 * Groups are of `size` consecutive images; those left over belong to none.
 *
 * @param count images
 * @param estimate values over the images at the indices given, always as many
 * @returns one for each value; undefined for fewer than three groups
 */
export function jackknifeErrors(
  count: number,
  size: number,
  estimate: (indices: Uint32Array) => readonly number[],
): number[] | undefined {
  const groups = Math.floor(count / size);
  if (groups < 3) return undefined;
  const all = Uint32Array.from({ length: count }, (_, i) => i);
  const estimates = Array.from(
    { length: groups },
    (_, group) => estimate(all.filter((i) => Math.floor(i / size) !== group)),
  );
  return estimates[0]!.map((_, value) => {
    const mean = estimates.reduce((sum, values) => sum + values[value]!, 0) / groups;
    const squares = estimates.reduce((sum, values) => sum + (values[value]! - mean) ** 2, 0);
    return Math.sqrt((groups - 1) / groups * squares);
  });
}
