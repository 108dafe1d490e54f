/**
 * Image jobs: single images for a running batch, as plain data that threads can send.
 *
 * @module
 */
import type { SamplerName, SamplerSettings } from "../diffusion/sampler.ts";
import type { ImageEdit } from "./edits/image_edit.ts";
import type { SlotImage } from "./slot_image.ts";

/** Intermediate frames to read back while an image is drawn. */
export interface FrameRequest {
  /** `predicted`: the network's estimate of x_0; `noisy`: x_t. */
  readonly kind: "predicted" | "noisy";
  /** Steps (from 0) after which to read a frame, ascending; the last step is the finished image and needs none. */
  readonly at: readonly number[];
}

/** One image of a `DrawPlan`; plain data, which threads can send. */
export interface ImageJob extends SlotImage, SamplerSettings {
  /** Sampler that draws it. */
  readonly sampler: SamplerName;
  /** Steps of the sampler. */
  readonly steps: number;
  /** Identifier chosen by the caller, unique in the batch. */
  readonly id: number;
  /** The given image that it is drawn from; default noise alone. */
  readonly edit?: ImageEdit;
  /** Intermediate frames; default none. */
  readonly frames?: FrameRequest;
}
