/**
 * Activation checkpointing: values inside a segment of the graph are computed again for the backward pass instead of being
 * kept until then (Chen et al. 2016, "Training deep nets with sublinear memory cost").
 *
 * Nothing is computed again before a backward rule asks for it, and nothing that no rule asks for, directly or through the
 * operands of what it asks for: the last convolution of a block never runs twice. A repeated node is the same kernel on the
 * same values, and the masks of dropout are counted and not drawn, so the second results have the bits of the first.
 *
 * @module
 */
import type { Graph } from "./graph.ts";
import { inputsOf, type Node, type NodeOf, type Operations, outputsOf } from "./operations.ts";
import type { Tensor } from "./tensor.ts";

/** A node's operand: a tensor, several of them, or none where it is optional. */
type Operand = Tensor | readonly Tensor[] | undefined;

/** The values of a forward pass as its backward pass finds them. */
export class Recomputation {
  readonly #g: Graph;
  /** What computes each tensor that is not kept. */
  readonly #producers = new Map<Tensor, Node>();
  readonly #again = new Map<Tensor, Tensor>();

  /** @param g a recorded forward pass; nodes added later belong to the backward pass */
  constructor(g: Graph) {
    this.#g = g;
    for (const node of g.nodes) {
      const segment = g.segments.get(node);
      for (const tensor of inputsOf(node)) {
        const producer = this.#producers.get(tensor);
        // Kept is what other segments read: theirs begin with it.
        if (producer && g.segments.get(producer) !== segment) this.#producers.delete(tensor);
      }
      if (segment === undefined) continue;
      for (const tensor of outputsOf(node)) {
        if (!g.kept.has(tensor)) this.#producers.set(tensor, node);
      }
    }
  }

  /** The tensor that holds the value of `tensor` now. If that was not kept, records what computes it again. */
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
