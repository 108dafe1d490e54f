/**
 * Settings of what a run keeps on disk.
 *
 * @module
 */
import type { SettingTable } from "./setting.ts";

/** Settings of what a run keeps on disk. */
export interface CheckpointSettings {
  /** Checkpoints to keep, newest first, 1 or more. */
  readonly keep: number;
  /** Keep the model with the lowest validation loss in `best/` of the run directory. */
  readonly keepBest: boolean;
  /** Epochs between snapshots of the averages in `emaProfiles`, besides one at the end; null for about 16 in the run. */
  readonly snapshotEvery: number | null;
}

/** Snapshots of a run's averages, unless `snapshotEvery` says otherwise: the errors of profiles between two are below 1 %. */
export const DEFAULT_SNAPSHOTS = 16;

/** Table of the settings of what a run keeps. */
export const CHECKPOINT_SETTINGS: SettingTable<Partial<CheckpointSettings>> = {
  keep: {
    kind: "whole",
    min: 1,
    max: 1e6,
    default: 2,
    unit: "checkpoints",
    resumable: true,
    help: "checkpoints to keep, the newest ones",
  },
  keepBest: {
    kind: "boolean",
    default: false,
    resumable: true,
    help: "keep the model with the lowest validation loss, in best/ of the run directory",
  },
  snapshotEvery: {
    kind: "whole",
    min: 1,
    max: 1e6,
    default: null,
    null: `as many as make about ${DEFAULT_SNAPSHOTS} snapshots in the run`,
    unit: "epochs",
    resumable: true,
    help: "epochs between snapshots of the averages in --ema-profiles",
  },
};
