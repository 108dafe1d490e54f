/**
 * Runs that are evaluated as they go, and those that cannot be.
 *
 * @module
 */
import type { RunPlan } from "./run_plan.ts";

/** Why a run cannot be evaluated; undefined if it can. */
export function whyNotEvaluated(
  { validationImages }: Pick<RunPlan, "validationImages">,
): string | undefined {
  if (validationImages === 0) return "the data has no validation images";
}

/** True if a run is evaluated at all. */
export function evaluates(plan: RunPlan): boolean {
  return plan.grids.evaluateEvery > 0 && whyNotEvaluated(plan) === undefined;
}
