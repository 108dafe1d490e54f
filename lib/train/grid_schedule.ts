/**
 * Decides after which epochs a run draws a grid of samples. Unless told how often, it keeps grids to a small share of the
 * run's time.
 *
 * @module
 */
import type { RunPlan } from "./run_plan.ts";

/** Limit on the share of a run's time spent on grids, not counting the first and the last. */
export const GRID_SHARE = 0.05;

/** Measured or estimated times, in seconds. */
export interface GridTimes {
  readonly grid: number;
  /** An epoch with its validation. */
  readonly epoch: number;
}

/** Epochs from one grid to the next: `sampleEvery`, or as many as keep grids to their share of the time. */
export function epochsBetweenGrids(
  { sampleEvery }: Pick<RunPlan["grids"], "sampleEvery">,
  { grid, epoch }: GridTimes,
): number {
  if (sampleEvery !== null) return sampleEvery;
  return Math.max(1, Math.ceil(grid / (GRID_SHARE * epoch)));
}

/**
 * Whether a grid is due after the epoch that was finished last, which is not the run's last.
 *
 * @param drawnStep optimizer steps done at the grid before, if there was any
 * @param times of that epoch, and of a grid
 */
export function gridIsDue(
  { progress, grids, stepsPerEpoch, totalSteps }: RunPlan,
  drawnStep: number | undefined,
  times: GridTimes,
): boolean {
  const { epoch } = progress.history.at(-1)!;
  if (grids.sampleEvery !== null) return epoch % grids.sampleEvery === 0;
  // An early look, where the whole run is long enough to pay for it.
  if (drawnStep === undefined) return times.grid <= GRID_SHARE * times.epoch * totalSteps / stepsPerEpoch;
  return epoch - Math.ceil(drawnStep / stepsPerEpoch) >= epochsBetweenGrids(grids, times);
}
