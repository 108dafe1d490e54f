/**
 * The loop that all drawing shares: images on their way through their plans, taken one step on side by side.
 *
 * @module
 */
import type { SamplerStep } from "../diffusion/sampler.ts";
import type { SlotBatch, SlotImage, SlotStep } from "./slot_batch.ts";

/** An image on its way from noise. */
export interface Underway {
  readonly image: SlotImage;
  /** Its plan, from `planSampling`. */
  readonly plan: readonly SamplerStep[];
  /** Steps taken. */
  done: number;
}

/**
 * Takes images one step on, image i in slot i; returns before the device has done it.
 *
 * @returns rows of the network's batch in use, and of the program that ran
 */
export function advance(
  batch: SlotBatch,
  images: readonly Underway[],
): { rows: number; programRows: number } {
  const ran = batch.step(images.map(({ image, plan, done }): SlotStep => {
    const { label, seed, guidance } = image;
    return { label, seed, guidance, step: done, coefficients: plan[done] };
  }));
  for (const image of images) image.done++;
  return ran;
}

/** Whether an image has taken its last step. */
export function isFinished({ plan, done }: Underway): boolean {
  return done === plan.length;
}
