/**
 * Launcher of `augment.wgsl`: a batch of randomly cropped and mirrored images.
 *
 * @module
 */
import { type Launch, launch } from "./source.ts";
import { augmentKernel } from "./sources.ts";

/** Shape of the batch, image range of the bound chunk, and range of the augmentation. */
export interface AugmentShape {
  readonly batch: number;
  readonly height: number;
  readonly width: number;
  /** Channels of the images, 3 for RGB. */
  readonly channels: number;
  /** Index of the chunk's first image in the data set. */
  readonly chunkFirst: number;
  /** Images in the chunk. */
  readonly chunkCount: number;
  /** Largest shift in pixels, below height and width; 0 for none. */
  readonly shift: number;
  /** Mirror each image with probability 1/2. */
  readonly flip: boolean;
}

/** Buffers of {@linkcode augmentForward}. */
export interface AugmentBuffers<B> {
  readonly step_state: B;
  /** One chunk of the data set: bytes `[chunkCount, H, W, C]`, zero-padded to whole words. */
  readonly images: B;
  /** u32 image indices; the batch starts at the step's `position`. */
  readonly order: B;
  /** One byte per image of the data set, zero-padded to whole words. */
  readonly image_labels: B;
  /** Out: `[N, H, W, Cp]`, in [-1, 1]. */
  readonly x: B;
  /** Out: `[N]` u32. */
  readonly labels: B;
}

/**
 * Gathers, shifts, mirrors and scales to [-1, 1] the batch's images in one chunk. A data set of several chunks needs one call
 * per chunk, with the same outputs.
 */
export function augmentForward<B>(
  shape: AugmentShape,
  buffers: AugmentBuffers<B>,
  label = "augment",
): Launch<B>[] {
  const { batch, height, width, channels, chunkFirst, chunkCount, shift, flip } = shape;
  const params = {
    ...{ height, width, channels, shift, flip: flip ? 1 : 0 },
    ...{ chunk_first: chunkFirst, chunk_count: chunkCount },
  };
  const workgroups = [
    Math.ceil(width / 32) * Math.ceil(channels / 4),
    Math.ceil(height / 16),
    batch,
  ] as const;
  return [launch(augmentKernel, "augment", params, { ...buffers }, workgroups, { label })];
}
