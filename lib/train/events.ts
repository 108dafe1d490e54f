/**
 * Events of a training run. Progress bars, log files and plots are listeners to them.
 *
 * @module
 */
import type { ImageFileSummary } from "../data/summary.ts";
import type { ModelFiles } from "../files/pipeline_files.ts";
import type { DenoisingLoss } from "../evaluation/likelihood_result.ts";
import type { Images } from "../image/images.ts";
import type { TrainSettings } from "./settings.ts";
import type { TuningProgress } from "../tuning/tuning.ts";

/** Progress of kernel autotuning before the start; the last one has `finished`. */
export interface TuningEvent extends TuningProgress {
  /** Tells this event from the others. */
  readonly type: "tuning";
}

/** First event: the run's images. */
export interface DataEvent {
  /** Tells this event from the others. */
  readonly type: "data";
  /** Name of the data set. */
  readonly name: string;
  /** Absolute path of the data, if it has one. */
  readonly source?: string;
  /** SHA-256 of the data, by which checkpoints identify it. */
  readonly digest: string;
  /** Images of the data set, of which the run may use a part. */
  readonly images: number;
  /** Height of each image in pixels. */
  readonly height: number;
  /** Width of each image in pixels. */
  readonly width: number;
  /** Values of a pixel: 3 for red, green and blue, 1 for grey. */
  readonly channels: 1 | 3;
  /** Images of the run to train on. */
  readonly trainImages: number;
  /** Images of the run for validation. */
  readonly validationImages: number;
  /** True if the data came with its validation images; else they were drawn by seed. */
  readonly ownSplit: boolean;
  /** Classes in the order of their labels, with their images in the run; empty for data without classes. */
  readonly classes: readonly ClassImages[];
  /** Image files that the data was made of. */
  readonly files?: ImageFileSummary;
}

/** Images of a class in a run. */
export interface ClassImages {
  /** Name of the class. */
  readonly name: string;
  /** Training images. */
  readonly train: number;
  /** Validation images. */
  readonly validation: number;
}

/** First event after tuning: settings, data, and the device. */
export interface StartEvent {
  /** Tells this event from the others. */
  readonly type: "start";
  /** Settings of the run, defaults filled in. */
  readonly settings: TrainSettings;
  /** Adapter name, e.g. `llvmpipe (LLVM 15.0.6, 256 bits)`. */
  readonly adapter: string;
  /** Number of trainable parameters. */
  readonly parameters: number;
  /** Training images. */
  readonly trainImages: number;
  /** Validation images. */
  readonly validationImages: number;
  /** Optimizer steps per epoch; images that do not fill a batch are dropped until the next shuffle. */
  readonly stepsPerEpoch: number;
  /** Optimizer steps in all. */
  readonly totalSteps: number;
  /** Optimizer steps done before this process, 0 unless resumed. */
  readonly resumedFrom: number;
  /** Floating-point operations of one optimizer step's matrix products and convolutions. */
  readonly flopsPerStep: number;
  /** Device memory in use, bytes. */
  readonly deviceBytes: number;
  /** Where the images are: all in device memory, or on the host, from where they are streamed batch by batch. */
  readonly imagesOn: "device" | "host";
  /** File that the host reads images from; absent if they are in its memory. */
  readonly imageFile?: string;
  /** Class names in the order of their labels. */
  readonly classes: readonly string[];
}

/** Progress: every `logEvery` steps, or about once a second, and at the end of each epoch. */
export interface StepEvent {
  /** Tells this event from the others. */
  readonly type: "step";
  /** Optimizer steps done. */
  readonly step: number;
  /** Current epoch, from 1. */
  readonly epoch: number;
  /** Mean loss over the steps since the last such event. */
  readonly loss: number;
  /** Global gradient norm of the last step, before clipping. */
  readonly gradientNorm: number;
  /** Learning rate of the last step, warm-up included. */
  readonly learningRate: number;
  /** Training speed since the last such event. */
  readonly imagesPerSecond: number;
  /** Loss scale of the last step, in mixed precision: factor on the loss before the backward pass. */
  readonly lossScale?: number;
  /** Steps skipped since the last such event because float16 overflowed, which lowers the loss scale. */
  readonly skippedSteps?: number;
  /** Estimated seconds left at the speed of the last half minute, including validation, saves, grids, evaluations. */
  readonly remainingSeconds: number;
}

/** Progress of validation. */
export interface ValidationEvent {
  /** Tells this event from the others. */
  readonly type: "validation";
  /** Validation images done. */
  readonly done: number;
  /** Total number of validation images. */
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
  /** Mean training loss over the epoch, with the weights of each step and dropout. */
  readonly trainLoss: number;
  /** Validation loss of the EMA weights, with fixed timesteps and noise; null without validation images. */
  readonly valLoss: number | null;
  /** Seconds of training and validation in this epoch, those before a resume included. */
  readonly seconds: number;
}

/** Grid of samples drawn with the EMA weights, one row per class, from the same seeds every time. */
export interface SamplesEvent {
  /** Tells this event from the others. */
  readonly type: "samples";
  /** Last finished epoch, from 1. */
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

/** Evaluation of the EMA weights on validation images, by the variational bound; from the same noise every time. */
export interface EvaluationEvent {
  /** Tells this event from the others. */
  readonly type: "evaluation";
  /** Last finished epoch, from 1. */
  readonly epoch: number;
  /** Optimizer steps done by then. */
  readonly step: number;
  /** Images evaluated. */
  readonly images: number;
  /** Variational bound on the negative log-likelihood, in bits per dimension. */
  readonly bitsPerDimension: number;
  /** Standard error of that; null for a single image. */
  readonly standardError: number | null;
  /** Denoising loss by timestep, least noise first. */
  readonly losses: readonly DenoisingLoss[];
  /** Measures of samples, with the setting `evaluationSamples`. */
  readonly samples?: SampleMeasures;
}

/** Measures of samples drawn with the EMA weights, in the features of a classifier. */
export interface SampleMeasures {
  /** Samples drawn, from the same seeds every time. */
  readonly count: number;
  /** Fréchet distance to up to 5,000 training images; large for few samples, so compare equal numbers only. */
  readonly frechetDistance: number;
  /** Share of samples that the classifier takes for their class; null where it does not know the classes. */
  readonly classConsistency: number | null;
}

/** Progress of an evaluation. */
export interface EvaluationProgressEvent {
  /** Tells this event from the others. */
  readonly type: "evaluating";
  /** Network evaluations done, counted per image. */
  readonly done: number;
  /** Network evaluations in all. */
  readonly total: number;
}

/** A checkpoint was saved. */
export interface CheckpointEvent {
  /** Tells this event from the others. */
  readonly type: "checkpoint";
  /** Optimizer steps done by then. */
  readonly step: number;
  /** Directory of the checkpoint. */
  readonly path: string;
  /** The model, of a run in memory ({@linkcode trainInMemory}), which has no directory. */
  readonly model?: ModelFiles;
  /** Directory of the best model, if it was replaced by this checkpoint's; see `keepBest`. */
  readonly best?: string;
}

/** A problem that does not stop training. */
export interface WarningEvent {
  /** Tells this event from the others. */
  readonly type: "warning";
  /** Human-readable message. */
  readonly message: string;
}

/** Something that the run does by itself, and that is as it should be. */
export interface NoteEvent {
  /** Tells this event from the others. */
  readonly type: "note";
  /** Human-readable message. */
  readonly message: string;
}

/** Last event. */
export interface EndEvent {
  /** Tells this event from the others. */
  readonly type: "end";
  /** Optimizer steps done. */
  readonly step: number;
  /** True if the caller's signal ended the run before its last step or validation; it can be resumed. */
  readonly interrupted: boolean;
  /** True if `patience` ended the run. */
  readonly stoppedEarly: boolean;
  /** Model with the lowest validation loss, if the run keeps it; see `keepBest`. */
  readonly best?: BestModel & {
    /** Its directory. */
    readonly path: string;
  };
  /** One entry per finished epoch, those before a resume included. */
  readonly history: readonly EpochRecord[];
  /** Seconds of training and validation, those before a resume included. */
  readonly seconds: number;
}

/** One point of the loss curves. */
export type EpochRecord = Omit<EpochEvent, "type">;

/** The model with the lowest validation loss so far. */
export interface BestModel extends Pick<EpochEvent, "epoch" | "step"> {
  /** Its validation loss. */
  readonly valLoss: number;
}

/** Any event of training. */
export type TrainEvent =
  | DataEvent
  | TuningEvent
  | StartEvent
  | StepEvent
  | ValidationEvent
  | EpochEvent
  | SamplesEvent
  | EvaluationEvent
  | EvaluationProgressEvent
  | CheckpointEvent
  | WarningEvent
  | NoteEvent
  | EndEvent;
