/**
 * Validation loss of the EMA weights, on images held out from training.
 *
 * @module
 */
import { Pace } from "../gpu/pace.ts";
import { type RunPlan, validationState } from "./run_plan.ts";
import type { DeviceImages } from "./device/device_images.ts";
import type { TrainingStep } from "./device/step.ts";
import { LOG_SLOTS } from "./device/step_graph.ts";

/** Progress of a validation. */
export interface ValidationProgress {
  /** Images done. */
  readonly done: number;
  /** Sum of their losses. */
  readonly lossSum: number;
}

/**
 * Computes the loss on all validation images, with the same timesteps and noise every time. Replaces the image order of the
 * epoch.
 *
 * @param signal ends it early, the next time that the CPU waits for the device
 */
export async function* validate(
  step: TrainingStep,
  images: DeviceImages,
  plan: RunPlan,
  signal: AbortSignal | undefined,
): AsyncGenerator<ValidationProgress, void, undefined> {
  const { trainImages, validationImages: total, settings: { batch } } = plan;
  if (total === 0) return;
  images.setOrder(Uint32Array.from({ length: total }, (_, i) => trainImages + i));
  const pace = new Pace();
  const batches = Math.ceil(total / batch);
  let lossSum = 0;
  for (let first = 0; first < batches && !signal?.aborted;) {
    let next = first;
    do {
      step.validate(await images.place(validationState(plan, next++)));
      pace.submitted();
    } while (next < batches && next - first < LOG_SLOTS && !pace.due);
    const records = await step.readLog();
    pace.waited();
    // The log has LOG_SLOTS records.
    for (; first < next; first++) lossSum += records[first % LOG_SLOTS]!.lossSum;
    yield { done: Math.min(total, next * batch), lossSum };
  }
}
