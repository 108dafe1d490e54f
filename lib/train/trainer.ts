/**
 * Training: Ho et al. 2020, algorithm 1, over a data set, with validation, samples and checkpoints after every epoch.
 *
 * @module
 */
import { type StepState, STREAM } from "../../kernels/step_state.ts";
import { decodeLog, LOG_RECORD_BYTES, type LogRecord } from "../../kernels/training.ts";
import { type ImageDataset, splitDataset, takeSubset } from "../data/dataset.ts";
import { Generator } from "../diffusion/generator.ts";
import { objectiveTables } from "../diffusion/objective.ts";
import { planSampling } from "../diffusion/sampler.ts";
import { NoiseSchedule } from "../diffusion/schedule.ts";
import { ConfigError, TrainingError } from "../errors.ts";
import { type Gpu, openGpu } from "../gpu/device.ts";
import { readBack, readFloats } from "../gpu/readback.ts";
import { Images } from "../image/images.ts";
import { classCount, imageSize } from "../model/config.ts";
import { permutation, splitSeed } from "../random.ts";
import { listCheckpoints, loadLatestCheckpoint, saveCheckpoint } from "./checkpoint.ts";
import { type DirectoryLock, lockDirectory } from "./durable.ts";
import type { EpochRecord, StartEvent, StepEvent, TrainEvent } from "./events.ts";
import { MetricsFile } from "./metrics.ts";
import { ResidentDataset } from "./resident.ts";
import {
  resolveSettings,
  resumeSettings,
  scheduleOf,
  type SettingsOptions,
  type TrainSettings,
} from "./settings.ts";
import {
  captureCheckpoint,
  initializeWeights,
  nonFiniteParameter,
  type Progress,
  readTrainer,
  restoreWeights,
} from "./state.ts";
import { LOG_SLOTS, TrainingStep } from "./step.ts";

/** Options of {@linkcode train}: the run's settings, and what surrounds them. */
export interface TrainOptions extends SettingsOptions {
  /** What to learn from; a validation part is split off by seed. */
  readonly data: ImageDataset;
  /** Run directory for checkpoints and `metrics.jsonl`; without it nothing is written. */
  readonly out?: string;
  /** Goes on from the newest whole checkpoint in `out`; settings then come from there. */
  readonly resume?: boolean;
  /** Epochs between grids of samples; 0 for none. Default 1. */
  readonly sampleEvery?: number;
  /** Images per class in such a grid. Default 4 on a software adapter, else 8. */
  readonly samplesPerClass?: number;
  /** DDIM steps of such images. Default 20 on a software adapter, else 50. */
  readonly sampleSteps?: number;
  /** Guidance scale of such images. Default 2. */
  readonly guidance?: number;
  /** Optimizer steps between {@linkcode StepEvent}s, at most 256; 0 (default) chooses about one a second. */
  readonly logEvery?: number;
  /** Ends the run after the step under way: it saves and finishes with `interrupted: true`. */
  readonly signal?: AbortSignal;
  /** A device to use; one is opened, and closed at the end, if this is not given. */
  readonly gpu?: Gpu;
}

/** Seconds between two read-backs that are aimed at. */
const SECONDS_PER_SYNC = 1;
/** Images drawn at once for the grids. */
const SAMPLE_SLOTS = 80;

/**
 * Trains a network and tells what happens as it goes.
 *
 * The same settings, data and adapter give the same weights to the bit, whether the run was interrupted and resumed or
 * not. Leaving the loop early (`break`) ends the run without a save; use `signal` to end it with one.
 *
 * @throws {ConfigError} for a setting out of range
 * @throws {DeviceError} when there is no adapter, it cannot hold the network, or it is lost
 * @throws {CheckpointError} when nothing can be resumed or saved
 * @throws {TrainingError} when loss or gradients stop being finite, or another process uses `out`
 *
 * @example
 * ```ts ignore
 * for await (const event of train({ data: await cifar10(), preset: "small", epochs: 5, out: "runs/cats" })) {
 *   if (event.type === "epoch") console.log(event.epoch, event.trainLoss, event.valLoss);
 * }
 * ```
 */
export async function* train(options: TrainOptions): AsyncGenerator<TrainEvent, void, undefined> {
  const gpu = options.gpu ?? await openGpu();
  let lock: DirectoryLock | undefined;
  let run: Run | undefined;
  try {
    if (options.out !== undefined) lock = await lockDirectory(options.out);
    run = await Run.start(gpu, options);
    yield* run.events();
  } finally {
    run?.destroy();
    await lock?.release();
    if (!options.gpu) gpu.close();
  }
}

/** One run: its settings, its place in the data, and what is on the device. */
class Run {
  readonly #gpu: Gpu;
  readonly #options: TrainOptions;
  readonly #settings: TrainSettings;
  readonly #progress: Progress;
  readonly #resumedFrom: number;
  readonly #resident: ResidentDataset;
  readonly #step: TrainingStep;
  readonly #metrics: MetricsFile | undefined;
  readonly #warnings: string[];
  readonly #trainImages: number;
  readonly #validationImages: number;
  #generator: Generator | undefined;
  #epochOrder = 0;
  /** Steps submitted since the last read-back. */
  #pending = 0;
  #lastSync = performance.now();
  #stepsPerSync = 1;

  private constructor(parts: {
    gpu: Gpu;
    options: TrainOptions;
    settings: TrainSettings;
    progress: Progress;
    resident: ResidentDataset;
    step: TrainingStep;
    metrics: MetricsFile | undefined;
    warnings: string[];
    trainImages: number;
  }) {
    this.#gpu = parts.gpu;
    this.#options = parts.options;
    this.#settings = parts.settings;
    this.#progress = parts.progress;
    this.#resumedFrom = parts.progress.step;
    this.#resident = parts.resident;
    this.#step = parts.step;
    this.#metrics = parts.metrics;
    this.#warnings = parts.warnings;
    this.#trainImages = parts.trainImages;
    this.#validationImages = parts.resident.count - parts.trainImages;
  }

  static async start(gpu: Gpu, options: TrainOptions): Promise<Run> {
    const { data, out, resume = false } = options;
    const { software } = gpu.adapter;
    const shape = { height: data.height, width: data.width, classes: data.classes.length };
    const warnings: string[] = [];
    checkSurroundings(options);
    if (out !== undefined && !resume && (await listCheckpoints(out)).length > 0) {
      throw new ConfigError(
        "out",
        out,
        "a directory without a run, or `resume` to go on with the one it holds",
      );
    }
    if (resume && out === undefined) throw new ConfigError("resume", true, "a run directory in `out`");
    const checkpoint = resume
      ? await loadLatestCheckpoint(out!, { onWarning: (message) => warnings.push(message) })
      : undefined;
    const stored = checkpoint && readTrainer(checkpoint);
    const given = settingsIn(options);
    const settings = stored
      ? resumeSettings(stored.settings, given, software, shape)
      : resolveSettings(given, software, shape);
    if (stored && stored.dataDigest !== data.digest) {
      throw new ConfigError(
        "data",
        data.name,
        `the data set this run was started with (${stored.dataName}, digest ${
          stored.dataDigest.slice(0, 12)
        })`,
      );
    }
    const [height, width] = imageSize(settings.model);
    if (height !== data.height || width !== data.width || settings.model.inChannels !== 3) {
      throw new ConfigError(
        "model",
        `${width}x${height}x${settings.model.inChannels} images`,
        `${data.width}x${data.height}x3, as the data has`,
      );
    }

    const split = splitDataset(data.labels, data.classes.length, { seed: settings.seed });
    const trainIndices = settings.limit === null
      ? split.train
      : takeSubset(split.train, settings.limit, settings.seed, data.labels);
    const share = trainIndices.length / split.train.length;
    const validation = share === 1 || split.validation.length === 0 ? split.validation : takeSubset(
      split.validation,
      Math.max(1, Math.round(share * split.validation.length)),
      settings.seed,
      data.labels,
    );
    const perStep = settings.batch * settings.accumulate;
    if (trainIndices.length < perStep) {
      throw new ConfigError(
        "batch",
        perStep,
        `at most the ${trainIndices.length} training images (batch times accumulate)`,
      );
    }

    const schedule = new NoiseSchedule(scheduleOf(settings));
    const resident = ResidentDataset.upload(gpu, data, Uint32Array.from([...trainIndices, ...validation]));
    try {
      const stepOptions = {
        ...settings,
        config: settings.model,
        microBatches: settings.accumulate,
        labelDropout: settings.model.numClassEmbeds === null ? 0 : settings.labelDropout,
        stopAtNonFinite: settings.onNonFinite === "stop",
      };
      const step = await TrainingStep.build(gpu, stepOptions, objectiveTables(schedule), resident);
      if (checkpoint) restoreWeights(gpu, step, checkpoint);
      else initializeWeights(gpu, step, settings.seed);
      const progress = stored
        ? forgetPartialEpoch(stored.progress, Math.floor(trainIndices.length / perStep))
        : { step: 0, lossSum: 0, lossCount: 0, history: [], seconds: 0 };
      const metrics = out === undefined ? undefined : await MetricsFile.open(out, progress.step);
      const trainImages = trainIndices.length;
      return new Run({ gpu, options, settings, progress, resident, step, metrics, warnings, trainImages });
    } catch (error) {
      resident.destroy();
      throw error;
    }
  }

  destroy(): void {
    this.#generator?.destroy();
    this.#step.destroy();
    this.#resident.destroy();
  }

  get #stepsPerEpoch(): number {
    return Math.floor(this.#trainImages / (this.#settings.batch * this.#settings.accumulate));
  }

  get #totalSteps(): number {
    const { epochs, steps } = this.#settings;
    return Math.min(epochs * this.#stepsPerEpoch, steps ?? Infinity);
  }

  async *events(): AsyncGenerator<TrainEvent, void, undefined> {
    const start = this.#startEvent();
    yield start;
    for (const message of this.#warnings.splice(0)) yield { type: "warning", message };
    const { signal } = this.#options;
    const progress = this.#progress;
    let began = performance.now();
    const clock = () => {
      const now = performance.now();
      progress.seconds += (now - began) / 1000;
      began = now;
    };
    const epochStart = { seconds: progress.seconds };

    while (progress.step < this.#totalSteps && !signal?.aborted) {
      this.#submit(progress.step);
      progress.step++;
      this.#pending++;
      const epochEnds = progress.step % this.#stepsPerEpoch === 0;
      const last = progress.step === this.#totalSteps;
      if (epochEnds || last || signal?.aborted || this.#pending >= this.#syncAfter()) {
        const event = await this.#sync();
        for (const message of this.#warnings.splice(0)) yield { type: "warning", message };
        yield event;
      }
      if (!epochEnds && !last) continue;

      // End of an epoch, or of the run within one
      const epoch = Math.ceil(progress.step / this.#stepsPerEpoch);
      const trainLoss = progress.lossSum / Math.max(1, progress.lossCount);
      let valLoss: number | null = null;
      for await (const done of this.#validate()) {
        if (typeof done === "object") valLoss = done.loss;
        else yield { type: "validation", done, total: this.#validationImages };
      }
      clock();
      const record: EpochRecord = {
        epoch,
        step: progress.step,
        trainLoss,
        valLoss,
        seconds: progress.seconds - epochStart.seconds,
      };
      progress.history.push(record);
      if (epochEnds) progress.lossSum = progress.lossCount = 0;
      await this.#metrics?.append({ type: "epoch", ...record });
      yield { type: "epoch", ...record };
      clock();
      if (this.#options.out !== undefined) yield await this.#save();
      const { sampleEvery = 1 } = this.#options;
      if (sampleEvery > 0 && (last || epoch % sampleEvery === 0)) yield await this.#samples(epoch);
      clock();
      epochStart.seconds = progress.seconds;
      this.#lastSync = performance.now();
    }

    clock();
    const interrupted = progress.step < this.#totalSteps;
    const saved = progress.step > this.#resumedFrom && progress.step % this.#stepsPerEpoch === 0;
    if (this.#options.out !== undefined && !saved && progress.step > this.#resumedFrom) {
      yield await this.#save();
    }
    const { step, history, seconds } = progress;
    await this.#metrics?.append({ type: "end", step, interrupted, seconds });
    yield { type: "end", step, interrupted, history: [...history], seconds };
  }

  #startEvent(): StartEvent {
    return {
      type: "start",
      settings: this.#settings,
      adapter: this.#gpu.adapter.name,
      parameters: this.#step.table.count,
      trainImages: this.#trainImages,
      validationImages: this.#validationImages,
      stepsPerEpoch: this.#stepsPerEpoch,
      totalSteps: this.#totalSteps,
      resumedFrom: this.#resumedFrom,
      flopsPerStep: this.#step.flops * this.#settings.accumulate,
      deviceBytes: this.#gpu.memory.used,
      classes: this.#options.data.classes,
    };
  }

  /** Submits optimizer step `step` (from 0). */
  #submit(step: number): void {
    const epoch = Math.floor(step / this.#stepsPerEpoch) + 1;
    if (this.#epochOrder !== epoch) {
      this.#step.setOrder(
        permutation(this.#trainImages, this.#settings.seed, epoch) as Uint32Array<ArrayBuffer>,
      );
      this.#epochOrder = epoch;
    }
    const { accumulate } = this.#settings;
    for (let micro = 0; micro < accumulate; micro++) {
      this.#step.step(this.#stepState(step, micro), micro === accumulate - 1);
    }
  }

  #stepState(step: number, micro: number): StepState {
    const { batch, accumulate, seed, lr, warmup, beta1, beta2, ema } = this.#settings;
    const [seedLo, seedHi] = splitSeed(seed);
    const t = step + 1;
    return {
      step: step * accumulate + micro,
      seedLo,
      seedHi,
      stream: STREAM.training,
      position: ((step % this.#stepsPerEpoch) * accumulate + micro) * batch,
      count: batch,
      logSlot: step % LOG_SLOTS,
      accumulate: micro > 0,
      learningRate: lr * Math.min(1, t / Math.max(1, warmup)),
      biasCorrection1: 1 - beta1 ** t,
      biasCorrection2: 1 - beta2 ** t,
      // A long average would hold on to the initial weights for thousands of steps.
      emaDecay: Math.min(ema, (1 + t) / (10 + t)),
    };
  }

  #syncAfter(): number {
    return Math.min(LOG_SLOTS, this.#options.logEvery || this.#stepsPerSync);
  }

  /** Waits for the device, takes in the losses of the steps since the last time, and checks that all is finite. */
  async #sync(): Promise<StepEvent> {
    const { step } = this.#progress;
    const [bytes] = await readBack(this.#gpu, [{ ...this.#step.log, size: LOG_SLOTS * LOG_RECORD_BYTES }]);
    const all = decodeLog(bytes);
    const records: LogRecord[] = [];
    for (let s = step - this.#pending; s < step; s++) {
      const record = all[s % LOG_SLOTS];
      if (record.nonFinite) await this.#handleNonFinite(s, record);
      else records.push(record);
    }
    const seconds = (performance.now() - this.#lastSync) / 1000;
    this.#lastSync = performance.now();
    const stepsPerSecond = this.#pending / seconds;
    this.#stepsPerSync = Math.max(1, Math.min(LOG_SLOTS, Math.round(stepsPerSecond * SECONDS_PER_SYNC)));
    this.#pending = 0;
    const sum = records.reduce((total, { lossSum }) => total + lossSum, 0);
    const count = records.reduce((total, record) => total + record.count, 0);
    this.#progress.lossSum += sum;
    this.#progress.lossCount += count;
    const { batch, accumulate } = this.#settings;
    const event: StepEvent = {
      type: "step",
      step,
      epoch: Math.ceil(step / this.#stepsPerEpoch),
      loss: sum / Math.max(1, count),
      gradientNorm: records.at(-1)?.gradientNorm ?? NaN,
      learningRate: this.#stepState(step - 1, 0).learningRate,
      imagesPerSecond: stepsPerSecond * batch * accumulate,
      remainingSeconds: (this.#totalSteps - step) / stepsPerSecond,
    };
    await this.#metrics?.append({ ...event });
    return event;
  }

  /** Notes a left-out step, or names what went wrong, keeps the last good state and ends the run. */
  async #handleNonFinite(step: number, { lossSum }: LogRecord): Promise<void> {
    if (this.#settings.onNonFinite === "skip") {
      this.#warnings.push(`step ${step + 1}: loss or gradients were not finite; the step was left out`);
      return;
    }
    const where = Number.isFinite(lossSum) ? "the gradients" : "the loss";
    const tensor = await this.#findNonFinite(step);
    // The optimizer wrote nothing from this step on, so the weights are those before it.
    this.#progress.step = step;
    const kept = this.#options.out === undefined
      ? ""
      : `; the state before it is saved in ${(await this.#save()).path}`;
    throw new TrainingError(
      `step ${step + 1}: ${where} stopped being finite${
        tensor ? `, first in the gradient of ${tensor}` : ""
      }${kept}. ` +
        "Try a lower learning rate (lr), a longer warm-up, or onNonFinite: skip",
    );
  }

  async #findNonFinite(step: number): Promise<string | undefined> {
    this.#epochOrder = 0;
    const epoch = Math.floor(step / this.#stepsPerEpoch) + 1;
    this.#step.setOrder(
      permutation(this.#trainImages, this.#settings.seed, epoch) as Uint32Array<ArrayBuffer>,
    );
    for (let micro = 0; micro < this.#settings.accumulate; micro++) {
      this.#step.step(this.#stepState(step, micro), false);
      const name = nonFiniteParameter(await readFloats(this.#gpu, this.#step.gradients), this.#step.table);
      if (name) return name;
    }
    return undefined;
  }

  /** Validation loss of the averaged weights; yields images done, then the result. */
  async *#validate(): AsyncGenerator<number | { loss: number }> {
    const total = this.#validationImages;
    if (total === 0) return;
    const { batch, seed } = this.#settings;
    const [seedLo, seedHi] = splitSeed(seed);
    this.#step.setOrder(Uint32Array.from({ length: total }, (_, i) => this.#trainImages + i));
    this.#epochOrder = 0;
    const batches = Math.ceil(total / batch);
    let lossSum = 0;
    for (let first = 0; first < batches;) {
      const next = Math.min(batches, first + Math.min(LOG_SLOTS, Math.max(4, 3 * this.#stepsPerSync)));
      for (let b = first; b < next; b++) {
        this.#step.validate({
          ...this.#stepState(0, 0),
          step: b,
          seedLo,
          seedHi,
          stream: STREAM.validation,
          position: b * batch,
          count: Math.min(batch, total - b * batch),
          logSlot: b % LOG_SLOTS,
        });
      }
      const [bytes] = await readBack(this.#gpu, [this.#step.log]);
      const records = decodeLog(bytes);
      for (let b = first; b < next; b++) lossSum += records[b % LOG_SLOTS].lossSum;
      first = next;
      yield Math.min(total, next * batch);
    }
    yield { loss: lossSum / total };
  }

  async #save(): Promise<{ type: "checkpoint"; step: number; path: string }> {
    const { data, out } = this.#options;
    const checkpoint = await captureCheckpoint(this.#gpu, this.#step, this.#settings, this.#progress, data);
    const path = await saveCheckpoint(out!, checkpoint, {
      onWarning: (message) => this.#warnings.push(message),
    });
    return { type: "checkpoint", step: this.#progress.step, path };
  }

  /** A row of images for each class, with the same seeds every time. */
  async #samples(epoch: number): Promise<TrainEvent> {
    const { model, seed } = this.#settings;
    const { software } = this.#gpu.adapter;
    const { samplesPerClass = software ? 4 : 8, sampleSteps = software ? 20 : 50, guidance = 2, data } =
      this.#options;
    const classes = classCount(model);
    const rows = classes === 0 ? 4 : classes;
    const guided = classes > 0 && guidance !== 1;
    const requests = Array.from({ length: rows * samplesPerClass }, (_, i) => ({
      label: Math.floor(i / samplesPerClass),
      seed: (seed + i) % Number.MAX_SAFE_INTEGER,
      guidance,
    }));
    this.#generator ??= await Generator.build(this.#gpu, {
      config: model,
      weights: this.#step.weights.ema.buffer,
      slots: Math.min(SAMPLE_SLOTS, requests.length),
      guided,
    });
    const steps = planSampling("ddim", new NoiseSchedule(scheduleOf(this.#settings)), { steps: sampleSteps });
    const drawn = await this.#generator.draw(requests, steps);
    const images = Images.fromFloats(drawn.images, requests.length, data.height, data.width);
    const rowLabels = classes === 0 ? Array.from({ length: rows }, () => "") : data.classes;
    return { type: "samples", epoch, step: this.#progress.step, images, columns: samplesPerClass, rowLabels };
  }
}

/** A run that ended within an epoch has a point of its curve there; one that goes on will make the whole epoch's. */
function forgetPartialEpoch(progress: Progress, stepsPerEpoch: number): Progress {
  return { ...progress, history: progress.history.filter(({ step }) => step % stepsPerEpoch === 0) };
}

/** The settings among a caller's options. */
function settingsIn(options: TrainOptions): SettingsOptions {
  const {
    data: _data,
    out: _out,
    resume: _resume,
    sampleEvery: _sampleEvery,
    samplesPerClass: _samplesPerClass,
    sampleSteps: _sampleSteps,
    guidance: _guidance,
    logEvery: _logEvery,
    signal: _signal,
    gpu: _gpu,
    ...settings
  } = options;
  return settings;
}

function checkSurroundings(
  { sampleEvery = 1, samplesPerClass = 1, sampleSteps = 1, logEvery = 0, guidance = 1 }: TrainOptions,
): void {
  const whole = (field: string, value: number, min: number, max: number) => {
    if (!Number.isSafeInteger(value) || value < min || value > max) {
      throw new ConfigError(field, value, `a whole number from ${min} to ${max}`);
    }
  };
  whole("sampleEvery", sampleEvery, 0, 1_000_000);
  whole("samplesPerClass", samplesPerClass, 1, 256);
  whole("sampleSteps", sampleSteps, 1, 1000);
  whole("logEvery", logEvery, 0, LOG_SLOTS);
  if (!Number.isFinite(guidance)) throw new ConfigError("guidance", guidance, "a finite number");
}
