/**
 * The U-Net of Ho et al. 2020 (appendix B): residual blocks with group normalization, self-attention at low resolution, and
 * the timestep added in every residual block. Parameter names are those of diffusers' `UNet2DModel`.
 *
 * Shapes are `[N, H, W, C]`; `C_i` is the number of channels at level `i` and `E = 4 C_0` the width of the embedding.
 * Blocks are segments of the graph: with activation checkpointing, only the tensors between blocks and the first convolution
 * of each residual block are kept for the backward pass.
 *
 * @module
 */
import { StepStateLayout } from "../../kernels/records/layouts.ts";
import { ShapeError } from "../errors.ts";
import type { Graph, Initializer } from "../graph/graph.ts";
import {
  add,
  attention,
  concat,
  conv2d,
  type Dropout,
  embedding,
  groupNorm,
  type RowBias,
  silu,
  timestepEmbedding,
  upsample,
} from "../graph/ops.ts";
import { showShape, type Tensor } from "../graph/tensor.ts";
import { imageSize, type UNetConfig } from "./config.ts";
import { FusedLinear } from "./fused_linear.ts";

/** Inputs of the network. */
export interface UNetInputs {
  /** Noisy images `x_t`, [N,H,W,C]. */
  readonly x: Tensor;
  /** N float32 timesteps, 0 (least noise) to T - 1. */
  readonly timesteps: Tensor;
  /** N uint32 class labels; present if and only if the configuration has `numClassEmbeds`. */
  readonly labels?: Tensor;
  /** Step record, which seeds the dropout masks; without it dropout is off, as in sampling. */
  readonly stepState?: Tensor;
}

/** Declares the inputs of the network in a graph. */
export function unetInputs(g: Graph, config: UNetConfig, batch: number, training: boolean): UNetInputs {
  const [height, width] = imageSize(config);
  return {
    x: g.input("x", [batch, height, width, config.inChannels]),
    timesteps: g.input("timesteps", [1, 1, 1, batch], "float32"),
    ...(config.numClassEmbeds === null ? {} : { labels: g.input("labels", [1, 1, 1, batch], "uint32") }),
    ...(training ? { stepState: g.input("stepState", [1, 1, 1, 1], StepStateLayout) } : {}),
  };
}

/**
 * Records the network.
 *
 * @returns the prediction, [N,H,W,outChannels]: the noise, `v` or `x_0`, depending on the training objective
 * @throws {ShapeError} if inputs and configuration do not fit
 */
export function unet(g: Graph, config: UNetConfig, inputs: UNetInputs): Tensor {
  const { x } = inputs;
  const channels = config.blockOutChannels;
  const levels = channels.length;
  expectImage(x, config);

  // Timestep embedding. In float32, because the gradients of its projections are sums over all pixels of an image, which
  // could overflow in float16; it takes a thousandth of the operations.
  const projections = g.inFloat32(() => {
    const temb = timeEmbedding(g, config, inputs); // [N, 1, 1, E]
    return new FusedLinear(g, "time_emb_proj", temb, residualWidths(config));
  });
  const net: Network = { g, config, inputs, projections };

  // Downsampling
  let h = conv(net, "conv_in", x, channels[0]!, { kernel: 3, stride: 1, padding: 1 }); // [N, H, W, C_0]
  const skips: Tensor[] = [h];
  for (let level = 0; level < levels; level++) {
    h = g.scope(`down_blocks.${level}`, () => {
      for (let block = 0; block < config.layersPerBlock; block++) {
        h = resnetBlock(net, `resnets.${block}`, h, channels[level]!); // [N, H/2^level, W/2^level, C_level]
        if (config.downBlockTypes[level] === "AttnDownBlock2D") {
          h = attentionBlock(net, `attentions.${block}`, h);
        }
        skips.push(h);
      }
      if (level < levels - 1) skips.push(h = downsample(net, h)); // [N, H/2^(level+1), W/2^(level+1), C_level]
      return h;
    });
  }

  // Middle
  h = g.scope("mid_block", () => {
    h = resnetBlock(net, "resnets.0", h, channels[levels - 1]!); // [N, H/2^last, W/2^last, C_last]
    if (config.addAttention) h = attentionBlock(net, "attentions.0", h);
    return resnetBlock(net, "resnets.1", h, channels[levels - 1]!);
  });

  // Upsampling
  for (let index = 0; index < levels; index++) {
    const level = levels - 1 - index;
    h = g.scope(`up_blocks.${index}`, () => {
      for (let block = 0; block <= config.layersPerBlock; block++) {
        h = resnetBlock(net, `resnets.${block}`, h, channels[level]!, skips.pop()!); // [N, H/2^level, W/2^level, C_level]
        if (config.upBlockTypes[index] === "AttnUpBlock2D") h = attentionBlock(net, `attentions.${block}`, h);
      }
      return level > 0 ? upsampleBlock(net, h) : h; // [N, H/2^(level-1), W/2^(level-1), C_level]
    });
  }
  if (skips.length > 0) throw new ShapeError(`${skips.length} skip connections were left over`);
  if (projections.undeclared > 0) {
    throw new ShapeError(`${projections.undeclared} projections were left over`);
  }

  // End
  h = norm(net, "conv_norm_out", h, true); // [N, H, W, C_0]
  const last = { kernel: 3, stride: 1, padding: 1, init: ALMOST_ZERO } as const;
  return conv(net, "conv_out", h, config.outChannels, last); // [N, H, W, outChannels]
}

/** Context of every block. */
interface Network {
  readonly g: Graph;
  readonly config: UNetConfig;
  readonly inputs: UNetInputs;
  /** Projections of the time (and class) embedding, one for each residual block. */
  readonly projections: FusedLinear;
}

/** Channels of the residual blocks, in order. */
function residualWidths({ blockOutChannels: channels, layersPerBlock }: UNetConfig): number[] {
  const level = (blocks: number) => (width: number) => Array<number>(blocks).fill(width);
  const middle = channels.at(-1)!;
  const up = channels.toReversed();
  return [
    ...channels.flatMap(level(layersPerBlock)),
    middle,
    middle,
    ...up.flatMap(level(layersPerBlock + 1)),
  ];
}

// Weight initialization of the reference implementation (hojonathanho/diffusion): uniform with a variance of
// scale / fan_avg (Glorot and Bengio 2010); the paper does not mention it.
const GLOROT: Initializer = { kind: "fanAvg", scale: 1 };
/** Almost zero for the last layer of a residual branch, so that every block starts as the identity. */
const ALMOST_ZERO: Initializer = { kind: "fanAvg", scale: 1e-10 };
const ZEROS: Initializer = { kind: "zeros" };
const ONES: Initializer = { kind: "ones" };

/** Sinusoidal embedding (Vaswani et al. 2017, section 3.5) and a two-layer perceptron, plus the class embedding. */
function timeEmbedding(g: Graph, config: UNetConfig, { x, timesteps, labels }: UNetInputs): Tensor {
  const batch = x.shape[0];
  const width = config.blockOutChannels[0]!;
  const attributes = { flipSinToCos: config.flipSinToCos, frequencyShift: config.freqShift };
  const sinusoids = timestepEmbedding(g, timesteps, batch, width, attributes); // [N, 1, 1, C_0]
  let embedded = g.scope("time_embedding", () => {
    const hidden = silu(g, linear(g, "linear_1", sinusoids, 4 * width));
    return linear(g, "linear_2", hidden, 4 * width); // [N, 1, 1, E]
  });
  if ((labels === undefined) !== (config.numClassEmbeds === null)) {
    throw new ShapeError("labels must be given exactly where the configuration has numClassEmbeds");
  }
  if (labels && config.numClassEmbeds !== null) {
    const shape = [config.numClassEmbeds, 4 * width];
    const table = g.parameter("class_embedding.weight", "table", shape, { kind: "normal", std: 1 });
    embedded = add(g, embedded, embedding(g, table, labels, batch));
  }
  // All residual blocks project the same activation, so it is computed once.
  return silu(g, embedded);
}

/**
 * Residual block: norm - SiLU - convolution (+ time) - norm - SiLU - dropout - convolution, plus the (projected) input.
 *
 * @param skip on the way up: skip connection, concatenated with `x` along channels
 */
function resnetBlock(net: Network, name: string, x: Tensor, outChannels: number, skip?: Tensor): Tensor {
  const { g, config, inputs: { stepState }, projections } = net;
  const same = { kernel: 3, stride: 1, padding: 1 } as const;
  return g.scope(name, () => {
    const rowBias = projections.declare("time_emb_proj", { weight: GLOROT, bias: ZEROS }); // [N, 1, 1, Cout]
    return g.segment(() => {
      const input = skip ? concat(g, x, skip) : x; // [N, H, W, Cin (+ Cskip)]
      let h = norm(net, "norm1", input, true);
      // Kept: recomputing it would save `ddpm` 18 % of activation memory and cost 11 % of step time (llvmpipe).
      h = g.keep(conv(net, "conv1", h, outChannels, { ...same, rowBias })); // [N, H, W, Cout]
      h = norm(net, "norm2", h, true, stepState && { stepState, rate: config.dropout });
      const residual = input.shape[3] === outChannels
        ? input
        : conv(net, "conv_shortcut", input, outChannels, { kernel: 1, stride: 1, padding: 0 });
      return conv(net, "conv2", h, outChannels, { ...same, residual, init: ALMOST_ZERO });
    });
  });
}

/** Self-attention block: norm - attention over all positions - projection, plus the input. [N, H, W, C] in and out. */
function attentionBlock(net: Network, name: string, x: Tensor): Tensor {
  const { g, config } = net;
  const channels = x.shape[3];
  return g.scope(name, () =>
    g.segment(() => {
      const h = norm(net, "group_norm", x, false);
      const qkv = new FusedLinear(g, "to_qkv", h, [channels, channels, channels]); // [N, H, W, 3 C]
      for (const name of ["to_q", "to_k", "to_v"]) qkv.declare(name, { weight: GLOROT, bias: ZEROS });
      const attended = attention(g, qkv.y, channels, channels / (config.attentionHeadDim ?? channels));
      return linear(g, "to_out.0", attended, channels, { residual: x, init: ALMOST_ZERO });
    }));
}

/** Halves height and width by a 3x3 convolution at stride 2. */
function downsample(net: Network, x: Tensor): Tensor {
  // With padding 0 diffusers adds the missing row and column below and right.
  const shape = { kernel: 3, stride: 2, padding: net.config.downsamplePadding, paddingEnd: 1 } as const;
  return net.g.scope("downsamplers.0", () => conv(net, "conv", x, x.shape[3], shape));
}

/** Doubles height and width by nearest-neighbour upsampling and a 3x3 convolution. */
function upsampleBlock(net: Network, x: Tensor): Tensor {
  const { g } = net;
  return g.scope("upsamplers.0", () =>
    g.segment(() => {
      const doubled = upsample(g, x);
      return conv(net, "conv", doubled, x.shape[3], { kernel: 3, stride: 1, padding: 1 });
    }));
}

/** Group normalization, with SiLU where a 3x3 convolution follows, and dropout. */
function norm({ g, config }: Network, name: string, x: Tensor, withSilu: boolean, dropout?: Dropout): Tensor {
  const channels = x.shape[3];
  return g.scope(name, () => {
    const gamma = g.parameter("weight", "vector", [channels], ONES);
    const beta = g.parameter("bias", "vector", [channels], ZEROS);
    const attributes = { groups: config.normNumGroups, eps: config.normEps, silu: withSilu };
    return groupNorm(g, x, { gamma, beta }, attributes, dropout);
  });
}

interface ConvOptions {
  kernel: 1 | 3;
  stride: 1 | 2;
  padding: 0 | 1;
  paddingEnd?: 1;
  rowBias?: RowBias;
  residual?: Tensor;
  init?: Initializer;
}

/** Convolution with bias. */
function conv({ g }: Network, name: string, x: Tensor, outChannels: number, options: ConvOptions): Tensor {
  const { kernel, stride, padding, paddingEnd = padding, init = GLOROT, ...extra } = options;
  return g.scope(name, () => {
    const weight = g.parameter("weight", "conv", [outChannels, x.shape[3], kernel, kernel], init);
    const bias = g.parameter("bias", "vector", [outChannels], ZEROS);
    return conv2d(g, x, { weight, bias }, { kernel, stride, padding, paddingEnd }, extra);
  });
}

/** Linear layer over channels: a 1x1 convolution whose weight has the checkpoint shape of PyTorch's `Linear`. */
function linear(
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

function expectImage(x: Tensor, config: UNetConfig): void {
  const expected = [x.shape[0], ...imageSize(config), config.inChannels];
  if (expected.some((size, i) => size !== x.shape[i])) {
    throw new ShapeError(`the network takes images ${showShape(expected)}, got ${showShape(x.shape)}`);
  }
}
