/**
 * One image to draw: what the server's threads pass on, and a running batch takes.
 *
 * @module
 */
import type { DrawPlan } from "./request.ts";
import type { SlotImage } from "./slot_batch.ts";

/** Moments of an image's way from noise to be shown while it is drawn. */
export interface FrameWish {
  /** `predicted`: the network's estimate of the finished image (x_0); `noisy`: x_t itself. */
  readonly kind: "predicted" | "noisy";
  /** Steps (from 0) after which a frame is taken, ascending; the last step is the finished image and needs none. */
  readonly at: readonly number[];
}

/** One image of a {@linkcode DrawPlan}, under a number of its own. It is plain data, which threads can send. */
export interface ImageJob extends SlotImage, Pick<DrawPlan, "sampler" | "steps" | "eta"> {
  /** Chosen by the caller; no two images in a batch share it. */
  readonly id: number;
  /** Moments to be shown; none if not given. */
  readonly frames?: FrameWish;
}
