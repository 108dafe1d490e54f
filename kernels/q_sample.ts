/**
 * Noising a batch of the resident data set; see q_sample.wgsl.
 *
 * @module
 */
import { type Launch, launch } from "./source.ts";
import { qSampleKernel } from "./sources.ts";

/** Shape of the batch, and which images the bound chunk holds. */
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
  /** Out: `[N, H, W, Cp]`, what the network is to predict. */
  readonly targets: B;
}

/**
 * Gathers, flips, scales to [-1, 1] and noises the samples of the batch that lie in one chunk. A data set of several
 * chunks takes one call for each, with the same outputs.
 */
export function qSampleForward<B>(
  shape: QSampleShape,
  buffers: QSampleBuffers<B>,
  label = "q_sample",
): Launch<B>[] {
  const { batch, height, width, channels, chunkFirst, chunkCount } = shape;
  const params = { height, width, chunk_first: chunkFirst, chunk_count: chunkCount };
  const workgroups = [
    Math.ceil(width / 32) * Math.ceil(channels / 4),
    Math.ceil(height / 16),
    batch,
  ] as const;
  return [
    launch(qSampleKernel, "q_sample", params, { ...buffers }, workgroups, { constants: { channels }, label }),
  ];
}
