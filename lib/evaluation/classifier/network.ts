/**
 * The classifier's network: a residual network with pre-activation (He et al. 2016, "Identity mappings in deep residual
 * networks"), with group normalization (Wu & He 2018) in place of batch normalization, and SiLU. Its features are the averages
 * of the last stage's channels.
 *
 * Parameter names are those of PyTorch modules: `conv_in`, `stages.S.down`, `stages.S.blocks.B.conv1`, `norm_out`, `head`.
 *
 * @module
 */
import { ShapeError } from "../../errors.ts";
import { globalAveragePool } from "../../graph/classifier_ops.ts";
import type { Graph, Initializer } from "../../graph/graph.ts";
import { conv2d, groupNorm } from "../../graph/ops.ts";
import { showShape, type Tensor } from "../../graph/tensor.ts";
import type { ClassifierConfig } from "./config.ts";

/** Results of {@linkcode classifierNetwork}. */
export interface ClassifierOutputs {
  /** [N,1,1,F]. */
  readonly features: Tensor;
  /** [N,1,1,K]; their softmax is the class probabilities. */
  readonly logits: Tensor;
}

const EPS = 1e-5;
const GLOROT: Initializer = { kind: "fanAvg", scale: 1 };
/** Almost zero for the last layer of a residual branch and the head, so that every block starts as the identity. */
const ALMOST_ZERO: Initializer = { kind: "fanAvg", scale: 1e-10 };
const ZEROS: Initializer = { kind: "zeros" };
const ONES: Initializer = { kind: "ones" };

/**
 * Records the network.
 *
 * @param x images [N,S,S,3] in [-1, 1]
 * @throws {ShapeError} if the images have another size
 */
export function classifierNetwork(g: Graph, config: ClassifierConfig, x: Tensor): ClassifierOutputs {
  const { imageSize, classes, stages } = config;
  const expected = [x.shape[0], imageSize, imageSize, 3];
  if (expected.some((size, i) => size !== x.shape[i])) {
    throw new ShapeError(`the classifier takes images ${showShape(expected)}, got ${showShape(x.shape)}`);
  }
  const [first] = stages;
  let h = conv(g, "conv_in", x, { channels: first!.channels }); // [N, S, S, C_0]
  stages.forEach(({ channels, blocks }, stage) => {
    g.scope(`stages.${stage}`, () => {
      if (stage > 0) h = conv(g, "down", norm(g, config, "norm", h), { channels, stride: 2 }); // [N, S/2^s, S/2^s, C_s]
      for (let block = 0; block < blocks; block++) h = residualBlock(g, config, `blocks.${block}`, h);
    });
  });
  const features = globalAveragePool(g, norm(g, config, "norm_out", h)); // [N, 1, 1, F]
  return { features, logits: linear(g, "head", features, classes.length) };
}

/** Norm - SiLU - convolution - norm - SiLU - convolution, plus the input. */
function residualBlock(g: Graph, config: ClassifierConfig, name: string, x: Tensor): Tensor {
  const channels = x.shape[3];
  return g.scope(name, () => {
    const hidden = conv(g, "conv1", norm(g, config, "norm1", x), { channels });
    return conv(g, "conv2", norm(g, config, "norm2", hidden), { channels, residual: x, init: ALMOST_ZERO });
  });
}

/** Group normalization and SiLU. */
function norm(g: Graph, { groups }: ClassifierConfig, name: string, x: Tensor): Tensor {
  const channels = x.shape[3];
  return g.scope(name, () => {
    const gamma = g.parameter("weight", "vector", [channels], ONES);
    const beta = g.parameter("bias", "vector", [channels], ZEROS);
    return groupNorm(g, x, { gamma, beta }, { groups, eps: EPS, activation: "silu" });
  });
}

interface ConvOptions {
  readonly channels: number;
  readonly stride?: 1 | 2;
  readonly residual?: Tensor;
  readonly init?: Initializer;
}

/** 3x3 convolution with bias. */
function conv(
  g: Graph,
  name: string,
  x: Tensor,
  { channels, stride = 1, residual, init = GLOROT }: ConvOptions,
): Tensor {
  return g.scope(name, () => {
    const weight = g.parameter("weight", "conv", [channels, x.shape[3], 3, 3], init);
    const bias = g.parameter("bias", "vector", [channels], ZEROS);
    return conv2d(g, x, { weight, bias }, { kernel: 3, stride, padding: 1 }, { residual });
  });
}

/** Linear layer over channels. */
function linear(g: Graph, name: string, x: Tensor, channels: number): Tensor {
  return g.scope(name, () => {
    const weight = g.parameter("weight", "linear", [channels, x.shape[3]], ALMOST_ZERO);
    const bias = g.parameter("bias", "vector", [channels], ZEROS);
    return conv2d(g, x, { weight, bias }, { kernel: 1, stride: 1, padding: 0 });
  });
}
