/**
 * Lowering of operations to dispatches. The table is exhaustive, so an operation without kernels does not compile.
 * Tensors are still symbolic; the memory planner derives their lifetimes from the result.
 *
 * @module
 */
import type { Launch } from "../../kernels/source.ts";
import { storedIn } from "../../kernels/storage.ts";
import type { Choose, KernelTarget } from "../../kernels/target.ts";
import { attentions } from "./lowering/attention.ts";
import { batches } from "./lowering/batch.ts";
import type { LowerContext, Lowering, LoweringTable } from "./lowering/context.ts";
import { convolutions } from "./lowering/convolution.ts";
import { elementwise } from "./lowering/elementwise.ts";
import { embeddings } from "./lowering/embedding.ts";
import { losses } from "./lowering/loss.ts";
import { normalizations } from "./lowering/normalization.ts";
import { resamplings } from "./lowering/resampling.ts";
import { type AllOperations, inputsOf, type Node, type NodeOf, outputsOf } from "./operations.ts";
import type { Tensor } from "./tensor.ts";

export type { LowerContext } from "./lowering/context.ts";

const table: LoweringTable = {
  ...convolutions,
  ...attentions,
  ...normalizations,
  ...elementwise,
  ...resamplings,
  ...embeddings,
  ...batches,
  ...losses,
};

/** Lowers a node to its dispatches, in order. */
export function lower(context: LowerContext, node: Node): Launch<Tensor>[] {
  const lowering = table[node.kind] as Lowering<keyof AllOperations>;
  const half = [...inputsOf(node), ...outputsOf(node)].some(({ type }) => type === "float16");
  const target = half ? halfTarget(context.target) : context.target;
  return storedIn(half, lowering({ ...context, target }, node as NodeOf<keyof AllOperations>));
}

/** Target for nodes with tensors in float16, with tuning choices of its own. */
function halfTarget({ choose, ...target }: KernelTarget): KernelTarget {
  const chooseHalf: Choose = (key, candidates) => choose!(`float16 ${key}`, candidates);
  return { ...target, half: true, ...(choose ? { choose: chooseHalf } : {}) };
}
