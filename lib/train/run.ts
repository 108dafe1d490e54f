/**
 * The training loop (Ho et al. 2020, algorithm 1): steps, validation and checkpoints after each epoch, sample grids.
 *
 * @module
 */
import { TrainingError } from "../errors.ts";
import { permutation } from "../random.ts";
import { saveCheckpoint } from "../files/checkpoint.ts";
import type { CheckpointEvent, EpochRecord, StartEvent, TrainEvent, WarningEvent } from "./events.ts";
import { Forecast } from "./forecast.ts";
import { GRID_SHARE, gridIsDue } from "./grid_schedule.ts";
import { describeRemedy, findNonFinite } from "./non_finite.ts";
import { Pace, settle } from "./pace.ts";
import type { RunParts } from "./run_parts.ts";
import { epochIsOver, type RunPlan, trainingState } from "./run_plan.ts";
import { captureCheckpoint } from "./state.ts";
import type { TrainingStep } from "./device/step.ts";
import { type NonFiniteStep, StepLog } from "./step_log.ts";
import { Stopwatch } from "./stopwatch.ts";
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
  readonly #pace = new Pace();
  readonly #resumedFrom: number;
  /** Epoch (from 1) whose image order is set; 0 for the order of validation. */
  #epochOrder = 0;
  /** Optimizer steps done at the last checkpoint. */
  #savedStep: number | undefined;
  /** Optimizer steps done at the last grid. */
  #drawnStep: number | undefined;
  #warnedOfFewGrids = false;

  constructor(parts: RunParts) {
    this.#parts = parts;
    const { plan, step, warnings, options, grid } = parts;
    this.#plan = plan;
    this.#step = step;
    this.#warnings = warnings;
    this.#forecast = new Forecast(plan, grid?.evaluations ?? 0);
    this.#log = new StepLog(plan, options.logEvery ?? 0, this.#forecast);
    this.#clock = new Stopwatch(plan.progress);
    this.#resumedFrom = plan.progress.step;
    this.#savedStep = plan.savedStep;
    this.#drawnStep = parts.metrics?.lastSamples;
  }

  /** Frees its device memory. */
  destroy(): void {
    this.#parts.scope.destroy();
  }

  /** Runs to the end, or until the caller's signal; call once. */
  async *events(): AsyncGenerator<TrainEvent, void, undefined> {
    const { progress, totalSteps } = this.#plan;
    const { options: { out }, metrics } = this.#parts;
    yield this.#startEvent();
    if (progress.step >= totalSteps && !epochIsOver(this.#plan)) {
      const { steps, epochs } = this.#plan.settings;
      const limit = steps === totalSteps ? `\`steps\` ${steps}` : `\`epochs\` ${epochs}`;
      const done = progress.step > totalSteps
        ? `${limit}: this run has done ${progress.step} steps already`
        : `all ${totalSteps} steps of this run are done`;
      this.#warnings.push(`${done}; to continue it, set more \`epochs\` or \`steps\``);
    }
    yield* this.#takeWarnings();
    this.#clock.start();
    this.#log.restart();
    // Ho et al. 2020, algorithm 1, lines 1 and 6: repeat until the steps are done
    while (!this.#aborted) {
      if (epochIsOver(this.#plan)) yield* this.#endEpoch();
      else if (this.#gridIsDue) yield* this.#drawGrid();
      else if (progress.step < totalSteps) yield* this.#trainStep();
      else break;
    }
    this.#clock.lap();
    if (out !== undefined && progress.step > this.#resumedFrom && this.#savedStep !== progress.step) {
      yield await this.#save();
    }
    const { step, history, seconds } = progress;
    const interrupted = step < totalSteps || epochIsOver(this.#plan);
    await metrics?.append({ type: "end", step, interrupted, seconds });
    yield* this.#takeWarnings();
    yield { type: "end", step, interrupted, history: [...history], seconds };
  }

  get #aborted(): boolean {
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
    if (nonFinite) await this.#stop(nonFinite);
    const event = eventDue || !this.#parts.options.logEvery ? this.#log.event() : undefined;
    if (event) await this.#parts.metrics?.append(event);
    yield* this.#takeWarnings();
    if (event) yield event;
  }

  /**
   * Submits optimizer step `step` (from 0).
   *
   * @returns false if the caller's signal came between its micro-batches; no weights have changed then
   */
  async #submit(step: number): Promise<boolean> {
    const { accumulate } = this.#plan.settings;
    this.#orderEpoch(Math.floor(step / this.#plan.stepsPerEpoch) + 1);
    for (let micro = 0; micro < accumulate; micro++) {
      if (micro > 0 && this.#pace.due) {
        await settle(this.#parts.gpu);
        this.#pace.waited();
        if (this.#aborted) return false;
      }
      // Algorithm 1, lines 2 to 5
      const state = trainingState(this.#plan, step, micro);
      if (micro < accumulate - 1) this.#step.accumulate(state);
      else this.#step.update(state);
      this.#pace.submitted();
    }
    return true;
  }

  /** Sets the image order of an epoch (from 1). */
  #orderEpoch(epoch: number): void {
    if (this.#epochOrder === epoch) return;
    const { trainImages, settings } = this.#plan;
    this.#step.setOrder(permutation(trainImages, settings.seed, epoch) as Uint32Array<ArrayBuffer>);
    this.#epochOrder = epoch;
  }

  /** Ends an epoch, full or not: validation, record, checkpoint. Discarded if a signal interrupts validation. */
  async *#endEpoch(): AsyncGenerator<TrainEvent> {
    const { progress, settings, stepsPerEpoch, validationImages: total } = this.#plan;
    const { options: { out, signal }, metrics } = this.#parts;
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
    for await ({ done: validated, lossSum } of validate(this.#step, this.#plan, signal)) {
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
    if (step % stepsPerEpoch === 0) progress.lossSum = progress.lossCount = progress.epochSeconds = 0;
    await metrics?.append({ type: "epoch", ...record });
    yield* this.#takeWarnings();
    yield { type: "epoch", ...record };
    if (out !== undefined) {
      yield await this.#save();
      yield* this.#takeWarnings();
    }
    this.#forecast.validated((performance.now() - began) / 1000);
    this.#clock.start();
    this.#log.restart();
  }

  /** True if the last finished epoch, even one before a resume, should have a grid and has none. */
  get #gridIsDue(): boolean {
    const { progress: { step, history }, stepsPerEpoch, totalSteps } = this.#plan;
    const last = history.at(-1);
    if (!this.#parts.grid || last?.step !== step || this.#drawnStep === step) return false;
    if (step === totalSteps) return true;
    const times = { grid: this.#forecast.gridSeconds(last.seconds / stepsPerEpoch), epoch: last.seconds };
    const due = gridIsDue(this.#plan, this.#drawnStep, times);
    if (!due && this.#plan.grids.sampleEvery === null) this.#warnOfFewGrids();
    return due;
  }

  #warnOfFewGrids(): void {
    if (this.#warnedOfFewGrids) return;
    this.#warnedOfFewGrids = true;
    const share = `${100 * GRID_SHARE} %`;
    this.#warnings.push(
      `to keep within ${share} of the time, sample grids are drawn after some epochs only, and at the end ` +
        "(`sampleEvery` sets the epochs between them)",
    );
  }

  async *#drawGrid(): AsyncGenerator<TrainEvent> {
    const { step, history } = this.#plan.progress;
    const { epoch } = history.at(-1)!;
    const began = performance.now();
    const event = await this.#parts.grid!.draw(epoch, step);
    if (event) {
      yield event;
      this.#drawnStep = step;
      await this.#parts.metrics?.append({ type: "samples", epoch, step });
      yield* this.#takeWarnings();
      this.#forecast.drawn((performance.now() - began) / 1000);
    }
    this.#clock.start();
    this.#log.restart();
  }

  #takeWarnings(): WarningEvent[] {
    return this.#warnings.splice(0).map((message) => ({ type: "warning", message }));
  }

  #startEvent(): StartEvent {
    const { gpu, options } = this.#parts;
    const { settings, trainImages, validationImages, stepsPerEpoch, totalSteps } = this.#plan;
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
      classes: options.data.classes,
    };
  }

  /** Stops the run at a non-finite step: saves the last good state, and names the step and the tensor. */
  async #stop({ step, finiteLoss }: NonFiniteStep): Promise<never> {
    const { gpu, staging } = this.#parts;
    const { settings } = this.#plan;
    this.#orderEpoch(Math.floor(step / this.#plan.stepsPerEpoch) + 1);
    const tensor = await findNonFinite(gpu, this.#step, this.#plan, step, staging);
    // The optimizer has written nothing since this step, so the weights are those before it.
    this.#plan.progress.step = step;
    throw new TrainingError(
      `step ${step + 1}: ${finiteLoss ? "the gradients" : "the loss"} stopped being finite` +
        `${settings.precision === "mixed" ? ", even at the smallest loss scale" : ""}` +
        `${tensor ? `, first in the gradient of ${tensor}` : ""}${await this.#saveLastGood()}. ` +
        `Resume with \`onNonFinite: "skip"\`, or ${describeRemedy(settings)}`,
    );
  }

  async #saveLastGood(): Promise<string> {
    const { out } = this.#parts.options;
    if (out === undefined) return "";
    if (this.#savedStep === this.#plan.progress.step) return `; the state before it is saved in ${out}`;
    try {
      return `; the state before it is saved in ${(await this.#save()).path}`;
    } catch (error) {
      return `; the state before it could not be saved (${(error as Error).message})`;
    }
  }

  async #save(): Promise<CheckpointEvent> {
    const { gpu, options: { data, out }, staging } = this.#parts;
    const { settings, grids, progress } = this.#plan;
    const checkpoint = await captureCheckpoint(gpu, this.#step, settings, grids, progress, data, staging);
    const path = await saveCheckpoint(out!, checkpoint, {
      onWarning: (message) => this.#warnings.push(message),
    });
    this.#savedStep = progress.step;
    return { type: "checkpoint", step: progress.step, path };
  }
}
