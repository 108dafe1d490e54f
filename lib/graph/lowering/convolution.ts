/**
 * Lowering of convolutions.
 *
 * @module
 */
import {
  conv2dBackward,
  conv2dBackwardScratch,
  conv2dForward,
  conv2dForwardScratch,
  type Conv2dShape,
  conv2dSumRows,
} from "../../../kernels/products/conv2d.ts";
import { bothAxes, type Conv2dAttributes, type ConvAttributes } from "../attributes.ts";
import type { Tensor } from "../tensor.ts";
import { type LowerContext, type LoweringTable, stored } from "./context.ts";

/** Convolutions and their gradients. */
export const convolutions: Pick<
  LoweringTable,
  "conv2d" | "conv2dBackward"
> = {
  conv2d(c, { label, attributes, in: { x, rowBias, ...others }, out }) {
    const operands = { ...others, ...stored(c, x) };
    const shape = { ...convShape(x, out.y, attributes), ...viewOf(c, x) };
    const scratch = convScratch(c, conv2dForwardScratch(c.target, shape), label);
    const ofRows = rowBiasOf(rowBias, attributes);
    return conv2dForward(c.target, shape, { ...operands, ...out, rowBias: ofRows, scratch }, label);
  },
  conv2dBackward(c, { label, attributes, in: { x, ...others }, out: { db, rowBias, ...results } }) {
    const operands = { ...others, ...stored(c, x) };
    const shape = { ...convShape(x, operands.dy, attributes), ...viewOf(c, x) };
    const pooling = results.dx && c.views.pooled.get(results.dx);
    const out = pooling ? { ...results, dx: pooling.out.dx, addend: pooling.in.addend } : results;
    const scratch = convScratch(c, conv2dBackwardScratch(c.target, shape, out.dx !== undefined), label);
    const sums = c.sampleSums.request(`${label}.sums`, conv2dSumRows(c.target, shape), [db]);
    const ofRows = rowBiasOf(rowBias, attributes);
    return conv2dBackward(c.target, shape, { ...operands, ...out, sums, rowBias: ofRows, scratch }, label);
  },
};

function viewOf(
  { views: { joined, upsampled } }: LowerContext,
  x: Tensor,
): Pick<Conv2dShape, "firstChannels" | "upsampled"> {
  const parts = joined.get(x);
  if (parts) return { firstChannels: parts.a.shape[3] };
  return upsampled.has(x) ? { upsampled: true } : {};
}

function convShape(x: Tensor, y: Tensor, { kernel, stride, padding, relu }: ConvAttributes): Conv2dShape {
  const [batch, inHeight, inWidth, inChannels] = x.shape;
  const [, outHeight, outWidth, outChannels] = y.shape;
  const [kernelHeight, kernelWidth] = bothAxes(kernel);
  const [padTop, padLeft] = bothAxes(padding);
  return {
    batch,
    inHeight,
    inWidth,
    inChannels,
    outHeight,
    outWidth,
    outChannels,
    kernelHeight,
    kernelWidth,
    stride,
    padTop,
    padLeft,
    ...relu ? { relu } : {},
  };
}

function rowBiasOf(rowBias: Tensor | undefined, { rowBiasFirst }: Conv2dAttributes) {
  return rowBias && { of: rowBias, first: rowBiasFirst, width: rowBias.shape[3] };
}

function convScratch(c: LowerContext, sizes: readonly number[], label: string): Tensor[] {
  return sizes.map((elements, i) => c.temporary(`${label}.scratch${i}`, elements));
}
