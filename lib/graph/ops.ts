/**
 * Operations of a network, one function each: checks shapes and types, appends the node, returns the result. No WebGPU.
 * Embeddings are in embedding_ops.ts, operations of the training objective in training_ops.ts.
 *
 * @module
 */
import { ShapeError } from "../errors.ts";
import type { Graph } from "./graph.ts";
import { bothAxes, type ConvAttributes, type GroupNormAttributes } from "./attributes.ts";
import type { Activation } from "../../kernels/activation_source.ts";
import { StepStateLayout } from "../../kernels/records/layouts.ts";
import { expectShape, expectType } from "./expect.ts";
import { paddedChannels, type Shape, type Tensor } from "./tensor.ts";

/** Bias of each sample: consecutive channels of a tensor. */
export interface RowBias {
  /** [N,1,1,W]. */
  readonly of: Tensor;
  /** First channel, a multiple of 4. */
  readonly first: number;
}

/**
 * 2-D convolution (cross-correlation, as in PyTorch); a dense layer is the case of kernel 1 on 1x1 images:
 * `y[n,i,j,o] = bias[o] + sum x[n, i*stride+ky-padding, j*stride+kx-padding, c] * weight[ky,kx,c,o]`, plus `rowBias[n,o]`
 * and `residual[n,i,j,o]` where given. Rows and columns outside `x` read as zero.
 *
 * @param x [N,H,W,C]
 * @param rowBias O channels of a tensor in float32, e.g. the projected time embedding; each channel belongs to one convolution
 * @param residual [N,H',W',O], added to the result
 * @returns [N,H',W',O]
 * @throws {ShapeError} if an operand's shape or type does not fit
 */
export function conv2d(
  g: Graph,
  x: Tensor,
  parameters: { weight: Tensor; bias: Tensor },
  attributes: ConvAttributes,
  { rowBias, residual }: { rowBias?: RowBias; residual?: Tensor } = {},
): Tensor {
  const { weight, bias } = parameters;
  const [batch, height, width, channels] = x.shape;
  const label = g.label("conv2d");
  const outChannels = bias.shape[3];
  expectShape(label, "bias", bias, [1, 1, 1, outChannels]);
  const { stride, padding, paddingEnd = padding } = attributes;
  const kernel = bothAxes(attributes.kernel);
  expectShape(label, "weight", weight, [...kernel, paddedChannels(channels), outChannels]);
  const [before, after] = [bothAxes(padding), bothAxes(paddingEnd)];
  const outSize = (size: number, axis: 0 | 1) =>
    Math.floor((size + before[axis] + after[axis] - kernel[axis]) / stride) + 1;
  const shape: Shape = [batch, outSize(height, 0), outSize(width, 1), outChannels];
  if (rowBias) expectRowBias(label, rowBias, batch, outChannels);
  if (residual) expectShape(label, "residual", residual, shape);
  const y = g.tensor(label, shape, "activation", true);
  g.record({
    kind: "conv2d",
    label,
    in: { x, weight, bias, rowBias: rowBias?.of, residual },
    out: { y },
    attributes: { ...attributes, rowBiasFirst: rowBias?.first ?? 0 },
  });
  return y;
}

function expectRowBias(label: string, { of, first }: RowBias, batch: number, channels: number): void {
  expectShape(label, "rowBias", of, [batch, 1, 1, of.shape[3]]);
  expectType(label, "rowBias", of, "float32");
  if (first % 4 !== 0 || first + channels > of.shape[3]) {
    throw new ShapeError(
      `${label}: rowBias has ${of.shape[3]} channels, expected ${channels} from ${first} on, a multiple of 4`,
    );
  }
}

/** Parameters of {@linkcode groupNorm}, each [1,1,1,C]. */
export interface NormParameters {
  gamma: Tensor;
  beta: Tensor;
}

/** Those of each sample, from {@linkcode scaleShift}. */
export interface SampleNormParameters {
  /** [N,1,1,2 Cp]: beta, then gamma, each padded to Cp channels, a multiple of 4. */
  affine: Tensor;
}

/**
 * Scale and shift of adaptive group normalization (Dhariwal and Nichol 2021): for each sample, `gamma' = gamma (1 + scale)` and
 * `beta' = beta (1 + scale) + shift`.
 *
 * @param rows 2 C channels of a tensor in float32, e.g. the projected time embedding: the scale, then the shift; each channel
 *   belongs to one norm
 * @returns parameters for {@linkcode groupNorm}
 * @throws {ShapeError} if an operand's shape or type does not fit
 */
export function scaleShift(g: Graph, { gamma, beta }: NormParameters, rows: RowBias): SampleNormParameters {
  const label = g.label("scaleShift");
  const [, , , channels] = gamma.shape;
  const { of, first } = rows;
  const [batch] = of.shape;
  expectShape(label, "gamma", gamma, [1, 1, 1, channels]);
  expectShape(label, "beta", beta, [1, 1, 1, channels]);
  expectRowBias(label, rows, batch, 2 * channels);
  const affine = g.tensor(
    label,
    [batch, 1, 1, 2 * paddedChannels(channels)],
    "activation",
    true,
    "float32",
  );
  const attributes = { channels, first };
  g.record({ kind: "scaleShift", label, in: { gamma, beta, rows: of }, out: { y: affine }, attributes });
  return { affine };
}

/** Dropout (Srivastava et al. 2014) of a result. */
export interface Dropout {
  /** Step record (kernels/records/step_state.wgsl) with seed and step. */
  readonly stepState: Tensor;
  /** Probability of a zero, 0 <= rate < 1; other elements are scaled by 1 / (1 - rate). */
  readonly rate: number;
}

/**
 * Group normalisation over height, width and the channels of a group (Wu & He 2018), optionally followed by SiLU and dropout.
 * Masks come from the counter-based generator in every step and are never stored.
 *
 * @param x [N,H,W,C], C a multiple of `groups`
 * @param dropout a rate of 0 is the same as none
 * @throws {ShapeError} if `groups` does not divide C, a parameter's shape does not fit, or the rate is out of range
 */
export function groupNorm(
  g: Graph,
  x: Tensor,
  parameters: NormParameters | SampleNormParameters,
  attributes: Omit<GroupNormAttributes, "dropout">,
  dropout?: Dropout,
): Tensor {
  const label = g.label("groupNorm");
  const [batch, , , channels] = x.shape;
  const { groups } = attributes;
  if (channels % groups !== 0) {
    throw new ShapeError(`${label}: ${channels} channels cannot be split into ${groups} groups`);
  }
  if ("affine" in parameters) {
    expectShape(label, "affine", parameters.affine, [batch, 1, 1, 2 * paddedChannels(channels)]);
    expectType(label, "affine", parameters.affine, "float32");
  } else {
    expectShape(label, "gamma", parameters.gamma, [1, 1, 1, channels]);
    expectShape(label, "beta", parameters.beta, [1, 1, 1, channels]);
  }
  const y = g.tensor(label, x.shape, "activation", true);
  // Saved for the backward pass, per channel; see groupNormForward.
  const stats = g.tensor(`${label}.stats`, [batch, 4, 1, channels], "activation", false, "float32");
  const { stepState, rate = 0 } = dropout ?? {};
  if (!(rate >= 0 && rate < 1)) throw new ShapeError(`${label}: dropout rate must be in [0, 1), got ${rate}`);
  if (!stepState || rate === 0) {
    g.record({ kind: "groupNorm", label, in: { x, ...parameters }, out: { y, stats }, attributes });
    return y;
  }
  expectType(label, "stepState", stepState, StepStateLayout);
  const withDropout = { ...attributes, dropout: { rate, layer: g.nextDropoutLayer() } };
  g.record({
    kind: "groupNorm",
    label,
    in: { x, ...parameters, stepState },
    out: { y, stats },
    attributes: withDropout,
  });
  return y;
}

/** An activation, elementwise. */
export function activate(g: Graph, x: Tensor, activation: Activation): Tensor {
  const label = g.label(activation);
  const y = g.tensor(label, x.shape, "activation", x.trainable);
  g.record({ kind: "activation", label, in: { x }, out: { y }, attributes: { activation } });
  return y;
}

/** SiLU, `x * sigmoid(x)`, elementwise. */
export function silu(g: Graph, x: Tensor): Tensor {
  return activate(g, x, "silu");
}

/**
 * Scaled dot-product attention over all positions of an image (Vaswani et al. 2017), channels split evenly among heads:
 * `softmax(q k^T / sqrt(C / heads)) v`.
 *
 * @param qkv [N,H,W,3 Cp]: q, k and v side by side, each padded to Cp channels, a multiple of 4
 * @param channels C
 * @returns [N,H,W,C]
 * @throws {ShapeError} if `qkv` has other channels, or `heads` does not divide C
 */
export function attention(g: Graph, qkv: Tensor, channels: number, heads: number): Tensor {
  const label = g.label("attention");
  const [batch, height, width] = qkv.shape;
  expectShape(label, "qkv", qkv, [batch, height, width, 3 * paddedChannels(channels)]);
  if (channels % heads !== 0) {
    throw new ShapeError(`${label}: ${channels} channels cannot be split into ${heads} heads`);
  }
  const positions = height * width;
  const y = g.tensor(label, [batch, height, width, channels], "activation", true);
  const weights = g.tensor(`${label}.weights`, [batch, heads, positions, positions], "activation", false);
  g.record({ kind: "attention", label, in: { qkv }, out: { y, weights }, attributes: { heads } });
  return y;
}

/** Nearest-neighbour upsampling by 2: [N,H,W,C] to [N,2H,2W,C]. */
export function upsample(g: Graph, x: Tensor): Tensor {
  const label = g.label("upsample");
  const [batch, height, width, channels] = x.shape;
  const y = g.tensor(label, [batch, 2 * height, 2 * width, channels], "activation", x.trainable);
  g.record({ kind: "upsample", label, in: { x }, out: { y }, attributes: {} });
  return y;
}

/** Concatenates along channels: [N,H,W,A] and [N,H,W,B] to [N,H,W,A+B]. */
export function concat(g: Graph, a: Tensor, b: Tensor): Tensor {
  const label = g.label("concat");
  const [batch, height, width, channels] = a.shape;
  expectShape(label, "b", b, [batch, height, width, b.shape[3]]);
  const y = g.tensor(
    label,
    [batch, height, width, channels + b.shape[3]],
    "activation",
    a.trainable || b.trainable,
  );
  g.record({ kind: "concat", label, in: { a, b }, out: { y }, attributes: {} });
  return y;
}

/** Elementwise sum of two tensors of the same shape. */
export function add(g: Graph, a: Tensor, b: Tensor): Tensor {
  const label = g.label("add");
  expectShape(label, "b", b, a.shape);
  const y = g.tensor(label, a.shape, "activation", a.trainable || b.trainable);
  g.record({ kind: "add", label, in: { a, b }, out: { y }, attributes: {} });
  return y;
}

/** A linear function of each value: `factor x + offset`. */
export function rescale(g: Graph, x: Tensor, factor: number, offset: number = 0): Tensor {
  const label = g.label("rescale");
  const y = g.tensor(label, x.shape, "activation", x.trainable);
  g.record({ kind: "rescale", label, in: { x }, out: { y }, attributes: { factor, offset } });
  return y;
}

/**
 * Divides each sample by a number: `y[n] = x[n] / divisors[n]`.
 *
 * @param divisors [1,1,1,N]: N consecutive float32 values, not 0
 */
export function divideSamples(g: Graph, x: Tensor, divisors: Tensor): Tensor {
  const label = g.label("divideSamples");
  expectShape(label, "divisors", divisors, [1, 1, 1, x.shape[0]]);
  expectType(label, "divisors", divisors, "float32");
  const y = g.tensor(label, x.shape, "activation", x.trainable);
  g.record({ kind: "rescale", label, in: { x, divisors }, out: { y }, attributes: { factor: 1, offset: 0 } });
  return y;
}
