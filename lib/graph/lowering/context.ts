/**
 * Types of lowerings, and the tensors that they read.
 *
 * @module
 */
import type { Launch } from "../../../kernels/source.ts";
import type { KernelTarget } from "../../../kernels/target.ts";
import type { AllOperations, NodeOf } from "../operations.ts";
import type { SampleSums } from "../sample_sums.ts";
import type { ElementType, Tensor } from "../tensor.ts";
import type { Views } from "../views.ts";

/** Context of a lowering. */
export interface LowerContext {
  readonly target: KernelTarget;
  /** Creates a workspace tensor that lives only during the dispatches of one node; default float32. */
  temporary(name: string, elements: number, type?: ElementType): Tensor;
  /** Tensors that are not stored. */
  readonly views: Views;
  /** Gradients that are sums over samples, which a dispatch after the last node computes for all nodes that request some. */
  readonly sampleSums: SampleSums;
}

/** Lowers an operation to its dispatches, in order. */
export type Lowering<K extends keyof AllOperations> = (c: LowerContext, node: NodeOf<K>) => Launch<Tensor>[];

/** Lowerings by kind of operation. */
export type LoweringTable = { readonly [K in keyof AllOperations]: Lowering<K> };

/** Stored tensors of an operand: itself, the two that it concatenates, or the one that it upsamples. */
export function stored(
  { views: { joined, upsampled } }: LowerContext,
  x: Tensor,
): { x: Tensor; xSecond?: Tensor } {
  const parts = joined.get(x);
  return parts ? { x: parts.a, xSecond: parts.b } : { x: upsampled.get(x) ?? x };
}
