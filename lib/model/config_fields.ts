/**
 * Fields of a U-Net's configuration.
 *
 * @module
 */

import { type Activation, ACTIVATIONS } from "../../kernels/activation_source.ts";

/** Downsampling blocks that are supported. */
export const DOWN_BLOCKS: readonly DownBlockType[] = [
  "DownBlock2D",
  "AttnDownBlock2D",
  "ResnetDownsampleBlock2D",
];
/** Upsampling blocks that are supported. */
export const UP_BLOCKS: readonly UpBlockType[] = ["UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"];
/** Ways to change the resolution in blocks with attention. */
export const RESAMPLINGS: readonly Resampling[] = ["conv", "resnet"];
/** Activations in residual blocks, by their names in `act_fn`. */
export const ACTIVATION_NAMES: Readonly<Record<string, Activation>> = {
  ...Object.fromEntries(ACTIVATIONS.map((name) => [name, name])),
  swish: "silu",
};
/** Ways to make a vector of a timestep, before the perceptron. */
export const TIME_EMBEDDINGS: readonly TimeEmbeddingType[] = ["positional", "fourier", "learned"];
/** Ways in which the time embedding enters a residual block. */
export const TIME_SCALE_SHIFTS: readonly TimeScaleShift[] = ["default", "scale_shift"];

/**
 * Downsampling block: `AttnDownBlock2D` has attention after each residual block, `ResnetDownsampleBlock2D` halves the
 * resolution by a residual block with average pooling instead of a convolution.
 */
export type DownBlockType = "DownBlock2D" | "AttnDownBlock2D" | "ResnetDownsampleBlock2D";
/**
 * Upsampling block: `AttnUpBlock2D` has attention after each residual block, `ResnetUpsampleBlock2D` doubles the resolution
 * inside a residual block.
 */
export type UpBlockType = "UpBlock2D" | "AttnUpBlock2D" | "ResnetUpsampleBlock2D";
/** A convolution, or a residual block that pools or upsamples (Dhariwal and Nichol 2021, "BigGAN up/downsampling"). */
export type Resampling = "conv" | "resnet";
/**
 * `positional`: sines and cosines; `fourier`: sines and cosines of the logarithm at random frequencies, for times above 0, by
 * which the output is divided as in diffusers; `learned`: a row of a table, for whole timesteps only.
 */
export type TimeEmbeddingType = "positional" | "fourier" | "learned";
/**
 * `default` adds the projected time embedding before the second norm; `scale_shift` scales and shifts the result of that norm
 * by it (Dhariwal and Nichol 2021, "adaptive group normalization").
 */
export type TimeScaleShift = "default" | "scale_shift";

/** Configuration of a U-Net, with diffusers' field names (camelCase here, snake_case in `config.json`). */
export interface UNetConfig {
  /** Height and width of the images, or one number for both. */
  readonly sampleSize: number | readonly [height: number, width: number];
  /** Channels of the input: those of the images, 3 for RGB, or twice as many with self-conditioning. */
  readonly inChannels: number;
  /**
   * Self-conditioning (Chen, Zhang and Hinton 2022, arXiv 2208.04202): the second half of the input's channels is the previous
   * estimate of `x_0`, or zero.
   */
  readonly selfConditioning: boolean;
  /** Channels of the prediction: those of the images, or twice as many if the variance is learned. */
  readonly outChannels: number;
  /** Channels of each level, full resolution first. */
  readonly blockOutChannels: readonly number[];
  /** Downsampling blocks, one per level, full resolution first. */
  readonly downBlockTypes: readonly DownBlockType[];
  /** Upsampling blocks, one per level, lowest resolution first. */
  readonly upBlockTypes: readonly UpBlockType[];
  /** Residual blocks per downsampling block; an upsampling block has one more. */
  readonly layersPerBlock: number;
  /** Attention between the two residual blocks of the middle. */
  readonly addAttention: boolean;
  /** Channels per attention head, or null for a single head over all channels. */
  readonly attentionHeadDim: number | null;
  /** Groups of every group normalization; must divide the channels of each level. */
  readonly normNumGroups: number;
  /** Added to the variance in group normalization, above 0; 1e-6 in the reference model. */
  readonly normEps: number;
  /** Zero padding at the top and left of downsampling convolutions: 1, or 0 for padding at the bottom and right instead. */
  readonly downsamplePadding: 0 | 1;
  /** How a timestep becomes a vector. */
  readonly timeEmbeddingType: TimeEmbeddingType;
  /** Rows of the table of timesteps with a `learned` time embedding, else null. */
  readonly numTrainTimesteps: number | null;
  /** Cosines before sines in the timestep embedding. */
  readonly flipSinToCos: boolean;
  /** Subtracted from half the embedding's length in the exponent of the frequencies. */
  readonly freqShift: number;
  /**
   * How a class becomes a vector: null for a row of a table, `timestep` for the time embedding of its number and a perceptron
   * of its own.
   */
  readonly classEmbedType: "timestep" | null;
  /** Rows of the class embedding table (all classes, then the null class), or null for an unconditional network. */
  readonly numClassEmbeds: number | null;
  /** Dropout rate in the residual blocks during training. */
  readonly dropout: number;
  /** Activation in the residual blocks; the time embedding's perceptron and the last norm have SiLU, as in diffusers. */
  readonly activation: Activation;
  /** How the time embedding enters the residual blocks. */
  readonly resnetTimeScaleShift: TimeScaleShift;
  /** Downsampling in blocks with attention. */
  readonly downsampleType: Resampling;
  /** Upsampling in blocks with attention. */
  readonly upsampleType: Resampling;
  /** The blocks at the lowest resolution between down and up, or null for none. */
  readonly midBlockType: "UNetMidBlock2D" | null;
  /**
   * Groups of the norm before the middle's attention; null for those of all norms with `default` time embedding, and for no norm
   * there with `scale_shift`, as in diffusers.
   */
  readonly attnNormNumGroups: number | null;
  /** Images are given from 0 to 1 and centred by the network: `2 x - 1`. */
  readonly centerInputSample: boolean;
  /** Divisor of the middle's residual sums; 1 leaves them. */
  readonly midBlockScaleFactor: number;
  /** Width of the time embedding, or null for four times the first level's channels. */
  readonly timeEmbeddingDim: number | null;
}

/** Channels of the images, 3 for RGB. */
export function imageChannels(
  { inChannels, selfConditioning }: Pick<UNetConfig, "inChannels" | "selfConditioning">,
): number {
  return selfConditioning ? inChannels / 2 : inChannels;
}

/** Height and width of the images. */
export function imageSize(
  { sampleSize }: Pick<UNetConfig, "sampleSize">,
): readonly [height: number, width: number] {
  return typeof sampleSize === "number" ? [sampleSize, sampleSize] : sampleSize;
}
