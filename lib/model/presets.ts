/**
 * Presets: named network configurations, from a size that a laptop's CPU can train up to the model of the paper.
 *
 * @module
 */
import { ConfigError } from "../errors.ts";
import { imageSize, type UNetConfig, unetConfig, type UNetOptions } from "./config.ts";

/** Name of a preset. */
export type PresetName = "tiny" | "small" | "small-64" | "small-128" | "ddpm";

/** Names of all presets, by their numbers of parameters. */
export const PRESETS: readonly PresetName[] = ["tiny", "small", "small-64", "small-128", "ddpm"];

/** Presets for images of CIFAR-10's size, which are measured and compared. */
export const CIFAR10_PRESETS: readonly PresetName[] = ["tiny", "small", "ddpm"];

const SHAPES: Readonly<Record<PresetName, UNetOptions>> = {
  // For software adapters: 0.14 GFLOP per image in the forward pass.
  tiny: {
    sampleSize: 32,
    blockOutChannels: [16, 32, 32, 64],
    downBlockTypes: ["DownBlock2D", "DownBlock2D", "AttnDownBlock2D", "DownBlock2D"],
    upBlockTypes: ["UpBlock2D", "AttnUpBlock2D", "UpBlock2D", "UpBlock2D"],
    layersPerBlock: 1,
    normNumGroups: 8,
    attentionHeadDim: 16,
  },
  // Half the width of the paper's CIFAR-10 model.
  small: {
    sampleSize: 32,
    blockOutChannels: [64, 128, 128, 128],
    downBlockTypes: ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"],
    upBlockTypes: ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
    attentionHeadDim: 32,
    dropout: 0.1,
  },
  // For 64 x 64, with attention at 16 x 16: 2.7 GiB of device memory to train at batch 32.
  "small-64": {
    sampleSize: 64,
    blockOutChannels: [64, 128, 128, 256],
    downBlockTypes: ["DownBlock2D", "DownBlock2D", "AttnDownBlock2D", "DownBlock2D"],
    upBlockTypes: ["UpBlock2D", "AttnUpBlock2D", "UpBlock2D", "UpBlock2D"],
    attentionHeadDim: 32,
    dropout: 0.1,
  },
  // For 128 x 128, with attention at 16 x 16 and 8 x 8: 2.9 GiB of device memory to train at batch 16.
  "small-128": {
    sampleSize: 128,
    blockOutChannels: [32, 64, 128, 192, 256],
    downBlockTypes: ["DownBlock2D", "DownBlock2D", "DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"],
    upBlockTypes: ["AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D", "UpBlock2D", "UpBlock2D"],
    attentionHeadDim: 32,
    dropout: 0.1,
  },
  // The CIFAR-10 model of Ho et al. 2020, appendix B: 35,746,307 parameters without classes.
  ddpm: {
    sampleSize: 32,
    blockOutChannels: [128, 256, 256, 256],
    downBlockTypes: ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"],
    upBlockTypes: ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
    dropout: 0.1,
  },
};

/** Largest images of the presets for a GPU, pixels in all: halfway, in the side, to those of the next. */
const LARGEST: readonly (readonly [PresetName, number])[] = [["small", 48 ** 2], ["small-64", 96 ** 2]];

/**
 * The preset that `auto` stands for.
 *
 * @param software true for a software adapter
 * @param size height and width of the images in pixels
 */
export function autoPreset(software: boolean, [height, width]: readonly [number, number]): PresetName {
  if (software) return "tiny";
  return LARGEST.find(([, pixels]) => height * width <= pixels)?.[0] ?? "small-128";
}

/** Fewest levels of a preset's network: it halves images twice at least. */
const MIN_LEVELS = 3;

/**
 * Configuration of a preset. Where the image size cannot be halved as often as the preset does, the network has fewer levels: three
 * for 28 x 28.
 *
 * @param classes number of classes, or 0 for an unconditional network; the embedding table gets one more row for the null
 *   class of classifier-free guidance
 * @throws {ConfigError} for an unknown name, or an image size that is not a multiple of 4
 */
export function presetConfig(name: string, classes: number, overrides: Partial<UNetConfig> = {}): UNetConfig {
  if (!(PRESETS as readonly string[]).includes(name)) {
    throw new ConfigError("preset", name, `one of ${PRESETS.join(", ")}`);
  }
  const shape = SHAPES[name as PresetName];
  const numClassEmbeds = classes > 0 ? classes + 1 : null;
  const { sampleSize = shape.sampleSize } = overrides;
  return unetConfig({ ...withLevels(shape, sampleSize), numClassEmbeds, ...overrides });
}

/** The shape with as many of its levels as the image size has halves. */
function withLevels(shape: UNetOptions, sampleSize: UNetConfig["sampleSize"]): UNetOptions {
  const [height, width] = imageSize({ sampleSize });
  const { blockOutChannels, downBlockTypes, upBlockTypes } = shape;
  const levels = blockOutChannels.length;
  const halved = (times: number) => height % 2 ** times === 0 && width % 2 ** times === 0;
  let fitting = levels;
  while (fitting > MIN_LEVELS && !halved(fitting - 1)) fitting--;
  if (!halved(fitting - 1)) {
    const unit = 2 ** (MIN_LEVELS - 1);
    const near = [height, width].map((side) => unit * Math.max(1, Math.round(side / unit))).join("x");
    const allowed = `multiples of ${unit}, such as ${near}: the network halves images ${
      MIN_LEVELS - 1
    } times or more`;
    throw new ConfigError("size", `${height}x${width}`, allowed);
  }
  return {
    ...shape,
    blockOutChannels: blockOutChannels.slice(0, fitting),
    downBlockTypes: downBlockTypes.slice(0, fitting),
    upBlockTypes: upBlockTypes.slice(levels - fitting),
  };
}
