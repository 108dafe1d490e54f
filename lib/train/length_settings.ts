/**
 * Settings of a run's length.
 *
 * @module
 */
import type { SettingTable } from "./setting.ts";

/** Settings that end a run. */
export interface LengthSettings {
  /** Passes over the training images; null if `steps` alone ends the run. */
  readonly epochs: number | null;
  /** Limit on optimizer steps, if reached before `epochs`; null for no limit. */
  readonly steps: number | null;
  /** Early stopping: epochs without a lower validation loss after which to stop; null to go on. */
  readonly patience: number | null;
}

/** Table of the settings that end a run. */
export const LENGTH_SETTINGS: SettingTable<Partial<LengthSettings>> = {
  epochs: {
    kind: "whole",
    min: 1,
    max: 1e6,
    default: { tiny: 5, small: 100, "small-64": 100, "small-128": 100, ddpm: 2000 },
    null: "as many as the steps take",
    unit: "epochs",
    clears: "steps",
    resumable: true,
    help: "passes over the training images",
  },
  steps: {
    kind: "whole",
    min: 1,
    max: 1e9,
    default: null,
    null: "as many as the epochs have",
    unit: "steps",
    clears: "epochs",
    conflicts: ["epochs"],
    resumable: true,
    help: "optimizer steps after which to stop",
  },
  patience: {
    kind: "whole",
    min: 1,
    max: 1e6,
    default: null,
    null: "no early stop",
    unit: "epochs",
    resumable: true,
    help: "early stopping: epochs without a lower validation loss after which to stop",
  },
};
