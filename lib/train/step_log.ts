/**
 * Log of training steps: the device's records are added to a run's progress and summarized in events.
 *
 * @module
 */
import { SMALLEST_LOSS_SCALE } from "../../kernels/loss_scale.ts";
import type { LoggedStep } from "../../kernels/records/training.ts";
import type { StepEvent } from "./events.ts";
import type { Forecast } from "./forecast.ts";
import { type RunPlan, trainingState } from "./run_plan.ts";
import { LOG_SLOTS } from "./device/step_graph.ts";

/** Seconds between events, unless `logEvery` is given. */
const SECONDS_PER_EVENT = 1;

/** A step (from 0) whose loss or gradients were not finite. */
export interface NonFiniteStep {
  readonly step: number;
  readonly finiteLoss: boolean;
}

/** Sums of the steps since the last event. */
interface StepSums {
  readonly time: number;
  steps: number;
  lossSum: number;
  lossCount: number;
  /** Of the last finite step. */
  gradientNorm: number;
  /** Skipped steps. */
  skippedSteps: number;
  /** Of the last step. */
  lossScale: number;
}

/** Reads the records of a run's steps. */
export class StepLog {
  readonly #plan: RunPlan;
  readonly #every: number;
  readonly #forecast: Forecast;
  /** Submitted steps whose records have not been read yet. */
  #unread = 0;
  #since = emptyLikelihoodSums();

  /** @param every steps between events, 0 for about one event a second */
  constructor(plan: RunPlan, every: number, forecast: Forecast) {
    this.#plan = plan;
    this.#every = every;
    this.#forecast = forecast;
  }

  /** True if the next step would overwrite an unread record. */
  get full(): boolean {
    return this.#unread === LOG_SLOTS;
  }

  /** True if it is time for the next event. */
  get eventDue(): boolean {
    if (this.#every > 0) return this.#since.steps >= this.#every;
    return this.#since.steps > 0 && this.#seconds() >= SECONDS_PER_EVENT;
  }

  /** Call after each optimizer step is submitted. */
  submitted(): void {
    this.#unread++;
    this.#since.steps++;
  }

  /**
   * Adds the unread steps to the run's progress.
   *
   * @param records the log, slot 0 first, read after `progress.step` steps
   * @param warnings receives a warning for each skipped step
   * @returns the first non-finite step, if that ends the run; steps from there on are not added
   */
  take(records: readonly LoggedStep[], warnings: string[]): NonFiniteStep | undefined {
    const { progress, settings } = this.#plan;
    const first = progress.step - this.#unread;
    this.#unread = 0;
    for (let step = first; step < progress.step; step++) {
      const record = records[step % LOG_SLOTS]!; // the log has LOG_SLOTS records
      const finiteLoss = Number.isFinite(record.lossSum);
      // Overflow in float16 lowers the loss scale, which is normal until the scale is at its smallest.
      const scaled = record.lossScale > SMALLEST_LOSS_SCALE;
      this.#since.lossScale = record.lossScale;
      if (record.nonFinite) {
        const final = record.hopeless || settings.precision === "float32";
        if (settings.onNonFinite === "stop" && final) return { step, finiteLoss };
        if (!scaled) {
          warnings.push(`step ${step + 1}: loss or gradients were not finite; the step was skipped`);
        }
        this.#since.skippedSteps++;
        if (!scaled || !finiteLoss) continue;
      } else this.#since.gradientNorm = record.gradientNorm;
      // One by one, so that rounding does not depend on how many steps are read at once.
      progress.lossSum += record.lossSum;
      progress.lossCount += record.count;
      this.#since.lossSum += record.lossSum;
      this.#since.lossCount += record.count;
    }
    return undefined;
  }

  /**
   * Summarizes the steps since the last event, whose records must have been read, and starts the next event.
   *
   * @returns undefined if there were no steps
   */
  event(): StepEvent | undefined {
    const { progress: { step }, stepsPerEpoch, settings: { batch, accumulate, precision } } = this.#plan;
    const { steps, lossSum, lossCount, gradientNorm, lossScale, skippedSteps } = this.#since;
    if (steps === 0) return undefined;
    const seconds = this.#seconds();
    this.#forecast.stepped(steps, seconds);
    this.restart();
    return {
      type: "step",
      step,
      epoch: Math.ceil(step / stepsPerEpoch),
      loss: lossSum / lossCount,
      gradientNorm,
      learningRate: trainingState(this.#plan, step - 1, 0).learningRate,
      ...precision === "mixed" ? { lossScale, skippedSteps } : {},
      imagesPerSecond: steps / seconds * batch * accumulate,
      remainingSeconds: this.#forecast.secondsLeft,
    };
  }

  /** Starts the next event now: the time so far was spent on something other than steps. */
  restart(): void {
    this.#since = emptyLikelihoodSums();
  }

  #seconds(): number {
    return (performance.now() - this.#since.time) / 1000;
  }
}

function emptyLikelihoodSums(): StepSums {
  return {
    time: performance.now(),
    steps: 0,
    lossSum: 0,
    lossCount: 0,
    gradientNorm: NaN,
    skippedSteps: 0,
    lossScale: NaN,
  };
}
