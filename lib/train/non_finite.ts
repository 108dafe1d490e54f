/**
 * Losses and gradients that are not finite: the parameter that they begin with, and what to do.
 *
 * @module
 */
import type { Gpu } from "../gpu/device.ts";
import type { ParameterTable } from "../model/parameters.ts";
import { type RunPlan, trainingState } from "./run_plan.ts";
import type { TrainSettings } from "./settings.ts";
import { readFlat } from "./weight_transfer.ts";
import type { DeviceImages } from "./device/device_images.ts";
import type { TrainingStep } from "./device/step.ts";

/**
 * Repeats the passes of a step, without the optimizer.
 *
 * @param s step, from 0; its epoch's image order must be set
 * @param staging buffer for the read-back
 * @returns the first parameter with a non-finite gradient, if any
 */
export async function findNonFinite(
  gpu: Gpu,
  step: TrainingStep,
  images: DeviceImages,
  plan: RunPlan,
  s: number,
  staging: GPUBuffer,
): Promise<string | undefined> {
  for (let micro = 0; micro < plan.settings.accumulate; micro++) {
    step.accumulate(await images.place(trainingState(plan, s, micro)));
    const name = nonFiniteParameter(await readFlat(gpu, step.gradients, staging), step.table);
    if (name) return name;
  }
  return undefined;
}

/** Advice at the end of a message on losses or gradients that are not finite. */
export function describeRemedy({ precision }: Pick<TrainSettings, "precision">): string {
  const others = precision === "mixed"
    ? ', a longer `warmup`, or `precision: "float32"`'
    : " or a longer `warmup`";
  return `start again with a lower learning rate (\`lr\`)${others}`;
}

/** First parameter with a non-finite gradient, if any. */
function nonFiniteParameter(gradients: Float32Array, table: ParameterTable): string | undefined {
  const index = gradients.findIndex((value) => !Number.isFinite(value));
  return index < 0 ? undefined : table.at(index).name;
}
