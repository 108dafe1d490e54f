/**
 * Layers of the U-Net with their parameters: norms, convolutions and linear layers, and their initial values.
 *
 * @module
 */
import type { Graph, Initializer } from "../graph/graph.ts";
import { conv2d, type Dropout, groupNorm, type RowBias, scaleShift } from "../graph/ops.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { Activation } from "../../kernels/activation_source.ts";
import type { UNetConfig } from "./config.ts";

/** Context of every layer. */
export interface LayerContext {
  readonly g: Graph;
  readonly config: UNetConfig;
}

// Weight initialization of the reference implementation (hojonathanho/diffusion): uniform with a variance of
// scale / fan_avg (Glorot and Bengio 2010); the paper does not mention it.
export const GLOROT: Initializer = { kind: "fanAvg", scale: 1 };
/** Almost zero for the last layer of a residual branch, so that every block starts as the identity. */
export const ALMOST_ZERO: Initializer = { kind: "fanAvg", scale: 1e-10 };
/** For biases. */
export const ZEROS: Initializer = { kind: "zeros" };
const ONES: Initializer = { kind: "ones" };

/** Options of {@linkcode norm}. */
export interface NormOptions {
  /** Default: those of the configuration. */
  groups?: number;
  /** Applied to the result; default none. */
  activation?: Activation;
  dropout?: Dropout | undefined;
  /** Scale and shift of each sample. */
  modulation?: RowBias | undefined;
}

/** Group normalization. */
export function norm({ g, config }: LayerContext, name: string, x: Tensor, options: NormOptions): Tensor {
  const { groups = config.normNumGroups, activation, dropout, modulation } = options;
  const channels = x.shape[3];
  return g.scope(name, () => {
    const gamma = g.parameter("weight", "vector", [channels], ONES);
    const beta = g.parameter("bias", "vector", [channels], ZEROS);
    const parameters = modulation ? scaleShift(g, { gamma, beta }, modulation) : { gamma, beta };
    return groupNorm(g, x, parameters, { groups, eps: config.normEps, activation }, dropout);
  });
}

/** Options of {@linkcode conv}. */
export interface ConvOptions {
  kernel: 1 | 3;
  stride: 1 | 2;
  padding: 0 | 1;
  paddingEnd?: 1;
  rowBias?: RowBias;
  residual?: Tensor;
  init?: Initializer;
}

/** Convolution with bias. */
export function conv(
  { g }: LayerContext,
  name: string,
  x: Tensor,
  outChannels: number,
  options: ConvOptions,
): Tensor {
  const { kernel, stride, padding, paddingEnd = padding, init = GLOROT, ...extra } = options;
  return g.scope(name, () => {
    const weight = g.parameter("weight", "conv", [outChannels, x.shape[3], kernel, kernel], init);
    const bias = g.parameter("bias", "vector", [outChannels], ZEROS);
    return conv2d(g, x, { weight, bias }, { kernel, stride, padding, paddingEnd }, extra);
  });
}

/** Linear layer over channels: a 1x1 convolution whose weight has the checkpoint shape of PyTorch's `Linear`. */
export function linear(
  g: Graph,
  name: string,
  x: Tensor,
  outChannels: number,
  { init = GLOROT, ...extra }: { init?: Initializer; residual?: Tensor } = {},
): Tensor {
  return g.scope(name, () => {
    const weight = g.parameter("weight", "linear", [outChannels, x.shape[3]], init);
    const bias = g.parameter("bias", "vector", [outChannels], ZEROS);
    return conv2d(g, x, { weight, bias }, { kernel: 1, stride: 1, padding: 0 }, extra);
  });
}
