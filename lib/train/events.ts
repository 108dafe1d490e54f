/**
 * What training tells while it runs. A progress bar, a log file or a plot is a listener to these events.
 *
 * @module
 */
import type { Images } from "../image/images.ts";
import type { TrainSettings } from "./settings.ts";
import type { TuningProgress } from "../tuning/tuning.ts";

/** Trying kernels out before the start, where that is done; the last has `finished`. */
export interface TuningEvent extends TuningProgress {
  /** Tells this event from the others. */
  readonly type: "tuning";
}

/** First event after those of trying kernels out: what will run, on what. */
export interface StartEvent {
  /** Tells this event from the others. */
  readonly type: "start";
  /** What the run is made with, defaults filled in. */
  readonly settings: TrainSettings;
  /** Adapter name, e.g. `llvmpipe (LLVM 15.0.6, 256 bits)`. */
  readonly adapter: string;
  /** Trainable values of the network. */
  readonly parameters: number;
  /** Images trained on in an epoch. */
  readonly trainImages: number;
  /** Images that the validation loss is taken over. */
  readonly validationImages: number;
  /** Optimizer steps in an epoch; images that do not fill a batch are left to another epoch. */
  readonly stepsPerEpoch: number;
  /** Optimizer steps in all. */
  readonly totalSteps: number;
  /** Optimizer steps done before this process, 0 unless resumed. */
  readonly resumedFrom: number;
  /** Floating-point operations of the products of one optimizer step. */
  readonly flopsPerStep: number;
  /** Bytes of device memory in use. */
  readonly deviceBytes: number;
  /** Class names in the order of their labels. */
  readonly classes: readonly string[];
}

/** Progress: every `logEvery` steps or about once a second, and at an epoch's end. */
export interface StepEvent {
  /** Tells this event from the others. */
  readonly type: "step";
  /** Optimizer steps done. */
  readonly step: number;
  /** Epoch under way, from 1. */
  readonly epoch: number;
  /** Mean loss over the steps since the last such event. */
  readonly loss: number;
  /** Global gradient norm of the last step, before clipping. */
  readonly gradientNorm: number;
  /** Of this step, warm-up included. */
  readonly learningRate: number;
  /** Training speed lately. */
  readonly imagesPerSecond: number;
  /** In float16: what the loss of the last step was multiplied by before it was differentiated. */
  readonly lossScale?: number;
  /** In float16: steps since the last such event that overflowed and were left out, which lowers the loss scale. */
  readonly skippedSteps?: number;
  /** Seconds left at the speed of the last half minute, the validations, saves and grids to come included. */
  readonly remainingSeconds: number;
}

/** Validation under way, for a progress line. */
export interface ValidationEvent {
  /** Tells this event from the others. */
  readonly type: "validation";
  /** Validation images done. */
  readonly done: number;
  /** Validation images in all. */
  readonly total: number;
}

/** End of an epoch. */
export interface EpochEvent {
  /** Tells this event from the others. */
  readonly type: "epoch";
  /** From 1. */
  readonly epoch: number;
  /** Optimizer steps done by its end. */
  readonly step: number;
  /** Mean training loss over the epoch, of the weights as they changed, dropout on. */
  readonly trainLoss: number;
  /** Loss of the averaged weights on the validation images with fixed timesteps and noise; null without such images. */
  readonly valLoss: number | null;
  /** Seconds of training and validation in this epoch, those before a resume included. */
  readonly seconds: number;
}

/** Images drawn with the averaged weights, the same seeds after every epoch: one row per class. */
export interface SamplesEvent {
  /** Tells this event from the others. */
  readonly type: "samples";
  /** Epoch, from 1, that the images were drawn after. */
  readonly epoch: number;
  /** Optimizer steps done by then. */
  readonly step: number;
  /** The images, row by row. */
  readonly images: Images;
  /** Images in a row. */
  readonly columns: number;
  /** Class of each row. */
  readonly rowLabels: readonly string[];
}

/** A checkpoint is on the disk. */
export interface CheckpointEvent {
  /** Tells this event from the others. */
  readonly type: "checkpoint";
  /** Optimizer steps done by then. */
  readonly step: number;
  /** Directory of the checkpoint. */
  readonly path: string;
}

/** Something that does not stop training. */
export interface WarningEvent {
  /** Tells this event from the others. */
  readonly type: "warning";
  /** A sentence for a person. */
  readonly message: string;
}

/** Last event. */
export interface EndEvent {
  /** Tells this event from the others. */
  readonly type: "end";
  /** Optimizer steps done. */
  readonly step: number;
  /** True where the caller's signal ended the run before its last step, or that epoch's validation; it can be resumed. */
  readonly interrupted: boolean;
  /** One entry per finished epoch, those before a resume included. */
  readonly history: readonly EpochRecord[];
  /** Seconds of training and validation, those before a resume included. */
  readonly seconds: number;
}

/** One point of the loss curves. */
export type EpochRecord = Omit<EpochEvent, "type">;

/** Any event of training. */
export type TrainEvent =
  | TuningEvent
  | StartEvent
  | StepEvent
  | ValidationEvent
  | EpochEvent
  | SamplesEvent
  | CheckpointEvent
  | WarningEvent
  | EndEvent;
