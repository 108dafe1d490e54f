/**
 * Where a gradient stopped being finite.
 *
 * @module
 */
import type { Gpu } from "../gpu/device.ts";
import type { ParameterTable } from "../model/parameters.ts";
import { type RunPlan, trainingState } from "./run_plan.ts";
import { readFlat } from "./state.ts";
import type { TrainingStep } from "./device/step.ts";

/**
 * Does the passes of a step again, without the optimizer.
 *
 * @param s the step, from 0; the images are in the order of its epoch
 * @param staging for the read-back
 * @returns the first parameter whose gradient is not finite, if there is one
 */
export async function findNonFinite(
  gpu: Gpu,
  step: TrainingStep,
  plan: RunPlan,
  s: number,
  staging: GPUBuffer,
): Promise<string | undefined> {
  for (let micro = 0; micro < plan.settings.accumulate; micro++) {
    step.accumulate(trainingState(plan, s, micro));
    const name = nonFiniteParameter(await readFlat(gpu, step.gradients, staging), step.table);
    if (name) return name;
  }
  return undefined;
}

/** The parameter in whose gradient a value is not finite, if there is one. */
function nonFiniteParameter(gradients: Float32Array, table: ParameterTable): string | undefined {
  const index = gradients.findIndex((value) => !Number.isFinite(value));
  return index < 0 ? undefined : table.at(index).name;
}
