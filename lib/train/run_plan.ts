/**
 * Plan of a run, made before anything is on the device, and the step state that follows from it.
 *
 * @module
 */
import { type StepState, STREAM } from "../../kernels/records/step_state.ts";
import type { ImageDataset } from "../data/dataset.ts";
import { takeSubset, trainingSplit } from "../data/splitting.ts";
import { ConfigError } from "../errors.ts";
import { imageChannels, imageSize } from "../model/config.ts";
import { profileRate } from "../model/ema_profiles.ts";
import { splitSeed } from "../random.ts";
import type { LoadedCheckpoint } from "../files/checkpoint.ts";
import { type GridSettings, resolveGrids, settingsIn, type TrainOptions } from "./options.ts";
import type { AdapterTraits } from "./setting.ts";
import { resolveSettings, resumeSettings, type TrainSettings } from "./settings.ts";
import { settingsOnRanks } from "./rank_settings.ts";
import { type InitialModel, initialSettings } from "./initial_model.ts";
import type { LengthSettings } from "./length_settings.ts";
import { lengthMattered, lrFactor } from "./lr_schedule.ts";
import { type Progress, readTrainer } from "./state.ts";
import { epochsSinceBest } from "./validation_history.ts";
import { LOG_SLOTS } from "./device/step_graph.ts";

/** A run's settings, its images, and where it starts. */
export interface RunPlan {
  readonly settings: TrainSettings;
  readonly grids: Required<GridSettings>;
  /** Optimizer steps done at the checkpoint, if the run is resumed. */
  readonly savedStep: number | undefined;
  /** Updated as the run proceeds. */
  readonly progress: Progress;
  /** Indices into the data set: training images, then validation images. */
  readonly images: Uint32Array;
  readonly trainImages: number;
  readonly validationImages: number;
  /** Optimizer steps per epoch; images that do not fill a batch are dropped until the next shuffle. */
  readonly stepsPerEpoch: number;
  /** Optimizer steps in all. */
  readonly totalSteps: number;
}

/** Where a run's weights come from, if they are not random. */
export interface RunOrigin {
  /** Checkpoint to resume from. */
  readonly checkpoint?: LoadedCheckpoint;
  /** Model to fine-tune. */
  readonly initial?: InitialModel;
}

/**
 * Plans a run.
 *
 * @param adapter determines defaults
 * @throws {ConfigError} for a setting that is out of range, does not fit the data, or differs from the checkpoint's
 * @throws {CheckpointError} for a checkpoint of an unknown format
 */
export function planRun(
  options: TrainOptions,
  adapter: AdapterTraits,
  { checkpoint, initial }: RunOrigin = {},
): RunPlan {
  const { data } = options;
  const given = initial ? initialSettings(settingsIn(options), initial, data) : settingsIn(options);
  const stored = checkpoint && readTrainer(checkpoint);
  const settings = stored ? resumeSettings(stored.settings, given) : settingsOnRanks(
    resolveSettings(given, adapter, { ...data, classes: data.classes.length }),
    given,
    options.communicator,
  );
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
  const { batch, accumulate } = settings;
  const perStep = batch * accumulate;
  if (train.length < perStep) {
    throw new ConfigError(
      "batch",
      perStep,
      `at most the ${train.length} training images (\`batch\` times \`accumulate\`)`,
    );
  }
  checkValidation(settings, validation.length);
  const stepsPerEpoch = Math.floor(train.length / perStep);
  const totalSteps = lengthOf(settings, stepsPerEpoch);
  const start: Progress = {
    ...{ step: 0, lossSum: 0, lossCount: 0, epochSeconds: 0, history: [], seconds: 0 },
    init: initial?.path,
  };
  const progress = stored?.progress ?? start;
  if (progress.step < totalSteps) {
    // A run that ended mid-epoch has a record of that epoch; the record of the full epoch will replace it.
    progress.history = progress.history.filter(({ step }) => step % stepsPerEpoch === 0);
  }
  const grids = resolveGrids(adapter, stored?.grids ?? {}, options);
  checkEvaluationSamples(options, grids);
  return {
    settings,
    grids,
    savedStep: checkpoint?.step,
    progress,
    images: Uint32Array.from([...train, ...validation]),
    trainImages: train.length,
    validationImages: validation.length,
    stepsPerEpoch,
    totalSteps,
  };
}

/** Optimizer steps of a run. */
function lengthOf({ epochs, steps }: LengthSettings, stepsPerEpoch: number): number {
  return Math.min((epochs ?? Infinity) * stepsPerEpoch, steps ?? Infinity);
}

/**
 * Warning for a resumed run whose learning rates so far were those of another length; undefined if they were not.
 *
 * @param before settings of the checkpoint
 */
export function describeLengthChange(plan: RunPlan, before: LengthSettings): string | undefined {
  const { settings: { lrSchedule, warmup }, progress: { step }, stepsPerEpoch, totalSteps: total } = plan;
  const former = lengthOf(before, stepsPerEpoch);
  if (former === total || !lengthMattered(lrSchedule, step, { warmup, total })) return undefined;
  return `the ${lrSchedule} learning rate decayed over ${former} steps so far, and from here on over ${total}: ` +
    `the result differs from a run that had ${total} from the start`;
}

/** True if a run has nothing left to train: all steps are done, or it stopped early. */
export function trainingIsOver(plan: RunPlan): boolean {
  return !epochIsOver(plan) && (plan.progress.step >= plan.totalSteps || stopsEarly(plan));
}

/** True if early stopping ends a run here, after its last finished epoch and before its last step. */
export function stopsEarly({ settings: { patience }, progress, totalSteps }: RunPlan): boolean {
  const { step, history } = progress;
  return patience !== null && step < totalSteps && history.at(-1)?.step === step &&
    epochsSinceBest(history) >= patience;
}

/**
 * True if the steps of an epoch, or the run's last in mid-epoch, are done, but validation and the epoch's record are not.
 */
export function epochIsOver({ progress, stepsPerEpoch, totalSteps }: RunPlan): boolean {
  const { step, history } = progress;
  const ends = step > 0 && (step % stepsPerEpoch === 0 || step === totalSteps);
  return ends && history.at(-1)?.step !== step;
}

/** Step state for the kernels: micro-batch `micro` of optimizer step `step`, both counted from 0. */
export function trainingState(plan: RunPlan, step: number, micro: number): StepState {
  const { settings, stepsPerEpoch, totalSteps: total } = plan;
  const { batch, accumulate, seed, lr, lrSchedule, warmup, beta1, beta2, ema } = settings;
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
    learningRate: lr * lrFactor(lrSchedule, t, { warmup, total }),
    biasCorrection1: 1 - beta1 ** t,
    biasCorrection2: 1 - beta2 ** t,
    // Warm-up of the EMA: a long average would be dominated by the initial weights for thousands of steps.
    emaDecay: Math.min(ema, (1 + t) / (10 + t)),
  };
}

/** Share of the weights in the next average of each profile, after optimizer step `step`, counted from 0. */
export function profileRates({ settings: { emaProfiles } }: RunPlan, step: number): number[] {
  return (emaProfiles ?? []).map((sigma) => profileRate(sigma, step + 1));
}

/** Step state for a validation batch, counted from 0, with the same timesteps and noise every time. */
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

function checkImages(
  { model, learnedVariance }: TrainSettings,
  { height, width, channels }: ImageDataset,
): void {
  const [modelHeight, modelWidth] = imageSize(model);
  if (
    modelHeight === height && modelWidth === width && imageChannels(model) === channels &&
    model.outChannels === (learnedVariance ? 2 * channels : channels)
  ) {
    return;
  }
  const own = imageChannels(model);
  const found = own === model.outChannels ? `${own}` : `${own} to ${model.outChannels}`;
  throw new ConfigError(
    "model",
    `${modelHeight}x${modelWidth}x${found}`,
    `a network for ${height}x${width}x${channels} images, as the data has`,
  );
}

/** Checks that there are validation images for the settings that depend on their loss. */
function checkValidation({ patience, keepBest }: TrainSettings, images: number): void {
  if (images > 0) return;
  const where = "where there are no validation images, since it depends on their loss";
  if (patience !== null) throw new ConfigError("patience", patience, `null ${where}`);
  if (keepBest) throw new ConfigError("keepBest", keepBest, `false ${where}`);
}

/** Checks that samples are asked for in evaluations that there are; a resumed run without evaluations may still have the number. */
function checkEvaluationSamples(
  { evaluationSamples = 0 }: GridSettings,
  { evaluateEvery }: Required<GridSettings>,
): void {
  if (evaluationSamples === 0 || evaluateEvery !== 0) return;
  throw new ConfigError("evaluationSamples", evaluationSamples, "0 without `evaluateEvery`");
}

/** Settings that determine a run's training and validation images. */
export type SplitSettings = Pick<TrainSettings, "limit" | "seed">;

/** Indices of a run's training and validation images; a limit shrinks both in proportion. */
export function selectImages(
  data: ImageDataset,
  { limit, seed }: SplitSettings,
): { train: Uint32Array; validation: Uint32Array } {
  const { train, validation } = trainingSplit(data, seed);
  if (limit === null || limit >= train.length) return { train, validation };
  const validationLimit = Math.max(1, Math.round(limit / train.length * validation.length));
  return {
    train: takeSubset(train, limit, seed, data.labels),
    validation: validation.length === 0
      ? validation
      : takeSubset(validation, validationLimit, seed, data.labels),
  };
}
