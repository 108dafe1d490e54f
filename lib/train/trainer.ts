/**
 * Training: Ho et al. 2020, algorithm 1, over a data set, with validation, samples and checkpoints after every epoch.
 *
 * @module
 */
import { objectiveTables } from "../diffusion/objective.ts";
import { NoiseSchedule } from "../diffusion/schedule.ts";
import { TrainingError } from "../errors.ts";
import { type Gpu, openGpu } from "../gpu/device.ts";
import { ResourceScope } from "../gpu/memory.ts";
import { readFloats } from "../gpu/readback.ts";
import { permutation } from "../random.ts";
import { loadLatestCheckpoint, saveCheckpoint } from "./checkpoint.ts";
import { type DirectoryLock, lockDirectory } from "./durable.ts";
import type {
  CheckpointEvent,
  EpochRecord,
  StartEvent,
  StepEvent,
  TrainEvent,
  WarningEvent,
} from "./events.ts";
import { MetricsFile } from "./metrics.ts";
import { checkSurroundings, type TrainOptions } from "./options.ts";
import { ResidentDataset } from "./resident.ts";
import { checkRunDirectory, planRun, type RunPlan, trainingState, validationState } from "./run_plan.ts";
import { SampleGrid } from "./sample_grid.ts";
import { scheduleOf } from "./settings.ts";
import { captureCheckpoint, initializeWeights, nonFiniteParameter, restoreWeights } from "./state.ts";
import { LOG_SLOTS, TrainingStep } from "./step.ts";

export type { TrainOptions } from "./options.ts";

/** Seconds between two read-backs that are aimed at. */
const SECONDS_PER_SYNC = 1;

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
  checkSurroundings(options);
  const gpu = options.gpu ?? await openGpu();
  let lock: DirectoryLock | undefined;
  let run: Run | undefined;
  try {
    const { out, resume = false } = options;
    const { software } = gpu.adapter;
    const warnings: string[] = [];
    // Before the lock, which makes the directory: a mistake in the options leaves nothing behind.
    const fresh = resume ? undefined : planRun(options, software);
    if (out !== undefined) {
      await checkRunDirectory(out, resume);
      lock = await lockDirectory(out);
    }
    const plan = fresh ??
      planRun(
        options,
        software,
        await loadLatestCheckpoint(out!, { onWarning: (message) => warnings.push(message) }),
      );
    run = await Run.start(gpu, options, plan, warnings);
    yield* run.events();
  } finally {
    run?.destroy();
    lock?.release();
    if (!options.gpu) gpu.close();
  }
}

/** One run: its plan, its place in the data, and what is on the device. */
class Run {
  readonly #gpu: Gpu;
  readonly #options: TrainOptions;
  readonly #plan: RunPlan;
  readonly #scope: ResourceScope;
  readonly #step: TrainingStep;
  readonly #grid: SampleGrid;
  readonly #metrics: MetricsFile | undefined;
  readonly #warnings: string[];
  readonly #resumedFrom: number;
  /** The epoch (from 1) in whose order the images are, 0 for that of validation. */
  #epochOrder = 0;
  /** Optimizer steps done at the last checkpoint. */
  #savedStep: number | undefined;
  /** Steps submitted since the last read-back. */
  #pending = 0;
  #lastSync = performance.now();
  #stepsPerSync = 1;

  private constructor(parts: {
    gpu: Gpu;
    options: TrainOptions;
    plan: RunPlan;
    scope: ResourceScope;
    step: TrainingStep;
    metrics: MetricsFile | undefined;
    warnings: string[];
  }) {
    this.#gpu = parts.gpu;
    this.#options = parts.options;
    this.#plan = parts.plan;
    this.#scope = parts.scope;
    this.#step = parts.step;
    const { ema } = parts.step.weights;
    this.#grid = new SampleGrid(parts.gpu, parts.scope, parts.plan.settings, ema.buffer, parts.options);
    this.#metrics = parts.metrics;
    this.#warnings = parts.warnings;
    this.#resumedFrom = parts.plan.progress.step;
    this.#savedStep = parts.plan.checkpoint?.step;
  }

  static start(gpu: Gpu, options: TrainOptions, plan: RunPlan, warnings: string[]): Promise<Run> {
    const { settings, checkpoint, images, progress } = plan;
    const scope = new ResourceScope(gpu, "training");
    return scope.guard(async () => {
      const resident = scope.own(ResidentDataset.upload(gpu, options.data, images));
      const stepOptions = {
        ...settings,
        config: settings.model,
        microBatches: settings.accumulate,
        labelDropout: settings.model.numClassEmbeds === null ? 0 : settings.labelDropout,
        stopAtNonFinite: settings.onNonFinite === "stop",
      };
      const tables = objectiveTables(new NoiseSchedule(scheduleOf(settings)));
      const step = scope.own(await TrainingStep.build(gpu, stepOptions, tables, resident));
      if (checkpoint) restoreWeights(gpu, step, checkpoint);
      else initializeWeights(gpu, step, settings.seed);
      const { out } = options;
      const metrics = out === undefined ? undefined : await MetricsFile.open(out, progress.step);
      return new Run({ gpu, options, plan, scope, step, metrics, warnings });
    });
  }

  destroy(): void {
    this.#scope.destroy();
  }

  async *events(): AsyncGenerator<TrainEvent, void, undefined> {
    const { progress, stepsPerEpoch, totalSteps } = this.#plan;
    const { out, signal } = this.#options;
    yield this.#startEvent();
    if (progress.step >= totalSteps) {
      this.#warnings.push(`the ${totalSteps} steps of this run are all done; give it more epochs to go on`);
    }
    yield* this.#takeWarnings();
    const clock = new Stopwatch(progress);
    while (progress.step < totalSteps && !signal?.aborted) {
      this.#submit(progress.step);
      progress.step++;
      this.#pending++;
      const last = progress.step === totalSteps;
      const epochEnds = last || progress.step % stepsPerEpoch === 0;
      if (epochEnds || this.#pending >= this.#syncAfter()) {
        const event = await this.#sync();
        yield* this.#takeWarnings();
        yield event;
      }
      if (epochEnds) yield* this.#endEpoch(clock);
    }
    clock.lap();
    if (out !== undefined && progress.step > this.#resumedFrom && this.#savedStep !== progress.step) {
      yield await this.#save();
      yield* this.#takeWarnings();
    }
    const { step, history, seconds } = progress;
    const interrupted = step < totalSteps;
    await this.#metrics?.append({ type: "end", step, interrupted, seconds });
    yield { type: "end", step, interrupted, history: [...history], seconds };
  }

  /** What follows the last step of an epoch, or of the run within one. */
  async *#endEpoch(clock: Stopwatch): AsyncGenerator<TrainEvent> {
    const { progress, stepsPerEpoch, totalSteps, validationImages } = this.#plan;
    const { out, sampleEvery = 1, signal } = this.#options;
    const { step } = progress;
    const epoch = Math.ceil(step / stepsPerEpoch);
    if (progress.lossCount === 0) {
      throw new TrainingError(
        `epoch ${epoch}: loss or gradients were not finite in any step, so nothing can be learned by leaving them out; ` +
          "start again with a lower learning rate (lr) or a longer warm-up",
      );
    }
    const trainLoss = progress.lossSum / progress.lossCount;
    let valLoss: number | null = null;
    for await (const { done, lossSum } of this.#validate()) {
      yield { type: "validation", done, total: validationImages };
      valLoss = lossSum / done;
    }
    if (valLoss !== null && !Number.isFinite(valLoss)) {
      this.#warnings.push(`epoch ${epoch}: the validation loss is not finite`);
      valLoss = null;
    }
    const record: EpochRecord = { epoch, step, trainLoss, valLoss, seconds: clock.lap() };
    progress.history.push(record);
    if (step % stepsPerEpoch === 0) progress.lossSum = progress.lossCount = 0;
    await this.#metrics?.append({ type: "epoch", ...record });
    yield* this.#takeWarnings();
    yield { type: "epoch", ...record };
    if (out !== undefined) {
      yield await this.#save();
      yield* this.#takeWarnings();
    }
    const due = sampleEvery > 0 && (step === totalSteps || epoch % sampleEvery === 0);
    if (due && !signal?.aborted) yield await this.#grid.draw(epoch, step);
    clock.lap();
    this.#lastSync = performance.now();
  }

  #takeWarnings(): WarningEvent[] {
    return this.#warnings.splice(0).map((message) => ({ type: "warning", message }));
  }

  #startEvent(): StartEvent {
    return {
      type: "start",
      settings: this.#plan.settings,
      adapter: this.#gpu.adapter.name,
      parameters: this.#step.table.count,
      trainImages: this.#plan.trainImages,
      validationImages: this.#plan.validationImages,
      stepsPerEpoch: this.#plan.stepsPerEpoch,
      totalSteps: this.#plan.totalSteps,
      resumedFrom: this.#resumedFrom,
      flopsPerStep: this.#step.flops * this.#plan.settings.accumulate,
      deviceBytes: this.#gpu.memory.used,
      classes: this.#options.data.classes,
    };
  }

  /** Submits optimizer step `step` (from 0). */
  #submit(step: number): void {
    const { accumulate } = this.#plan.settings;
    this.#orderEpoch(Math.floor(step / this.#plan.stepsPerEpoch) + 1);
    for (let micro = 0; micro < accumulate; micro++) {
      this.#step.step(trainingState(this.#plan, step, micro), micro === accumulate - 1);
    }
  }

  /** Puts the images in the order of an epoch (from 1). */
  #orderEpoch(epoch: number): void {
    if (this.#epochOrder === epoch) return;
    const { trainImages, settings } = this.#plan;
    this.#step.setOrder(permutation(trainImages, settings.seed, epoch) as Uint32Array<ArrayBuffer>);
    this.#epochOrder = epoch;
  }

  #syncAfter(): number {
    return Math.min(LOG_SLOTS, this.#options.logEvery || this.#stepsPerSync);
  }

  /** Waits for the device, takes in the losses of the steps since the last time, and checks that all is finite. */
  async #sync(): Promise<StepEvent> {
    const { progress, stepsPerEpoch, totalSteps, settings } = this.#plan;
    const { step } = progress;
    const records = await this.#step.readLog();
    let [lossSum, lossCount, gradientNorm] = [0, 0, NaN];
    for (let s = step - this.#pending; s < step; s++) {
      const record = records[s % LOG_SLOTS];
      if (record.nonFinite) {
        if (settings.onNonFinite === "stop") await this.#stop(s, Number.isFinite(record.lossSum));
        this.#warnings.push(`step ${s + 1}: loss or gradients were not finite; the step was left out`);
        continue;
      }
      // One by one, so that the sum does not depend on how many steps were taken in at once.
      progress.lossSum += record.lossSum;
      progress.lossCount += record.count;
      lossSum += record.lossSum;
      lossCount += record.count;
      gradientNorm = record.gradientNorm;
    }
    const seconds = (performance.now() - this.#lastSync) / 1000;
    this.#lastSync = performance.now();
    const stepsPerSecond = this.#pending / seconds;
    this.#stepsPerSync = Math.max(1, Math.min(LOG_SLOTS, Math.round(stepsPerSecond * SECONDS_PER_SYNC)));
    this.#pending = 0;
    const event: StepEvent = {
      type: "step",
      step,
      epoch: Math.ceil(step / stepsPerEpoch),
      loss: lossSum / lossCount,
      gradientNorm,
      learningRate: trainingState(this.#plan, step - 1, 0).learningRate,
      imagesPerSecond: stepsPerSecond * settings.batch * settings.accumulate,
      remainingSeconds: (totalSteps - step) / stepsPerSecond,
    };
    await this.#metrics?.append(event);
    return event;
  }

  /** Ends the run at a step (from 0) that was not finite: names it and the tensor, and keeps the last good state. */
  async #stop(step: number, finiteLoss: boolean): Promise<never> {
    const tensor = await this.#findNonFinite(step);
    // The optimizer wrote nothing from this step on, so the weights are those before it.
    this.#plan.progress.step = step;
    throw new TrainingError(
      `step ${step + 1}: ${finiteLoss ? "the gradients" : "the loss"} stopped being finite` +
        `${tensor ? `, first in the gradient of ${tensor}` : ""}${await this.#keepLastGood()}. ` +
        "Resume with onNonFinite: skip, or start again with a lower learning rate (lr) or a longer warm-up",
    );
  }

  async #keepLastGood(): Promise<string> {
    const { out } = this.#options;
    if (out === undefined) return "";
    if (this.#savedStep === this.#plan.progress.step) return `; the state before it is saved in ${out}`;
    try {
      return `; the state before it is saved in ${(await this.#save()).path}`;
    } catch (error) {
      return `; the state before it could not be saved (${(error as Error).message})`;
    }
  }

  /** Does a step's passes again, without the optimizer, to find the first parameter whose gradient is not finite. */
  async #findNonFinite(step: number): Promise<string | undefined> {
    this.#orderEpoch(Math.floor(step / this.#plan.stepsPerEpoch) + 1);
    for (let micro = 0; micro < this.#plan.settings.accumulate; micro++) {
      this.#step.step(trainingState(this.#plan, step, micro), false);
      const name = nonFiniteParameter(await readFloats(this.#gpu, this.#step.gradients), this.#step.table);
      if (name) return name;
    }
    return undefined;
  }

  /** Losses of the averaged weights on the validation images, their timesteps and noise always the same. */
  async *#validate(): AsyncGenerator<{ done: number; lossSum: number }> {
    const { trainImages, validationImages: total, settings: { batch } } = this.#plan;
    if (total === 0) return;
    this.#step.setOrder(Uint32Array.from({ length: total }, (_, i) => trainImages + i));
    this.#epochOrder = 0;
    const batches = Math.ceil(total / batch);
    let lossSum = 0;
    for (let first = 0; first < batches;) {
      const next = Math.min(batches, first + Math.min(LOG_SLOTS, Math.max(4, 3 * this.#stepsPerSync)));
      for (let b = first; b < next; b++) {
        this.#step.validate(validationState(this.#plan, b));
      }
      const records = await this.#step.readLog();
      for (let b = first; b < next; b++) lossSum += records[b % LOG_SLOTS].lossSum;
      first = next;
      yield { done: Math.min(total, next * batch), lossSum };
    }
  }

  async #save(): Promise<CheckpointEvent> {
    const { data, out } = this.#options;
    const { settings, progress } = this.#plan;
    const checkpoint = await captureCheckpoint(this.#gpu, this.#step, settings, progress, data);
    const path = await saveCheckpoint(out!, checkpoint, {
      onWarning: (message) => this.#warnings.push(message),
    });
    this.#savedStep = progress.step;
    return { type: "checkpoint", step: progress.step, path };
  }
}

/** Adds the time that passes to a run's seconds. */
class Stopwatch {
  readonly #progress: { seconds: number };
  #since = performance.now();

  constructor(progress: { seconds: number }) {
    this.#progress = progress;
  }

  /** Seconds since the last lap. */
  lap(): number {
    const now = performance.now();
    const seconds = (now - this.#since) / 1000;
    this.#since = now;
    this.#progress.seconds += seconds;
    return seconds;
  }
}
