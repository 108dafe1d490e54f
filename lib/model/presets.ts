/**
 * Named networks, from the reference model down to what a laptop's processor can train.
 *
 * @module
 */
import { ConfigError } from "../errors.ts";
import { type UNetConfig, unetConfig, type UNetOptions } from "./config.ts";

/** Names of the presets. */
export type PresetName = "tiny" | "small" | "ddpm";

/** The presets' names, smallest first. */
export const PRESETS: readonly PresetName[] = ["tiny", "small", "ddpm"];

const SHAPES: Readonly<Record<PresetName, UNetOptions>> = {
  // For software adapters: 0.14 GFLOP forward an image.
  tiny: {
    sampleSize: 32,
    blockOutChannels: [16, 32, 32, 64],
    downBlockTypes: ["DownBlock2D", "DownBlock2D", "AttnDownBlock2D", "DownBlock2D"],
    upBlockTypes: ["UpBlock2D", "AttnUpBlock2D", "UpBlock2D", "UpBlock2D"],
    layersPerBlock: 1,
    normNumGroups: 8,
    attentionHeadDim: 16,
  },
  // The reference model's shape at half its width.
  small: {
    sampleSize: 32,
    blockOutChannels: [64, 128, 128, 128],
    downBlockTypes: ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"],
    upBlockTypes: ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
    attentionHeadDim: 32,
    dropout: 0.1,
  },
  // Ho et al. 2020, CIFAR-10: 35,746,307 parameters without classes.
  ddpm: {
    sampleSize: 32,
    blockOutChannels: [128, 256, 256, 256],
    downBlockTypes: ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"],
    upBlockTypes: ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
    dropout: 0.1,
  },
};

/**
 * The configuration of a preset.
 *
 * @param classes number of classes; the table gets one row more for the null class of classifier-free guidance.
 *   0 for an unconditional network
 * @throws {ConfigError} for an unknown name
 */
export function presetConfig(name: string, classes: number, overrides: Partial<UNetConfig> = {}): UNetConfig {
  if (!(PRESETS as readonly string[]).includes(name)) {
    throw new ConfigError("preset", name, `one of ${PRESETS.join(", ")}`);
  }
  const numClassEmbeds = classes > 0 ? classes + 1 : null;
  return unetConfig({ ...SHAPES[name as PresetName], numClassEmbeds, ...overrides });
}
