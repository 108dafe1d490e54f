/**
 * Strips that show the diffusion process: the same images at successive timesteps, side by side.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { Images } from "./images.ts";

/** Options of {@linkcode strip}. */
export interface StripOptions {
  /** Captions above the frames, such as `t=999`; one per frame. */
  captions?: readonly string[];
  /** Labels left of the rows; one per image of a frame. */
  rowLabels?: readonly string[];
  /** Enlargement of the images (nearest neighbour), 1 to 16; default 2. */
  scale?: number;
  /** White pixels between images and around them, 0 to 256; default 2. */
  gap?: number;
}

/**
 * Arranges frames as the columns of one picture, with a row for each image: the forward process (images at rising noise
 * levels) or the reverse process (images while they are sampled).
 *
 * @param frames the same images at successive timesteps; equal count and size
 * @param options captions, labels, scale and gap
 * @returns one image
 * @throws {ConfigError} if there are no frames, they do not match, or an option is out of range
 */
export function strip(frames: readonly Images[], options: StripOptions = {}): Images {
  const { captions, rowLabels, scale = 2, gap = 2 } = options;
  const [first] = frames;
  if (!first) throw new ConfigError("frames.length", 0, "at least one frame");
  const { count } = first;
  for (const [index, frame] of frames.entries()) {
    if (frame.count !== count) {
      throw new ConfigError(`frames[${index}].count`, frame.count, `${count} images, as in the first frame`);
    }
  }
  if (captions && captions.length !== frames.length) {
    throw new ConfigError("captions.length", captions.length, `${frames.length}, one for each frame`);
  }
  const rows = Array.from({ length: count }, (_, row) => frames.map((frame) => frame.at(row)));
  return Images.concat(rows.flat()).grid({
    columns: frames.length,
    columnLabels: captions,
    rowLabels,
    scale,
    gap,
  });
}
