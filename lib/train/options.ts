/**
 * Options of training: the run's settings, and what surrounds them.
 *
 * @module
 */
import type { ImageDataset } from "../data/dataset.ts";
import { ConfigError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import { withSuggestion } from "../suggest.ts";
import { TUNE_HELP, TUNE_MODES, type TuningOptions } from "../tuning/tuning.ts";
import { LOG_SLOTS } from "./device/step_graph.ts";
import { checkGiven, defaultsOf, pickGiven, type SettingTable } from "./setting.ts";
import { NETWORK_SETTINGS, type SettingsOptions, TRAINING_SETTINGS } from "./settings_table.ts";

/** A run's grids of samples. A resumed run keeps these where they are not given anew. */
export interface GridSettings {
  /**
   * Epochs between grids of samples, and one at the end; 0 for none. Default null: after every epoch, or as many as keep
   * grids to about 5 % of the time.
   */
  readonly sampleEvery?: number | null;
  /**
   * Images per class in a grid, 1 to 256. Default 4 on a software adapter, else 8. Of many classes, some are drawn, evenly
   * spread: as many as make 80 images, and at least ten.
   */
  readonly samplesPerClass?: number;
  /** DDIM steps of a grid's images, 1 to 1000. Default 20 on a software adapter, else 50. */
  readonly sampleSteps?: number;
  /** Guidance scale of a grid's images, 0 or more; without meaning where there are no classes. Default 2. */
  readonly guidance?: number;
}

/** What surrounds a run; of it, only `tune` can change what is computed, and that only in how it is rounded. */
export interface Surroundings extends TuningOptions, GridSettings {
  /** What to learn from; a validation part is split off by seed. */
  readonly data: ImageDataset;
  /** Run directory for checkpoints and `metrics.jsonl`; without it nothing is written. */
  readonly out?: string;
  /** Goes on from the newest whole checkpoint in `out`; settings then come from there. */
  readonly resume?: boolean;
  /**
   * Optimizer steps between {@linkcode StepEvent}s, at most 256; 0 (default) chooses about one a second. The CPU waits
   * for the device about once a second in any case.
   */
  readonly logEvery?: number;
  /**
   * Ends the run, also in validation or while samples are drawn, after about a second or the batch under way, whichever
   * is longer: it saves and finishes with `interrupted: true`.
   */
  readonly signal?: AbortSignal;
  /** A device to use; one is opened, and closed at the end, if this is not given. */
  readonly gpu?: Gpu;
}

/** Options of {@linkcode train}: the run's settings, and what surrounds them. */
export interface TrainOptions extends SettingsOptions, Surroundings {}

/** The grids of samples; stored with the run. */
export const GRID_SETTINGS: SettingTable<GridSettings> = {
  sampleEvery: {
    kind: "whole",
    min: 0,
    max: 1_000_000,
    default: null,
    null: "1, or more where grids would take over 5 % of the time",
    unit: "epochs",
    resumable: true,
    help: "epochs between grids of samples, 0 for none",
  },
  samplesPerClass: {
    kind: "whole",
    min: 1,
    max: 256,
    default: { gpu: 8, software: 4 },
    unit: "images",
    resumable: true,
    help: "images per class in a grid, which shows ten to 20 classes of many",
  },
  sampleSteps: {
    kind: "whole",
    min: 1,
    max: 1000,
    default: { gpu: 50, software: 20 },
    unit: "steps",
    resumable: true,
    help: "DDIM steps of a grid's images",
  },
  guidance: {
    kind: "number",
    min: 0,
    max: Infinity,
    default: 2,
    resumable: true,
    help: "guidance scale of a grid's images",
  },
};

/** Settings of one process, which are stored nowhere: progress and kernels. */
export type ProcessSettings = Pick<Surroundings, "logEvery" | "tune">;

/** Progress and kernels. */
export const PROCESS_SETTINGS: SettingTable<ProcessSettings> = {
  logEvery: {
    kind: "whole",
    min: 0,
    max: LOG_SLOTS,
    default: 0,
    unit: "steps",
    help: "optimizer steps between progress reports, 0 for about one a second",
  },
  tune: {
    kind: "choice",
    choices: TUNE_MODES,
    default: "auto",
    valueName: "WHEN",
    help:
      `${TUNE_HELP}; the choices differ in how they round, so a run that is resumed keeps those it was started with`,
  },
};

/** All options of training that are settings, by name. */
export const ALL_SETTINGS: SettingTable<SettingsOptions & GridSettings & ProcessSettings> = {
  ...NETWORK_SETTINGS,
  ...TRAINING_SETTINGS,
  ...GRID_SETTINGS,
  ...PROCESS_SETTINGS,
};

/** The options that are no settings. */
const OTHERS: Readonly<Record<Exclude<keyof TrainOptions, keyof typeof ALL_SETTINGS>, true>> = {
  data: true,
  out: true,
  resume: true,
  signal: true,
  gpu: true,
  tuningDirectory: true,
};

/** The settings among a caller's options. */
export function settingsIn(options: TrainOptions): SettingsOptions {
  return pickGiven<SettingsOptions>({ ...NETWORK_SETTINGS, ...TRAINING_SETTINGS }, options);
}

/**
 * A run's grids, complete.
 *
 * @param software whether a CPU executes the shaders
 * @param stored what the run that is resumed was told, and what the caller says, which goes before it
 */
export function resolveGrids(software: boolean, ...given: readonly GridSettings[]): Required<GridSettings> {
  // They do not depend on the preset.
  const defaults = defaultsOf(GRID_SETTINGS, { preset: "small", software });
  return Object.assign({}, defaults, ...given.map((grids) => pickGiven(GRID_SETTINGS, grids)));
}

/**
 * Checks the options' names, and what surrounds the settings.
 * @throws {ConfigError} naming the first option that there is not, or that is out of range
 */
export function checkOptions(options: TrainOptions): void {
  checkNames(options);
  checkGrids(options);
  checkGiven<ProcessSettings>(PROCESS_SETTINGS, options);
  const { resume = false, out } = options;
  if (typeof resume !== "boolean") throw new ConfigError("resume", resume, "true or false");
  if (resume && out === undefined) throw new ConfigError("resume", true, "a run directory in `out`, too");
}

/**
 * Checks what is said of grids.
 * @throws {ConfigError} naming the first option that is out of range
 */
export function checkGrids(grids: GridSettings): void {
  checkGiven(GRID_SETTINGS, grids);
}

/** A name that is spelled wrong would be a default that nobody asked for. */
function checkNames(options: TrainOptions): void {
  const known = Object.keys({ ...ALL_SETTINGS, ...OTHERS }).sort();
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || known.includes(name)) continue;
    const allowed = withSuggestion(`names among ${known.join(", ")}`, name, known);
    throw new ConfigError("options", name, allowed);
  }
}
