/** Networks with every kind of block. */
import { recordBackward } from "../../lib/graph/gradients.ts";
import { Graph } from "../../lib/graph/graph.ts";
import { type UNetConfig, unetConfig } from "../../lib/model/config.ts";
import { unet, unetInputs } from "../../lib/model/unet.ts";

const BLOCKS = {
  downBlockTypes: ["DownBlock2D", "AttnDownBlock2D"],
  upBlockTypes: ["AttnUpBlock2D", "UpBlock2D"],
  layersPerBlock: 1,
} as const;

/** Images of 4x4 pixels, two classes and dropout, with channels that need padding. */
export const PADDED_NETWORK: UNetConfig = unetConfig({
  ...BLOCKS,
  sampleSize: 4,
  blockOutChannels: [4, 6],
  attentionHeadDim: 3,
  normNumGroups: 2,
  numClassEmbeds: 3,
  dropout: 0.2,
});

/** The same with residual blocks that are scaled and shifted by the time embedding, and that change the resolution. */
export const MODULATED_NETWORK: UNetConfig = unetConfig({
  ...PADDED_NETWORK,
  downBlockTypes: ["ResnetDownsampleBlock2D", "AttnDownBlock2D"],
  upsampleType: "resnet",
  resnetTimeScaleShift: "scale_shift",
});

/** Classes of {@linkcode CLASS_NETWORK}. */
export const CLASSES = 5;

/** Height and width differ, so that swapping them shows; the attention is at the lower level. */
export const CLASS_NETWORK: UNetConfig = unetConfig({
  ...BLOCKS,
  sampleSize: [8, 4],
  blockOutChannels: [8, 16],
  attentionHeadDim: 8,
  normNumGroups: 4,
  numClassEmbeds: CLASSES + 1,
});

/** Records a network with dropout, and all gradients given that of its output. */
export function recordNetwork(config: UNetConfig, batch: number, recompute = false) {
  const g = new Graph();
  const inputs = unetInputs(g, config, batch, true);
  const output = unet(g, config, inputs);
  const forwardNodes = g.nodes.length;
  const seed = g.input("seed", output.shape);
  return { g, inputs, output, seed, forwardNodes, gradients: recordBackward(g, output, { seed, recompute }) };
}
