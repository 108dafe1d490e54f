/**
 * The U-Net of Ho et al. 2020 (section 4 and appendix B) with the parameter names of diffusers' `UNet2DModel`.
 *
 * Each block is a segment of the graph: where memory is short, only what goes from block to block and the first convolution
 * of a residual block are kept for the backward pass.
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
  dropout,
  embedding,
  groupNorm,
  silu,
  timestepEmbedding,
  upsample,
} from "../graph/ops.ts";
import { showShape, type Tensor } from "../graph/tensor.ts";
import { imageSize, type UNetConfig } from "./config.ts";

/** What the network computes from. */
export interface UNetInputs {
  /** Noisy images x_t, [N,H,W,C] in roughly [-1, 1] plus noise. */
  readonly x: Tensor;
  /** N float32 timesteps, 0 (least noise) to T - 1. */
  readonly timesteps: Tensor;
  /** N uint32 class labels; present exactly where the configuration has `numClassEmbeds`. */
  readonly labels?: Tensor;
  /** The step record, from which dropout draws its masks; without it dropout is off, as in sampling. */
  readonly stepState?: Tensor;
}

/** Declares the network's inputs in a graph. */
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
 * @returns the prediction, [N,H,W,outChannels]: the noise epsilon, v or x0 by the training objective
 * @throws {ShapeError} where inputs and configuration do not fit
 */
export function unet(g: Graph, config: UNetConfig, inputs: UNetInputs): Tensor {
  const { x } = inputs;
  const channels = config.blockOutChannels;
  const levels = channels.length;
  expectImage(x, config);
  const net: Network = { g, config, inputs, temb: timeEmbedding(g, config, inputs) };

  // Downsampling
  let h = conv(net, "conv_in", x, channels[0], { kernel: 3, stride: 1, padding: 1 });
  const skips: Tensor[] = [h];
  for (let level = 0; level < levels; level++) {
    h = g.scope(`down_blocks.${level}`, () => {
      for (let block = 0; block < config.layersPerBlock; block++) {
        h = resnetBlock(net, `resnets.${block}`, h, channels[level]);
        if (config.downBlockTypes[level] === "AttnDownBlock2D") {
          h = attentionBlock(net, `attentions.${block}`, h);
        }
        skips.push(h);
      }
      if (level < levels - 1) skips.push(h = downsample(net, h));
      return h;
    });
  }

  // Middle
  h = g.scope("mid_block", () => {
    h = resnetBlock(net, "resnets.0", h, channels[levels - 1]);
    if (config.addAttention) h = attentionBlock(net, "attentions.0", h);
    return resnetBlock(net, "resnets.1", h, channels[levels - 1]);
  });

  // Upsampling
  for (let index = 0; index < levels; index++) {
    const level = levels - 1 - index;
    h = g.scope(`up_blocks.${index}`, () => {
      for (let block = 0; block <= config.layersPerBlock; block++) {
        h = resnetBlock(net, `resnets.${block}`, h, channels[level], skips.pop()!);
        if (config.upBlockTypes[index] === "AttnUpBlock2D") h = attentionBlock(net, `attentions.${block}`, h);
      }
      return level > 0 ? upsampleBlock(net, h) : h;
    });
  }
  if (skips.length > 0) throw new ShapeError(`${skips.length} skip connections were left over`);

  h = norm(net, "conv_norm_out", h, true);
  return conv(net, "conv_out", h, config.outChannels, {
    kernel: 3,
    stride: 1,
    padding: 1,
    init: ALMOST_ZERO,
  });
}

/** What every block needs. */
interface Network {
  readonly g: Graph;
  readonly config: UNetConfig;
  readonly inputs: UNetInputs;
  /** SiLU of the time (and class) embedding, [N,1,1,4 * first channels]. */
  readonly temb: Tensor;
}

const GLOROT: Initializer = { kind: "fanAvg", scale: 1 };
/** The last layer of a residual branch starts as good as zero, so that the branch starts as the identity. */
const ALMOST_ZERO: Initializer = { kind: "fanAvg", scale: 1e-10 };
const ZEROS: Initializer = { kind: "zeros" };
const ONES: Initializer = { kind: "ones" };

function timeEmbedding(g: Graph, config: UNetConfig, { x, timesteps, labels }: UNetInputs): Tensor {
  const batch = x.shape[0];
  const width = config.blockOutChannels[0];
  const attributes = { flipSinToCos: config.flipSinToCos, frequencyShift: config.freqShift };
  const sinusoids = timestepEmbedding(g, timesteps, batch, width, attributes);
  let embedded = g.scope("time_embedding", () => {
    const hidden = silu(g, linear(g, "linear_1", sinusoids, 4 * width));
    return linear(g, "linear_2", hidden, 4 * width);
  });
  if ((labels === undefined) !== (config.numClassEmbeds === null)) {
    throw new ShapeError("labels must be given exactly where the configuration has numClassEmbeds");
  }
  if (labels && config.numClassEmbeds !== null) {
    const shape = [config.numClassEmbeds, 4 * width];
    const table = g.parameter("class_embedding.weight", "table", shape, { kind: "normal", std: 1 });
    embedded = add(g, embedded, embedding(g, table, labels, batch));
  }
  // Every residual block projects the same activation, so it is computed once.
  return silu(g, embedded);
}

/**
 * norm - SiLU - convolution (+ time) - norm - SiLU - dropout - convolution, plus the (projected) input.
 *
 * @param skip on the way up: what joins `x` along channels to make the input
 */
function resnetBlock(net: Network, name: string, x: Tensor, outChannels: number, skip?: Tensor): Tensor {
  const { g, config, inputs: { stepState }, temb } = net;
  const same = { kernel: 3, stride: 1, padding: 1 } as const;
  return g.scope(name, () => {
    // Too small to be worth computing again, hence not in the segment.
    const rowBias = linear(g, "time_emb_proj", temb, outChannels);
    return g.segment(() => {
      const input = skip ? concat(g, x, skip) : x;
      let h = norm(net, "norm1", input, true);
      // Without this one, activations of `ddpm` would take 18 % less memory, and a step 11 % more time (llvmpipe).
      h = g.keep(conv(net, "conv1", h, outChannels, { ...same, rowBias }));
      h = norm(net, "norm2", h, true);
      if (stepState) h = dropout(g, h, stepState, config.dropout);
      const residual = input.shape[3] === outChannels
        ? input
        : conv(net, "conv_shortcut", input, outChannels, { kernel: 1, stride: 1, padding: 0 });
      return conv(net, "conv2", h, outChannels, { ...same, residual, init: ALMOST_ZERO });
    });
  });
}

/** norm - attention over all positions - projection, plus the input. */
function attentionBlock(net: Network, name: string, x: Tensor): Tensor {
  const { g, config } = net;
  const channels = x.shape[3];
  return g.scope(name, () =>
    g.segment(() => {
      const h = norm(net, "group_norm", x, false);
      const [q, k, v] = ["to_q", "to_k", "to_v"].map((projection) => linear(g, projection, h, channels));
      const attended = attention(g, q, k, v, channels / (config.attentionHeadDim ?? channels));
      return linear(g, "to_out.0", attended, channels, { residual: x, init: ALMOST_ZERO });
    }));
}

function downsample(net: Network, x: Tensor): Tensor {
  const shape = { kernel: 3, stride: 2, padding: net.config.downsamplePadding } as const;
  return net.g.scope("downsamplers.0", () => conv(net, "conv", x, x.shape[3], shape));
}

function upsampleBlock(net: Network, x: Tensor): Tensor {
  const { g } = net;
  return g.scope("upsamplers.0", () =>
    g.segment(() => {
      const doubled = upsample(g, x);
      return conv(net, "conv", doubled, x.shape[3], { kernel: 3, stride: 1, padding: 1 });
    }));
}

function norm({ g, config }: Network, name: string, x: Tensor, withSilu: boolean): Tensor {
  const channels = x.shape[3];
  return g.scope(name, () => {
    const gamma = g.parameter("weight", "vector", [channels], ONES);
    const beta = g.parameter("bias", "vector", [channels], ZEROS);
    return groupNorm(g, x, { gamma, beta }, {
      groups: config.normNumGroups,
      eps: config.normEps,
      silu: withSilu,
    });
  });
}

interface ConvOptions {
  kernel: 1 | 3;
  stride: 1 | 2;
  padding: 0 | 1;
  rowBias?: Tensor;
  residual?: Tensor;
  init?: Initializer;
}

function conv({ g }: Network, name: string, x: Tensor, outChannels: number, options: ConvOptions): Tensor {
  const { kernel, stride, padding, init = GLOROT, ...extra } = options;
  return g.scope(name, () => {
    const weight = g.parameter("weight", "conv", [outChannels, x.shape[3], kernel, kernel], init);
    const bias = g.parameter("bias", "vector", [outChannels], ZEROS);
    return conv2d(g, x, { weight, bias }, { kernel, stride, padding }, extra);
  });
}

/** A dense layer over channels: a 1x1 convolution with the checkpoint shape of PyTorch's `Linear`. */
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
