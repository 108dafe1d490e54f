/**
 * All that is decided about a run before anything is on the device, and what follows from it for every step.
 *
 * @module
 */
import { type StepState, STREAM } from "../../kernels/records/step_state.ts";
import { type ImageDataset, takeSubset, trainingSplit } from "../data/dataset.ts";
import { ConfigError } from "../errors.ts";
import { imageSize } from "../model/config.ts";
import { splitSeed } from "../random.ts";
import type { LoadedCheckpoint } from "../files/checkpoint.ts";
import { type GridSettings, resolveGrids, settingsIn, type TrainOptions } from "./options.ts";
import { resolveSettings, resumeSettings, type TrainSettings } from "./settings.ts";
import { type Progress, readTrainer } from "./state.ts";
import { LOG_SLOTS } from "./device/step_graph.ts";

/** A run's settings, its images, and where it starts. */
export interface RunPlan {
  readonly settings: TrainSettings;
  readonly grids: Required<GridSettings>;
  /** Optimizer steps done at the checkpoint it goes on from, if it is resumed. */
  readonly savedStep: number | undefined;
  /** Changes as the run goes on. */
  readonly progress: Progress;
  /** Indices into the data set: the training images, then those of validation. */
  readonly images: Uint32Array;
  readonly trainImages: number;
  readonly validationImages: number;
  /** Optimizer steps in an epoch; images that do not fill a batch are left to another epoch. */
  readonly stepsPerEpoch: number;
  /** Optimizer steps in all. */
  readonly totalSteps: number;
}

/**
 * Decides what will run.
 *
 * @param software whether a CPU executes the shaders
 * @param checkpoint what to go on from, if anything
 * @throws {ConfigError} for a setting that is out of range, does not fit the data, or differs from the checkpoint's
 * @throws {CheckpointError} for a checkpoint of an unknown format
 */
export function planRun(options: TrainOptions, software: boolean, checkpoint?: LoadedCheckpoint): RunPlan {
  const { data } = options;
  const given = settingsIn(options);
  const stored = checkpoint && readTrainer(checkpoint);
  const settings = stored
    ? resumeSettings(stored.settings, given)
    : resolveSettings(given, software, { ...data, classes: data.classes.length });
  if (stored && stored.dataDigest !== data.digest) {
    const { dataSource = stored.dataName, dataDigest } = stored;
    throw new ConfigError(
      "data",
      describeData(data.source ?? data.name, data.digest),
      `the images this run was started with, ${describeData(dataSource, dataDigest)}`,
    );
  }
  checkImages(settings, data);

  const { train, validation } = selectImages(data, settings);
  const { batch, accumulate, epochs, steps } = settings;
  const perStep = batch * accumulate;
  if (train.length < perStep) {
    throw new ConfigError(
      "batch",
      perStep,
      `at most the ${train.length} training images (\`batch\` times \`accumulate\`)`,
    );
  }
  const stepsPerEpoch = Math.floor(train.length / perStep);
  const totalSteps = Math.min((epochs ?? Infinity) * stepsPerEpoch, steps ?? Infinity);
  const start: Progress = { step: 0, lossSum: 0, lossCount: 0, epochSeconds: 0, history: [], seconds: 0 };
  const progress = stored?.progress ?? start;
  if (progress.step < totalSteps) {
    // A run that ended within an epoch has a point of its curve there; going on will make that of the whole epoch.
    progress.history = progress.history.filter(({ step }) => step % stepsPerEpoch === 0);
  }
  return {
    settings,
    grids: resolveGrids(software, stored?.grids ?? {}, options),
    savedStep: checkpoint?.step,
    progress,
    images: Uint32Array.from([...train, ...validation]),
    trainImages: train.length,
    validationImages: validation.length,
    stepsPerEpoch,
    totalSteps,
  };
}

/**
 * Whether an epoch's steps are all done, or the run's within one, and the rest of it is not: validation and its record.
 */
export function epochIsOver({ progress, stepsPerEpoch, totalSteps }: RunPlan): boolean {
  const { step, history } = progress;
  const ends = step > 0 && (step % stepsPerEpoch === 0 || step === totalSteps);
  return ends && history.at(-1)?.step !== step;
}

/** What the kernels are told of a micro-batch of optimizer step `step`, both counted from 0. */
export function trainingState({ settings, stepsPerEpoch }: RunPlan, step: number, micro: number): StepState {
  const { batch, accumulate, seed, lr, warmup, beta1, beta2, ema } = settings;
  const [seedLo, seedHi] = splitSeed(seed);
  const t = step + 1;
  return {
    step: step * accumulate + micro,
    seedLo,
    seedHi,
    stream: STREAM.training,
    position: ((step % stepsPerEpoch) * accumulate + micro) * batch,
    count: batch,
    logSlot: step % LOG_SLOTS,
    accumulate: micro > 0 ? 1 : 0,
    learningRate: lr * Math.min(1, t / Math.max(1, warmup)),
    biasCorrection1: 1 - beta1 ** t,
    biasCorrection2: 1 - beta2 ** t,
    // A long average would hold on to the initial weights for thousands of steps.
    emaDecay: Math.min(ema, (1 + t) / (10 + t)),
  };
}

/** The same of a batch of validation, counted from 0: every time the same timesteps and noise. */
export function validationState(plan: RunPlan, batch: number): StepState {
  const { settings, validationImages } = plan;
  const position = batch * settings.batch;
  return {
    ...trainingState(plan, 0, 0),
    step: batch,
    stream: STREAM.validation,
    position,
    count: Math.min(settings.batch, validationImages - position),
    logSlot: batch % LOG_SLOTS,
  };
}

function describeData(source: string, digest: string): string {
  return `${source} (digest ${digest.slice(0, 12)})`;
}

function checkImages({ model }: TrainSettings, { height, width }: ImageDataset): void {
  const [modelHeight, modelWidth] = imageSize(model);
  if (modelHeight === height && modelWidth === width && model.inChannels === 3 && model.outChannels === 3) {
    return;
  }
  const channels = model.inChannels === model.outChannels
    ? `${model.inChannels}`
    : `${model.inChannels} to ${model.outChannels}`;
  throw new ConfigError(
    "model",
    `${modelWidth}x${modelHeight}x${channels}`,
    `a network for ${width}x${height}x3 images, as the data has`,
  );
}

/** Training and validation images; validation shrinks as a limit shrinks training. */
function selectImages(
  data: ImageDataset,
  { limit, seed }: TrainSettings,
): { train: Uint32Array; validation: Uint32Array } {
  const { train, validation } = trainingSplit(data, seed);
  if (limit === null || limit >= train.length) return { train, validation };
  const few = Math.max(1, Math.round(limit / train.length * validation.length));
  return {
    train: takeSubset(train, limit, seed, data.labels),
    validation: validation.length === 0 ? validation : takeSubset(validation, few, seed, data.labels),
  };
}
