/**
 * Stratified sampling of the bound's terms: one timestep of each stratum stands for all of it, so that a sum over a thousand
 * timesteps is estimated without bias from a few.
 *
 * @module
 */
import type { NoiseLevel } from "../diffusion/forward_process.ts";
import { checkWhole } from "../checks.ts";
import { divergenceTerm, snrOf } from "./variational_bound.ts";

/** Consecutive indices of levels. */
export interface Stratum {
  /** First index. */
  readonly first: number;
  /** Number of indices, 1 or more. */
  readonly count: number;
}

/** Standard deviation of pixels given their neighbours, roughly; decides where terms are expected to be large. */
const PIXEL_DEVIATION = 0.1;

/**
 * Divides the levels from the second on into strata. Half of the strata are even in the number of levels, the other half in the
 * terms expected of white Gaussian data, which at high signal-to-noise ratios are as large as those of images: there strata
 * are small, so that large terms vary little inside.
 *
 * @param levels those of the bound, least noise first, 2 or more
 * @param terms number of strata, 1 or more; at most one for each level but the first
 */
export function strataOf(levels: readonly NoiseLevel[], terms: number): Stratum[] {
  checkWhole("terms", terms, 1, levels.length - 1);
  const expected = levels.slice(1).map((t, i) => {
    const { errorWeight } = divergenceTerm(levels[i]!, t, "fixed_small"); // the level below
    return errorWeight / (PIXEL_DEVIATION ** -2 + snrOf(t));
  });
  const total = expected.reduce((sum, term) => sum + term, 0);
  const shares = expected.map((term) => (term / total + 1 / expected.length) / 2);
  const strata: Stratum[] = [];
  let [first, cumulative] = [1, 0];
  for (const [i, share] of shares.entries()) {
    cumulative += share;
    const end = i + 2; // level i + 1 is the last one
    const missing = terms - strata.length - 1;
    const left = levels.length - end;
    const isFull = cumulative >= (strata.length + 1) / terms - 1e-9;
    if (left === missing || (isFull && missing > 0 && left > missing)) {
      strata.push({ first, count: end - first });
      first = end;
    }
  }
  return strata;
}
