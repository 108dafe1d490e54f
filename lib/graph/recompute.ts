/**
 * Activation checkpointing: values inside a segment of the graph are recomputed in the backward pass instead of being
 * kept from the forward pass (Chen et al. 2016, "Training deep nets with sublinear memory cost").
 *
 * Recomputation is lazy: a node is repeated when a backward rule first reads its result, directly or as an operand of
 * another repeated node, so the last convolution of a block never runs twice. A repeated node runs the same kernel on the
 * same values, and dropout masks are a function of counters, so recomputed values have the same bits.
 *
 * @module
 */
import type { Graph } from "./graph.ts";
import { inputsOf, type Node, type NodeOf, type Operations, outputsOf } from "./operations.ts";
import type { Tensor } from "./tensor.ts";

/** Operand of a node: a tensor, a list of tensors, or undefined if optional. */
type Operand = Tensor | readonly Tensor[] | undefined;

/** Forward values as read by the backward pass: kept, or recomputed on first use. */
export class Recomputation {
  readonly #g: Graph;
  /** Node that computes each tensor that is not kept. */
  readonly #producers = new Map<Tensor, Node>();
  /** Recomputed tensors, by the original. */
  readonly #again = new Map<Tensor, Tensor>();

  /** @param g a recorded forward pass; nodes added later belong to the backward pass */
  constructor(g: Graph) {
    this.#g = g;
    for (const node of g.nodes) {
      const segment = g.segments.get(node);
      for (const tensor of inputsOf(node)) {
        const producer = this.#producers.get(tensor);
        // Inputs of other segments are kept.
        if (producer && g.segments.get(producer) !== segment) this.#producers.delete(tensor);
      }
      if (segment === undefined) continue;
      for (const tensor of outputsOf(node)) {
        if (!g.kept.has(tensor)) this.#producers.set(tensor, node);
      }
    }
  }

  /** Tensor that holds the value of `tensor` in the backward pass; records its recomputation if it was not kept. */
  value(tensor: Tensor): Tensor {
    const producer = this.#producers.get(tensor);
    if (!producer) return tensor;
    if (!this.#again.has(tensor)) this.#repeat(producer);
    return this.#again.get(tensor)!;
  }

  #valueOf(operand: Operand): Operand {
    if (operand === undefined) return undefined;
    return "id" in operand ? this.value(operand) : operand.map((tensor) => this.value(tensor));
  }

  #repeat(node: Node): void {
    const operands = Object.entries(node.in).map(([name, operand]) => [name, this.#valueOf(operand)]);
    const results = Object.entries(node.out as Record<string, Tensor>).map(([name, tensor]) => {
      const { name: of, shape, type } = tensor;
      const again = this.#g.tensor(`${of} again`, shape, "activation", false, type);
      this.#again.set(tensor, again);
      return [name, again];
    });
    const repeated = { ...node, in: Object.fromEntries(operands), out: Object.fromEntries(results) };
    this.#g.record(repeated as NodeOf<keyof Operations>);
  }
}
