/**
 * All that a report needs to know of a run.
 *
 * @module
 */
import type { UNetConfig } from "../model/config.ts";
import type { EpochRecord } from "../train/events.ts";
import type { GridSettings } from "../train/options.ts";
import type { RunDataset, RunMachine } from "../train/run_start.ts";
import type { TrainSettings } from "../train/settings.ts";
import type { RunLog } from "./run_log.ts";

/** A picture file. */
export interface PictureFile {
  readonly bytes: Uint8Array;
  readonly type: "image/png" | "image/gif";
}

/** Sample grid of an epoch. */
export interface SampleGridFile extends PictureFile {
  readonly epoch: number;
}

/** Pictures of a run by their file names without extension; each may be missing. */
export interface RunPictures {
  /** Contact sheet of the data. */
  readonly data?: PictureFile;
  readonly forward?: PictureFile;
  readonly reverse?: PictureFile;
  readonly animation?: PictureFile;
  /** Ascending by epoch; of many, early ones are left out. */
  readonly samples: readonly SampleGridFile[];
  /** Grids that were left out to limit the report's size. */
  readonly samplesLeftOut: number;
}

/** Commands to repeat a run, to continue it, and to draw from its model. */
export interface RunCommands {
  readonly repeat?: string;
  readonly resume?: string;
  readonly sample?: string;
}

/** A run as read from its directory. What earlier versions did not record is undefined. */
export interface RunRecord {
  /** Name, unique in a report. */
  readonly name: string;
  readonly directory: string;
  readonly log: RunLog;
  /** One entry per finished epoch. */
  readonly history: readonly EpochRecord[];
  readonly settings?: TrainSettings;
  readonly grids?: GridSettings;
  readonly model?: UNetConfig;
  /** Trainable parameters. */
  readonly parameters?: number;
  /** True if there is a checkpoint to resume from. */
  readonly resumable: boolean;
  readonly dataset?: Partial<RunDataset> & Pick<RunDataset, "name" | "digest">;
  readonly machine?: Partial<Omit<RunMachine, "adapter">> & {
    readonly adapter: Partial<RunMachine["adapter"]> & Pick<RunMachine["adapter"], "name">;
  };
  /** Class names; empty for an unconditional network. */
  readonly classes: readonly string[];
  /** Directory of the model that was fine-tuned, if any. */
  readonly init?: string;
  readonly pictures: RunPictures;
  readonly commands: RunCommands;
}

/** Last start line of a run. */
export function lastStart({ log }: Pick<RunRecord, "log">) {
  return log.starts.at(-1);
}

/** Optimizer steps done so far. */
export function stepsDone({ log, history }: Pick<RunRecord, "log" | "history">): number {
  return Math.max(log.steps.at(-1)?.step ?? 0, history.at(-1)?.step ?? 0, log.end?.step ?? 0);
}

/** Seconds of training and validation: the run's, or those of its finished epochs. */
export function secondsOf({ log, history }: Pick<RunRecord, "log" | "history">): number {
  return log.end?.seconds ?? history.reduce((sum, { seconds }) => sum + seconds, 0);
}

/** Optimizer steps per epoch; undefined before the first epoch of a run without start line. */
export function stepsPerEpoch(run: Pick<RunRecord, "log" | "history">): number | undefined {
  const [first] = run.history;
  return lastStart(run)?.stepsPerEpoch ?? (first && first.step / first.epoch);
}

/** Epoch with the lowest validation loss. */
export function bestEpoch(
  { history }: Pick<RunRecord, "history">,
): EpochRecord & { valLoss: number } | undefined {
  const validated = history.filter((epoch): epoch is EpochRecord & { valLoss: number } =>
    epoch.valLoss !== null
  );
  return validated.reduce<typeof validated[number] | undefined>(
    (best, epoch) => best === undefined || epoch.valLoss < best.valLoss ? epoch : best,
    undefined,
  );
}

/** Median speed in images per second; undefined without steps. The first step compiles kernels. */
export function medianSpeed({ log }: Pick<RunRecord, "log">): number | undefined {
  const speeds = log.steps.slice(1).map(({ imagesPerSecond }) => imagesPerSecond)
    .filter((speed) => Number.isFinite(speed)).sort((a, b) => a - b);
  return speeds[Math.floor(speeds.length / 2)];
}
