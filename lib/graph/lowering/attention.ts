/**
 * Lowering of attention.
 *
 * @module
 */
import {
  attentionBackward,
  attentionForward,
  type AttentionShape,
  scoreRows,
} from "../../../kernels/attention.ts";
import type { Tensor } from "../tensor.ts";
import type { LoweringTable } from "./context.ts";
import { imageShape } from "./shapes.ts";

/** Attention and its gradient. */
export const attentions: Pick<
  LoweringTable,
  "attention" | "attentionBackward"
> = {
  attention({ target, temporary }, { label, attributes: { heads }, in: operands, out }) {
    const shape = attentionShape(out.y, heads);
    const scores = temporary(`${label}.scores`, out.weights.elements, out.weights.type);
    return attentionForward(target, shape, { ...operands, ...out, scores }, label);
  },
  attentionBackward({ target, temporary }, { label, attributes: { heads }, in: operands, out }) {
    const shape = attentionShape(operands.y, heads);
    const { elements, type } = operands.weights;
    const dscores = temporary(`${label}.dscores`, elements, type);
    const dots = temporary(`${label}.dots`, scoreRows(shape));
    return attentionBackward(target, shape, { ...operands, ...out, dscores, dots }, label);
  },
};

function attentionShape(y: Tensor, heads: number): AttentionShape {
  const { batch, spatial, channels } = imageShape(y);
  return { batch, length: spatial, channels, heads };
}
