/**
 * How long a run will still take: its steps, and the validations and grids of samples between them.
 *
 * @module
 */
import { epochsBetweenGrids } from "./grid_schedule.ts";
import type { RunPlan } from "./run_plan.ts";

/** Seconds of steps that the speed is taken over: long enough to be calm, short enough to follow a change. */
const WINDOW_SECONDS = 30;
/** A forward pass takes about so much of what a training step takes for the same images. */
const FORWARD_SHARE = 1 / 3;

/** Foretells the seconds a run has left from those it took. */
export class Forecast {
  readonly #plan: RunPlan;
  readonly #gridEvaluations: number;
  /** Steps and the seconds they took, oldest first. */
  readonly #laps: { readonly steps: number; readonly seconds: number }[] = [];
  #firstLap = true;
  /** Seconds of the last validation and save, and of the last grid. */
  #validation: number | undefined;
  #grid: number | undefined;

  /** @param gridEvaluations evaluations of the network for one image that a grid takes; 0 where none are drawn */
  constructor(plan: RunPlan, gridEvaluations: number) {
    this.#plan = plan;
    this.#gridEvaluations = gridEvaluations;
  }

  /** Call after steps, with the seconds that they alone took. */
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
      later -= this.#laps[0].seconds;
    }
  }

  /** Call after an epoch's validation and save, with the seconds that they took. */
  validated(seconds: number): void {
    this.#validation = seconds;
  }

  /** Call after a grid of samples, with the seconds that it took. */
  drawn(seconds: number): void {
    this.#grid = seconds;
  }

  /** Seconds that the next grid will take, as the last did, or by the time of the network's training. */
  gridSeconds(perStep: number): number {
    const { batch, accumulate } = this.#plan.settings;
    return this.#grid ?? this.#gridEvaluations * perStep / (batch * accumulate) * FORWARD_SHARE;
  }

  /** Seconds left; NaN before the first steps. An epoch's end counts until its record is made. */
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
