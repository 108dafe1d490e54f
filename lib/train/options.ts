/**
 * What a caller of training may give.
 *
 * @module
 */
import { checkWhole } from "../checks.ts";
import type { ImageDataset } from "../data/dataset.ts";
import { checkGuidance } from "../diffusion/guidance.ts";
import { ConfigError } from "../errors.ts";
import type { Gpu } from "../gpu/device.ts";
import { checkBoolean, SETTINGS, type SettingsOptions } from "./settings.ts";
import { LOG_SLOTS } from "./device/step.ts";
import { checkTune, type TuningOptions } from "../tuning/tuning.ts";

/** What surrounds a run; of it, only `tune` can change what is computed, and that only in how it is rounded. */
export interface Surroundings extends TuningOptions {
  /** What to learn from; a validation part is split off by seed. */
  readonly data: ImageDataset;
  /** Run directory for checkpoints and `metrics.jsonl`; without it nothing is written. */
  readonly out?: string;
  /** Goes on from the newest whole checkpoint in `out`; settings then come from there. */
  readonly resume?: boolean;
  /**
   * Epochs between grids of samples, and one at the end; 0 for none. Default 1. A resumed run keeps this and the next
   * three where they are not given anew.
   */
  readonly sampleEvery?: number;
  /** Images per class in such a grid, 1 to 256. Default 4 on a software adapter, else 8. */
  readonly samplesPerClass?: number;
  /** DDIM steps of such images, 1 to 1000. Default 20 on a software adapter, else 50. */
  readonly sampleSteps?: number;
  /** Guidance scale of such images, 0 or more; without meaning where there are no classes. Default 2. */
  readonly guidance?: number;
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

/** What a run's grids of samples are like, as far as the caller said; a resumed run keeps what it was told before. */
export type GridSettings = Pick<Surroundings, "sampleEvery" | "samplesPerClass" | "sampleSteps" | "guidance">;

/** Options of {@linkcode train}: the run's settings, and what surrounds them. */
export interface TrainOptions extends SettingsOptions, Surroundings {}

/** Names of what surrounds a run. */
const SURROUNDINGS: Readonly<Record<keyof Surroundings, true>> = {
  data: true,
  out: true,
  resume: true,
  sampleEvery: true,
  samplesPerClass: true,
  sampleSteps: true,
  guidance: true,
  logEvery: true,
  signal: true,
  gpu: true,
  tune: true,
  tuningDirectory: true,
};

/** The settings among a caller's options. */
export function settingsIn(options: TrainOptions): SettingsOptions {
  return Object.fromEntries(Object.entries(options).filter(([name]) => !Object.hasOwn(SURROUNDINGS, name)));
}

/** What the caller's options say of grids. */
export function gridsIn({ sampleEvery, samplesPerClass, sampleSteps, guidance }: GridSettings): GridSettings {
  const grids = { sampleEvery, samplesPerClass, sampleSteps, guidance };
  return Object.fromEntries(Object.entries(grids).filter(([, value]) => value !== undefined));
}

/**
 * Checks the options' names, and what surrounds the settings.
 * @throws {ConfigError} naming the first option that there is not, or that is out of range
 */
export function checkOptions(options: TrainOptions): void {
  checkNames(options);
  const { logEvery = 0, resume = false, tune = "auto" } = options;
  checkGrids(options);
  checkWhole("logEvery", logEvery, 0, LOG_SLOTS);
  checkBoolean("resume", resume);
  checkTune(tune);
  if (resume && options.out === undefined) {
    throw new ConfigError("resume", true, "a run directory in `out`, too");
  }
}

/**
 * Checks what is said of grids.
 * @throws {ConfigError} naming the first option that is out of range
 */
export function checkGrids(grids: GridSettings): void {
  const { sampleEvery = 1, samplesPerClass = 1, sampleSteps = 1, guidance = 1 } = grids;
  checkWhole("sampleEvery", sampleEvery, 0, 1_000_000);
  checkWhole("samplesPerClass", samplesPerClass, 1, 256);
  checkWhole("sampleSteps", sampleSteps, 1, 1000);
  checkGuidance(guidance);
}

/** A name that is spelled wrong would be a default that nobody asked for. */
function checkNames(options: TrainOptions): void {
  const known = [...SETTINGS, ...Object.keys(SURROUNDINGS)];
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || known.includes(name)) continue;
    throw new ConfigError("options", name, `names among ${known.sort().join(", ")}`);
  }
}
