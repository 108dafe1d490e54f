/**
 * Settings of the optimizer: batch, learning rate, AdamW, and averages of the weights.
 *
 * @module
 */
import { SIGMA_RANGE } from "../model/ema_profiles.ts";
import { LR_SCHEDULES, type LrSchedule } from "./lr_schedule.ts";
import type { SettingTable } from "./setting.ts";

/** Settings of the optimizer. */
export interface OptimizerSettings {
  /** Images per micro-batch. */
  readonly batch: number;
  /** Micro-batches whose gradients are summed for one optimizer step. */
  readonly accumulate: number;
  /** AdamW's learning rate after warm-up. */
  readonly lr: number;
  /** Optimizer steps over which the learning rate rises linearly to `lr`. */
  readonly warmup: number;
  /**
   * Learning rate after warm-up: constant, or decayed linearly or by a half cosine to 0 at the run's end, or by the inverse
   * square root of the step. If `epochs` or `steps` change on resume, the rate of later steps is that of the new length.
   */
  readonly lrSchedule: LrSchedule;
  /** Decay of Adam's first moment, in [0, 1) (Kingma & Ba 2015, algorithm 1). */
  readonly beta1: number;
  /** Decay of Adam's second moment, in [0, 1). */
  readonly beta2: number;
  /** Added to the root of Adam's second moment, above 0. */
  readonly eps: number;
  /** Decoupled weight decay (Loshchilov & Hutter 2019), 0 or above. */
  readonly weightDecay: number;
  /** Gradient clipping: limit on the global gradient norm; 0 for no clipping. */
  readonly clip: number;
  /** Largest decay of the EMA of the weights; step t uses min(ema, (1 + t) / (10 + t)). */
  readonly ema: number;
  /**
   * Relative widths of further averages with power-function profiles (Karras et al. 2024, section 3), above 0.005 and below 0.288. Snapshots of
   * them are kept with the run, from which `exportModel` reconstructs averages of other widths; null for none.
   */
  readonly emaProfiles: readonly number[] | null;
}

/** Table of the optimizer's settings. Defaults of `ddpm` are those of Ho et al. 2020, appendix B. */
export const OPTIMIZER_SETTINGS: SettingTable<Partial<OptimizerSettings>> = {
  batch: {
    kind: "whole",
    min: 1,
    max: 65_535,
    default: { tiny: 32, small: 128, "small-64": 32, "small-128": 16, ddpm: 128 },
    unit: "images",
    help: "images per forward and backward pass",
  },
  accumulate: {
    kind: "whole",
    min: 1,
    max: 4096,
    default: 1,
    unit: "batches",
    help: "batches whose gradients are summed for one optimizer step",
  },
  lr: {
    kind: "number",
    min: 0,
    max: 1,
    aboveMin: true,
    default: { tiny: 1e-3, small: 2e-4, "small-64": 2e-4, "small-128": 2e-4, ddpm: 2e-4 },
    help: "AdamW's learning rate after warm-up",
  },
  warmup: {
    kind: "whole",
    min: 0,
    max: 1e9,
    default: { tiny: 100, small: 1000, "small-64": 1000, "small-128": 1000, ddpm: 5000 },
    unit: "steps",
    help: "optimizer steps over which the learning rate rises",
  },
  lrSchedule: {
    kind: "choice",
    choices: LR_SCHEDULES,
    default: "constant",
    valueName: "NAME",
    help: "learning rate after warm-up; linear and cosine decay to 0 at the run's end",
  },
  beta1: {
    kind: "number",
    min: 0,
    max: 1,
    belowMax: true,
    default: 0.9,
    help: "decay of Adam's first moment",
  },
  beta2: {
    kind: "number",
    min: 0,
    max: 1,
    belowMax: true,
    default: 0.999,
    help: "decay of Adam's second moment",
  },
  eps: {
    kind: "number",
    min: 0,
    max: 1,
    aboveMin: true,
    default: 1e-8,
    help: "added to the root of Adam's second moment",
  },
  weightDecay: {
    kind: "number",
    min: 0,
    max: 1,
    default: 0,
    help: "AdamW's decoupled weight decay",
  },
  clip: {
    kind: "number",
    min: 0,
    max: 1e9,
    default: 1,
    help: "gradient clipping: limit on the global norm, 0 for no clipping",
  },
  ema: {
    kind: "number",
    min: 0,
    max: 1,
    belowMax: true,
    default: { tiny: 0.999, small: 0.9999, "small-64": 0.9999, "small-128": 0.9999, ddpm: 0.9999 },
    help: "largest decay of the EMA of the weights",
  },
  emaProfiles: {
    kind: "numbers",
    ...SIGMA_RANGE,
    minLength: 1,
    maxLength: 8,
    inline: true,
    default: null,
    null: "none",
    valueName: "LIST",
    help:
      "relative widths of further averages, e.g. 0.05,0.10; their snapshots give averages of any width (export --ema-sigma)",
  },
};
