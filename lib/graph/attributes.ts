/**
 * Attributes of the graph's operations: their constants, such as kernel sizes, strides and rates.
 *
 * @module
 */
import type { Activation } from "../../kernels/activation_source.ts";

/** A number for both axes of an image, or one for each. */
export type PerAxis = number | readonly [vertical: number, horizontal: number];

/** Numbers of both axes. */
export function bothAxes(of: PerAxis): readonly [vertical: number, horizontal: number] {
  return typeof of === "number" ? [of, of] : of;
}

/** Attributes of a 2-D convolution; see `conv2d`. */
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
