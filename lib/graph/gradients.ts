/**
 * Reverse-mode differentiation of a recorded graph.
 *
 * The table {@linkcode rules} has one backward rule per operation; an operation without a rule does not compile. If a
 * tensor has several consumers, the first rule to reach it writes its gradient, and each later one writes a new tensor
 * `addend + contribution`, so every tensor has a single writer.
 *
 * Rules read forward values through {@linkcode Backward.value}, which records their recomputation where needed.
 *
 * @module
 */
import type { Graph } from "./graph.ts";
import {
  inputsOf,
  isLoss,
  type LossKind,
  type Node,
  type NodeOf,
  type Operations,
  outputsOf,
} from "./operations.ts";
import { Recomputation } from "./recompute.ts";
import type { Tensor } from "./tensor.ts";

/** Gradients recorded by {@linkcode recordBackward}. */
export interface Gradients {
  /** Gradient tensor (role `gradient`) of each parameter, by parameter tensor. */
  readonly ofParameter: ReadonlyMap<Tensor, Tensor>;
  /** Gradients of the requested inputs, by input tensor. */
  readonly ofInput: ReadonlyMap<Tensor, Tensor>;
}

/** Options of {@linkcode recordBackward}. */
export interface BackwardOptions {
  /**
   * Initial gradient: a tensor of the output's shape or, for a loss, the `LossScale` record that the loss is multiplied
   * by. Default 1, allowed for a loss only.
   */
  seed?: Tensor;
  /** Inputs to differentiate with respect to, besides the parameters. */
  wanted?: readonly Tensor[];
  /** Activation checkpointing: recompute the interior of the graph's segments in the backward pass; default false. */
  recompute?: boolean;
}

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
class Backward {
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
      const label = `d ${tensor.name}`;
      const y = this.g.tensor(label, tensor.shape, "activation", false);
      this.g.record({ kind: "add", label, in: { a, b }, out: { y }, attributes: {} });
      contributions.unshift(y);
    }
    return contributions;
  }

  /** True if the gradient of `tensor` is needed. */
  wants(tensor: Tensor): boolean {
    return tensor.trainable || this.#wanted.has(tensor);
  }

  set(tensor: Tensor, gradient: Tensor): void {
    this.#contributions.set(tensor, [gradient]);
  }

  /** Creates a new gradient tensor for `tensor`; `addend` is the gradient so far, which its writer must add. */
  next(tensor: Tensor): { dx: Tensor; addend: { addend?: Tensor } } {
    const soFar = this.of(tensor);
    const dx = this.g.tensor(`d ${tensor.name}`, tensor.shape, "activation", false);
    this.set(tensor, dx);
    return { dx, addend: soFar ? { addend: soFar } : {} };
  }

  /** As {@linkcode next}, for a writer that can add two tensors. */
  nextOfTwo(tensor: Tensor): { dx: Tensor; dxSecond?: undefined; addend: Addends } {
    const addend = this.addends(tensor);
    const dx = this.g.tensor(`d ${tensor.name}`, tensor.shape, "activation", false);
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

  /** Replaces the gradient of a concatenation's result, accumulated so far, by those of its operands. */
  split(
    tensor: Tensor,
    { a, b }: Concatenation,
  ): { dx: Tensor; dxSecond: Tensor; addend: Addends } {
    const addend = this.addends(tensor);
    this.#contributions.delete(tensor);
    const [dx, dxSecond] = [a, b].map(({ name, shape }) =>
      this.g.tensor(`d ${name}`, shape, "activation", false)
    ) as [Tensor, Tensor];
    return { dx, dxSecond, addend };
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

type Rule<K extends keyof Operations> = (
  b: Backward,
  node: NodeOf<K>,
  dy: K extends LossKind ? Tensor | undefined : Tensor,
) => void;

/** Backward rules. `dy` is the gradient of the node's `y`; for a loss, undefined means 1. */
const rules: { readonly [K in keyof Operations]: Rule<K> } = {
  conv2d(b, { label, attributes, in: { x, weight, bias, rowBias, residual } }, dy) {
    if (residual) b.pass(residual, dy);
    const out = {
      ...{ dw: b.parameter(weight), db: b.parameter(bias) },
      ...(rowBias && b.wants(rowBias)
        ? { rowBias: b.columns(rowBias, attributes.rowBiasFirst, dy.shape[3]) }
        : {}),
    };
    const operands = { x: b.value(x), dy, weight };
    if (!b.wants(x)) {
      b.g.record({ kind: "conv2dBackward", label, in: operands, out, attributes });
      return;
    }
    const { dx, addend } = b.next(x);
    b.g.record({
      kind: "conv2dBackward",
      label,
      in: { ...operands, ...addend },
      out: { ...out, dx },
      attributes,
    });
  },
  groupNorm(b, node, dy) {
    const { label, attributes, in: { x, gamma, beta, stepState }, out: { stats } } = node;
    const joined = attributes.dropout ? undefined : b.concatenation(x, node);
    const { dx, dxSecond, addend } = joined ? b.split(x, joined) : b.nextOfTwo(x);
    const out = {
      ...{ dx, ...dxSecond ? { dxSecond } : {} },
      ...{ dgamma: b.parameter(gamma), dbeta: b.parameter(beta) },
    };
    const operands = {
      x: b.value(x),
      stats: b.value(stats),
      dy,
      ...stepState ? { stepState } : {},
      ...addend,
    };
    b.g.record({ kind: "groupNormBackward", label, in: operands, out, attributes });
    if (joined && dxSecond) {
      b.pass(joined.a, dx);
      b.pass(joined.b, dxSecond);
    }
  },
  silu(b, { label, attributes, in: { x } }, dy) {
    if (!b.wants(x)) return;
    const { dx, addend } = b.next(x);
    const operands = { x: b.value(x), dy, ...addend };
    b.g.record({ kind: "siluBackward", label, in: operands, out: { dx }, attributes });
  },
  attention(b, { label, attributes, in: { qkv }, out: { y, weights } }, dy) {
    const dqkv = b.g.tensor(`d ${qkv.name}`, qkv.shape, "activation", false);
    const operands = { qkv: b.value(qkv), y: b.value(y), weights: b.value(weights), dy };
    b.g.record({ kind: "attentionBackward", label, in: operands, out: { dqkv }, attributes });
    b.pass(qkv, dqkv);
  },
  upsample(b, { label, attributes, in: { x } }, dy) {
    if (!b.wants(x)) return;
    const { dx, addend } = b.next(x);
    b.g.record({ kind: "upsampleBackward", label, in: { dy, ...addend }, out: { dx }, attributes });
  },
  concat(b, { label, in: { a, b: second } }, dy) {
    for (const [operand, first] of [[a, 0], [second, a.shape[3]]] as const) {
      if (!b.wants(operand)) continue;
      const { dx, addend } = b.next(operand);
      b.g.record({ kind: "sliceChannels", label, in: { dy, ...addend }, out: { dx }, attributes: { first } });
    }
  },
  add(b, { in: { a, b: second } }, dy) {
    b.pass(a, dy);
    b.pass(second, dy);
  },
  timestepEmbedding() {
    // Timesteps do not depend on parameters.
  },
  embedding(b, { label, attributes, in: { table, labels } }, dy) {
    b.g.record({
      kind: "embeddingBackward",
      label,
      in: { labels, dy },
      out: { dtable: b.parameter(table) },
      attributes,
    });
  },
  mse(b, { label, attributes, in: operands }, lossScale) {
    const { prediction } = operands;
    if (!b.wants(prediction)) return;
    const dx = b.g.tensor(`d ${prediction.name}`, prediction.shape, "activation", false);
    const scaled = lossScale ? { ...operands, lossScale } : operands;
    b.g.record({ kind: "mseBackward", label, in: scaled, out: { dx }, attributes });
    b.pass(prediction, dx);
  },
  drawBatch() {
    // Drawn samples do not depend on parameters.
  },
  qSample() {
    // Images and noise do not depend on parameters.
  },
  recordLoss() {
    // Only the CPU reads the record.
  },
};

/**
 * Appends the backward pass to a graph.
 *
 * @param output tensor to differentiate: a loss, or any tensor with a seed
 * @throws {Error} if a parameter is used twice, a parameter or wanted input gets no gradient, or an output without a seed
 *   is not a loss: bugs in the network's definition
 */
export function recordBackward(
  g: Graph,
  output: Tensor,
  { seed, wanted = [], recompute = false }: BackwardOptions = {},
): Gradients {
  const b = new Backward(g, wanted, recompute);
  const forward = [...g.nodes];
  const root = forward.find((node) => outputsOf(node).includes(output));
  if (seed) b.set(output, seed);
  else if (!root || !isLoss(root)) throw new Error(`${output.name} is not a loss; its gradient needs a seed`);
  for (const node of forward.reverse()) {
    const dy = "y" in node.out ? b.of(node.out.y) : undefined;
    if ("y" in node.out) b.expectComplete(node.out.y);
    if (dy || node === root) backward(b, node, dy);
  }
  for (const { name, tensor } of g.parameters) {
    if (!b.parameters.has(tensor)) {
      throw new Error(`parameter ${name} gets no gradient; the output does not depend on it`);
    }
  }
  const ofInput = new Map(wanted.map((tensor): [Tensor, Tensor] => {
    const gradient = b.of(tensor);
    if (!gradient) throw new Error(`input ${tensor.name} gets no gradient; the output does not depend on it`);
    return [tensor, gradient];
  }));
  return { ofParameter: b.parameters, ofInput };
}

function backward(b: Backward, node: Node, dy: Tensor | undefined): void {
  // The table covers all forward operations, and a forward pass has no others. Only a loss may lack dy.
  const rule = rules[node.kind as keyof Operations] as Rule<keyof Operations>;
  rule(b, node as NodeOf<keyof Operations>, dy as Tensor);
}
