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
import type { RunRanks } from "./run_ranks.ts";

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
 * @param given a signal that ends it early, the next time that the CPU waits for the device; ranks that share the batches
 */
export async function* validate(
  step: TrainingStep,
  images: DeviceImages,
  plan: RunPlan,
  { signal, ranks }: { signal?: AbortSignal; ranks?: RunRanks },
): AsyncGenerator<ValidationProgress, void, undefined> {
  const { trainImages, validationImages: total, settings: { batch } } = plan;
  if (total === 0) return;
  images.setOrder(Uint32Array.from({ length: total }, (_, i) => trainImages + i));
  if (ranks) return yield* validateOnRanks(step, images, plan, ranks, signal);
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

/** Batches of each rank between two exchanges of losses. */
const BATCHES_PER_ROUND = 8;

/** Shares the batches out; their losses are added in the order of the batches, whoever has computed them. */
async function* validateOnRanks(
  step: TrainingStep,
  images: DeviceImages,
  plan: RunPlan,
  ranks: RunRanks,
  signal: AbortSignal | undefined,
): AsyncGenerator<ValidationProgress, void, undefined> {
  const { validationImages: total, settings: { batch } } = plan;
  const batches = Math.ceil(total / batch);
  const pace = new Pace();
  let lossSum = 0;
  for (let first = 0; first < batches && !ranks.stopping;) {
    const count = Math.min(batches - first, BATCHES_PER_ROUND * ranks.size);
    const own = ranks.shareOf(count);
    for (let b = first + own.first; b < first + own.end; b++) {
      step.validate(await images.place(validationState(plan, b)));
      pace.submitted();
      if (!pace.due) continue;
      await step.readLog();
      pace.waited();
    }
    const records = await step.readLog();
    pace.waited();
    const losses = records.map(({ lossSum }) => lossSum);
    const slots = Array.from({ length: own.end - own.first }, (_, i) => (first + own.first + i) % LOG_SLOTS);
    const all = await ranks.collect(slots.map((slot) => losses[slot]!), count, signal?.aborted ?? false);
    for (const loss of all) lossSum += loss;
    first += count;
    yield { done: Math.min(total, first * batch), lossSum };
  }
}
