/**
 * Reverse-mode differentiation of a recorded graph.
 *
 * The table {@linkcode rules} has one backward rule per operation; an operation without a rule does not compile. Where a
 * tensor has several consumers, the first rule to reach it writes its gradient and each later one writes a new tensor
 * `addend + contribution`, so that every tensor keeps a single writer.
 *
 * A rule asks {@linkcode Backward.value} for what the forward pass computed, which may have to be computed again.
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

/** What {@linkcode recordBackward} gives: where to find each gradient. */
export interface Gradients {
  /** Gradient tensor (role `gradient`) of each parameter, by parameter tensor. */
  readonly ofParameter: ReadonlyMap<Tensor, Tensor>;
  /** Gradients of inputs that were asked for. */
  readonly ofInput: ReadonlyMap<Tensor, Tensor>;
}

/** Options of {@linkcode recordBackward}. */
export interface BackwardOptions {
  /**
   * Gradient to start from: of the output's shape or, where the output is a loss, the `LossScale` record that the loss is
   * multiplied by. Default 1, which only a loss can start from.
   */
  seed?: Tensor;
  /** Inputs whose gradients are of interest too. */
  wanted?: readonly Tensor[];
  /** Computes the inside of the graph's segments again instead of keeping it from the forward pass; default false. */
  recompute?: boolean;
}

/** Gradients known so far while the graph is walked backwards. */
class Backward {
  readonly parameters = new Map<Tensor, Tensor>();
  readonly #gradients = new Map<Tensor, Tensor>();
  /** Wanted inputs and everything computed from them. */
  readonly #wanted: Set<Tensor>;
  readonly #recomputation: Recomputation | undefined;

  constructor(readonly g: Graph, wanted: readonly Tensor[], recompute: boolean) {
    this.#recomputation = recompute ? new Recomputation(g) : undefined;
    this.#wanted = new Set(wanted);
    for (const node of g.nodes) {
      if (!inputsOf(node).some((tensor) => this.#wanted.has(tensor))) continue;
      for (const tensor of outputsOf(node)) this.#wanted.add(tensor);
    }
  }

  /** What holds the value of a tensor of the forward pass now. */
  value(tensor: Tensor): Tensor {
    return this.#recomputation?.value(tensor) ?? tensor;
  }

  /** The gradient that has arrived at `tensor`, if any. */
  of(tensor: Tensor): Tensor | undefined {
    return this.#gradients.get(tensor);
  }

  /** Whether a gradient into `tensor` is of use. */
  wants(tensor: Tensor): boolean {
    return tensor.trainable || this.#wanted.has(tensor);
  }

  set(tensor: Tensor, gradient: Tensor): void {
    this.#gradients.set(tensor, gradient);
  }

  /** A new tensor for the gradient of `tensor`, and what must be added to it. */
  next(tensor: Tensor): { dx: Tensor; addend: { addend?: Tensor } } {
    const soFar = this.of(tensor);
    const dx = this.g.tensor(`d ${tensor.name}`, tensor.shape, "activation", false);
    this.set(tensor, dx);
    return { dx, addend: soFar ? { addend: soFar } : {} };
  }

  /** Passes `gradient` on unchanged, as sums do. */
  pass(tensor: Tensor, gradient: Tensor): void {
    if (!this.wants(tensor)) return;
    const soFar = this.of(tensor);
    if (!soFar) return this.set(tensor, gradient);
    const y = this.g.tensor(`d ${tensor.name}`, tensor.shape, "activation", false);
    this.g.record({
      kind: "add",
      label: `d ${tensor.name}`,
      in: { a: soFar, b: gradient },
      out: { y },
      attributes: {},
    });
    this.set(tensor, y);
  }

  /** The slice of the flat gradient buffer for a parameter; each parameter is used once. */
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

/** Backward rules. `dy` is the gradient of the node's `y`; undefined, for a loss, is 1. */
const rules: { readonly [K in keyof Operations]: Rule<K> } = {
  conv2d(b, { label, attributes, in: { x, weight, bias, rowBias, residual } }, dy) {
    if (residual) b.pass(residual, dy);
    if (rowBias && b.wants(rowBias)) {
      const { dx, addend } = b.next(rowBias);
      b.g.record({ kind: "spatialSum", label, in: { dy, ...addend }, out: { dx }, attributes: {} });
    }
    const out = { dw: b.parameter(weight), db: b.parameter(bias) };
    b.g.record({ kind: "conv2dBackwardWeight", label, in: { x: b.value(x), dy }, out, attributes });
    if (!b.wants(x)) return;
    const { dx, addend } = b.next(x);
    b.g.record({
      kind: "conv2dBackwardInput",
      label,
      in: { dy, weight, ...addend },
      out: { dx },
      attributes,
    });
  },
  groupNorm(b, { label, attributes, in: { x, gamma, beta }, out: { stats } }, dy) {
    const { dx, addend } = b.next(x);
    const out = { dx, dgamma: b.parameter(gamma), dbeta: b.parameter(beta) };
    b.g.record({
      kind: "groupNormBackward",
      label,
      in: { x: b.value(x), gamma, beta, stats: b.value(stats), dy, ...addend },
      out,
      attributes,
    });
  },
  silu(b, { label, attributes, in: { x } }, dy) {
    if (!b.wants(x)) return;
    const { dx, addend } = b.next(x);
    const operands = { x: b.value(x), dy, ...addend };
    b.g.record({ kind: "siluBackward", label, in: operands, out: { dx }, attributes });
  },
  attention(b, { label, attributes, in: { q, k, v }, out: { weights } }, dy) {
    const gradient = (of: Tensor) => b.g.tensor(`d ${of.name}`, of.shape, "activation", false);
    const out = { dq: gradient(q), dk: gradient(k), dv: gradient(v) };
    const operands = { q: b.value(q), k: b.value(k), v: b.value(v), weights: b.value(weights), dy };
    b.g.record({ kind: "attentionBackward", label, in: operands, out, attributes });
    b.pass(q, out.dq);
    b.pass(k, out.dk);
    b.pass(v, out.dv);
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
  dropout(b, { label, attributes, in: { x, stepState } }, dy) {
    if (!b.wants(x)) return;
    const { dx, addend } = b.next(x);
    b.g.record({ kind: "dropoutBackward", label, in: { dy, stepState, ...addend }, out: { dx }, attributes });
  },
  timestepEmbedding() {
    // Timesteps are given, not learned: nothing flows further.
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
    // What is drawn from the data is given, not learned.
  },
  qSample() {
    // Neither the images nor the noise depend on the parameters.
  },
  recordLoss() {
    // The record is read by the CPU only.
  },
};

/**
 * Appends the backward pass to a graph.
 *
 * @param output what is differentiated: a loss, or any tensor for which there is a seed
 * @throws {Error} when a parameter is used twice, a parameter or wanted input gets no gradient, or the output is no loss
 *   and there is no seed: faults in the network's definition
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
  else if (!root || !isLoss(root)) throw new Error(`${output.name} is no loss; its gradient needs a seed`);
  for (const node of forward.reverse()) {
    const dy = "y" in node.out ? b.of(node.out.y) : undefined;
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
  // The table is exhaustive over forward operations and a forward pass holds no other kind; only a loss has no dy.
  const rule = rules[node.kind as keyof Operations] as Rule<keyof Operations>;
  rule(b, node as NodeOf<keyof Operations>, dy as Tensor);
}
