/**
 * What the device recorded of the steps, taken into a run's progress, and the events made of it.
 *
 * @module
 */
import { SMALLEST_LOSS_SCALE } from "../../kernels/loss_scale.ts";
import type { LoggedStep } from "../../kernels/records/training.ts";
import type { StepEvent } from "./events.ts";
import type { Forecast } from "./forecast.ts";
import { type RunPlan, trainingState } from "./run_plan.ts";
import { LOG_SLOTS } from "./device/step_graph.ts";

/** Seconds between two events where the caller leaves it to us. */
const SECONDS_PER_EVENT = 1;

/** A step (from 0) whose loss or gradients were not finite. */
export interface NonFiniteStep {
  readonly step: number;
  readonly finiteLoss: boolean;
}

/** Sums of the steps since the last event. */
interface Since {
  readonly time: number;
  steps: number;
  lossSum: number;
  lossCount: number;
  /** Of the last step that was finite. */
  gradientNorm: number;
  /** Steps that were left out. */
  skippedSteps: number;
  /** Of the last step. */
  lossScale: number;
}

/** Takes in the records of a run's steps. */
export class StepLog {
  readonly #plan: RunPlan;
  readonly #every: number;
  readonly #forecast: Forecast;
  /** Steps submitted whose records were not taken in yet. */
  #unread = 0;
  #since = nothingSince();

  /** @param every steps between two events, 0 for about one a second */
  constructor(plan: RunPlan, every: number, forecast: Forecast) {
    this.#plan = plan;
    this.#every = every;
    this.#forecast = forecast;
  }

  /** Whether the next step would overwrite a record. */
  get full(): boolean {
    return this.#unread === LOG_SLOTS;
  }

  /** Whether the steps submitted since the last event must be told now. */
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
   * Takes in the unread steps.
   *
   * @param records the log, slot 0 first, read after `progress.step` steps
   * @param warnings told of steps that were left out
   * @returns the first step that was not finite, where that ends the run; steps from there on are not taken in
   */
  take(records: readonly LoggedStep[], warnings: string[]): NonFiniteStep | undefined {
    const { progress, settings } = this.#plan;
    const first = progress.step - this.#unread;
    this.#unread = 0;
    for (let step = first; step < progress.step; step++) {
      const record = records[step % LOG_SLOTS];
      const finiteLoss = Number.isFinite(record.lossSum);
      // A step that overflowed in float16 lowers the loss scale, which is nothing to tell before that is at its smallest.
      const scaled = record.lossScale > SMALLEST_LOSS_SCALE;
      this.#since.lossScale = record.lossScale;
      if (record.nonFinite) {
        const final = record.hopeless || settings.precision === "float32";
        if (settings.onNonFinite === "stop" && final) return { step, finiteLoss };
        if (!scaled) {
          warnings.push(`step ${step + 1}: loss or gradients were not finite; the step was left out`);
        }
        this.#since.skippedSteps++;
        if (!scaled || !finiteLoss) continue;
      } else this.#since.gradientNorm = record.gradientNorm;
      // One by one, so that the sum does not depend on how many steps were taken in at once.
      progress.lossSum += record.lossSum;
      progress.lossCount += record.count;
      this.#since.lossSum += record.lossSum;
      this.#since.lossCount += record.count;
    }
    return undefined;
  }

  /**
   * What to tell of the steps since the last event, all of them taken in; the next event is of those after them.
   *
   * @returns undefined where there were none
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
      ...precision === "float16" ? { lossScale, skippedSteps } : {},
      imagesPerSecond: steps / seconds * batch * accumulate,
      remainingSeconds: this.#forecast.secondsLeft,
    };
  }

  /** Forgets the time since the last event: it went to something other than steps. */
  restart(): void {
    this.#since = nothingSince();
  }

  #seconds(): number {
    return (performance.now() - this.#since.time) / 1000;
  }
}

function nothingSince(): Since {
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
