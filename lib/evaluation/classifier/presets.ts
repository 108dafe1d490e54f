/**
 * Presets of the classifier: networks with the settings that suit them.
 *
 * @module
 */
import type { ClassifierConfig } from "./config.ts";
import type { ClassifierSettings } from "./training.ts";

/** Name of a classifier preset. */
export type ClassifierPresetName = "small" | "base";

/** A network with the settings that suit it. */
export interface ClassifierPreset {
  readonly network: Pick<ClassifierConfig, "groups" | "stages">;
  readonly settings: ClassifierSettings;
}

/** Settings that suit every network. */
export const CLASSIFIER_DEFAULTS = {
  batch: 64,
  weightDecay: 0.05,
  smoothing: 0.1,
  shift: 2,
  seed: 0,
} as const satisfies Partial<ClassifierSettings>;

/** All presets: `small` for software adapters, 36 MFLOP per image in the forward pass; `base` for GPUs, 1.1 GFLOP. */
export const CLASSIFIER_PRESETS: Readonly<Record<ClassifierPresetName, ClassifierPreset>> = {
  small: {
    network: {
      groups: 8,
      stages: [
        { channels: 16, blocks: 0 },
        { channels: 32, blocks: 1 },
        { channels: 64, blocks: 1 },
        { channels: 128, blocks: 1 },
      ],
    },
    settings: { ...CLASSIFIER_DEFAULTS, epochs: 7, learningRate: 3e-3 },
  },
  base: {
    network: {
      groups: 16,
      stages: [
        { channels: 64, blocks: 1 },
        { channels: 128, blocks: 2 },
        { channels: 256, blocks: 2 },
        { channels: 512, blocks: 1 },
      ],
    },
    settings: { ...CLASSIFIER_DEFAULTS, epochs: 40, learningRate: 2e-3 },
  },
};
