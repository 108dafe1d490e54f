/**
 * Lowering of elementwise operations, and of concatenation and slices of channels.
 *
 * @module
 */
import { activationBackward, activationForward } from "../../../kernels/activation.ts";
import { addForward } from "../../../kernels/add.ts";
import { concatForward, sliceChannels } from "../../../kernels/concat.ts";
import { rescaleForward } from "../../../kernels/rescale.ts";
import type { LoweringTable } from "./context.ts";
import { rowShape } from "./shapes.ts";

/** Elementwise operations, concatenation and slices. */
export const elementwise: Pick<
  LoweringTable,
  "activation" | "activationBackward" | "add" | "rescale" | "rescaleBackward" | "concat" | "sliceChannels"
> = {
  activation: (_, { label, attributes, in: operands, out }) =>
    activationForward({ elements: out.y.elements, ...attributes }, { ...operands, ...out }, label),
  activationBackward: (_, { label, attributes, in: operands, out }) =>
    activationBackward({ elements: out.dx.elements, ...attributes }, { ...operands, ...out }, label),
  add: (_, { label, in: operands, out }) =>
    addForward({ elements: out.y.elements }, { ...operands, ...out }, label),
  rescale: (_, { label, attributes, in: operands, out }) =>
    rescaleForward(
      { ...rowShape(out.y), ...attributes, samples: out.y.shape[0] },
      { ...operands, ...out },
      label,
    ),
  rescaleBackward: (_, { label, attributes: { factor }, in: { dy, addend, divisors }, out: { dx } }) =>
    rescaleForward(
      { ...rowShape(dx), factor, offset: 0, samples: dx.shape[0] },
      { x: dy, addend, divisors, y: dx },
      label,
    ),
  concat({ views }, { label, in: { a, b }, out }) {
    if (views.joined.has(out.y)) return [];
    const [batch, height, width, channels] = a.shape;
    return concatForward(
      { rows: batch * height * width, a: channels, b: b.shape[3] },
      { a, b, ...out },
      label,
    );
  },
  sliceChannels(_, { label, attributes: { first }, in: operands, out }) {
    const [batch, height, width, channels] = operands.dy.shape;
    const shape = { rows: batch * height * width, channels, first, count: out.dx.shape[3] };
    return sliceChannels(shape, { ...operands, ...out }, label);
  },
};
