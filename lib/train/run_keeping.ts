/**
 * Keeping of a run beside its device: its log, its checkpoints and its evaluation. A directory keeps all of them
 * (directory_keeping.ts); in memory there is the model alone (memory_keeping.ts).
 *
 * @module
 */
import type { KernelTarget } from "../../kernels/target.ts";
import type { Gpu } from "../gpu/device.ts";
import type { Tuning } from "../tuning/tuning.ts";
import type { TrainingStep } from "./device/step.ts";
import type {
  CheckpointEvent,
  EndEvent,
  EvaluationEvent,
  EvaluationProgressEvent,
  StartEvent,
  WarningEvent,
} from "./events.ts";
import type { TrainOptions } from "./options.ts";
import type { RunStartParts } from "./run_start.ts";
import type { RunPlan } from "./run_plan.ts";
import type { SampleGrid } from "./sample_grid.ts";

/** Log of a run. */
export interface KeptLog {
  /** Step of the last sample grid in it when it was opened. */
  readonly lastSamples: number | undefined;
  /** Step of the last evaluation, likewise. */
  readonly lastEvaluation: number | undefined;
  /** Appends the start of the run, or of its continuation. */
  appendStart(event: StartEvent, parts: RunStartParts): Promise<void>;
  /** Appends a line. */
  append(entry: object): Promise<void>;
}

/** Checkpoints of a run as it goes. */
export interface RunSaves {
  /** Where they are, in words or as a path. */
  readonly directory: string;
  /** True if the newest one is of the run's present state. */
  readonly current: boolean;
  /** The best model, if the run has one. */
  readonly best: EndEvent["best"];
  /** Writes a snapshot of the averages with power-function profiles, if one is due. */
  saveSnapshot(): Promise<void>;
  /**
   * Saves the run's present state.
   * @throws {CheckpointError} if it cannot be written
   */
  save(): Promise<CheckpointEvent>;
}

/** Evaluation of a run as it goes. */
export interface RunEvaluator {
  /** Network evaluations, counted per image. */
  readonly evaluations: number;
  /** True if the last finished epoch should have an evaluation and has none. */
  readonly due: boolean;
  /** Continues after an evaluation at an optimizer step, if any. */
  resumeFrom(step: number | undefined): void;
  /** Evaluates the weights; yields progress, and returns undefined if the caller's signal came first. */
  evaluate(): AsyncGenerator<EvaluationProgressEvent, EvaluationEvent | WarningEvent | undefined>;
  /** Frees its device memory. */
  destroy(): void;
}

/** Parts of a run that a checkpoint is made from. */
export interface SavedParts {
  readonly gpu: Gpu;
  readonly options: Pick<TrainOptions, "data" | "out">;
  readonly plan: RunPlan;
  readonly step: TrainingStep;
  readonly staging: GPUBuffer;
  /** Warnings not yet passed to the caller. */
  readonly warnings: string[];
}

/** Keeps a run. */
export interface RunKeeping {
  /** Allocates what a run's evaluations need on the device; see {@linkcode RunEvaluation.build}. */
  buildEvaluation(
    gpu: Gpu,
    plan: RunPlan,
    weights: GPUBuffer,
    options: TrainOptions,
    grid: SampleGrid | undefined,
    target: KernelTarget,
  ): Promise<RunEvaluator>;
  /** Stores the kernel choices of a run. */
  saveTuning(gpu: Gpu, options: TrainOptions, tuning: Tuning): Promise<void>;
  /** Opens the log; undefined if the run has none. */
  openLog(options: TrainOptions, plan: RunPlan, warnings: string[]): Promise<KeptLog | undefined>;
  /**
   * Prepares to save a run; undefined if it is not saved.
   * @param from directory of the checkpoint that the run was resumed from, if any
   */
  openSaves(parts: SavedParts, from: string | undefined): Promise<RunSaves | undefined>;
}
