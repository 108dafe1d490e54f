/**
 * Shared sampling loop: advances images with different plans one step at a time in one batch.
 *
 * @module
 */
import { guidanceStep, rowsOfStep } from "../diffusion/guidance.ts";
import type { PlannedStep } from "../diffusion/sampler.ts";
import type { SlotBatch } from "./slots/slot_batch.ts";
import type { SlotImage } from "./slot_image.ts";
import type { SlotStep } from "./slots/slot_record.ts";

/** An image being sampled. */
export interface Underway {
  readonly image: SlotImage;
  /** Steps of the sampler, from `planSampling`. */
  readonly plan: readonly PlannedStep[];
  /** Number of steps done. */
  done: number;
}

/**
 * Advances images by one step, image i in slot i; returns before the device has finished.
 *
 * @returns `rows`: rows of the network's batch in use; `programRows`: rows of the program that ran, at least `rows`
 * @throws {RangeError} if an image has no step left
 */
export function advance(
  batch: SlotBatch,
  images: readonly Underway[],
): { rows: number; programRows: number } {
  const ran = batch.step(images.map(({ image, plan, done }): SlotStep => {
    const coefficients = plan[done];
    if (!coefficients) throw new RangeError(`step ${done} of ${plan.length}: the image is finished`);
    return { ...image, step: done, coefficients, last: done + 1 === plan.length };
  }));
  for (const image of images) image.done++;
  return ran;
}

/**
 * Rows of the networks' batches in an image's next step.
 *
 * @param nullLabel label of the null class
 * @param guide true if a second network guides
 */
export function rowsOfNextStep(
  { image, plan, done }: Underway,
  nullLabel: number,
  guide: boolean,
): number {
  const step = plan[done];
  return step ? rowsOfStep(guidanceStep(image, step.noiseRatio, nullLabel, guide)) : 0;
}

/** True if an image has had its last step (Ho et al. 2020, algorithm 2, line 5). */
export function isFinished({ plan, done }: Underway): boolean {
  return done === plan.length;
}
