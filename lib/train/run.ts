/**
 * The training loop (Ho et al. 2020, algorithm 1): steps, validation and checkpoints after each epoch, sample grids.
 *
 * @module
 */
import { DataError, TrainingError } from "../errors.ts";
import { permutation } from "../random.ts";
import type { EpochRecord, NoteEvent, StartEvent, TrainEvent, WarningEvent } from "./events.ts";
import { Forecast } from "./forecast.ts";
import { describeRemedy, findNonFinite } from "./non_finite.ts";
import type { RunEvaluator, RunSaves } from "./run_keeping.ts";
import { RunGrids } from "./run_grids.ts";
import { Pace, settle } from "../gpu/pace.ts";
import type { RunParts } from "./run_parts.ts";
import {
  epochIsOver,
  profileRates,
  type RunPlan,
  stopsEarly,
  trainingIsOver,
  trainingState,
} from "./run_plan.ts";
import type { TrainingStep } from "./device/step.ts";
import { type NonFiniteStep, StepLog } from "./step_log.ts";
import { Stopwatch } from "./stopwatch.ts";
import { describeOverfitting } from "./validation_history.ts";
import { validate } from "./validation.ts";

/** A run with everything allocated, ready to start. */
export class Run {
  readonly #parts: RunParts;
  readonly #plan: RunPlan;
  readonly #step: TrainingStep;
  readonly #warnings: string[];
  readonly #forecast: Forecast;
  readonly #log: StepLog;
  readonly #clock: Stopwatch;
  readonly #checkpoints: RunSaves | undefined;
  readonly #grids: RunGrids;
  readonly #pace = new Pace();
  readonly #resumedFrom: number;
  /** Epoch (from 1) whose image order is set; 0 for the order of validation. */
  #epochOrder = 0;

  constructor(parts: RunParts) {
    this.#parts = parts;
    const { plan, step, warnings, options, grid, checkpoints } = parts;
    this.#plan = plan;
    this.#step = step;
    this.#warnings = warnings;
    this.#forecast = new Forecast(plan, {
      grid: grid?.evaluations ?? 0,
      evaluation: parts.evaluation?.evaluations ?? 0,
    });
    this.#log = new StepLog(plan, options.logEvery ?? 0, this.#forecast);
    this.#clock = new Stopwatch(plan.progress);
    this.#resumedFrom = plan.progress.step;
    this.#checkpoints = checkpoints;
    this.#grids = new RunGrids(parts, this.#forecast);
  }

  /** Frees its device memory. */
  destroy(): void {
    this.#parts.scope.destroy();
  }

  /** Runs to the end, or until the caller's signal; call once. */
  async *events(): AsyncGenerator<TrainEvent, void, undefined> {
    const { progress } = this.#plan;
    const checkpoints = this.#checkpoints;
    const start = this.#startEvent();
    const { gpu: { adapter }, options: { data }, metrics } = this.#parts;
    await metrics?.appendStart(start, { adapter, data, plan: this.#plan });
    yield start;
    if (trainingIsOver(this.#plan)) this.#warnings.push(describeFinished(this.#plan));
    yield* this.#takeMessages();
    this.#clock.start();
    this.#log.restart();
    // Ho et al. 2020, algorithm 1, lines 1 and 6: repeat until the steps are done
    try {
      while (!this.#aborted) {
        if (epochIsOver(this.#plan)) yield* this.#endEpoch();
        else if (this.#grids.due) yield* this.#drawGrid();
        else if (this.#parts.evaluation?.due) yield* this.#evaluate(this.#parts.evaluation);
        else if (trainingIsOver(this.#plan)) break;
        else yield* this.#trainStep();
      }
    } catch (error) {
      const reported = error instanceof DataError ? await this.#saveBefore(error) : error;
      await this.#logFailure(reported);
      throw reported;
    }
    this.#clock.lap();
    await this.#parts.ranks?.checkWeights(this.#parts.staging);
    if (checkpoints && progress.step > this.#resumedFrom && !checkpoints.current) {
      yield await checkpoints.save();
    }
    const { step, history, seconds } = progress;
    const interrupted = !trainingIsOver(this.#plan);
    const stoppedEarly = stopsEarly(this.#plan);
    await this.#parts.metrics?.append({ type: "end", step, interrupted, stoppedEarly, seconds });
    yield* this.#takeMessages();
    const best = checkpoints?.best;
    yield {
      ...{ type: "end", step, interrupted, stoppedEarly, history: [...history], seconds },
      ...(best ? { best } : {}),
    };
  }

  /** Ends the log with an error, for readers of a run that stopped. */
  async #logFailure(error: unknown): Promise<void> {
    this.#clock.lap();
    const { step, seconds } = this.#plan.progress;
    const message = error instanceof Error ? error.message : String(error);
    const end = { type: "end", step, interrupted: true, stoppedEarly: false, seconds, error: message };
    await this.#parts.metrics?.append(end);
  }

  get #aborted(): boolean {
    return this.#parts.ranks ? this.#parts.ranks.stopping : this.#stopAsked;
  }

  /** True if the caller of this process has asked to stop; of several ranks, all stop at the step after. */
  get #stopAsked(): boolean {
    return this.#parts.options.signal?.aborted ?? false;
  }

  /** Takes one optimizer step, and reads the device's log when due. */
  async *#trainStep(): AsyncGenerator<TrainEvent> {
    if (await this.#submit(this.#plan.progress.step)) {
      this.#plan.progress.step++;
      this.#log.submitted();
    }
    const eventDue = this.#log.eventDue || epochIsOver(this.#plan);
    if (!eventDue && !this.#log.full && !this.#pace.due && !this.#aborted) return;
    const nonFinite = this.#log.take(await this.#step.readLog(), this.#warnings);
    this.#pace.waited();
    if (nonFinite && (this.#parts.ranks?.isFirst ?? true)) await this.#stop(nonFinite); // which ends the other ranks
    const event = eventDue || !this.#parts.options.logEvery ? this.#log.event() : undefined;
    if (event) await this.#parts.metrics?.append(event);
    yield* this.#takeMessages();
    if (event) yield event;
  }

  /**
   * Submits optimizer step `step` (from 0).
   *
   * @returns false if the caller's signal came between its micro-batches; no weights have changed then
   */
  async #submit(step: number): Promise<boolean> {
    const { accumulate } = this.#plan.settings;
    const { ranks } = this.#parts;
    const { first, end } = ranks?.range ?? { first: 0, end: accumulate };
    this.#orderEpoch(step);
    for (let micro = first; micro < end; micro++) {
      if (micro > first && this.#pace.due) {
        await settle(this.#parts.gpu);
        this.#pace.waited();
        if (this.#aborted) return false;
      }
      // Algorithm 1, lines 2 to 5
      const state = await this.#parts.images.place(trainingState(this.#plan, step, micro));
      if (ranks) this.#step.accumulate(ranks.stateOf(state, micro));
      else if (micro < accumulate - 1) this.#step.accumulate(state);
      else this.#step.update(state, profileRates(this.#plan, step));
      this.#pace.submitted();
    }
    if (ranks) {
      const state = trainingState(this.#plan, step, accumulate - 1);
      await ranks.sum(state, this.#stopAsked);
      this.#pace.waited();
      this.#step.descend(state, profileRates(this.#plan, step));
    }
    return true;
  }

  /** Sets the image order of a step's epoch. */
  #orderEpoch(step: number): void {
    const { trainImages, stepsPerEpoch, settings } = this.#plan;
    const epoch = Math.floor(step / stepsPerEpoch) + 1;
    if (this.#epochOrder === epoch) return;
    const order = permutation(trainImages, settings.seed, epoch) as Uint32Array<ArrayBuffer>;
    const first = this.#parts.ranks?.range.first ?? 0;
    this.#parts.images.setOrder(order, trainingState(this.#plan, step, first).position);
    this.#epochOrder = epoch;
  }

  /** Ends an epoch, full or not: validation, record, checkpoint. Discarded if a signal interrupts validation. */
  async *#endEpoch(): AsyncGenerator<TrainEvent> {
    const { progress, settings, stepsPerEpoch, validationImages: total } = this.#plan;
    const { images, ranks, options: { signal }, metrics } = this.#parts;
    const { step } = progress;
    const epoch = Math.ceil(step / stepsPerEpoch);
    if (progress.lossCount === 0) {
      throw new TrainingError(
        `epoch ${epoch}: every step was skipped, because loss or gradients were not finite` +
          `${settings.precision === "mixed" ? " in float16" : ""}; ${describeRemedy(settings)}`,
      );
    }
    const trainLoss = progress.lossSum / progress.lossCount;
    this.#epochOrder = 0;
    const began = performance.now();
    let [validated, lossSum] = [0, 0];
    for await ({ done: validated, lossSum } of validate(this.#step, images, this.#plan, { signal, ranks })) {
      yield { type: "validation", done: validated, total };
    }
    if (validated < total) return;
    let valLoss = total === 0 ? null : lossSum / total;
    if (valLoss !== null && !Number.isFinite(valLoss)) {
      this.#warnings.push(`epoch ${epoch}: the validation loss is not finite`);
      valLoss = null;
    }
    this.#clock.lap();
    const record: EpochRecord = { epoch, step, trainLoss, valLoss, seconds: progress.epochSeconds };
    progress.history.push(record);
    if (settings.keepBest && valLoss !== null && valLoss < (progress.best?.valLoss ?? Infinity)) {
      progress.best = { epoch, step, valLoss };
    }
    const overfitting = describeOverfitting(progress.history);
    if (overfitting !== undefined) this.#warnings.push(overfitting);
    if (step % stepsPerEpoch === 0) progress.lossSum = progress.lossCount = progress.epochSeconds = 0;
    await metrics?.append({ type: "epoch", ...record });
    yield* this.#takeMessages();
    yield { type: "epoch", ...record };
    await ranks?.checkWeights(this.#parts.staging);
    if (this.#checkpoints) {
      await this.#checkpoints.saveSnapshot();
      yield await this.#checkpoints.save();
      yield* this.#takeMessages();
    }
    this.#forecast.validated((performance.now() - began) / 1000);
    this.#clock.start();
    this.#log.restart();
  }

  async *#drawGrid(): AsyncGenerator<TrainEvent> {
    yield* this.#grids.draw();
    yield* this.#takeMessages();
    this.#clock.start();
    this.#log.restart();
  }

  async *#evaluate(evaluation: RunEvaluator): AsyncGenerator<TrainEvent> {
    const began = performance.now();
    const event = yield* evaluation.evaluate();
    if (event) {
      if (event.type === "evaluation") await this.#parts.metrics?.append(event);
      yield* this.#takeMessages();
      yield event;
      this.#forecast.evaluated((performance.now() - began) / 1000);
    }
    this.#clock.start();
    this.#log.restart();
  }

  #takeMessages(): (WarningEvent | NoteEvent)[] {
    const warnings = this.#warnings.splice(0).map((message): WarningEvent => ({ type: "warning", message }));
    const notes = this.#parts.notes.splice(0).map((message): NoteEvent => ({ type: "note", message }));
    return [...warnings, ...notes];
  }

  #startEvent(): StartEvent {
    const { gpu, options, imagesOn } = this.#parts;
    const { settings, trainImages, validationImages, stepsPerEpoch, totalSteps } = this.#plan;
    const { file } = options.data.images;
    return {
      type: "start",
      settings,
      adapter: gpu.adapter.name,
      parameters: this.#step.table.count,
      trainImages,
      validationImages,
      stepsPerEpoch,
      totalSteps,
      resumedFrom: this.#resumedFrom,
      flopsPerStep: this.#step.flops * settings.accumulate,
      deviceBytes: gpu.memory.used,
      imagesOn,
      ...(file === undefined ? {} : { imageFile: file }),
      classes: options.data.classes,
    };
  }

  /** Stops the run at a non-finite step: saves the last good state, and names the step and the tensor. */
  async #stop({ step, finiteLoss }: NonFiniteStep): Promise<never> {
    const { gpu, images, staging } = this.#parts;
    const { settings } = this.#plan;
    this.#orderEpoch(step);
    const tensor = await findNonFinite(gpu, this.#step, images, this.#plan, step, staging);
    // The optimizer has written nothing since this step, so the weights are those before it.
    this.#plan.progress.step = step;
    throw new TrainingError(
      `step ${step + 1}: ${finiteLoss ? "the gradients" : "the loss"} stopped being finite` +
        `${settings.precision === "mixed" ? ", even at the smallest loss scale" : ""}` +
        `${tensor ? `, first in the gradient of ${tensor}` : ""}${await this.#saveLastGood()}. ` +
        `Resume with \`onNonFinite: "skip"\`, or ${describeRemedy(settings)}`,
    );
  }

  /** Saves the state before an image that cannot be read, and says so in the error. */
  async #saveBefore(error: DataError): Promise<DataError> {
    const nonFinite = this.#log.take(await this.#step.readLog(), this.#warnings);
    if (nonFinite) await this.#stop(nonFinite);
    return new DataError(`${error.message}${await this.#saveLastGood()}`, { cause: error });
  }

  async #saveLastGood(): Promise<string> {
    const checkpoints = this.#checkpoints;
    if (!checkpoints) return "";
    if (checkpoints.current) return `; the state before it is saved in ${checkpoints.directory}`;
    try {
      return `; the state before it is saved in ${(await checkpoints.save()).path}`;
    } catch (error) {
      return `; the state before it could not be saved (${(error as Error).message})`;
    }
  }
}

/** Warning for a resumed run that has nothing left to train. */
function describeFinished({ settings: { steps, epochs, patience }, progress, totalSteps }: RunPlan): string {
  const { step } = progress;
  if (step < totalSteps) {
    return `the run stopped early, after ${patience} epochs without a lower validation loss; ` +
      "to continue it, set more `patience`";
  }
  const limit = steps === totalSteps ? `\`steps\` ${steps}` : `\`epochs\` ${epochs}`;
  const done = step > totalSteps
    ? `${limit}: this run has done ${step} steps already`
    : `all ${totalSteps} steps of this run are done`;
  return `${done}; to continue it, set more \`epochs\` or \`steps\``;
}
