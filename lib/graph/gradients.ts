/**
 * Reverse-mode differentiation of a recorded graph.
 *
 * The table {@linkcode rules} has one backward rule per operation; an operation without a rule does not compile. Gradients
 * accumulate in {@linkcode Backward}.
 *
 * Rules read forward values through {@linkcode Backward.value}, which records their recomputation where needed.
 *
 * @module
 */
import { Backward } from "./backward.ts";
import type { Graph } from "./graph.ts";
import { SQUARES } from "./attributes.ts";
import { isLoss, type LossKind, type Node, type NodeOf, type Operations, outputsOf } from "./operations.ts";
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

type Rule<K extends keyof Operations> = (
  b: Backward,
  node: NodeOf<K>,
  dy: K extends LossKind ? Tensor | undefined : Tensor,
) => void;

/** Backward rules. `dy` is the gradient of the node's `y`; for a loss, undefined means 1. */
const rules: { readonly [K in keyof Operations]: Rule<K> } = {
  conv2d(b, { label, attributes, in: { x, weight, bias, rowBias, residual } }, dy) {
    if (attributes.relu) throw new Error(`${label}: a convolution with ReLU is forward only`);
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
    const { label, attributes, in: { x, gamma, beta, affine, stepState }, out: { stats } } = node;
    const joined = attributes.dropout ? undefined : b.concatenation(x, node);
    const { dx, dxSecond, addend } = joined ? b.split(x, joined) : b.nextOfTwo(x);
    const daffine = affine && b.gradientOf(affine);
    const out = {
      ...{ dx, ...dxSecond ? { dxSecond } : {} },
      ...gamma && beta ? { dgamma: b.parameter(gamma), dbeta: b.parameter(beta) } : {},
      ...daffine ? { daffine } : {},
    };
    const operands = {
      x: b.value(x),
      stats: b.value(stats),
      dy,
      ...stepState ? { stepState } : {},
      ...addend,
    };
    b.g.record({ kind: "groupNormBackward", label, in: operands, out, attributes });
    if (affine && daffine) b.pass(affine, daffine);
    if (joined && dxSecond) {
      b.pass(joined.a, dx);
      b.pass(joined.b, dxSecond);
    }
  },
  scaleShift(b, { label, attributes, in: { gamma, beta, rows } }, dy) {
    const { first, channels } = attributes;
    const out = {
      ...{ dgamma: b.parameter(gamma), dbeta: b.parameter(beta) },
      drows: b.columns(rows, first, 2 * channels),
    };
    const operands = { gamma, beta, rows: b.value(rows), dy };
    b.g.record({ kind: "scaleShiftBackward", label, in: operands, out, attributes });
  },
  activation(b, { label, attributes, in: { x } }, dy) {
    if (!b.wants(x)) return;
    const { dx, addend } = b.next(x);
    const operands = { x: b.value(x), dy, ...addend };
    b.g.record({ kind: "activationBackward", label, in: operands, out: { dx }, attributes });
  },
  attention(b, { label, attributes, in: { qkv }, out: { y, weights } }, dy) {
    const dqkv = b.gradientOf(qkv);
    const operands = { qkv: b.value(qkv), y: b.value(y), weights: b.value(weights), dy };
    b.g.record({ kind: "attentionBackward", label, in: operands, out: { dqkv }, attributes });
    b.pass(qkv, dqkv);
  },
  upsample(b, { label, attributes, in: { x } }, dy) {
    if (!b.wants(x)) return;
    const { dx, addend } = b.next(x);
    b.g.record({ kind: "upsampleBackward", label, in: { dy, ...addend }, out: { dx }, attributes });
  },
  maxPool: forwardOnly,
  averagePool(b, node, dy) {
    const { label, attributes, in: { x } } = node;
    const { window, stride, padding } = attributes;
    if (window !== SQUARES.window || stride !== SQUARES.stride || padding !== SQUARES.padding) {
      return forwardOnly(b, node);
    }
    if (!b.wants(x)) return;
    const { dx, addend } = b.next(x);
    b.g.record({ kind: "averagePoolBackward", label, in: { dy, ...addend }, out: { dx }, attributes });
  },
  resizeImages() {
    // Images of bytes do not depend on parameters.
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
  rescale(b, { label, attributes, in: { x, divisors } }, dy) {
    if (!b.wants(x)) return;
    const { dx, addend } = b.next(x);
    const operands = { dy, ...addend, ...divisors ? { divisors } : {} };
    b.g.record({ kind: "rescaleBackward", label, in: operands, out: { dx }, attributes });
  },
  fourierEmbedding() {
    // Its frequencies are fixed.
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
  vectorEmbedding(b, { label, attributes, in: { table, vectors } }, dy) {
    b.g.record({
      kind: "vectorEmbeddingBackward",
      label,
      in: { vectors: b.value(vectors), dy },
      out: { dtable: b.parameter(table) },
      attributes,
    });
  },
  trainingLoss(b, { label, attributes, in: operands }, lossScale) {
    const { prediction } = operands;
    if (!b.wants(prediction)) return;
    const dx = b.gradientOf(prediction);
    const scaled = lossScale ? { ...operands, lossScale } : operands;
    b.g.record({ kind: "trainingLossBackward", label, in: scaled, out: { dx }, attributes });
    b.pass(prediction, dx);
  },
  globalAveragePool(b, { label, in: { x } }, dy) {
    if (!b.wants(x)) return;
    const { dx, addend } = b.next(x);
    b.g.record({
      kind: "globalAveragePoolBackward",
      label,
      in: { dy, ...addend },
      out: { dx },
      attributes: {},
    });
  },
  crossEntropy(b, { label, attributes, in: operands }, lossScale) {
    const { logits } = operands;
    if (!b.wants(logits)) return;
    const dx = b.gradientOf(logits);
    const scaled = lossScale ? { ...operands, lossScale } : operands;
    b.g.record({ kind: "crossEntropyBackward", label, in: scaled, out: { dx }, attributes });
    b.pass(logits, dx);
  },
  augment() {
    // Images do not depend on parameters.
  },
  hybridLoss(b, { label, attributes, in: operands }, lossScale) {
    const { prediction } = operands;
    if (!b.wants(prediction)) return;
    const dx = b.gradientOf(prediction);
    const scaled = lossScale ? { ...operands, lossScale } : operands;
    b.g.record({ kind: "hybridLossBackward", label, in: scaled, out: { dx }, attributes });
    b.pass(prediction, dx);
  },
  drawBatch() {
    // Drawn samples do not depend on parameters.
  },
  drawAugmentation() {
    // Drawn samples do not depend on parameters.
  },
  selfCondition() {
    // No gradient flows through the estimates (stop-gradient in algorithm 1).
  },
  qSample() {
    // Images and noise do not depend on parameters.
  },
  recordLoss() {
    // Only the CPU reads the record.
  },
};

/** Rule of operations without a gradient. */
function forwardOnly(b: Backward, { label, in: { x } }: NodeOf<"maxPool" | "averagePool">): void {
  if (b.wants(x)) throw new Error(`${label} is forward only`);
}

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
  for (const { name, tensor, frozen } of g.parameters) {
    if (!frozen && !b.parameters.has(tensor)) {
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
