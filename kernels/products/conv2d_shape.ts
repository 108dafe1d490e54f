/**
 * Shape and operands of a convolution, shared by all algorithms.
 *
 * Activations are [N, H, W, Cp] with channels padded to Cp = 4*ceil(C/4), weights [kh, kw, Ip, Op], bias [Op]; zero padding
 * lanes stay zero.
 *
 * @module
 */

/**
 * Shape of a convolution, in logical channels. Rows and columns outside the input read as zero.
 */
export interface Conv2dShape {
  batch: number;
  inHeight: number;
  inWidth: number;
  inChannels: number;
  outHeight: number;
  outWidth: number;
  outChannels: number;
  kernelHeight: number;
  kernelWidth: number;
  stride: 1 | 2;
  /** Rows of zeros above the input; those below follow from the height of the output. */
  padTop: number;
  /** Columns of zeros left of the input; those to the right follow from the width of the output. */
  padLeft: number;
  /** The output is max(y, 0), ReLU of y. */
  relu?: true;
  /**
   * Channels of the first of two tensors that x concatenates, a multiple of 4; the second has the rest. Only for 1x1
   * convolutions of stride 1, with a second tensor in the buffers.
   */
  firstChannels?: number;
  /**
   * The input is x upsampled by two (nearest neighbour), and x and its gradient are [N, H/2, W/2, Ip]. Only for 3x3 convolutions of
   * stride 1, and only if `upsampledFits` (conv2d_upsampled.ts).
   */
  upsampled?: boolean;
}

/** Taps of the window. */
export function tapsOf({ kernelHeight, kernelWidth }: Conv2dShape): number {
  return kernelHeight * kernelWidth;
}

/** True for 1x1 convolutions of stride 1, which treat the batch as a flat list of pixels. */
export function isFlat(s: Conv2dShape): boolean {
  return tapsOf(s) === 1 && s.stride === 1;
}

/** Floating-point operations of one pass (forward or either gradient), 2 per multiply-add. */
export function flopsOf(s: Conv2dShape): number {
  return 2 * s.batch * s.outHeight * s.outWidth * tapsOf(s) * s.inChannels * s.outChannels;
}

/** Workspace of a pass. */
export interface Conv2dScratch<B> {
  /** Buffers of the sizes of {@linkcode conv2dForwardScratch} or {@linkcode conv2dBackwardScratch}, no contents before or after. */
  scratch: readonly B[];
}

/** Bias of each sample: O consecutive channels of a tensor. */
export interface RowBiasBuffer<B> {
  /** [N, 1, 1, Wp] in float32. */
  of: B;
  /** First channel, a multiple of 4. */
  first: number;
  /** Channels W of the tensor. */
  width: number;
}

/** Buffers of {@linkcode conv2dForward}. */
export interface Conv2dForwardBuffers<B> extends Conv2dScratch<B> {
  /** [N, H, W, Ip]; or [N, H, W, A] if there is a second one. */
  x: B;
  /** [N, H, W, Bp]: x is a concatenation that is not stored, of this after the first A channels. */
  xSecond?: B;
  /** [kh, kw, Ip, Op]. */
  weight: B;
  /** [Op], added to every pixel. */
  bias?: B;
  /** Added to every pixel of its sample. */
  rowBias?: RowBiasBuffer<B>;
  /** [N, H', W', Op], added. */
  residual?: B;
  /** [N, H', W', Op], overwritten. */
  y: B;
}

/** Buffers of {@linkcode conv2dBackward}. */
export interface Conv2dBackwardBuffers<B> extends Conv2dScratch<B> {
  /** As in the forward pass. */
  x: B;
  xSecond?: B;
  /** [N, H', W', Op]. */
  dy: B;
  /** [kh, kw, Ip, Op]. */
  weight: B;
  /** [kh, kw, Ip, Op], overwritten. */
  dw: B;
  /**
   * [{@linkcode conv2dSumRows}, Op] in float32, overwritten: sums of dy over disjoint sets of pixels, whose sum over the rows is
   * the gradient of the bias.
   */
  sums: B;
  /** [N, H, W, Ip], overwritten. */
  dx?: B;
  /** [N, H, W, Ip], the gradient so far, which dx includes. */
  addend?: B;
  /** Gradient of the bias of each sample, overwritten. */
  rowBias?: RowBiasBuffer<B>;
}
