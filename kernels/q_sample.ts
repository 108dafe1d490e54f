/**
 * Launcher of `q_sample.wgsl`: forward process on a batch of the resident data set.
 *
 * @module
 */
import { type Launch, launch } from "./source.ts";
import { qSampleAugmentedKernel, qSampleKernel } from "./sources.ts";

/** Shape of the batch, and image range of the bound chunk. */
export interface QSampleShape {
  readonly batch: number;
  readonly height: number;
  readonly width: number;
  /** Channels of the images, 3 for RGB. */
  readonly channels: number;
  /** Index of the chunk's first image in the data set. */
  readonly chunkFirst: number;
  /** Images in the chunk. */
  readonly chunkCount: number;
}

/** Buffers of {@linkcode qSampleForward}. */
export interface QSampleBuffers<B> {
  readonly step_state: B;
  /** One chunk of the data set: bytes `[chunkCount, H, W, C]`, zero-padded to whole words. */
  readonly images: B;
  /** From `drawBatchForward`. */
  readonly draws: B;
  /** From `encodeScheduleTables`. */
  readonly schedule: B;
  /** Out: `[N, H, W, Cp]`, the network's input. */
  readonly x_t: B;
  /** Out: `[N, H, W, Cp]` float32, the prediction targets. */
  readonly targets: B;
  /** From `drawAugmentationForward`; without it, images are flipped at most. */
  readonly maps?: B | undefined;
}

/**
 * Gathers, flips or augments, scales to [-1, 1] and noises the batch's samples in one chunk. A data set of several chunks
 * needs one call per chunk, with the same outputs.
 */
export function qSampleForward<B>(
  shape: QSampleShape,
  { maps, ...buffers }: QSampleBuffers<B>,
  label = "q_sample",
): Launch<B>[] {
  const { batch, height, width, channels, chunkFirst, chunkCount } = shape;
  const params = { height, width, chunk_first: chunkFirst, chunk_count: chunkCount };
  const workgroups = [
    Math.ceil(width / 32) * Math.ceil(channels / 4),
    Math.ceil(height / 16),
    batch,
  ] as const;
  const options = { constants: { channels }, label };
  return [
    maps
      ? launch(qSampleAugmentedKernel, "q_sample", params, { ...buffers, maps }, workgroups, options)
      : launch(qSampleKernel, "q_sample", params, { ...buffers }, workgroups, options),
  ];
}
