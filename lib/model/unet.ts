/**
 * The U-Net of Ho et al. 2020 (appendix B): residual blocks with group normalization, self-attention at low resolution, and
 * the timestep added in every residual block. Parameter names are those of diffusers' `UNet2DModel`.
 *
 * Shapes are `[N, H, W, C]`; `C_i` is the number of channels at level `i` and `E` the width of the embedding, `4 C_0` unless
 * configured.
 * Blocks are segments of the graph: with activation checkpointing, only the tensors between blocks and the first convolution
 * of each residual block are kept for the backward pass.
 *
 * @module
 */
import { AUGMENTATION_DIM } from "../../kernels/draw_augmentation.ts";
import { StepStateLayout } from "../../kernels/records/layouts.ts";
import { ShapeError } from "../errors.ts";
import type { Graph } from "../graph/graph.ts";
import { concat, divideSamples, rescale } from "../graph/ops.ts";
import { showShape, type Tensor } from "../graph/tensor.ts";
import {
  attentionBlock,
  downsample,
  middle,
  type Network,
  projectionWidths,
  resnetBlock,
  upsampleBlock,
} from "./blocks.ts";
import { imageChannels, imageSize, type UNetConfig } from "./config.ts";
import { FusedLinear } from "./fused_linear.ts";
import { ALMOST_ZERO, conv, norm } from "./layers.ts";
import { type EmbeddedInputs, timeEmbedding } from "./time_embedding.ts";

/** Inputs of the network. */
export interface UNetInputs extends EmbeddedInputs {
  /** Noisy images `x_t`, [N,H,W,C]. */
  readonly x: Tensor;
  /**
   * Estimates of `x_0` from an earlier evaluation, or zeros, [N,H,W,C]; present if and only if the network has self-conditioning
   * (Chen, Zhang and Hinton 2022, algorithms 1 and 2).
   */
  readonly estimate?: Tensor;
  /** Step record, which seeds the dropout masks; without it dropout is off, as in sampling. */
  readonly stepState?: Tensor;
}

/** Declares the inputs of the network in a graph. */
export function unetInputs(
  g: Graph,
  config: UNetConfig,
  batch: number,
  training: boolean,
  augmented = false,
): UNetInputs {
  const [height, width] = imageSize(config);
  const image = [batch, height, width, imageChannels(config)] as const;
  return {
    x: g.input("x", image),
    ...(config.selfConditioning ? { estimate: g.input("estimate", image) } : {}),
    timesteps: g.input("timesteps", [1, 1, 1, batch], "float32"),
    ...(config.numClassEmbeds === null ? {} : { labels: g.input("labels", [1, 1, 1, batch], "uint32") }),
    ...(training ? { stepState: g.input("stepState", [1, 1, 1, 1], StepStateLayout) } : {}),
    ...(augmented
      ? { augmentation: g.input("augmentation", [batch, 1, 1, AUGMENTATION_DIM], "float32") }
      : {}),
  };
}

/**
 * Records the network.
 *
 * @returns the prediction, [N,H,W,outChannels]: the noise, `v` or `x_0`, depending on the training objective
 * @throws {ShapeError} if inputs and configuration do not fit
 */
export function unet(g: Graph, config: UNetConfig, inputs: UNetInputs): Tensor {
  const channels = config.blockOutChannels;
  const levels = channels.length;
  expectImages(inputs, config);
  const { estimate } = inputs;
  const x = estimate ? concat(g, inputs.x, estimate) : inputs.x; // [N, H, W, inChannels]

  // Timestep embedding. In float32, because the gradients of its projections are sums over all pixels of an image, which
  // could overflow in float16; it takes a thousandth of the operations.
  const projections = g.inFloat32(() => {
    const temb = timeEmbedding(g, config, x.shape[0], inputs); // [N, 1, 1, E]
    return new FusedLinear(g, "time_emb_proj", temb, projectionWidths(config));
  });
  const net: Network = { g, config, stepState: inputs.stepState, projections };

  // Downsampling
  const input = config.centerInputSample ? rescale(g, x, 2, -1) : x;
  let h = conv(net, "conv_in", input, channels[0]!, { kernel: 3, stride: 1, padding: 1 }); // [N, H, W, C_0]
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
      if (level < levels - 1) skips.push(h = downsample(net, h, level)); // [N, H/2^(level+1), W/2^(level+1), C_level]
      return h;
    });
  }

  if (config.midBlockType !== null) h = g.scope("mid_block", () => middle(net, h)); // [N, H/2^last, W/2^last, C_last]

  // Upsampling
  for (let index = 0; index < levels; index++) {
    const level = levels - 1 - index;
    h = g.scope(`up_blocks.${index}`, () => {
      for (let block = 0; block <= config.layersPerBlock; block++) {
        h = resnetBlock(net, `resnets.${block}`, h, channels[level]!, { skip: skips.pop()! }); // [N, H/2^level, W/2^level, C_level]
        if (config.upBlockTypes[index] === "AttnUpBlock2D") h = attentionBlock(net, `attentions.${block}`, h);
      }
      return level > 0 ? upsampleBlock(net, h, index) : h; // [N, H/2^(level-1), W/2^(level-1), C_level]
    });
  }
  if (skips.length > 0) throw new ShapeError(`${skips.length} skip connections were left over`);
  if (projections.undeclared > 0) {
    throw new ShapeError(`${projections.undeclared} projections were left over`);
  }

  // End
  h = norm(net, "conv_norm_out", h, { activation: "silu" }); // [N, H, W, C_0]
  const last = { kernel: 3, stride: 1, padding: 1, init: ALMOST_ZERO } as const;
  const output = conv(net, "conv_out", h, config.outChannels, last); // [N, H, W, outChannels]
  return config.timeEmbeddingType === "fourier" ? divideSamples(g, output, inputs.timesteps) : output;
}

function expectImages({ x, estimate }: UNetInputs, config: UNetConfig): void {
  if ((estimate !== undefined) !== Boolean(config.selfConditioning)) {
    throw new ShapeError("estimates must be given exactly where the configuration has selfConditioning");
  }
  const expected = [x.shape[0], ...imageSize(config), imageChannels(config)];
  for (const { shape } of estimate ? [x, estimate] : [x]) {
    if (expected.some((size, i) => size !== shape[i])) {
      throw new ShapeError(`the network takes images ${showShape(expected)}, got ${showShape(shape)}`);
    }
  }
}
