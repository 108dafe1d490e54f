/**
 * Presets: named network configurations, from a size that a laptop's CPU can train up to the model of the paper.
 *
 * @module
 */
import { ConfigError } from "../errors.ts";
import { type UNetConfig, unetConfig, type UNetOptions } from "./config.ts";

/** Name of a preset. */
export type PresetName = "tiny" | "small" | "ddpm";

/** Names of all presets, smallest first. */
export const PRESETS: readonly PresetName[] = ["tiny", "small", "ddpm"];

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
  // The CIFAR-10 model of Ho et al. 2020, appendix B: 35,746,307 parameters without classes.
  ddpm: {
    sampleSize: 32,
    blockOutChannels: [128, 256, 256, 256],
    downBlockTypes: ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"],
    upBlockTypes: ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
    dropout: 0.1,
  },
};

/**
 * Configuration of a preset.
 *
 * @param classes number of classes, or 0 for an unconditional network; the embedding table gets one more row for the null
 *   class of classifier-free guidance
 * @throws {ConfigError} for an unknown name
 */
export function presetConfig(name: string, classes: number, overrides: Partial<UNetConfig> = {}): UNetConfig {
  if (!(PRESETS as readonly string[]).includes(name)) {
    throw new ConfigError("preset", name, `one of ${PRESETS.join(", ")}`);
  }
  const numClassEmbeds = classes > 0 ? classes + 1 : null;
  return unetConfig({ ...SHAPES[name as PresetName], numClassEmbeds, ...overrides });
}
