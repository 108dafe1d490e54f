/**
 * Averages of the weights with power-function profiles, and their reconstruction for any width after training (Karras et al.
 * 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models", section 3 and appendix C). Pure float64.
 *
 * The average at step `t` weighs the weights of step `tau` by a power of `tau`, so that it forgets the beginning of the run and
 * its width grows with the run (section 3.1):
 *
 * ```text
 * average(t) = integral of tau^gamma theta(tau) / integral of tau^gamma      over tau from 0 to t
 * average(t) = beta(t) average(t - 1) + (1 - beta(t)) theta(t)               beta(t) = (1 - 1/t)^(gamma + 1)
 * sigma_rel  = sqrt(gamma + 1) / ((gamma + 2) sqrt(gamma + 3))               width of the profile, relative to t
 * ```
 *
 * @module
 */
import { ConfigError } from "../errors.ts";

/** Excluded bounds of the relative width: a profile wider than 0.2887 would favour the beginning of the run. */
export const SIGMA_RANGE: Readonly<Record<"above" | "below", number>> = { above: 0.005, below: 0.288 };

/** Average of one profile as stored: of width `sigma` at optimizer step `step`, from 1. */
export interface ProfilePoint {
  readonly sigma: number;
  readonly step: number;
}

/** Coefficients of stored averages that add up to an average of another width. */
export interface Reconstruction {
  /** One coefficient for each stored average. */
  readonly coefficients: readonly number[];
  /** Distance of the profile that they add up to from the one wanted, relative to the latter's norm; 0 is exact. */
  readonly error: number;
}

/**
 * Checks a relative width.
 * @throws {ConfigError} naming `field`
 */
export function checkSigma(field: string, sigma: number): void {
  const { above, below } = SIGMA_RANGE;
  if (!(sigma > above && sigma < below)) {
    throw new ConfigError(field, sigma, `a relative width above ${above} and below ${below}`);
  }
}

/** Exponent of a profile of relative width `sigma` (section 3.1), by bisection: the width falls as the exponent grows. */
export function gammaOf(sigma: number): number {
  let [low, high] = [0, 1];
  while (widthOf(high) > sigma) high *= 2;
  for (let middle = (low + high) / 2; middle > low && middle < high; middle = (low + high) / 2) {
    if (widthOf(middle) > sigma) low = middle;
    else high = middle;
  }
  return high;
}

/** Relative width of a profile with exponent `gamma`, 0 or more. */
export function widthOf(gamma: number): number {
  return Math.sqrt(gamma + 1) / ((gamma + 2) * Math.sqrt(gamma + 3));
}

/** Share of the weights in an average of width `sigma` at step `t`, from 1: `1 - beta(t)`; 1 at the first step. */
export function profileRate(sigma: number, t: number): number {
  return -Math.expm1((gammaOf(sigma) + 1) * Math.log1p(-1 / t));
}

/**
 * Reconstructs an average of any width at a step from stored averages, by least squares over the profiles (section 3.2,
 * appendix C).
 *
 * @param stored averages at hand, all different
 * @param wanted average to reconstruct; its step is at most the last of those stored
 */
export function reconstructProfile(
  stored: readonly ProfilePoint[],
  wanted: ProfilePoint,
): Reconstruction {
  const products = stored.map((row) => stored.map((column) => innerProduct(row, column)));
  const target = stored.map((each) => innerProduct(each, wanted));
  const coefficients = solve(products, target);
  // |p - sum x_i p_i|^2 = |p|^2 - 2 x.b + x.A x, and A x = b
  const norm = innerProduct(wanted, wanted);
  const fitted = coefficients.reduce((sum, x, i) => sum + x * target[i]!, 0);
  return { coefficients, error: Math.sqrt(Math.max(0, norm - fitted) / norm) };
}

/** Inner product of two profiles as functions of time (appendix C): the integral of `p_a(tau) p_b(tau)`. */
export function innerProduct(a: ProfilePoint, b: ProfilePoint): number {
  const [first, last] = a.step <= b.step ? [a, b] : [b, a];
  const [gammaFirst, gammaLast] = [gammaOf(first.sigma), gammaOf(last.sigma)];
  return (gammaFirst + 1) * (gammaLast + 1) * (first.step / last.step) ** gammaLast /
    ((gammaFirst + gammaLast + 1) * last.step);
}

/** Solves a system of linear equations with a symmetric positive definite matrix, by Cholesky's decomposition. */
function solve(matrix: readonly (readonly number[])[], right: readonly number[]): number[] {
  // Scaled to a diagonal of ones: profiles of early steps are narrow and high.
  const scale = matrix.map((row, i) => 1 / Math.sqrt(row[i]!));
  const lower: number[][] = [];
  for (let i = 0; i < right.length; i++) {
    const row: number[] = [];
    for (let j = 0; j <= i; j++) {
      const other = j < i ? lower[j]! : row;
      let sum = matrix[i]![j]! * scale[i]! * scale[j]!;
      for (let k = 0; k < j; k++) sum -= row[k]! * other[k]!;
      // Averages that agree to rounding make the last pivot 0.
      row.push(i === j ? Math.sqrt(Math.max(sum, Number.EPSILON)) : sum / other[j]!);
    }
    lower.push(row);
  }
  const x = right.map((value, i) => value * scale[i]!);
  for (let i = 0; i < x.length; i++) {
    for (let k = 0; k < i; k++) x[i]! -= lower[i]![k]! * x[k]!;
    x[i]! /= lower[i]![i]!;
  }
  for (let i = x.length - 1; i >= 0; i--) {
    for (let k = i + 1; k < x.length; k++) x[i]! -= lower[k]![i]! * x[k]!;
    x[i]! /= lower[i]![i]!;
  }
  return x.map((value, i) => value * scale[i]!);
}
