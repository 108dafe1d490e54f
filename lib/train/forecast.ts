/**
 * Estimate of a run's remaining time: steps, validations, and sample grids.
 *
 * @module
 */
import { epochsBetweenGrids } from "./grid_schedule.ts";
import type { RunPlan } from "./run_plan.ts";

/** Sliding window for the speed, seconds: long enough to be stable, short enough to follow changes. */
const WINDOW_SECONDS = 30;
/** Time of a forward pass relative to a training step on the same images, roughly. */
const FORWARD_SHARE = 1 / 3;

/** Estimates a run's remaining seconds. */
export class Forecast {
  readonly #plan: RunPlan;
  readonly #gridEvaluations: number;
  /** Step counts and their seconds, oldest first. */
  readonly #laps: { readonly steps: number; readonly seconds: number }[] = [];
  #firstLap = true;
  /** Seconds of the last validation and save, and of the last grid. */
  #validation: number | undefined;
  #grid: number | undefined;

  /** @param gridEvaluations network evaluations for a grid, counted per image; 0 if no grids are drawn */
  constructor(plan: RunPlan, gridEvaluations: number) {
    this.#plan = plan;
    this.#gridEvaluations = gridEvaluations;
  }

  /** Call after steps, with their seconds alone. */
  stepped(steps: number, seconds: number): void {
    // The first steps of a process compile kernels.
    if (this.#firstLap && this.#laps.length === 1) {
      this.#laps.shift();
      this.#firstLap = false;
    }
    this.#laps.push({ steps, seconds });
    let later = sum(this.#laps.slice(1), "seconds");
    while (later > WINDOW_SECONDS) {
      this.#laps.shift();
      later -= this.#laps[0]!.seconds; // there is one, as the seconds after the first are above zero
    }
  }

  /** Call after an epoch's validation and save, with their seconds. */
  validated(seconds: number): void {
    this.#validation = seconds;
  }

  /** Call after a sample grid, with its seconds. */
  drawn(seconds: number): void {
    this.#grid = seconds;
  }

  /** Seconds for the next grid: those of the last one, or an estimate from the seconds per training step. */
  gridSeconds(perStep: number): number {
    const { batch, accumulate } = this.#plan.settings;
    return this.#grid ?? this.#gridEvaluations * perStep / (batch * accumulate) * FORWARD_SHARE;
  }

  /** Seconds left; NaN before the first steps. Includes an epoch's validation until its record is in the history. */
  get secondsLeft(): number {
    const { progress, stepsPerEpoch, totalSteps, settings, grids, validationImages } = this.#plan;
    const perStep = sum(this.#laps, "seconds") / sum(this.#laps, "steps");
    const perEvaluation = perStep / (settings.batch * settings.accumulate) * FORWARD_SHARE;
    const validation = this.#validation ?? validationImages * perEvaluation;
    const grid = this.gridSeconds(perStep);
    const [done, epochs] = [progress.history.length, Math.ceil(totalSteps / stepsPerEpoch)];
    const every = this.#gridEvaluations === 0
      ? 0
      : epochsBetweenGrids(grids, { grid, epoch: stepsPerEpoch * perStep + validation });
    // After every so many epochs, and after the last.
    const gridsIn = (first: number) => Math.floor(first / every);
    const gridsLeft = every === 0 || done >= epochs
      ? 0
      : gridsIn(epochs) - gridsIn(done) + (epochs % every === 0 ? 0 : 1);
    return (totalSteps - progress.step) * perStep + (epochs - done) * validation + gridsLeft * grid;
  }
}

function sum<K extends string>(records: readonly Readonly<Record<K, number>>[], field: K): number {
  return records.reduce((total, record) => total + record[field], 0);
}
