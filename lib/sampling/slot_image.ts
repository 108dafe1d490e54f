/**
 * An image that is to be drawn, as the slots take it; plain data.
 *
 * @module
 */
import type { Guided } from "../diffusion/guidance.ts";

/** An image of which a part is kept. */
export interface KnownImage {
  /** Shape [H, W, C], in [-1, 1]. */
  readonly image: Float32Array<ArrayBuffer>;
  /** Shape [H, W], 1 where the image is drawn anew, 0 where it is kept; values between blend. */
  readonly mask: Float32Array<ArrayBuffer>;
}

/** Parameters that, with the sampler's plan, determine an image, whatever its slot or the other images of the batch. */
export interface SlotImage extends Guided {
  /** Integer from 0 to 2^53 - 1. */
  readonly seed: number;
  /** `x` before the first step, shape [H, W, C]; default the noise of the seed. */
  readonly start?: Float32Array<ArrayBuffer>;
  /** Default: nothing is kept. */
  readonly known?: KnownImage;
}
