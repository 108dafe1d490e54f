/**
 * Operation types of the graph: operands, results and attributes.
 *
 * @module
 */
import type { Activation } from "../../kernels/activation_source.ts";
import type { Tensor } from "./tensor.ts";

/** A number for both axes of an image, or one for each. */
export type PerAxis = number | readonly [vertical: number, horizontal: number];

/** Numbers of both axes. */
export function bothAxes(of: PerAxis): readonly [vertical: number, horizontal: number] {
  return typeof of === "number" ? [of, of] : of;
}

/** Attributes of a 2-D convolution; see {@linkcode Operations}. */
export interface ConvAttributes {
  readonly kernel: PerAxis;
  readonly stride: 1 | 2;
  /** Rows of zeros above and below the input, columns left and right of it. */
  readonly padding: PerAxis;
  /** Those below and to the right, if their number is another. */
  readonly paddingEnd?: PerAxis;
  /** Followed by ReLU, max(y, 0). Forward only: such a convolution has no gradient. */
  readonly relu?: true;
}

/** Attributes of a 2-D convolution in the forward pass. */
export interface Conv2dAttributes extends ConvAttributes {
  /** First channel of `rowBias`; 0 without one. */
  readonly rowBiasFirst: number;
}

/** Attributes of pooling over windows. */
export interface PoolAttributes {
  readonly window: PerAxis;
  readonly stride: number;
  /** Rows outside the image that windows cover, above and below; columns left and right. Less than the window. */
  readonly padding: PerAxis;
}

/** Halves height and width: the only windows whose mean has a gradient. */
export const SQUARES: PoolAttributes = { window: 2, stride: 2, padding: 0 };

/** Attributes of a bilinear resize of images of bytes. */
export interface ResizeAttributes {
  /** Place of a pixel's value in it: 0.5 for its middle, 0 for its corner. */
  readonly centre: number;
  /** Results are `scale * byte + shift`. */
  readonly scale: number;
  readonly shift: number;
}

/** Attributes of dropout; `layer` selects the layer's random stream. */
export interface DropoutAttributes {
  readonly rate: number;
  readonly layer: number;
}

/** Attributes of group normalisation (Wu & He 2018), optionally followed by an activation, and by dropout in training. */
export interface GroupNormAttributes {
  readonly groups: number;
  readonly eps: number;
  readonly activation?: Activation | undefined;
  readonly dropout?: DropoutAttributes;
}

/** Attributes of an activation. */
export interface ActivationAttributes {
  readonly activation: Activation;
}

/** Attributes of a linear function of each value: `factor x + offset`. */
export interface RescaleAttributes {
  readonly factor: number;
  readonly offset: number;
}

/** Attributes of a norm's modulation. */
export interface ScaleShiftAttributes {
  /** Channels of the norm. */
  readonly channels: number;
  /** First column of the scale in `rows`; the shift follows it. A multiple of 4. */
  readonly first: number;
}

/** Attributes of multi-head attention. */
export interface AttentionAttributes {
  readonly heads: number;
}

/** Attributes of the sinusoidal timestep embedding, named as in diffusers. */
export interface TimestepEmbeddingAttributes {
  readonly flipSinToCos: boolean;
  readonly frequencyShift: number;
}

/** Attributes of sampling a training batch. */
export interface DrawBatchAttributes {
  /** Rows of the schedule. */
  readonly levels: number;
  /** Draw the rows of a batch from equal strata. */
  readonly stratified?: boolean;
  /** Number of classes; also the null label. */
  readonly classes: number;
  /** Probability of the null label, 0 to 1. */
  readonly labelDropout: number;
  /** Mirror each image with probability 1/2. */
  readonly flip: boolean;
}

/** Attributes of drawing the augmentation of a training batch. */
export interface DrawAugmentationAttributes {
  /** Probability of each transformation, 0 to 1. */
  readonly probability: number;
  /** Size of the images in pixels. */
  readonly height: number;
  readonly width: number;
}

/** Attributes of the estimates for self-conditioning. */
export interface SelfConditionAttributes {
  /** Bound on |x_0|; the largest float32 for none. */
  readonly clip: number;
}

/** Attributes of a classifier's training batch. */
export interface AugmentAttributes {
  /** Largest shift in pixels, below height and width; 0 for none. */
  readonly shift: number;
  /** Mirror each image with probability 1/2. */
  readonly flip: boolean;
}

/** Attributes of the cross-entropy. */
export interface CrossEntropyAttributes {
  /** Label smoothing: probability that is spread evenly over all classes, 0 to 1. */
  readonly smoothing: number;
  /** Gradient multiplier: 1 / micro-batches per optimizer step. */
  readonly gradientScale: number;
}

/** Attributes of the training loss. */
export interface LossAttributes {
  /** Gradient multiplier: 1 / micro-batches per optimizer step. */
  readonly gradientScale: number;
  /** End of the squared error in Huber's loss; without it, the error is squared everywhere. */
  readonly delta?: number;
}

/** Attributes of the training loss of a learned variance. */
export interface HybridLossAttributes extends LossAttributes {
  /** Weight of the variational bound, in nats per channel of a pixel and timestep. */
  readonly boundScale: number;
}

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
  rescale: { in: { x: Tensor }; out: { y: Tensor }; attributes: RescaleAttributes };
  timestepEmbedding: {
    in: { timesteps: Tensor };
    out: { y: Tensor };
    attributes: TimestepEmbeddingAttributes;
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
    in: { dy: Tensor; addend?: Tensor };
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
