/**
 * All settings of a training run. To add one, add a member to an interface and an entry to the table below it, here or in
 * `length_settings.ts`, `objective_settings.ts`, `optimizer_settings.ts` and `checkpoint_settings.ts`.
 *
 * Types, defaults, checks, the rule for resumed runs, flags with their help, and the JSON Schema are derived from the two.
 * The interfaces are written out because JSR and editors show declarations as written: a type derived from the table would
 * be published without its members (and rejected as a slow type). `SettingTable` keeps them in step: a member without an
 * entry, an entry without a member, or a mismatched type does not compile.
 *
 * @module
 */
import type { UNetConfig } from "../model/config.ts";
import {
  defaultPrecision,
  type Precision,
  PRECISION_DEFAULT,
  PRECISION_HELP,
  PRECISIONS,
  REMOVED_PRECISIONS,
} from "../model/precision.ts";
import { CHECKPOINT_SETTINGS, type CheckpointSettings } from "./checkpoint_settings.ts";
import { LENGTH_SETTINGS, type LengthSettings } from "./length_settings.ts";
import { OPTIMIZER_SETTINGS, type OptimizerSettings } from "./optimizer_settings.ts";
import { presetConfig, type PresetName, PRESETS } from "../model/presets.ts";
import { OBJECTIVE_SETTINGS, type ObjectiveSettings } from "./objective_settings.ts";
import { describeRecipe, type RecipeName, RECIPES } from "./recipes.ts";
import { forEachPreset, type SettingTable } from "./setting.ts";

/** Settings that determine a run's results; stored in its checkpoints. */
export interface TrainSettings
  extends LengthSettings, ObjectiveSettings, OptimizerSettings, CheckpointSettings {
  /** Network preset. */
  readonly preset: PresetName | "custom";
  /** Network, configured like diffusers' `UNet2DModel`. */
  readonly model: UNetConfig;
  /** Recipe whose settings replaced the preset's defaults where no others were given. */
  readonly recipe: RecipeName;
  /** Training images to use, chosen by seed, classes in proportion; null for all. Validation shrinks in proportion. */
  readonly limit: number | null;
  /** Flip training images horizontally with probability 1/2. */
  readonly flip: boolean;
  /**
   * Probability of each transformation of non-leaky augmentation (Karras et al. 2022, appendix F.2): flip top to bottom, scaling,
   * rotation, stretching, translation; 0 for none. The network is conditioned on them, so that its samples show none. Validation images are not augmented.
   */
  readonly augment: number;
  /** Probability of training a sample without its class, for classifier-free guidance. */
  readonly labelDropout: number;
  /** Random seed of the split, initial weights, data order, timesteps, noise and dropout masks. */
  readonly seed: number;
  /** Action when loss or gradients are not finite: stop the run, or skip the step. */
  readonly onNonFinite: "stop" | "skip";
  /**
   * Arithmetic: `mixed` keeps activations in float16 and runs products on matrix units, with float32 master weights and a
   * dynamic loss scale (Micikevicius et al. 2018). Default: `mixed` if the adapter has matrix units, else `float32`.
   */
  readonly precision: Precision;
  /**
   * Activation checkpointing: recompute most activations in the backward pass (Chen et al. 2016). Less memory, about 10 %
   * more time, bit-identical results.
   */
  readonly checkpointActivations: boolean;
}

/** Settings given by a caller; all have defaults. */
export interface SettingsOptions extends Partial<Omit<TrainSettings, "preset" | "model">> {
  /** `auto` takes `tiny` on a software adapter; on a GPU, `small`, or `small-64` or `small-128` for larger images. */
  readonly preset?: PresetName | "auto";
  /** Custom network instead of a preset. `numClassEmbeds` and `dropout` follow the other settings. */
  readonly model?: UNetConfig;
  /** False for an unconditional network, trained without classes. */
  readonly conditional?: boolean;
  /** Dropout rate in the residual blocks; default the preset's. */
  readonly dropout?: number;
}

/** Options that choose the network; stored as `preset` and `model`. */
export type NetworkOptions = Pick<SettingsOptions, "preset" | "model" | "conditional" | "dropout">;

/** The other options, stored as they are. */
export type TrainingOptions = Omit<SettingsOptions, keyof NetworkOptions>;

/** Limit on training images for preset `auto` on a software adapter, so that a first run ends in minutes. */
export const AUTO_SOFTWARE_LIMIT = 5000;

/** Table of the network's settings. */
export const NETWORK_SETTINGS: SettingTable<NetworkOptions> = {
  preset: {
    kind: "choice",
    choices: ["auto", ...PRESETS],
    default: "auto",
    valueName: "NAME",
    conflicts: ["model"],
    help:
      `network preset; auto is small, small-64 or small-128 on a GPU, by the size of the images, and tiny with ${AUTO_SOFTWARE_LIMIT} images on a software adapter`,
  },
  model: {
    kind: "object",
    default: undefined,
    defaultText: "the preset's",
    flag: "--config",
    valueName: "FILE",
    help: "a custom network: config.json of a diffusers UNet2DModel",
  },
  conditional: {
    kind: "boolean",
    default: true,
    flag: "--unconditional",
    help: "train a class-conditional network",
    off: "train an unconditional network, without classes",
  },
  dropout: {
    kind: "number",
    min: 0,
    max: 1,
    belowMax: true,
    default: forEachPreset((name) => presetConfig(name, 0).dropout),
    help: "dropout rate in the residual blocks",
  },
};

/** Table of the settings of data, objective, length, optimizer and arithmetic. Defaults of `ddpm` are those of Ho et al. 2020, appendix B. */
export const TRAINING_SETTINGS: SettingTable<TrainingOptions> = {
  recipe: {
    kind: "choice",
    choices: RECIPES,
    default: "none",
    valueName: "NAME",
    help:
      "settings that the project recommends, in place of the preset's defaults; other flags replace them. best, which was compared " +
      "for preset tiny only: " +
      describeRecipe("best"),
  },
  ...OBJECTIVE_SETTINGS,
  limit: {
    kind: "whole",
    min: 1,
    max: 1e9,
    default: null,
    null: "all",
    defaultText: `all; ${AUTO_SOFTWARE_LIMIT} for auto on a software adapter`,
    unit: "images",
    help: "training images to use; validation shrinks in proportion",
  },
  flip: {
    kind: "boolean",
    default: true,
    help: "flip training images horizontally with probability 1/2",
    off: "never flip training images; by default each is flipped horizontally with probability 1/2",
  },
  augment: {
    kind: "number",
    min: 0,
    max: 1,
    default: 0,
    help:
      "probability of each transformation of EDM's non-leaky augmentation (0.12 in the paper for CIFAR-10): flip, scale, rotate, stretch, translate; the network is conditioned on it, so that samples show none",
  },
  labelDropout: {
    kind: "number",
    min: 0,
    max: 1,
    default: 0.1,
    help: "probability of training a sample without its class, for classifier-free guidance",
  },
  seed: {
    kind: "whole",
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    default: 0,
    help: "random seed of the split, initial weights, data order and noise",
  },
  ...LENGTH_SETTINGS,
  ...OPTIMIZER_SETTINGS,
  ...CHECKPOINT_SETTINGS,
  onNonFinite: {
    kind: "choice",
    choices: ["stop", "skip"],
    default: "stop",
    valueName: "WHAT",
    resumable: true,
    help: "when loss or gradients are NaN or Inf: stop, or skip that step",
  },
  precision: {
    kind: "choice",
    choices: PRECISIONS,
    removed: REMOVED_PRECISIONS,
    default: defaultPrecision,
    defaultText: PRECISION_DEFAULT,
    before: "float32",
    valueName: "TYPE",
    resumable: true,
    help: PRECISION_HELP,
  },
  checkpointActivations: {
    kind: "boolean",
    default: false,
    resumable: true,
    help:
      "recompute activations in the backward pass: less memory, about 10 % more time, bit-identical results",
  },
};
