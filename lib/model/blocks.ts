/**
 * Blocks of the U-Net: residual blocks, self-attention, and the changes of resolution. Adaptive group normalization and residual
 * blocks that pool or upsample are those of Dhariwal and Nichol 2021, section 3.
 *
 * @module
 */
import type { Graph } from "../graph/graph.ts";
import { averagePool } from "../graph/inference_ops.ts";
import { SQUARES } from "../graph/attributes.ts";
import { attention, concat, rescale, upsample } from "../graph/ops.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { UNetConfig } from "./config.ts";
import { FusedLinear } from "./fused_linear.ts";
import { ALMOST_ZERO, conv, GLOROT, type LayerContext, linear, norm, ZEROS } from "./layers.ts";

/** Context of every block. */
export interface Network extends LayerContext {
  /** Step record, which seeds the dropout masks; without it dropout is off. */
  readonly stepState: Tensor | undefined;
  /** Projections of the time (and class) embedding, one for each residual block. */
  readonly projections: FusedLinear;
}

/** Channels of the residual blocks' time projections, in order. */
export function projectionWidths(config: UNetConfig): number[] {
  const { blockOutChannels: channels, layersPerBlock, midBlockType } = config;
  const last = channels.length - 1;
  const residual = (blocks: number, width: number, resampled: boolean) =>
    Array<number>(blocks + Number(resampled)).fill(width);
  const widths = [
    ...channels.flatMap((width, level) => {
      return residual(layersPerBlock, width, level < last && downsamplesInBlock(config, level));
    }),
    ...midBlockType === null ? [] : residual(2, channels[last]!, false),
    ...channels.toReversed().flatMap((width, index) => {
      return residual(layersPerBlock + 1, width, index < last && upsamplesInBlock(config, index));
    }),
  ];
  return modulates(config) ? widths.map((width) => 2 * width) : widths;
}

/** True if the time embedding scales and shifts the second norm of residual blocks. */
function modulates({ resnetTimeScaleShift }: UNetConfig): boolean {
  return resnetTimeScaleShift === "scale_shift";
}

/** True if a residual block halves the resolution after a level, not a convolution. */
function downsamplesInBlock({ downBlockTypes, downsampleType }: UNetConfig, level: number): boolean {
  const type = downBlockTypes[level];
  return type === "ResnetDownsampleBlock2D" || type === "AttnDownBlock2D" && downsampleType === "resnet";
}

/** Likewise, doubles it after an upsampling block. */
function upsamplesInBlock({ upBlockTypes, upsampleType }: UNetConfig, index: number): boolean {
  const type = upBlockTypes[index];
  return type === "ResnetUpsampleBlock2D" || type === "AttnUpBlock2D" && upsampleType === "resnet";
}

/** Two residual blocks at the lowest resolution, with attention between them; each sum is divided by the middle's scale factor. */
export function middle(net: Network, x: Tensor): Tensor {
  const { g, config } = net;
  const { midBlockScaleFactor: divisor } = config;
  const divided = (name: string, sum: Tensor) =>
    divisor === 1 ? sum : g.scope(name, () => rescale(g, sum, 1 / divisor));
  const channels = x.shape[3];
  let h = divided("resnets.0", resnetBlock(net, "resnets.0", x, channels));
  if (config.addAttention) {
    // Without groups of its own, the norm is left out where the time embedding modulates, as in diffusers.
    const groups = config.attnNormNumGroups ?? (modulates(config) ? null : config.normNumGroups);
    h = divided("attentions.0", attentionBlock(net, "attentions.0", h, groups));
  }
  return divided("resnets.1", resnetBlock(net, "resnets.1", h, channels));
}

/** Options of {@linkcode resnetBlock}. */
export interface ResnetBlockOptions {
  /** On the way up: skip connection, concatenated with the input along channels. */
  skip?: Tensor;
  /** Changes the resolution, before the first convolution and in the residual connection. */
  resample?: (g: Graph, x: Tensor) => Tensor;
}

/**
 * Residual block: norm - activation - convolution (+ time) - norm (* time) - activation - dropout - convolution, plus the (projected)
 * input.
 */
export function resnetBlock(
  net: Network,
  name: string,
  x: Tensor,
  outChannels: number,
  { skip, resample = (_, x) => x }: ResnetBlockOptions = {},
): Tensor {
  const { g, config, stepState, projections } = net;
  const { activation } = config;
  const same = { kernel: 3, stride: 1, padding: 1 } as const;
  return g.scope(name, () => {
    // [N, 1, 1, Cout], or [N, 1, 1, 2 Cout]: scale and shift
    const time = projections.declare("time_emb_proj", { weight: GLOROT, bias: ZEROS });
    const [rowBias, modulation] = modulates(config) ? [undefined, time] : [time, undefined];
    return g.segment(() => {
      let input = skip ? concat(g, x, skip) : x; // [N, H, W, Cin (+ Cskip)]
      let h = resample(g, norm(net, "norm1", input, { activation }));
      input = resample(g, input);
      // Kept: recomputing it would save `ddpm` 18 % of activation memory and cost 11 % of step time (llvmpipe).
      h = g.keep(conv(net, "conv1", h, outChannels, { ...same, ...rowBias && { rowBias } })); // [N, H, W, Cout]
      const dropout = stepState && { stepState, rate: config.dropout };
      h = norm(net, "norm2", h, { activation, dropout, modulation });
      const residual = input.shape[3] === outChannels
        ? input
        : conv(net, "conv_shortcut", input, outChannels, { kernel: 1, stride: 1, padding: 0 });
      return conv(net, "conv2", h, outChannels, { ...same, residual, init: ALMOST_ZERO });
    });
  });
}

/**
 * Self-attention block: norm - attention over all positions - projection, plus the input. [N, H, W, C] in and out.
 *
 * @param groups of the norm; null for none
 */
export function attentionBlock(
  net: Network,
  name: string,
  x: Tensor,
  groups: number | null = net.config.normNumGroups,
): Tensor {
  const { g, config } = net;
  const channels = x.shape[3];
  return g.scope(name, () =>
    g.segment(() => {
      const h = groups === null ? x : norm(net, "group_norm", x, { groups });
      const qkv = new FusedLinear(g, "to_qkv", h, [channels, channels, channels]); // [N, H, W, 3 C]
      for (const name of ["to_q", "to_k", "to_v"]) qkv.declare(name, { weight: GLOROT, bias: ZEROS });
      const attended = attention(g, qkv.y, channels, channels / (config.attentionHeadDim ?? channels));
      return linear(g, "to_out.0", attended, channels, { residual: x, init: ALMOST_ZERO });
    }));
}

/** Halves height and width by a 3x3 convolution at stride 2, or by a residual block that pools. */
export function downsample(net: Network, x: Tensor, level: number): Tensor {
  if (downsamplesInBlock(net.config, level)) {
    return resnetBlock(net, "downsamplers.0", x, x.shape[3], {
      resample: (g, x) => averagePool(g, x, SQUARES),
    });
  }
  // With padding 0 diffusers adds the missing row and column below and right.
  const shape = { kernel: 3, stride: 2, padding: net.config.downsamplePadding, paddingEnd: 1 } as const;
  return net.g.scope("downsamplers.0", () => conv(net, "conv", x, x.shape[3], shape));
}

/** Doubles height and width by nearest-neighbour upsampling, before a 3x3 convolution or inside a residual block. */
export function upsampleBlock(net: Network, x: Tensor, index: number): Tensor {
  const { g, config } = net;
  if (upsamplesInBlock(config, index)) {
    return resnetBlock(net, "upsamplers.0", x, x.shape[3], { resample: upsample });
  }
  return g.scope("upsamplers.0", () =>
    g.segment(() => {
      const doubled = upsample(g, x);
      return conv(net, "conv", doubled, x.shape[3], { kernel: 3, stride: 1, padding: 1 });
    }));
}
