/**
 * Schedule of a run's sample grids: every `sampleEvery` epochs, or as often as a small share of the time allows.
 *
 * @module
 */
import type { RunPlan } from "./run_plan.ts";

/** Limit on the share of a run's time spent on grids, except the first and last. */
export const GRID_SHARE = 0.05;

/** Measured or estimated times, in seconds. */
export interface GridTimes {
  readonly grid: number;
  /** An epoch with its validation. */
  readonly epoch: number;
}

/** Epochs between grids: `sampleEvery`, or as many as keep grids within {@linkcode GRID_SHARE}. */
export function epochsBetweenGrids(
  { sampleEvery }: Pick<RunPlan["grids"], "sampleEvery">,
  { grid, epoch }: GridTimes,
): number {
  if (sampleEvery !== null) return sampleEvery;
  return Math.max(1, Math.ceil(grid / (GRID_SHARE * epoch)));
}

/**
 * True if a grid is due after the last finished epoch, unless that is the run's last.
 *
 * @param drawnStep optimizer steps done at the previous grid, if any
 * @param times of that epoch and of a grid
 */
export function gridIsDue(
  { progress, grids, stepsPerEpoch, totalSteps }: RunPlan,
  drawnStep: number | undefined,
  times: GridTimes,
): boolean {
  const { epoch } = progress.history.at(-1)!;
  if (grids.sampleEvery !== null) return epoch % grids.sampleEvery === 0;
  // The first grid is drawn early if it takes a small enough share of the whole run.
  if (drawnStep === undefined) return times.grid <= GRID_SHARE * times.epoch * totalSteps / stepsPerEpoch;
  return epoch - Math.ceil(drawnStep / stepsPerEpoch) >= epochsBetweenGrids(grids, times);
}
