/**
 * Tensors that are not stored: concatenations whose readers all load from the two operands instead. That saves a dispatch
 * that writes and reads what is in memory already, and the memory of a copy that the backward pass would keep.
 *
 * @module
 */
import type { KernelTarget } from "../../kernels/target.ts";
import { inputsOf, type Node } from "./operations.ts";
import type { Tensor } from "./tensor.ts";

/** The two tensors of a concatenation. */
export interface Parts {
  readonly a: Tensor;
  readonly b: Tensor;
}

/** Concatenations that are not stored, by result. */
export type Views = ReadonlyMap<Tensor, Parts>;

/**
 * Finds the concatenations that need not be stored. Software adapters store all: a copy in a cache costs them little (1 % of a
 * step on llvmpipe), and more kernels compile for longer.
 *
 * @param keep tensors that are read from outside
 */
export function findViews(nodes: readonly Node[], { path }: KernelTarget, keep: readonly Tensor[]): Views {
  if (path === "subgroup") return new Map();
  const views = new Map<Tensor, Parts>();
  for (const node of nodes) {
    if (node.kind === "concat" && node.in.a.shape[3] % 4 === 0) views.set(node.out.y, node.in);
  }
  for (const tensor of keep) views.delete(tensor);
  for (const node of nodes) {
    for (const tensor of inputsOf(node)) {
      if (!readsParts(node, tensor)) views.delete(tensor);
    }
  }
  return views;
}

/** True if a node's kernels can read an operand from the two tensors that it concatenates. */
function readsParts(node: Node, tensor: Tensor): boolean {
  if (inputsOf(node).filter((operand) => operand === tensor).length > 1) return false;
  switch (node.kind) {
    case "conv2d":
    case "conv2dBackward":
      return node.in.x === tensor && node.attributes.kernel === 1 && node.attributes.stride === 1;
    case "groupNorm":
      return node.in.x === tensor && node.attributes.dropout === undefined;
    case "groupNormBackward":
      return node.in.x === tensor && node.out.dxSecond !== undefined;
    default:
      return false;
  }
}
