/**
 * Operation types of the graph: operands and results; their attributes are in attributes.ts.
 *
 * @module
 */
import type {
  ActivationAttributes,
  AttentionAttributes,
  AugmentAttributes,
  Conv2dAttributes,
  CrossEntropyAttributes,
  DrawAugmentationAttributes,
  DrawBatchAttributes,
  GroupNormAttributes,
  HybridLossAttributes,
  LossAttributes,
  PoolAttributes,
  RescaleAttributes,
  ResizeAttributes,
  ScaleShiftAttributes,
  SelfConditionAttributes,
  TimestepEmbeddingAttributes,
} from "./attributes.ts";
import type { Tensor } from "./tensor.ts";

/** Every operation of a forward pass: operands, results and attributes. */
export interface Operations {
  conv2d: {
    in: { x: Tensor; weight: Tensor; bias: Tensor; rowBias?: Tensor; residual?: Tensor };
    out: { y: Tensor };
    attributes: Conv2dAttributes;
  };
  scaleShift: {
    in: { gamma: Tensor; beta: Tensor; rows: Tensor };
    out: { y: Tensor };
    attributes: ScaleShiftAttributes;
  };
  groupNorm: {
    /** `gamma` and `beta`, or `affine` with those of each sample, the result of a {@linkcode Operations.scaleShift}. */
    in: { x: Tensor; gamma?: Tensor; beta?: Tensor; affine?: Tensor; stepState?: Tensor };
    out: { y: Tensor; stats: Tensor };
    attributes: GroupNormAttributes;
  };
  activation: { in: { x: Tensor }; out: { y: Tensor }; attributes: ActivationAttributes };
  attention: {
    in: { qkv: Tensor };
    out: { y: Tensor; weights: Tensor };
    attributes: AttentionAttributes;
  };
  upsample: { in: { x: Tensor }; out: { y: Tensor }; attributes: Record<never, never> };
  maxPool: { in: { x: Tensor }; out: { y: Tensor }; attributes: PoolAttributes };
  averagePool: { in: { x: Tensor }; out: { y: Tensor }; attributes: PoolAttributes };
  resizeImages: { in: { images: Tensor }; out: { y: Tensor }; attributes: ResizeAttributes };
  concat: { in: { a: Tensor; b: Tensor }; out: { y: Tensor }; attributes: Record<never, never> };
  add: { in: { a: Tensor; b: Tensor }; out: { y: Tensor }; attributes: Record<never, never> };
  rescale: { in: { x: Tensor; divisors?: Tensor }; out: { y: Tensor }; attributes: RescaleAttributes };
  timestepEmbedding: {
    in: { timesteps: Tensor };
    out: { y: Tensor };
    attributes: TimestepEmbeddingAttributes;
  };
  fourierEmbedding: {
    in: { timesteps: Tensor; frequencies: Tensor };
    out: { y: Tensor };
    attributes: Record<never, never>;
  };
  embedding: { in: { table: Tensor; labels: Tensor }; out: { y: Tensor }; attributes: Record<never, never> };
  vectorEmbedding: {
    in: { table: Tensor; vectors: Tensor };
    out: { y: Tensor };
    attributes: Record<never, never>;
  };
  drawBatch: {
    in: { stepState: Tensor; order: Tensor; imageLabels: Tensor; schedule: Tensor };
    out: { draws: Tensor; timesteps: Tensor; labels: Tensor };
    attributes: DrawBatchAttributes;
  };
  drawAugmentation: {
    in: { stepState: Tensor; draws: Tensor };
    out: { maps: Tensor; vectors: Tensor };
    attributes: DrawAugmentationAttributes;
  };
  qSample: {
    in: { stepState: Tensor; images: readonly Tensor[]; draws: Tensor; schedule: Tensor; maps?: Tensor };
    out: { xt: Tensor; targets: Tensor };
    attributes: Record<never, never>;
  };
  selfCondition: {
    in: { stepState: Tensor; draws: Tensor; schedule: Tensor; xt: Tensor; prediction: Tensor };
    out: { estimate: Tensor };
    attributes: SelfConditionAttributes;
  };
  trainingLoss: {
    in: { stepState: Tensor; draws: Tensor; schedule: Tensor; prediction: Tensor; targets: Tensor };
    out: { y: Tensor };
    attributes: LossAttributes;
  };
  augment: {
    in: { stepState: Tensor; order: Tensor; images: readonly Tensor[]; imageLabels: Tensor };
    out: { x: Tensor; labels: Tensor };
    attributes: AugmentAttributes;
  };
  globalAveragePool: { in: { x: Tensor }; out: { y: Tensor }; attributes: Record<never, never> };
  crossEntropy: {
    in: { stepState: Tensor; logits: Tensor; labels: Tensor };
    out: { y: Tensor };
    attributes: CrossEntropyAttributes;
  };
  hybridLoss: {
    in: {
      stepState: Tensor;
      draws: Tensor;
      variances: Tensor;
      prediction: Tensor;
      targets: Tensor;
      xt: Tensor;
    };
    out: { y: Tensor };
    attributes: HybridLossAttributes;
  };
  recordLoss: {
    in: { stepState: Tensor; loss: Tensor };
    out: { log: Tensor };
    attributes: Record<never, never>;
  };
}

/** Loss operations, which a backward pass can start from with gradient 1. */
export type LossKind = "trainingLoss" | "hybridLoss" | "crossEntropy";

const LOSSES: Readonly<Record<LossKind, true>> = { trainingLoss: true, hybridLoss: true, crossEntropy: true };

/** Operations recorded by backward rules. `addend` is the gradient so far: the result is `addend + contribution`. */
export interface BackwardOperations {
  conv2dBackward: {
    in: { x: Tensor; dy: Tensor; weight: Tensor; addend?: Tensor };
    /** `dx` and `rowBias`, of which it writes some channels, only where they are wanted. */
    out: { dw: Tensor; db: Tensor; dx?: Tensor; rowBias?: Tensor };
    attributes: Conv2dAttributes;
  };
  groupNormBackward: {
    in: {
      x: Tensor;
      stats: Tensor;
      dy: Tensor;
      stepState?: Tensor;
      addend?: Tensor;
      addendSecond?: Tensor;
    };
    /**
     * With `dxSecond`, x is a concatenation, and `dx` and `dxSecond` are the gradients of its operands. `daffine`, or the other
     * two.
     */
    out: { dx: Tensor; dxSecond?: Tensor; dgamma?: Tensor; dbeta?: Tensor; daffine?: Tensor };
    attributes: GroupNormAttributes;
  };
  activationBackward: {
    in: { x: Tensor; dy: Tensor; addend?: Tensor };
    out: { dx: Tensor };
    attributes: ActivationAttributes;
  };
  rescaleBackward: {
    in: { dy: Tensor; addend?: Tensor; divisors?: Tensor };
    out: { dx: Tensor };
    attributes: RescaleAttributes;
  };
  attentionBackward: {
    in: { qkv: Tensor; y: Tensor; weights: Tensor; dy: Tensor };
    out: { dqkv: Tensor };
    attributes: AttentionAttributes;
  };
  scaleShiftBackward: {
    in: { gamma: Tensor; beta: Tensor; rows: Tensor; dy: Tensor };
    /** `drows` is written in the columns of scale and shift only. */
    out: { dgamma: Tensor; dbeta: Tensor; drows: Tensor };
    attributes: ScaleShiftAttributes;
  };
  averagePoolBackward: {
    in: { dy: Tensor; addend?: Tensor };
    out: { dx: Tensor };
    attributes: PoolAttributes;
  };
  upsampleBackward: {
    in: { dy: Tensor; addend?: Tensor };
    out: { dx: Tensor };
    attributes: Record<never, never>;
  };
  sliceChannels: {
    in: { dy: Tensor; addend?: Tensor };
    out: { dx: Tensor };
    attributes: { readonly first: number };
  };
  embeddingBackward: {
    in: { labels: Tensor; dy: Tensor };
    out: { dtable: Tensor };
    attributes: Record<never, never>;
  };
  vectorEmbeddingBackward: {
    in: { vectors: Tensor; dy: Tensor };
    out: { dtable: Tensor };
    attributes: Record<never, never>;
  };
  trainingLossBackward: {
    in: Operations["trainingLoss"]["in"] & { lossScale?: Tensor };
    out: { dx: Tensor };
    attributes: LossAttributes;
  };
  globalAveragePoolBackward: {
    in: { dy: Tensor; addend?: Tensor };
    out: { dx: Tensor };
    attributes: Record<never, never>;
  };
  crossEntropyBackward: {
    in: Operations["crossEntropy"]["in"] & { lossScale?: Tensor };
    out: { dx: Tensor };
    attributes: CrossEntropyAttributes;
  };
  hybridLossBackward: {
    in: Operations["hybridLoss"]["in"] & { lossScale?: Tensor };
    out: { dx: Tensor };
    attributes: HybridLossAttributes;
  };
}

/** All operations. */
export type AllOperations = Operations & BackwardOperations;

/** A recorded operation of kind `K`. */
export type NodeOf<K extends keyof AllOperations> =
  & { readonly kind: K; readonly label: string }
  & AllOperations[K];

/** Any recorded operation. */
export type Node = { [K in keyof AllOperations]: NodeOf<K> }[keyof AllOperations];

/** True for loss operations. */
export function isLoss({ kind }: Node): boolean {
  return kind in LOSSES;
}

/** Tensors a node reads. */
export function inputsOf(node: Node): Tensor[] {
  const operands: (Tensor | readonly Tensor[] | undefined)[] = Object.values(node.in);
  return operands.flatMap((operand) => operand ?? []);
}

/** Tensors a node writes. */
export function outputsOf(node: Node): Tensor[] {
  return Object.values<Tensor | undefined>(node.out).filter((tensor) => tensor !== undefined);
}
