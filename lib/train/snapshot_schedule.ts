/**
 * Schedule of the snapshots of a run's averages: every `snapshotEvery` epochs, or about as many as suffice, and at the end.
 *
 * @module
 */
import { DEFAULT_SNAPSHOTS } from "./checkpoint_settings.ts";
import { type RunPlan, trainingIsOver } from "./run_plan.ts";

/** True if a snapshot is due after the last finished epoch. */
export function emaSnapshotIsDue(plan: RunPlan): boolean {
  const { settings: { snapshotEvery }, progress: { history }, stepsPerEpoch, totalSteps } = plan;
  const every = snapshotEvery ?? Math.max(1, Math.round(totalSteps / stepsPerEpoch / DEFAULT_SNAPSHOTS));
  return trainingIsOver(plan) || history.at(-1)!.epoch % every === 0; // called after an epoch only
}
