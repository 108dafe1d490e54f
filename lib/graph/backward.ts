/**
 * State of reverse-mode differentiation: the gradients accumulated so far.
 *
 * If a tensor has several consumers, the first rule to reach it writes its gradient, and each later one writes a new tensor
 * `addend + contribution`, so every tensor has a single writer. A contribution that is passed on unchanged, such as
 * that of a sum, waits for a writer that can add it; without one, an addition is recorded.
 *
 * @module
 */
import type { Graph } from "./graph.ts";
import { inputsOf, type Node, outputsOf } from "./operations.ts";
import { Recomputation } from "./recompute.ts";
import type { Tensor } from "./tensor.ts";

/** Gradient so far, to be added by a writer. */
interface Addends {
  readonly addend?: Tensor;
  readonly addendSecond?: Tensor;
}

/** Concatenation whose gradient can be split at a whole vec4. */
interface Concatenation {
  readonly a: Tensor;
  readonly b: Tensor;
  /** First consumer of the result, whose rule is the last to contribute to its gradient. */
  readonly last: Node;
}

/** Concatenations by result. */
function concatenations(nodes: readonly Node[]): ReadonlyMap<Tensor, Concatenation> {
  const operands = new Map<Tensor, { a: Tensor; b: Tensor }>();
  const found = new Map<Tensor, Concatenation>();
  for (const node of nodes) {
    for (const tensor of inputsOf(node)) {
      const of = operands.get(tensor);
      if (of && !found.has(tensor)) found.set(tensor, { ...of, last: node });
    }
    if (node.kind === "concat" && node.in.a.shape[3] % 4 === 0) operands.set(node.out.y, node.in);
  }
  return found;
}

/** State of the backward walk: gradients accumulated so far. */
export class Backward {
  readonly parameters = new Map<Tensor, Tensor>();
  /** Contributions to each gradient, not yet added up. */
  readonly #contributions = new Map<Tensor, Tensor[]>();
  /** Gradients that are written in parts, and the quads of channels that have a writer. */
  readonly #parts = new Map<Tensor, { dx: Tensor; quads: Set<number> }>();
  /** Wanted inputs and everything computed from them. */
  readonly #wanted: Set<Tensor>;
  readonly #recomputation: Recomputation | undefined;
  readonly #concatenations: ReadonlyMap<Tensor, Concatenation>;

  constructor(readonly g: Graph, wanted: readonly Tensor[], recompute: boolean) {
    this.#concatenations = concatenations(g.nodes);
    this.#recomputation = recompute ? new Recomputation(g) : undefined;
    this.#wanted = new Set(wanted);
    for (const node of g.nodes) {
      if (!inputsOf(node).some((tensor) => this.#wanted.has(tensor))) continue;
      for (const tensor of outputsOf(node)) this.#wanted.add(tensor);
    }
  }

  /** Tensor that holds a forward value in the backward pass: the original, or its recomputation. */
  value(tensor: Tensor): Tensor {
    return this.#recomputation?.value(tensor) ?? tensor;
  }

  /** Gradient of `tensor` accumulated so far, if any. */
  of(tensor: Tensor): Tensor | undefined {
    return this.#atMost(1, tensor)[0];
  }

  /** Contributions to the gradient of `tensor` so far, as at most `limit` addends. */
  #atMost(limit: number, tensor: Tensor): Tensor[] {
    const contributions = this.#contributions.get(tensor) ?? [];
    while (contributions.length > limit) {
      const [a, b] = contributions.splice(0, 2) as [Tensor, Tensor];
      const y = this.gradientOf(tensor);
      this.g.record({ kind: "add", label: y.name, in: { a, b }, out: { y }, attributes: {} });
      contributions.unshift(y);
    }
    return contributions;
  }

  /** True if the gradient of `tensor` is needed. */
  wants(tensor: Tensor): boolean {
    return tensor.trainable || this.#wanted.has(tensor);
  }

  /** Creates a tensor for a gradient of `tensor`, of its shape and type. */
  gradientOf({ name, shape, type }: Tensor): Tensor {
    return this.g.tensor(`d ${name}`, shape, "activation", false, type);
  }

  set(tensor: Tensor, gradient: Tensor): void {
    this.#contributions.set(tensor, [gradient]);
  }

  /** Creates a new gradient tensor for `tensor`; `addend` is the gradient so far, which its writer must add. */
  next(tensor: Tensor): { dx: Tensor; addend: { addend?: Tensor } } {
    const soFar = this.of(tensor);
    const dx = this.gradientOf(tensor);
    this.set(tensor, dx);
    return { dx, addend: soFar ? { addend: soFar } : {} };
  }

  /** As {@linkcode next}, for a writer that can add two tensors. */
  nextOfTwo(tensor: Tensor): { dx: Tensor; dxSecond?: undefined; addend: Addends } {
    const addend = this.addends(tensor);
    const dx = this.gradientOf(tensor);
    this.set(tensor, dx);
    return { dx, addend };
  }

  /**
   * The concatenation that computed `tensor`, if `node` can write the gradients of its operands: no other node contributes to
   * that of the result after it.
   */
  concatenation(tensor: Tensor, node: Node): Concatenation | undefined {
    const found = this.#concatenations.get(tensor);
    return found?.last === node && this.wants(found.a) && this.wants(found.b) ? found : undefined;
  }

  /** Replaces the gradient of a concatenation's result, accumulated so far, by those of its operands. One addend. */
  split(
    tensor: Tensor,
    { a, b }: Concatenation,
  ): { dx: Tensor; dxSecond: Tensor; addend: Addends } {
    const soFar = this.of(tensor);
    const addend = soFar ? { addend: soFar } : {};
    this.#contributions.delete(tensor);
    return { dx: this.gradientOf(a), dxSecond: this.gradientOf(b), addend };
  }

  /** The gradient so far as up to two addends, for writers that can add both. */
  addends(tensor: Tensor): Addends {
    const [addend, addendSecond] = this.#atMost(2, tensor);
    return { ...addend ? { addend } : {}, ...addendSecond ? { addendSecond } : {} };
  }

  /** Propagates `gradient` unchanged, as the gradient of a sum. */
  pass(tensor: Tensor, gradient: Tensor): void {
    if (!this.wants(tensor)) return;
    this.#contributions.set(tensor, [...this.#contributions.get(tensor) ?? [], gradient]);
  }

  /**
   * Gradient tensor of `tensor` for a writer of its channels from `first` on. Each channel has one writer, so that none has to
   * add; channels are counted as in memory, padded.
   */
  columns(tensor: Tensor, first: number, count: number): Tensor {
    const soFar = this.of(tensor);
    const parts = this.#parts.get(tensor) ?? { dx: this.next(tensor).dx, quads: new Set<number>() };
    if (soFar && soFar !== parts.dx) {
      throw new Error(`${tensor.name} has a whole gradient, which that of some channels would overwrite`);
    }
    this.#parts.set(tensor, parts);
    for (let quad = first / 4; 4 * quad < first + count; quad++) {
      if (parts.quads.has(quad)) {
        throw new Error(
          `channel ${4 * quad} of ${tensor.name} is used twice; its gradient would be overwritten`,
        );
      }
      parts.quads.add(quad);
    }
    return parts.dx;
  }

  /** @throws {Error} if some channels of a gradient that is written in parts have no writer */
  expectComplete(tensor: Tensor): void {
    const channels = tensor.shape[3];
    const written = 4 * (this.#parts.get(tensor)?.quads.size ?? Infinity);
    if (written < channels) {
      throw new Error(`${written} of ${channels} channels of ${tensor.name} get a gradient`);
    }
  }

  /** Slice of the flat gradient buffer for a parameter; each parameter is used once. */
  parameter(tensor: Tensor): Tensor {
    if (tensor.role !== "parameter") throw new Error(`${tensor.name} is not a parameter`);
    if (this.parameters.has(tensor)) {
      throw new Error(`parameter ${tensor.name} is used twice; its gradient would be overwritten`);
    }
    const gradient = this.g.tensor(`d ${tensor.name}`, tensor.shape, "gradient", false);
    this.parameters.set(tensor, gradient);
    return gradient;
  }
}
