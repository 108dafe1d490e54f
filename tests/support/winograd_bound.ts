/** Error bounds of Winograd convolutions. */
import type { Conv2dShape } from "../../kernels/products/conv2d.ts";
import {
  INPUT_GRADIENT,
  MATRICES,
  type Matrix,
  transpose,
} from "../../kernels/products/winograd_matrices.ts";
import { winogradTiles } from "../../kernels/products/winograd_plan.ts";
import type { Tolerance } from "./close.ts";
import type { Conv2dResult } from "./conv2d_checks.ts";

const squares = (row: readonly number[]) => row.reduce((sum, v) => sum + v * v, 0);

/** Roundings of one element by a transform of both sides: n products and n - 1 sums on each. */
const roundings = (matrix: Matrix) =>
  2 * Math.max(...matrix.map((row) => 2 * row.filter((c) => c !== 0).length - 1));

/** Largest error in standard deviations; of 10^6 normal errors the largest is 5. */
const DEVIATIONS = 6;

/** Rows of the points, between the last of the tile before and the first of the tile after. */
function withNeighbours(rows: Matrix): Matrix {
  return [rows[rows.length - 1], ...rows, rows[0]];
}

/**
 * Error bound of a result in float32 with operands uniform in [-1, 1), A^T [(G w G^T) * (B^T x B)] A (Lavin & Gray 2016).
 *
 * A rounding is an independent error with a deviation of at most 2^-24 / sqrt(3) of the rounded value. Values are sums of
 * independent terms: a transform multiplies their variance by the sum of its squared coefficients. So the products at a point
 * have the variance `terms` x |B_i|^2 |G_i|^2 per axis in units of the operands', and their errors reach the output with the
 * squared coefficients of A, while the products themselves cancel there: `condition` is that amplification per axis. Relative
 * to it, these add up: the roundings of both operands' transforms and of the output transform, one for each product, and
 * those of the partial sums of products, which are half of the whole on average. Fused multiply-adds round less often.
 */
export function winogradBound(result: Conv2dResult, s: Conv2dShape): Tolerance {
  const { inputs, weights, outputs } = MATRICES;
  const { first, second, last, terms } = {
    forward: () => ({
      ...{ first: inputs, second: weights, last: outputs, terms: s.inChannels },
    }),
    weight_gradient: () => ({
      ...{ first: inputs, second: transpose(outputs), last: transpose(weights) },
      terms: s.batch * winogradTiles(s),
    }),
    input_gradient: () => ({
      first: withNeighbours(transpose(outputs)),
      second: withNeighbours(weights),
      last: INPUT_GRADIENT,
      terms: s.outChannels,
    }),
  }[result]();
  const condition = Math.max(
    ...last.map((row) => row.reduce((sum, c, i) => sum + c * c * squares(first[i]) * squares(second[i]), 0)),
  );
  const count = roundings(first) + roundings(second) + 1 + (terms + 1) / 2 + roundings(last);
  // The deviation of numbers in [-1, 1) is 1 / sqrt(3).
  const amplified = condition * Math.sqrt(terms) / 3;
  return { absolute: DEVIATIONS * amplified * Math.sqrt(count / 3) * 2 ** -24 + 2 ** -22 };
}
