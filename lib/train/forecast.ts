/**
 * Estimate of a run's remaining time: steps, validations, sample grids and evaluations.
 *
 * @module
 */
import { epochsBetweenGrids } from "./grid_schedule.ts";
import type { RunPlan } from "./run_plan.ts";

/** Sliding window for the speed, seconds: long enough to be stable, short enough to follow changes. */
const WINDOW_SECONDS = 30;
/** Time of a forward pass relative to a training step on the same images, roughly. */
const FORWARD_SHARE = 1 / 3;

/** Passes of the network, counted per image; 0 for what a run does not do. */
export interface NetworkPasses {
  /** For a sample grid. */
  readonly grid: number;
  /** For an evaluation. */
  readonly evaluation: number;
}

/** Estimates a run's remaining seconds. */
export class Forecast {
  readonly #plan: RunPlan;
  readonly #passes: NetworkPasses;
  /** Step counts and their seconds, oldest first. */
  readonly #laps: { readonly steps: number; readonly seconds: number }[] = [];
  #firstLap = true;
  /** Seconds of the last validation and save, of the last grid, and of the last evaluation. */
  #validation: number | undefined;
  #grid: number | undefined;
  #evaluation: number | undefined;

  constructor(plan: RunPlan, passes: NetworkPasses) {
    this.#plan = plan;
    this.#passes = passes;
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

  /** Call after an evaluation, with its seconds. */
  evaluated(seconds: number): void {
    this.#evaluation = seconds;
  }

  /** Seconds for the next grid: those of the last one, or an estimate from the seconds per training step. */
  gridSeconds(perStep: number): number {
    const { batch, accumulate } = this.#plan.settings;
    return this.#grid ?? this.#passes.grid * perStep / (batch * accumulate) * FORWARD_SHARE;
  }

  /** Seconds left; NaN before the first steps. Includes an epoch's validation until its record is in the history. */
  get secondsLeft(): number {
    const { progress, stepsPerEpoch, totalSteps, settings, grids, validationImages } = this.#plan;
    const perStep = sum(this.#laps, "seconds") / sum(this.#laps, "steps");
    const perEvaluation = perStep / (settings.batch * settings.accumulate) * FORWARD_SHARE;
    const validation = this.#validation ?? validationImages * perEvaluation;
    const grid = this.gridSeconds(perStep);
    const [done, epochs] = [progress.history.length, Math.ceil(totalSteps / stepsPerEpoch)];
    const evaluation = this.#evaluation ?? this.#passes.evaluation * perEvaluation;
    const gridEvery = this.#passes.grid === 0
      ? 0
      : epochsBetweenGrids(grids, { grid, epoch: stepsPerEpoch * perStep + validation });
    const evaluateEvery = this.#passes.evaluation === 0 ? 0 : grids.evaluateEvery;
    const left = (every: number) => timesLeft(every, done, epochs);
    return (totalSteps - progress.step) * perStep + (epochs - done) * validation + left(gridEvery) * grid +
      left(evaluateEvery) * evaluation;
  }
}

/** Times left for what is done after every so many epochs and after the last; 0 for never. */
function timesLeft(every: number, done: number, epochs: number): number {
  if (every === 0 || done >= epochs) return 0;
  const timesIn = (first: number) => Math.floor(first / every);
  return timesIn(epochs) - timesIn(done) + (epochs % every === 0 ? 0 : 1);
}

function sum<K extends string>(records: readonly Readonly<Record<K, number>>[], field: K): number {
  return records.reduce((total, record) => total + record[field], 0);
}
