/**
 * Lowering of group normalization and of its modulation by scale and shift.
 *
 * @module
 */
import { groupNormBackward, groupNormForward } from "../../../kernels/group_norm.ts";
import { scaleShiftBackward, scaleShiftForward, type ScaleShiftShape } from "../../../kernels/scale_shift.ts";
import type { KernelTarget } from "../../../kernels/target.ts";
import type { GroupNormAttributes, ScaleShiftAttributes } from "../attributes.ts";
import type { Tensor } from "../tensor.ts";
import { type LoweringTable, stored } from "./context.ts";
import { imageShape } from "./shapes.ts";

/** Group normalization, scale and shift, and their gradients. */
export const normalizations: Pick<
  LoweringTable,
  "groupNorm" | "groupNormBackward" | "scaleShift" | "scaleShiftBackward"
> = {
  groupNorm(c, { label, attributes, in: { x, affine, gamma = affine!, beta = affine!, ...operands }, out }) {
    const perSample = affine !== undefined; // if not, there are the other two
    const shape = {
      ...{ ...normShape(c.target, x, attributes), perSample },
      first: c.views.joined.get(x)?.a.shape[3],
    };
    return groupNormForward(shape, { ...operands, gamma, beta, ...stored(c, x), ...out }, label);
  },
  groupNormBackward(
    c,
    { label, attributes, in: { x, ...operands }, out: { dgamma, dbeta, daffine, ...out } },
  ) {
    const shape = { ...normShape(c.target, x, attributes), first: out.dxSecond && out.dx.shape[3] };
    // A gradient for each sample is the contributions themselves.
    const sums = daffine ?? c.sampleSums.request(`${label}.sums`, shape.batch, [dbeta!, dgamma!]);
    return groupNormBackward(shape, { ...operands, ...stored(c, x), ...out, sums }, label);
  },
  scaleShift: (_, { label, attributes, in: operands, out: { y } }) =>
    scaleShiftForward(modulationShape(operands.rows, attributes), { ...operands, affine: y }, label),
  scaleShiftBackward: (_, { label, attributes, in: { dy, ...operands }, out }) =>
    scaleShiftBackward(
      modulationShape(operands.rows, attributes),
      { ...operands, daffine: dy, ...out },
      label,
    ),
};

function normShape({ path }: KernelTarget, x: Tensor, attributes: GroupNormAttributes) {
  return { ...imageShape(x), ...attributes, path };
}

function modulationShape(rows: Tensor, attributes: ScaleShiftAttributes): ScaleShiftShape {
  return { batch: rows.shape[0], width: rows.shape[3], ...attributes };
}
