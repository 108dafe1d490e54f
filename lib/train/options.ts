/**
 * Options of training: the run's settings, and the options of its environment (data, directory, device, progress).
 *
 * @module
 */
import type { ImageDataset } from "../data/dataset.ts";
import { MAX_GUIDANCE } from "../diffusion/guidance.ts";
import { ConfigError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import type { Communicator } from "../mpi/communicator.ts";
import { DEFAULT_STEPS } from "../sampling/request.ts";
import { withSuggestion } from "../suggest.ts";
import { TUNE_HELP, TUNE_MODES, type TuningOptions } from "../tuning/tuning.ts";
import { LOG_SLOTS } from "./device/step_graph.ts";
import { type AdapterTraits, checkGiven, defaultsOf, pickGiven, type SettingTable } from "./setting.ts";
import { IMAGES_ON } from "./run_images.ts";
import { NETWORK_SETTINGS, type SettingsOptions, TRAINING_SETTINGS } from "./settings_table.ts";

/** Settings of a run's sample grids and evaluations. A resumed run keeps them unless given new ones. */
export interface GridSettings {
  /**
   * Epochs between grids, besides one at the end; 0 for no grids. Default null: every epoch, or as many as keep grids to
   * about 5 % of the time.
   */
  readonly sampleEvery?: number | null;
  /**
   * Images per class in a grid, 1 to 256. Default 4 on a software adapter, else 8. Of many classes, an evenly spaced subset
   * is drawn: enough for 80 images, and at least ten classes.
   */
  readonly samplesPerClass?: number;
  /** Steps for a grid's images, of the sampler that is the default, 1 to 1000, but at most as many as the schedule has. Default 15. */
  readonly sampleSteps?: number;
  /** Guidance scale for a grid's images, 0 to 100; ignored by unconditional networks. Default 2. */
  readonly guidance?: number;
  /**
   * Epochs between evaluations on validation images ({@linkcode EvaluationEvent}), besides one at the end; 0 (default) for
   * none.
   */
  readonly evaluateEvery?: number;
  /**
   * Samples drawn for each evaluation, 2 to 50,000, with their Fréchet distance and class consistency in the features of
   * `classifier`; 0 (default) for none. Steps and guidance are those of grids.
   */
  readonly evaluationSamples?: number;
}

/** Environment of a run. Of its options, only `tune` affects the results, and only their rounding. */
export interface RunEnvironment extends TuningOptions, GridSettings {
  /** Training data; a validation set is split off by seed, unless the data has one. */
  readonly data: ImageDataset;
  /** Run directory for checkpoints and `metrics.jsonl`; nothing is written if not given. */
  readonly out?: string;
  /**
   * Fine-tuning: directory of a model to start from, a run, a diffusers pipeline or a single network. The run has its network,
   * at the size of the data, and its weights, except for classes that it lacks; the optimizer starts anew. A preset, if given,
   * only chooses the defaults of other settings.
   */
  readonly init?: string;
  /** Directory of the classifier that samples are evaluated with. */
  readonly classifier?: string;
  /** Resume from the newest intact checkpoint in `out`, with its settings. */
  readonly resume?: boolean;
  /**
   * Where the images are: on the `device`, or on the `host` (in memory or a file), from where they are streamed batch by batch.
   * `auto` (default) streams those that take more than half of the device's memory budget, or 2 GiB without one. Results are the
   * same to the bit.
   */
  readonly imagesOn?: "auto" | "device" | "host";
  /**
   * Optimizer steps between {@linkcode StepEvent}s, at most 256; 0 (default) for about one event a second. The CPU waits for
   * the device about once a second in any case.
   */
  readonly logEvery?: number;
  /**
   * Stops the run, also during validation or sampling, within about a second or the current batch, whichever is longer: it
   * saves and ends with `interrupted: true`.
   */
  readonly signal?: AbortSignal;
  /**
   * Ranks that share this run, each a process with its own call of `train()` and its own device; the same options and data on
   * all. Rank 0 alone writes. The bits are those of a run without, whatever the number of ranks: they share out the
   * micro-batches of each optimizer step, so `accumulate` is at least their number.
   */
  readonly communicator?: Communicator;
  /** Device to use; by default one is opened, and closed at the end. */
  readonly gpu?: Gpu;
}

/** Options of {@linkcode train}: the run's settings and its environment. */
export interface TrainOptions extends SettingsOptions, RunEnvironment {}

/** Table of the settings of sample grids and evaluations; stored with the run. */
export const GRID_SETTINGS: SettingTable<GridSettings> = {
  sampleEvery: {
    kind: "whole",
    min: 0,
    max: 1_000_000,
    default: null,
    null: "1, or as many as keep grids to 5 % of the time",
    unit: "epochs",
    resumable: true,
    help: "epochs between sample grids, 0 for no grids",
  },
  samplesPerClass: {
    kind: "whole",
    min: 1,
    max: 256,
    default: { gpu: 8, software: 4 },
    unit: "images",
    resumable: true,
    help: "images per class in a grid; of many classes, 10 to 20 are shown",
  },
  sampleSteps: {
    kind: "whole",
    min: 1,
    max: 1000,
    default: DEFAULT_STEPS,
    unit: "steps",
    resumable: true,
    help: "sampling steps of a grid's images",
  },
  guidance: {
    kind: "number",
    min: 0,
    max: MAX_GUIDANCE,
    default: 2,
    resumable: true,
    help: "guidance scale for a grid's images",
  },
  evaluateEvery: {
    kind: "whole",
    min: 0,
    max: 1_000_000,
    default: 0,
    unit: "epochs",
    resumable: true,
    help: "epochs between evaluations of bits per dimension and denoising loss, 0 for none",
  },
  evaluationSamples: {
    kind: "whole",
    min: 0,
    max: 50_000,
    default: 0,
    unit: "images",
    resumable: true,
    help: "samples drawn for each evaluation, for their Fréchet distance and class consistency; 0 for none",
  },
};

/** Settings that are not stored with the run: progress, memory and kernels. */
export type ProcessSettings = Pick<RunEnvironment, "imagesOn" | "logEvery" | "tune">;

/** Table of the settings that are not stored with the run. */
export const PROCESS_SETTINGS: SettingTable<ProcessSettings> = {
  imagesOn: {
    kind: "choice",
    choices: IMAGES_ON,
    default: "auto",
    valueName: "WHERE",
    help:
      "where the images are: all in the device's memory, or on the host, read ahead and streamed batch by batch; auto streams what takes more than half of the memory budget, or 2 GiB without one; the same results",
  },
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
    help: `${TUNE_HELP}; kernels round differently, so a resumed run keeps the choices it was started with`,
  },
};

/** All options of training that JSON can hold, by name. */
export const ALL_SETTINGS: SettingTable<SettingsOptions & GridSettings & ProcessSettings> = {
  ...NETWORK_SETTINGS,
  ...TRAINING_SETTINGS,
  ...GRID_SETTINGS,
  ...PROCESS_SETTINGS,
};

/** The other options. */
const OTHERS: Readonly<Record<Exclude<keyof TrainOptions, keyof typeof ALL_SETTINGS>, true>> = {
  data: true,
  out: true,
  classifier: true,
  init: true,
  resume: true,
  signal: true,
  gpu: true,
  communicator: true,
  tuningDirectory: true,
};

/** The settings among a caller's options. */
export function settingsIn(options: TrainOptions): SettingsOptions {
  return pickGiven<SettingsOptions>({ ...NETWORK_SETTINGS, ...TRAINING_SETTINGS }, options);
}

/**
 * Fills in a run's grid settings.
 *
 * @param given stored settings of a resumed run, then the caller's; later ones take precedence
 */
export function resolveGrids(
  adapter: AdapterTraits,
  ...given: readonly GridSettings[]
): Required<GridSettings> {
  // The preset makes no difference to these defaults.
  const defaults = defaultsOf(GRID_SETTINGS, { preset: "small", adapter });
  return Object.assign({}, defaults, ...given.map((grids) => pickGiven(GRID_SETTINGS, grids)));
}

/**
 * Checks the options' names, and the options of the environment.
 * @throws {ConfigError} naming the first option that is unknown or out of range
 */
export function checkOptions(options: TrainOptions): void {
  checkNames(options);
  checkGrids(options);
  checkGiven<ProcessSettings>(PROCESS_SETTINGS, options);
  const { resume = false, out, init } = options;
  if (typeof resume !== "boolean") throw new ConfigError("resume", resume, "true or false");
  if (resume && out === undefined) {
    throw new ConfigError("resume", true, "a run directory in `out`, too");
  }
  if (resume && init !== undefined) {
    throw new ConfigError(
      "init",
      init,
      "no `resume` beside it: a resumed run continues from its own checkpoint",
    );
  }
}

/**
 * Checks grid settings.
 * @throws {ConfigError} naming the first option that is out of range
 */
export function checkGrids(grids: GridSettings): void {
  checkGiven(GRID_SETTINGS, grids);
}

/** Checks for unknown names: a misspelled option would silently get its default. */
function checkNames(options: TrainOptions): void {
  const known = Object.keys({ ...ALL_SETTINGS, ...OTHERS }).sort();
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || known.includes(name)) continue;
    const allowed = withSuggestion(`names among ${known.join(", ")}`, name, known);
    throw new ConfigError("options", name, allowed);
  }
}
