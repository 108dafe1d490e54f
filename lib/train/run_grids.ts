/**
 * Sample grids of a run as it goes.
 *
 * @module
 */
import type { TrainEvent } from "./events.ts";
import type { Forecast } from "./forecast.ts";
import { GRID_SHARE, gridIsDue } from "./grid_schedule.ts";
import type { RunParts } from "./run_parts.ts";
import { stopsEarly } from "./run_plan.ts";

/** Draws a run's sample grids when they are due. */
export class RunGrids {
  readonly #parts: RunParts;
  readonly #forecast: Forecast;
  /** Optimizer steps done at the last grid. */
  #drawnStep: number | undefined;
  #notedFewGrids = false;

  constructor(parts: RunParts, forecast: Forecast) {
    this.#parts = parts;
    this.#forecast = forecast;
    this.#drawnStep = parts.metrics?.lastSamples;
  }

  /** True if the last finished epoch, even one before a resume, should have a grid and has none. */
  get due(): boolean {
    const { plan, grid } = this.#parts;
    const { progress: { step, history }, stepsPerEpoch, totalSteps } = plan;
    const last = history.at(-1);
    if (!grid || last?.step !== step || this.#drawnStep === step) return false;
    if (step === totalSteps || stopsEarly(plan)) return true;
    const times = { grid: this.#forecast.gridSeconds(last.seconds / stepsPerEpoch), epoch: last.seconds };
    const due = gridIsDue(plan, this.#drawnStep, times);
    if (!due && plan.grids.sampleEvery === null) this.#noteFewGrids();
    return due;
  }

  /** Draws the grid that is due; no event if the caller's signal interrupts it. */
  async *draw(): AsyncGenerator<TrainEvent> {
    const { plan: { progress }, grid, metrics } = this.#parts;
    const { step, history } = progress;
    const { epoch } = history.at(-1)!; // a grid is due after an epoch only
    const began = performance.now();
    const event = await grid!.draw(epoch, step);
    if (!event) return;
    yield event;
    this.#drawnStep = step;
    await metrics?.append({ type: "samples", epoch, step });
    this.#forecast.drawn((performance.now() - began) / 1000);
  }

  #noteFewGrids(): void {
    if (this.#notedFewGrids) return;
    this.#notedFewGrids = true;
    const share = `${100 * GRID_SHARE} %`;
    this.#parts.notes.push(
      `sample grids are drawn after some epochs only, and at the end, so that they take ${share} of the time ` +
        "at most (`sampleEvery` sets the epochs between them)",
    );
  }
}
