/**
 * One-cycle learning rate (Smith & Topin 2018, "Super-convergence"): a linear rise, then half a cosine down to zero.
 *
 * @module
 */

/** Share of the steps in which the rate rises. */
export const RISE = 0.2;

/**
 * Learning rate of a step.
 *
 * @param step from 0
 * @param total steps in all
 * @param peak largest rate
 */
export function oneCycle(step: number, total: number, peak: number): number {
  const rise = Math.max(1, Math.round(RISE * total));
  if (step < rise) return peak * (step + 1) / rise;
  return peak / 2 * (1 + Math.cos(Math.PI * (step + 1 - rise) / Math.max(1, total - rise)));
}
